//! A run from its row in the ledger to its result.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annals_core::{CancelReason, Code, Coded, Outcome, ProjectId, RunId};
use annals_db::Db;
use annals_db::control::{self, Alive, HEARTBEAT_MS, NewRun, RunEnd};
use annals_db::ids::{RunMode, RunStatus};
use annals_net_adapter::{CancelKind, Cx, RegionSpec, Started, TaskHandle, map_bounded};
use annals_search::documents::{Drained, drain_page};
use annals_search::embed::Embedded;
use annals_search::index::Fts5;
use serde_json::json;

use super::embed;
use super::ending::{finishing, spawn_failed, stop_of};
use super::options::{Documents, Reading, SyncOptions, Target};
use super::project::{self, ProjectEnd, ProjectRun};
use super::resolve::{self, Resolved};
use super::result::SyncResult;
use crate::error::{Error, Failure, Incomplete};
use crate::forge::Oddity;
use crate::forge::budget::ByteBudget;
use crate::forge::meter::Meter;
use crate::progress::{Event, Progress};

/// What every part of a run shares. The state of the engine is the database; this is how to reach
/// it and what to tell.
pub struct Run {
    pub db: Db,
    pub alive: Alive,
    pub run_id: RunId,
    pub options: SyncOptions,
    pub meter: Meter,
    pub progress: Progress,
    pub budget: ByteBudget,
    projects: usize,
    told: Mutex<BTreeSet<Oddity>>,
    taken: Mutex<BTreeSet<ProjectId>>,
}

impl Run {
    /// A run that has not begun, over the file as it is open for writing.
    ///
    /// # Errors
    /// [`annals_db::Error::Closed`] if it is open for reading only.
    pub fn new(
        cx: &Cx,
        db: &Db,
        options: SyncOptions,
        progress: Progress,
        projects: usize,
    ) -> Result<Arc<Self>, Error> {
        let mut random = [0; 10];
        cx.rng().fill(&mut random);
        Ok(Arc::new(Self {
            db: db.clone(),
            alive: db.alive().cloned().ok_or(annals_db::Error::Closed)?,
            run_id: RunId::new(cx.unix_ms(), random),
            meter: Meter::new(progress.clone()),
            progress,
            budget: ByteBudget::new(options.max_bytes),
            projects,
            told: Mutex::default(),
            taken: Mutex::default(),
            options,
        }))
    }

    /// What it sets out to do.
    pub fn mode(&self) -> RunMode {
        match self.options.reading {
            Reading::New => RunMode::Normal,
            Reading::Full => RunMode::Full,
        }
    }

    /// How far before its cursor a stream is read again.
    pub fn rewind_ms(&self) -> i64 {
        i64::try_from(self.options.settings.rewind.as_millis()).unwrap_or(i64::MAX)
    }

    /// Tells of each odd value once.
    pub fn odd(&self, project: &ProjectRun, odd: &[Oddity]) {
        self.odd_at(&project.path, odd);
    }

    /// The same for the project of this path.
    pub fn odd_at(&self, path: &str, odd: &[Oddity]) {
        for oddity in odd {
            let is_news = self
                .told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(oddity.clone());
            if is_news {
                let value = if oddity.value.is_empty() {
                    String::new()
                } else {
                    format!(": {}", oddity.value)
                };
                self.progress.tell(Event::Warning {
                    project: Some(path.to_owned()),
                    code: Code::Transform,
                    message: format!("{}{value}", oddity.what),
                });
            }
        }
    }

    /// Takes a project for this run. False if it has it already: two addresses of a renamed project
    /// turn out to be one only when its forge was asked, and the second would take the lock over.
    pub fn take(&self, project: ProjectId) -> bool {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(project)
    }

    /// Notes the project of a run that has only one.
    ///
    /// # Errors
    /// A failure of the file.
    ///
    /// # Cancel safety
    /// It is noted or not.
    pub async fn learn_project(&self, cx: &Cx, project: ProjectId) -> Result<(), Error> {
        if self.projects != 1 {
            return Ok(());
        }
        let run_id = self.run_id.clone();
        Ok(self
            .db
            .write(cx, move |tx| control::run::set_project(tx, &run_id, project))
            .await?)
    }

    /// Notes which phase a run with one project is in; of several, each has its own.
    ///
    /// # Errors
    /// A failure of the file.
    ///
    /// # Cancel safety
    /// It is noted or not.
    pub async fn set_phase(&self, cx: &Cx, phase: &'static str) -> Result<(), Error> {
        if self.projects > 1 {
            return Ok(());
        }
        let run_id = self.run_id.clone();
        Ok(self
            .db
            .write(cx, move |tx| control::set_phase(tx, &run_id, phase))
            .await?)
    }
}

/// Mirrors projects into the file: what is new at their forges since the last run. No targets means
/// every project that is tracked.
///
/// # Errors
/// [`Error::Incomplete`] when something failed, with the result so far; [`Error::Cancelled`] when
/// the run was asked to stop; before it begins, [`Error::Target`], [`Error::UnknownProject`],
/// [`Error::AmbiguousProject`] or a failure of the file.
///
/// # Cancel safety
/// Every batch is in the file whole or not at all, and the cursor equals the last row stored. A
/// drain lets the page or set under way finish; a cancellation drops what is not committed. Either
/// way the run is recorded as cancelled, its lock and claims are given back, and the next run goes
/// on from there. A dropped call is healed by the next run.
pub async fn sync(
    cx: &Cx,
    db: &Db,
    targets: Vec<Target>,
    options: SyncOptions,
    progress: Progress,
) -> Result<SyncResult, Error> {
    let started = cx.may_start()?;
    let resolved = resolve::resolve(cx, db, &options, &targets).await?;
    let run = Run::new(cx, db, options, progress, resolved.len())?;
    begin(cx, started, &run, row_of(&run, &resolved)).await?;
    let region = cx.region(RegionSpec::collect_all("sync.run"), |cx| {
        let run = run.clone();
        async move { Box::pin(body(&cx, &run, resolved)).await }
    });
    let ends = match region.await.body {
        Outcome::Ok(ends) => ends,
        Outcome::Err(error) => Ends::of_error(&error),
        Outcome::Cancelled(reason) => Ends {
            stopped: Some(reason),
            ..Ends::default()
        },
        Outcome::Panicked(message) => Ends::of_error(&Error::from(message)),
    };
    finish(cx, &run, ends).await
}

fn row_of(run: &Run, resolved: &[Resolved]) -> NewRun {
    let project = match resolved {
        [Resolved::Known { known, .. }] => Some(known.id),
        _ => None,
    };
    let names: Vec<_> = resolved.iter().map(Resolved::name).collect();
    NewRun {
        run_id: run.run_id.clone(),
        parent: None,
        mode: run.mode(),
        origin: run.options.origin,
        project,
        requested: json!({ "projects": names }),
    }
}

/// Heals what died before, writes the row of the run and tells of both.
///
/// # Errors
/// A failure of the file.
///
/// # Cancel safety
/// The run has its row, or does not.
pub async fn begin(cx: &Cx, _started: Started, run: &Arc<Run>, row: NewRun) -> Result<(), Error> {
    let alive = run.alive.clone();
    let begun = run.db.write(cx, move |tx| {
        let healed = control::heal(tx, &alive)?;
        control::begin_run(tx, &row, &alive)?;
        Ok(healed)
    });
    for dead in begun.await?.runs {
        let message = format!("run {dead} had ended without a word; what it left open is owed again");
        run.progress.tell(Event::Warning {
            project: None,
            code: Code::Interrupted,
            message,
        });
    }
    run.progress.tell(Event::RunStarted {
        run_id: run.run_id.clone(),
        projects: run.projects,
    });
    Ok(())
}

/// What the parts of a run came to.
#[derive(Default)]
pub(super) struct Ends {
    projects: Vec<ProjectEnd>,
    documents: Drained,
    pub(super) embedded: Embedded,
    pub(super) failures: Vec<Failure>,
    stopped: Option<CancelReason>,
}

impl Ends {
    fn of_error(error: &Error) -> Self {
        let mut ends = Self::default();
        ends.note(error);
        ends
    }

    pub(super) fn note(&mut self, error: &Error) {
        match stop_of(error) {
            Some(stop) => self.stopped = Some(stop.reason().clone()),
            None => self.failures.push(Failure {
                project: None,
                part: None,
                report: error.report(),
            }),
        }
    }
}

fn is_of_embedding(failure: &Failure) -> bool {
    failure.part.as_deref() == Some(embed::PART)
}

/// Shows every few seconds that the run lives, with or without a lock.
///
/// # Errors
/// The region is ending.
pub fn heartbeat(cx: &Cx, run: &Run) -> Result<TaskHandle<(), Error>, Error> {
    let (db, run_id) = (run.db.clone(), run.run_id.clone());
    cx.spawn("sync.run.heartbeat", move |cx| async move {
        loop {
            cx.sleep(Duration::from_millis(HEARTBEAT_MS.unsigned_abs())).await?;
            let run_id = run_id.clone();
            if let Err(error) = db.write(&cx, move |tx| control::run::beat_run(tx, &run_id)).await {
                tracing::warn!(%error, "the heartbeat of a sync run failed");
            }
        }
        #[expect(unreachable_code, reason = "names the type of an endless task")]
        Ok::<(), Error>(())
    })
    .map_err(spawn_failed)
}

async fn body(cx: &Cx, run: &Arc<Run>, resolved: Vec<Resolved>) -> Result<Ends, Error> {
    let heartbeat = heartbeat(cx, run)?;
    let mut ends = Ends::default();
    let jobs = NonZeroUsize::new(run.options.settings.jobs).unwrap_or(NonZeroUsize::MIN);
    let shared = run.clone();
    let names: Vec<_> = resolved.iter().map(Resolved::name).collect();
    let outcomes = map_bounded(cx, jobs, resolved, move |cx, target| {
        let run = shared.clone();
        async move { Ok::<_, Error>(Box::pin(project::sync(&cx, &run, target)).await) }
    });
    for (outcome, path) in outcomes.await.into_iter().zip(names) {
        match outcome {
            Outcome::Ok(mut end) => {
                ends.failures.append(&mut end.failures);
                ends.stopped = ends.stopped.or_else(|| end.stopped.clone());
                ends.projects.push(end);
            }
            Outcome::Err(error) => ends.note(&error),
            Outcome::Cancelled(reason) => ends.stopped = Some(reason),
            Outcome::Panicked(message) => {
                ends.failures.push(Failure {
                    project: Some(path),
                    part: None,
                    report: message.report(),
                });
            }
        }
    }
    // Whoever lost a lock, or never had one, writes nothing, not even what needs none.
    let lost = ends
        .failures
        .iter()
        .any(|failure| failure.report.code == Code::LockLost);
    let locked_out = !ends.projects.is_empty() && ends.projects.iter().all(|end| !end.worked);
    if ends.stopped.is_none() && !lost && !locked_out && run.options.documents == Documents::Make {
        run.progress.tell(Event::PhaseStarted {
            project: None,
            phase: "documents",
        });
        match documents(cx, run, &mut ends.documents).await {
            Ok(()) => embed::phase(cx, run, &mut ends).await,
            Err(error) => ends.note(&error),
        }
    }
    heartbeat.cancel(CancelReason::new(CancelKind::User, "sync.run", cx.now()));
    Ok(ends)
}

/// Renders what is owed, a page at a time.
async fn documents(cx: &Cx, run: &Arc<Run>, total: &mut Drained) -> Result<(), Error> {
    run.set_phase(cx, "documents").await?;
    loop {
        let _started = cx.may_start()?;
        let page = run.db.write(cx, |tx| drain_page(tx, &Fts5)).await?;
        if page.sources == 0 {
            return Ok(());
        }
        *total += page;
    }
}

/// Closes the run, cancelled or not.
async fn finish(cx: &Cx, run: &Arc<Run>, ends: Ends) -> Result<SyncResult, Error> {
    let nobody_worked = ends.projects.iter().all(|end| !end.worked);
    let mut result = SyncResult {
        run_id: run.run_id.clone(),
        mode: run.mode(),
        status: RunStatus::Done,
        revisions: ends.projects.iter().map(|end| end.revisions).sum(),
        failed_iids: ends
            .projects
            .iter()
            .flat_map(|end| end.failed.iter().cloned())
            .collect(),
        projects: ends.projects.into_iter().map(|end| end.result).collect(),
        documents_regenerated: ends.documents.changed,
        documents_embedded: ends.embedded.embedded,
        skipped_stale: 0,
        skipped_stale_iids: Vec::new(),
        dirty_source_ids: Vec::new(),
        requests: run.meter.requests(),
        not_modified: run.meter.not_modified_answers(),
        waited_ms: run.meter.waited_ms(),
        error_code: None,
    };
    let failures = ends.failures;
    // Learning a project's name may have written something; that is not yet part of its sync.
    let locked_out = !failures.is_empty()
        && nobody_worked
        && failures
            .iter()
            .all(|failure| failure.report.code == Code::SyncInProgress);
    // A stage may have ended early without anybody noticing a stop: the process itself knows.
    let stopped = ends.stopped.or_else(|| cx.cancel_reason());
    (result.status, result.error_code) = match (&stopped, failures.as_slice()) {
        (Some(reason), _) => (RunStatus::Cancelled, Some(reason.code())),
        (None, []) => (RunStatus::Done, None),
        (None, _) if locked_out => (RunStatus::Failed, Some(Code::SyncInProgress)),
        // Vectors are made of a mirror that is up to date: that they are late does not undo it.
        (None, failures) if result.stored_something() || failures.iter().all(is_of_embedding) => {
            (RunStatus::Partial, Some(Code::Partial))
        }
        (None, failures) => (RunStatus::Failed, Some(one_code(failures))),
    };
    let end = RunEnd {
        status: result.status,
        counters: json!({
            "requests": result.requests,
            "not_modified": result.not_modified,
            "waited_ms": result.waited_ms,
            "revisions": result.revisions,
            "documents_regenerated": result.documents_regenerated,
            "documents_embedded": result.documents_embedded,
            "jobs_done": result.projects.iter().map(|project| project.jobs.done).sum::<u64>(),
        }),
        error_code: result.error_code,
        error: (!failures.is_empty())
            .then(|| json!({ "failures": failures.iter().map(Failure::to_json).collect::<Vec<_>>() })),
    };
    let closed = finishing(cx, |cx| {
        let (db, run_id) = (run.db.clone(), run.run_id.clone());
        async move { Ok(db.write(&cx, move |tx| control::finish_run(tx, &run_id, &end)).await?) }
    });
    let closed = closed.await;
    run.progress.tell(Event::RunFinished {
        run_id: run.run_id.clone(),
        status: result.status.as_str(),
    });
    if let Some(reason) = stopped {
        return Err(Error::Cancelled {
            reason,
            result: Some(Box::new(result)),
        });
    }
    closed?;
    if let Err(error) = run.db.checkpoint(cx).await {
        // The log is merged by whoever comes next.
        tracing::debug!(%error, "no checkpoint at the end of the run");
    }
    match result.error_code {
        None => Ok(result),
        Some(code) => Err(Error::Incomplete(Box::new(Incomplete { code, result, failures }))),
    }
}

/// The code of a run that stored nothing: that of its failures where all have one exit code.
fn one_code(failures: &[Failure]) -> Code {
    let first = failures.first().map_or(Code::Internal, |failure| failure.report.code);
    let uniform = failures
        .iter()
        .all(|failure| failure.report.code.exit_code() == first.exit_code());
    if uniform { first } else { Code::Partial }
}
