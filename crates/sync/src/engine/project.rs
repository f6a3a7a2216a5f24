//! One project of a run: its lock, its own row and lists, its streams, its dependents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Code, Coded, EntityKind, Outcome, ProjectId, Report};
use annals_db::content;
use annals_db::control::{self, Acquired, HEARTBEAT_MS, Lock, LockRequest};
use annals_db::ids::{ForgeId, ProjectState, RunOrigin};
use annals_db::work::{job, validator};
use annals_net_adapter::http::Validators;
use annals_net_adapter::{Cx, RegionSpec, Started, TaskHandle};

use super::dependents::{self, DependentsEnd};
use super::ending::{finishing, stop_of};
use super::options::Reading;
use super::resolve::{self, KnownProject, Resolved};
use super::result::{EntityRef, ProjectResult};
use super::run::Run;
use super::writer::{self, Events, Place, Wrote};
use super::{aside, register, stream, sweep};
use crate::error::{Error, Failure};
use crate::forge::{Answer, Catalogue, Forge, ForgeError, ProjectRef, Question, Stream, Via};
use crate::progress::Event;
use crate::target::ProjectUrl;

/// How often a held lock is asked for again.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// What a run holds of one project.
pub struct ProjectRun {
    pub run: Arc<Run>,
    pub forge: Arc<dyn Forge>,
    pub forge_id: ForgeId,
    /// The forge's id of the project.
    pub native: String,
    /// Its path, for people.
    pub path: String,
    pub place: Place,
}

/// How a project ended.
#[derive(Default)]
pub struct ProjectEnd {
    pub result: ProjectResult,
    pub revisions: u64,
    pub failures: Vec<Failure>,
    pub failed: BTreeSet<EntityRef>,
    pub stopped: Option<CancelReason>,
    /// Whether it had the lock.
    pub worked: bool,
    /// Which project turned out to be there no more.
    pub gone: Option<GoneProject>,
}

/// A project whose id its forge does not know any more.
pub struct GoneProject {
    /// Its row.
    pub id: ProjectId,
    /// The forge's id of it.
    pub native: String,
}

impl ProjectEnd {
    fn stop_or_fail(&mut self, path: &str, error: &Error) {
        match stop_of(error) {
            Some(stop) => self.stopped = Some(stop.reason().clone()),
            None => self.failures.push(Failure {
                project: Some(path.to_owned()),
                part: None,
                report: error.report(),
            }),
        }
    }

    fn status(&self) -> &'static str {
        let stored =
            self.revisions > 0 || self.result.jobs.done > 0 || self.result.streams.iter().any(|s| s.written > 0);
        match (self.stopped.is_some(), self.failures.is_empty(), stored) {
            (true, _, _) => "cancelled",
            (false, true, _) => "done",
            (false, false, true) => "partial",
            (false, false, false) => "failed",
        }
    }
}

/// Syncs one project. Whatever goes wrong ends this project alone.
///
/// # Errors
/// None: failures and a request to stop are in the result.
///
/// # Cancel safety
/// What was committed stays; the lock and open claims are given back under a mask.
pub async fn sync(cx: &Cx, run: &Arc<Run>, target: Resolved) -> ProjectEnd {
    let mut end = ProjectEnd::default();
    end.result.path = target.name();
    let address = match &target {
        Resolved::Known { address, .. } => address.clone(),
        Resolved::New(_) => None,
    };
    if let Err(error) = Box::pin(locked(cx, run, target, &mut end)).await {
        let path = end.result.path.clone();
        end.stop_or_fail(&path, &error);
    }
    if let (Some(gone), Some(address)) = (end.gone.take(), address)
        && let Err(error) = Box::pin(successor(cx, run, &address, gone, &mut end)).await
    {
        let path = end.result.path.clone();
        end.stop_or_fail(&path, &error);
    }
    run.progress.tell(Event::ProjectFinished {
        project: end.result.path.clone(),
        status: end.status(),
    });
    end
}

/// Syncs whoever has the address of a project that is gone. If nobody has, it stays as it ended.
async fn successor(
    cx: &Cx,
    run: &Arc<Run>,
    address: &ProjectUrl,
    gone: GoneProject,
    end: &mut ProjectEnd,
) -> Result<(), Error> {
    let started = cx.may_start()?;
    let Some(known) = register::successor(cx, started, run, address, &gone).await? else {
        return Ok(());
    };
    run.progress.tell(Event::Warning {
        project: Some(known.path.clone()),
        code: Code::NotFoundRemote,
        message: format!(
            "the forge has another project at {} now ({}, no longer {}); what was mirrored of the old one stays, and runs leave it out",
            address.path, known.native, gone.native
        ),
    });
    *end = ProjectEnd::default();
    let target = Resolved::Known { known, address: None };
    Box::pin(locked(cx, run, target, end)).await
}

/// Finds the project, takes its lock, works, gives it back.
async fn locked(cx: &Cx, run: &Arc<Run>, target: Resolved, end: &mut ProjectEnd) -> Result<(), Error> {
    let known = match target {
        Resolved::Known { known, .. } => known,
        Resolved::New(url) => {
            let started = cx.may_start()?;
            register::register(cx, started, &run.db, &url, &run.options, &run.meter, &run.budget).await?
        }
    };
    end.result.path.clone_from(&known.path);
    if !run.take(known.id) {
        return Ok(());
    }
    run.learn_project(cx, known.id).await?;
    let forge = resolve::client_of(cx, &run.options, &known)?;
    let lock = acquire(cx, run, &known).await?;
    let events = if run.options.settings.events {
        Events::Mirror
    } else {
        Events::Leave
    };
    let project = ProjectRun {
        run: run.clone(),
        forge,
        forge_id: known.forge,
        native: known.native.clone(),
        path: known.path.clone(),
        place: Place {
            project: known.id,
            lock,
            events,
        },
    };
    let place = project.place.clone();
    end.worked = true;
    let worked = cx.region(RegionSpec::collect_all("sync.project"), |cx| async move {
        let mut end = ProjectEnd {
            worked: true,
            ..ProjectEnd::default()
        };
        end.result.path.clone_from(&project.path);
        let heartbeat = heartbeat(&cx, &project.run, &project.place.lock)?;
        if let Err(error) = Box::pin(work(&cx, project, &known, &mut end)).await {
            let path = end.result.path.clone();
            end.stop_or_fail(&path, &error);
        }
        heartbeat.cancel(CancelReason::new(CancelKind::User, "sync.project", cx.now()));
        Ok::<_, Error>(end)
    });
    let body = worked.await.body;
    let released = finishing(cx, |cx| {
        let (db, place) = (run.db.clone(), place.clone());
        async move { Ok(db.write(&cx, move |tx| writer::let_go(tx, &place)).await?) }
    });
    let released = released.await;
    match body {
        Outcome::Ok(worked) => *end = worked,
        Outcome::Err(error) => return Err(error),
        Outcome::Cancelled(reason) => end.stopped = Some(reason),
        Outcome::Panicked(message) => return Err(message.into()),
    }
    released
}

/// Takes the project's lock, waiting for it as long as the run may.
///
/// # Errors
/// [`Error::InProgress`] with the holder; a failure of the file.
///
/// # Cancel safety
/// Cancelled it holds nothing, or the run's end gives the lock back.
pub async fn acquire(cx: &Cx, run: &Arc<Run>, known: &KnownProject) -> Result<Lock, Error> {
    let until = cx.now().after(run.options.lock_wait);
    let mut told = false;
    loop {
        let request = LockRequest {
            project: known.id,
            run_id: run.run_id.clone(),
            holder: run.options.holder.clone(),
        };
        let alive = run.alive.clone();
        match run
            .db
            .write(cx, move |tx| control::acquire(tx, &request, &alive))
            .await?
        {
            Acquired::Yes(lock) => return Ok(lock),
            Acquired::Held(holder) if cx.now() >= until => {
                return Err(Error::InProgress {
                    project: known.path.clone(),
                    holder,
                });
            }
            Acquired::Held(_) => {
                if !std::mem::replace(&mut told, true) {
                    run.meter
                        .waiting(cx, &known.path, run.options.lock_wait, "another sync of this project");
                }
                cx.pause(LOCK_POLL).await?;
            }
        }
    }
}

/// Shows every few seconds that the run and its lock live. If the lock was taken over there is nothing left to
/// show: the next content transaction notices by itself.
///
/// # Errors
/// The region is ending.
pub fn heartbeat(cx: &Cx, run: &Run, lock: &Lock) -> Result<TaskHandle<(), Error>, Error> {
    let (db, lock) = (run.db.clone(), lock.clone());
    let task = cx.spawn("sync.heartbeat", move |cx| async move {
        loop {
            cx.sleep(Duration::from_millis(HEARTBEAT_MS.unsigned_abs())).await?;
            let held = lock.clone();
            match db.write(&cx, move |tx| control::beat(tx, &held)).await {
                Ok(()) => {}
                Err(annals_db::Error::LockLost { .. }) => return Ok(()),
                // A beat that was missed is not the end; thirty seconds without one are.
                Err(error) => tracing::warn!(%error, scope = %lock.scope, "the heartbeat of a sync failed"),
            }
        }
    });
    task.map_err(super::ending::spawn_failed)
}

async fn work(cx: &Cx, project: ProjectRun, known: &KnownProject, end: &mut ProjectEnd) -> Result<(), Error> {
    let project = own_row(cx, project, end).await?;
    let project = Arc::new(project);
    end.result.path.clone_from(&project.path);
    let worked = Box::pin(contents(cx, &project, end)).await;
    if let Err(error) = remember_capabilities(cx, &project, known).await {
        end.stop_or_fail(&project.path, &error);
    }
    let (id, jobs) = (project.place.project, project.place.events.jobs());
    let counted = finishing(cx, |cx| {
        let db = project.run.db.clone();
        async move { Ok(db.read(&cx, move |conn| job::owed(conn, id, &jobs)).await?) }
    });
    end.result.jobs.pending = counted.await?;
    worked
}

/// The project itself: whether it is still there, what it is called, its labels and milestones.
async fn own_row(cx: &Cx, mut project: ProjectRun, end: &mut ProjectEnd) -> Result<ProjectRun, Error> {
    project.phase(cx, "project").await?;
    let started = cx.may_start()?;
    if let Some(path) = project.refresh(cx, started, end).await? {
        project.path = path;
    }
    for which in Catalogue::ALL {
        let started = cx.may_start()?;
        project.catalogue(cx, started, which, end).await?;
    }
    Ok(project)
}

async fn contents(cx: &Cx, project: &Arc<ProjectRun>, end: &mut ProjectEnd) -> Result<(), Error> {
    project.phase(cx, "streams").await?;
    let again = aside::retry(cx, project).await?;
    end.revisions += again.revisions;
    project.tell_quarantined(&again);
    let mut whole = Vec::new();
    for stream in Stream::ALL {
        let read = Box::pin(stream::read(cx, project, stream)).await?;
        if read.failure.is_none() && !read.skipped {
            whole.push(stream);
        }
        end.revisions += read.revisions;
        end.result.streams.push(read.result);
        end.failures.extend(read.failure);
        if let Some(stop) = read.stopped {
            end.stopped = Some(stop.reason().clone());
            return Ok(());
        }
        if read.host_is_lost {
            return Ok(());
        }
    }
    project.phase(cx, "dependents").await?;
    if project.run.options.origin == RunOrigin::Cli {
        let place = project.place.clone();
        project.run.db.write(cx, move |tx| writer::make_due(tx, &place)).await?;
    }
    dependents(cx, project, end).await?;
    let is_lost = |failure: &Failure| {
        matches!(
            failure.report.code,
            Code::RateLimited | Code::AuthRejected | Code::TokenMissing
        )
    };
    if end.stopped.is_some() || end.failures.iter().any(is_lost) {
        return Ok(());
    }
    let swept = Box::pin(sweep::run(cx, project, &whole)).await?;
    end.revisions += swept.revisions;
    end.failures.extend(swept.failures);
    end.stopped = swept.stopped.map(|stop| stop.reason().clone());
    if swept.found > 0 && end.stopped.is_none() {
        // What was found owes its sets like any other.
        project.phase(cx, "dependents").await?;
        dependents(cx, project, end).await?;
    }
    Ok(())
}

/// Does the jobs that are due.
async fn dependents(cx: &Cx, project: &Arc<ProjectRun>, end: &mut ProjectEnd) -> Result<(), Error> {
    let DependentsEnd {
        jobs,
        revisions,
        failures,
        failed,
        aside,
        stopped,
    } = Box::pin(dependents::run(cx, project)).await?;
    let all = &mut end.result.jobs;
    (all.done, all.failed) = (all.done + jobs.done, all.failed + jobs.failed);
    end.revisions += revisions;
    end.failures.extend(failures);
    end.failed.extend(failed);
    end.stopped = stopped.map(|stop| stop.reason().clone());
    count_aside(cx, project, &aside, end).await
}

/// Counts the children that were put aside with the stream of their parents.
async fn count_aside(
    cx: &Cx,
    project: &ProjectRun,
    aside: &BTreeMap<EntityKind, u64>,
    end: &mut ProjectEnd,
) -> Result<(), Error> {
    for (kind, n) in aside {
        let stream = Stream::of(*kind).as_str();
        if let Some(result) = end.result.streams.iter_mut().find(|result| result.stream == stream) {
            result.quarantined += n;
        }
        let counted = finishing(cx, |cx| {
            let (db, run_id) = (project.run.db.clone(), project.run.run_id.clone());
            let (project, n) = (project.place.project, *n);
            async move {
                Ok(db
                    .write(&cx, move |tx| {
                        control::run::add_quarantined(tx, &run_id, project, stream, n)
                    })
                    .await?)
            }
        });
        counted.await?;
    }
    Ok(())
}

/// What was learnt about the installation is for every later run.
async fn remember_capabilities(cx: &Cx, project: &ProjectRun, known: &KnownProject) -> Result<(), Error> {
    let capabilities = project.forge.capabilities();
    if capabilities == known.capabilities {
        return Ok(());
    }
    let forge = project.forge_id;
    let kept = finishing(cx, |cx| {
        let db = project.run.db.clone();
        async move {
            Ok(db
                .write(&cx, move |tx| content::set_forge_facts(tx, forge, None, &capabilities))
                .await?)
        }
    });
    kept.await.map(|_| ())
}

impl ProjectRun {
    /// Whether what was kept of earlier answers is sent along: a full run looks for itself.
    pub fn asks_conditionally(&self) -> bool {
        self.run.options.reading == Reading::New
    }

    /// The validators of a question, if its last answer was kept.
    ///
    /// # Errors
    /// A failure of the file.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn validators(&self, cx: &Cx, scope: &str, of: &Question<'_>) -> Result<Option<Validators>, Error> {
        let Some(request) = self.forge.request_of(of).filter(|_| self.asks_conditionally()) else {
            return Ok(None);
        };
        let (project, scope) = (self.place.project, scope.to_owned());
        let kept = self
            .run
            .db
            .read(cx, move |conn| validator::get(conn, project, &scope, &request))
            .await?;
        Ok(kept.map(|kept| Validators {
            etag: kept.etag,
            last_modified: kept.last_modified,
        }))
    }

    /// Tells of something that does not stop the run.
    pub fn warn(&self, code: Code, message: String) {
        self.run.progress.tell(Event::Warning {
            project: Some(self.path.clone()),
            code,
            message,
        });
    }

    /// A failure of a part of this project.
    pub fn failure(&self, part: &str, report: Report) -> Failure {
        Failure {
            project: Some(self.path.clone()),
            part: Some(part.to_owned()),
            report,
        }
    }

    /// Names the items that were put aside just now.
    pub fn tell_quarantined(&self, wrote: &Wrote) {
        for (name, code) in &wrote.news {
            self.warn(*code, format!("{name} could not be read and was put aside"));
        }
    }

    /// Says which phase the project is in.
    ///
    /// # Errors
    /// A failure of the file.
    ///
    /// # Cancel safety
    /// It is noted or not.
    pub async fn phase(&self, cx: &Cx, phase: &'static str) -> Result<(), Error> {
        self.run.progress.tell(Event::PhaseStarted {
            project: Some(self.path.clone()),
            phase,
        });
        self.run.set_phase(cx, phase).await
    }

    /// Reads the project's own payload. Returns its path, if there is news.
    async fn refresh(&self, cx: &Cx, _started: Started, end: &mut ProjectEnd) -> Result<Option<String>, Error> {
        let at = ProjectRef::Id(self.native.clone());
        let kept = self
            .validators(cx, writer::PROJECT_SCOPE, &Question::Project(&at))
            .await?;
        let flight = self.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &self.run.meter,
        };
        let state = match self.forge.project(cx, via, &at, kept.as_ref()).await? {
            Answer::NotModified => return Ok(None),
            Answer::New(answer) => {
                self.run.odd(self, &answer.odd);
                let (place, forge, path) = (self.place.clone(), self.forge_id, answer.project.path.clone());
                let write = self.run.db.write(cx, move |tx| {
                    writer::write_project(tx, &place, forge, &answer.project, answer.kept.as_ref())
                });
                end.revisions += write.await?.revisions;
                return Ok(Some(path));
            }
            Answer::Gone(_) | Answer::Moved(_) => {
                end.gone = Some(GoneProject {
                    id: self.place.project,
                    native: self.native.clone(),
                });
                ProjectState::Missing
            }
            Answer::Hidden => ProjectState::Hidden,
        };
        // Its entities stay as they are: a hidden project says nothing about them.
        let place = self.place.clone();
        let marked = self.run.db.write(cx, move |tx| {
            control::check_fence(tx, &place.lock)?;
            // Should it come back unchanged, it has to be told all the same.
            validator::forget(tx, place.project, writer::PROJECT_SCOPE)?;
            content::mark_project(tx, place.project, state)
        });
        marked.await?;
        let (host, what) = (self.forge.host().to_owned(), format!("project {}", self.path));
        Err(match state {
            ProjectState::Hidden => ForgeError::Forbidden { host, what },
            ProjectState::Active | ProjectState::Moved | ProjectState::Missing => ForgeError::NotFound { host, what },
        }
        .into())
    }

    async fn catalogue(&self, cx: &Cx, _started: Started, which: Catalogue, end: &mut ProjectEnd) -> Result<(), Error> {
        let kept = self
            .validators(cx, which.as_str(), &Question::Catalogue(&self.native, which))
            .await?;
        let flight = self.run.budget.flight();
        let via = Via {
            flight: &flight,
            meter: &self.run.meter,
        };
        let answer = match self.forge.catalogue(cx, via, &self.native, which, kept.as_ref()).await {
            Ok(Answer::New(answer)) => answer,
            Ok(Answer::NotModified) => return Ok(()),
            Ok(Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden) => {
                self.warn(
                    Code::Forbidden,
                    format!("{} does not show its {}", self.path, which.as_str()),
                );
                return Ok(());
            }
            Err(error) if error.stop().is_some() || error.blames_host() => return Err(error.into()),
            // Without its labels the rest of a project is still worth having.
            Err(error) => {
                end.failures.push(self.failure(which.as_str(), error.report()));
                return Ok(());
            }
        };
        self.run.odd(self, &answer.odd);
        let place = self.place.clone();
        let wrote = self.run.db.write(cx, move |tx| {
            let (rows, shape) = (&answer.rows, answer.shape);
            writer::write_catalogue(
                tx,
                &place,
                which.as_str(),
                rows,
                shape,
                &answer.bad,
                answer.kept.as_ref(),
            )
        });
        let wrote = wrote.await?;
        self.tell_quarantined(&wrote);
        end.revisions += wrote.revisions;
        Ok(())
    }
}
