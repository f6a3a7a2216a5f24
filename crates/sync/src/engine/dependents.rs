//! Dependent jobs: what changed entities owe, fetched a few at a time, written one after the other.
//!
//! Jobs are claimed in order of cause, entity and type, fetched at most [`IN_FLIGHT`] at once, and
//! written in the order they were claimed, whichever answer came first. What the file holds
//! afterwards does not depend on the network's timing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use annals_core::{Code, Coded, EntityKind, Outcome, Report};
use annals_db::control::check_fence;
use annals_db::ids::{JobStatus, JobType};
use annals_db::work::job::{self, Claim, Failure as JobFailure, JobEnd};
use annals_db::work::{Job, validator};
use annals_net_adapter::http::Validators;
use annals_net_adapter::{Cx, Started, Stop, TaskHandle};

use super::project::ProjectRun;
use super::result::{EntityRef, JobsResult};
use super::writer::{self, Departed, SetWrote};
use crate::error::{Error, Failure};
use crate::forge::budget::Flight;
use crate::forge::{Answer, ForgeError, ProjectRef, Question, SetAnswer, SetKey, Via};
use crate::progress::Event;

/// Fetches under way at once, and so the most answers that wait for their turn to be written. More than the forge is
/// asked at once, so that it is kept busy while the oldest, which may take several requests, is waited for.
const IN_FLIGHT: usize = 16;
/// Jobs claimed in one transaction.
const CLAIM: usize = 64;
/// Failures told one by one; the rest is a number.
const TOLD: usize = 200;
/// So many network failures in a row mean that the host is away, not that the items are bad.
const AWAY_AFTER: u32 = 8;

/// How the phase ended.
#[derive(Default)]
pub struct DependentsEnd {
    /// Jobs done and given up.
    pub jobs: JobsResult,
    /// Revisions written.
    pub revisions: u64,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// Entities of which something failed.
    pub failed: BTreeSet<EntityRef>,
    /// Children that could not be read, by what they are children of.
    pub aside: BTreeMap<EntityKind, u64>,
    /// Whether the run was asked to stop.
    pub stopped: Option<Stop>,
}

/// Does every job of a project that is due.
///
/// # Errors
/// A failure of the file, or a lost lock: nothing more can be written for this project.
///
/// # Cancel safety
/// Sets that were committed stay, with their jobs done; other claims are given back when the run
/// ends.
pub async fn run(cx: &Cx, project: &Arc<ProjectRun>) -> Result<DependentsEnd, Error> {
    let mut phase = Phase {
        project,
        queue: VecDeque::new(),
        flying: VecDeque::new(),
        end: DependentsEnd::default(),
        halted: false,
        away: 0,
        untold: None,
    };
    phase.drive(cx).await?;
    if let Some((report, n)) = phase.untold {
        let report = Report {
            message: format!("{} (the last of {n} more)", report.message),
            ..report
        };
        phase.end.failures.push(project.failure("dependents", report));
    }
    Ok(phase.end)
}

struct Phase<'a> {
    project: &'a Arc<ProjectRun>,
    queue: VecDeque<Claimed>,
    flying: VecDeque<Flying>,
    end: DependentsEnd,
    /// No new fetch begins.
    halted: bool,
    /// Network failures in a row.
    away: u32,
    /// The last failure that was not told by itself, and how many there were.
    untold: Option<(Report, u64)>,
}

/// A job of this run, and what its fetch needs.
struct Claimed {
    job: Job,
    key: SetKey,
    kept: Option<Validators>,
}

struct Flying {
    claimed: Claimed,
    fetch: TaskHandle<Fetched, ForgeError>,
}

/// What a fetch came back with; the flight counts its bytes until they are written.
enum Fetched {
    Set(Box<SetAnswer>, Flight),
    NotModified,
    Gone(Departed),
    Hidden,
}

impl Phase<'_> {
    async fn drive(&mut self, cx: &Cx) -> Result<(), Error> {
        loop {
            self.fill(cx).await?;
            let Some(mut flying) = self.flying.pop_front() else {
                return Ok(());
            };
            match flying.fetch.join(cx).await {
                Ok(outcome) => self.settle(cx, flying.claimed, outcome).await?,
                Err(cancelled) => {
                    self.end.stopped = Some(Stop::Cancelled(cancelled.0));
                    return Ok(());
                }
            }
        }
    }

    /// Starts fetches until enough are under way or nothing is due.
    async fn fill(&mut self, cx: &Cx) -> Result<(), Error> {
        while !self.halted && self.flying.len() < IN_FLIGHT {
            let started = match cx.may_start() {
                Ok(started) => started,
                Err(stop) => return self.stop(stop),
            };
            if self.queue.is_empty() {
                match self.claim(cx).await {
                    Ok(()) => {}
                    Err(error) => match super::ending::stop_of(&error) {
                        Some(stop) => return self.stop(stop),
                        None => return Err(error),
                    },
                }
            }
            let Some(claimed) = self.queue.pop_front() else {
                return Ok(());
            };
            let fetch = self.begin(cx, started, &claimed)?;
            self.flying.push_back(Flying { claimed, fetch });
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends a fallible function in one place")]
    fn stop(&mut self, stop: Stop) -> Result<(), Error> {
        self.halted = true;
        self.end.stopped = Some(stop);
        Ok(())
    }

    async fn claim(&mut self, cx: &Cx) -> Result<(), Error> {
        let (project, place) = (self.project.clone(), self.project.place.clone());
        let run = self.project.run.clone();
        let claimed = run.db.write(cx, move |tx| {
            check_fence(tx, &place.lock)?;
            let types = place.events.jobs();
            let run_id = &project.run.run_id;
            let claim = Claim {
                project: place.project,
                scope: None,
                run_id,
                types: &types,
                limit: CLAIM,
            };
            let mut claimed = Vec::new();
            for job in job::claim(tx, &claim)? {
                let key = SetKey {
                    kind: job.entity.kind,
                    iid: job.iid,
                    job: job.job_type,
                    head_oid: writer::head_of(tx, job.entity)?,
                    cause_at: job.cause_at,
                };
                let question = Question::Set(&project.native, &key);
                let request = project
                    .forge
                    .request_of(&question)
                    .filter(|_| project.asks_conditionally());
                let kept = match request {
                    Some(request) => validator::get(tx, place.project, &writer::set_scope(&key), &request)?,
                    None => None,
                };
                let kept = kept.map(|kept| Validators {
                    etag: kept.etag,
                    last_modified: kept.last_modified,
                });
                claimed.push(Claimed { job, key, kept });
            }
            Ok(claimed)
        });
        self.queue.extend(claimed.await?);
        Ok(())
    }

    fn begin(&self, cx: &Cx, started: Started, claimed: &Claimed) -> Result<TaskHandle<Fetched, ForgeError>, Error> {
        let project = self.project.clone();
        let (key, kept) = (claimed.key.clone(), claimed.kept.clone());
        // Taken here, in the order of claims, so that age is the order of writing.
        let flight = project.run.budget.flight();
        let task = cx.spawn("sync.set", move |cx| async move {
            fetch(&cx, started, &project, &key, kept, flight).await
        });
        task.map_err(super::ending::spawn_failed)
    }

    /// Writes what a fetch brought, or what became of it.
    async fn settle(&mut self, cx: &Cx, claimed: Claimed, outcome: Outcome<Fetched, ForgeError>) -> Result<(), Error> {
        let wrote = match outcome {
            Outcome::Ok(fetched) => {
                self.away = 0;
                match fetched {
                    Fetched::Hidden => {
                        let what = format!("the {} of {}", claimed.key.job, name_of(&claimed));
                        let host = self.project.forge.host().to_owned();
                        return self.failed(cx, claimed, &ForgeError::Forbidden { host, what }).await;
                    }
                    other => self.write(cx, &claimed, other).await,
                }
            }
            Outcome::Err(error) => return self.failed(cx, claimed, &error).await,
            Outcome::Cancelled(reason) => return self.stop(Stop::Cancelled(reason)),
            Outcome::Panicked(message) => return Err(message.into()),
        };
        match wrote {
            Ok(Some(wrote)) => {
                self.done(&claimed, wrote);
                Ok(())
            }
            Ok(None) => self.late(cx, claimed).await,
            Err(error) => match super::ending::stop_of(&error) {
                Some(stop) => self.stop(stop),
                None => Err(error),
            },
        }
    }

    /// `None` is an answer that was too old to be written.
    async fn write(&self, cx: &Cx, claimed: &Claimed, fetched: Fetched) -> Result<Option<SetWrote>, Error> {
        let run = &self.project.run;
        let (place, job, key) = (self.project.place.clone(), claimed.job.clone(), claimed.key.clone());
        let run_id = run.run_id.clone();
        Ok(match fetched {
            Fetched::Set(answer, flight) => {
                run.odd(self.project, &answer.odd);
                let wrote = run
                    .db
                    .write(cx, move |tx| {
                        writer::write_set(tx, &place, &job, &run_id, &key, &answer)
                    })
                    .await?;
                drop(flight);
                wrote
            }
            Fetched::NotModified | Fetched::Hidden => {
                run.db
                    .write(cx, move |tx| {
                        writer::write_unmodified(tx, &place, &job, &run_id).map(Some)
                    })
                    .await?
            }
            Fetched::Gone(departed) => {
                self.project.warn(
                    Code::NotFoundRemote,
                    format!("{} is no longer at {}", name_of(claimed), self.project.forge.host()),
                );
                run.db
                    .write(cx, move |tx| {
                        writer::write_gone(tx, &place, &job, &run_id, &departed).map(Some)
                    })
                    .await?
            }
        })
    }

    fn done(&mut self, claimed: &Claimed, wrote: SetWrote) {
        self.end.jobs.done += u64::from(wrote.end == JobEnd::Done);
        self.end.revisions += wrote.wrote.revisions;
        if wrote.wrote.quarantined > 0 {
            *self.end.aside.entry(claimed.key.kind).or_default() += wrote.wrote.quarantined;
        }
        self.project.tell_quarantined(&wrote.wrote);
        self.project.run.progress.tell(Event::SetStored {
            project: self.project.path.clone(),
            entity: claimed.key.kind,
            iid: claimed.key.iid,
            set: claimed.key.job.as_str(),
            items: wrote.wrote.rows,
        });
    }

    /// Records that a job failed, and decides whether the others have a chance.
    async fn failed(&mut self, cx: &Cx, claimed: Claimed, error: &ForgeError) -> Result<(), Error> {
        if let Some(stop) = error.stop() {
            return self.stop(stop.clone());
        }
        let part = format!("{} {}", name_of(&claimed), claimed.key.job);
        if error.blames_host() {
            // Nothing is wrong with the job: its claim is given back as it was.
            if !self.halted {
                self.end
                    .failures
                    .push(self.project.failure("dependents", error.report()));
            }
            self.halted = true;
            return Ok(());
        }
        // Memory must not grow with what goes wrong either.
        match &mut self.untold {
            Some((report, n)) => (*report, *n) = (error.report(), *n + 1),
            None if self.end.failures.len() >= TOLD => self.untold = Some((error.report(), 1)),
            None => self.end.failures.push(self.project.failure(&part, error.report())),
        }
        self.end.failed.insert(EntityRef {
            entity_type: claimed.key.kind,
            iid: claimed.key.iid,
        });
        let is_network = matches!(error, ForgeError::Network { .. } | ForgeError::Server { .. });
        self.away = if is_network { self.away + 1 } else { 0 };
        self.halted |= self.away >= AWAY_AFTER;
        let random = cx.rng().u64(..);
        let failure = match error {
            ForgeError::SetTooLarge { .. } => JobFailure::Permanent,
            error if error.is_outage() => JobFailure::Away { random },
            _ => JobFailure::Transient { random },
        };
        self.fail(cx, claimed.job, error.code(), failure).await.map(|_| ())
    }

    /// An answer that is older than what the file has: a copy of the forge that lags behind. Nothing
    /// has failed; it is asked for again, a few times.
    async fn late(&mut self, cx: &Cx, claimed: Claimed) -> Result<(), Error> {
        let host = self.project.forge.host().to_owned();
        let what = format!("with an older state of {} than its list", name_of(&claimed));
        let error = ForgeError::Protocol { host, what };
        let random = cx.rng().u64(..);
        let part = format!("{} {}", name_of(&claimed), claimed.key.job);
        let key = claimed.key;
        let status = self.fail(cx, claimed.job, error.code(), JobFailure::Transient { random });
        if status.await? == Some(JobStatus::Failed) {
            self.end.failures.push(self.project.failure(&part, error.report()));
            self.end.failed.insert(EntityRef {
                entity_type: key.kind,
                iid: key.iid,
            });
        } else {
            self.project
                .warn(error.code(), format!("{error}; it is asked for again"));
        }
        Ok(())
    }

    /// Writes how a job failed; says where it stands now, unless the run stops.
    async fn fail(&mut self, cx: &Cx, job: Job, code: Code, failure: JobFailure) -> Result<Option<JobStatus>, Error> {
        let (run, place) = (&self.project.run, self.project.place.clone());
        let run_id = run.run_id.clone();
        let status = run.db.write(cx, move |tx| {
            check_fence(tx, &place.lock)?;
            job::fail(tx, &job, &run_id, code, failure)
        });
        match status.await {
            Ok(status) => {
                self.end.jobs.failed += u64::from(status == JobStatus::Failed);
                Ok(Some(status))
            }
            Err(error) => {
                let error = Error::from(error);
                match super::ending::stop_of(&error) {
                    Some(stop) => self.stop(stop).map(|()| None),
                    None => Err(error),
                }
            }
        }
    }
}

fn name_of(claimed: &Claimed) -> String {
    format!("{}{}", claimed.key.kind.sigil(), claimed.key.iid)
}

async fn fetch(
    cx: &Cx,
    _started: Started,
    project: &ProjectRun,
    key: &SetKey,
    kept: Option<Validators>,
    flight: Flight,
) -> Result<Fetched, ForgeError> {
    let via = Via {
        flight: &flight,
        meter: &project.run.meter,
    };
    match project.forge.set(cx, via, &project.native, key, kept.as_ref()).await? {
        Answer::New(answer) => Ok(Fetched::Set(Box::new(answer), flight)),
        Answer::NotModified => Ok(Fetched::NotModified),
        Answer::Hidden => Ok(Fetched::Hidden),
        Answer::Gone(reason) => confirm_gone(cx, project, via, key, Departed::Gone(reason)).await,
        Answer::Moved(to) => confirm_gone(cx, project, via, key, Departed::Moved(to)).await,
    }
}

/// A missing set means a missing entity only if the entity itself is missing and its project is
/// not: a project that was hidden answers alike for everything in it.
async fn confirm_gone(
    cx: &Cx,
    project: &ProjectRun,
    via: Via<'_>,
    key: &SetKey,
    departed: Departed,
) -> Result<Fetched, ForgeError> {
    let host = || project.forge.host().to_owned();
    let departed = match key.job {
        JobType::Detail => departed,
        JobType::Discussions | JobType::Events | JobType::Diffs | JobType::Commits | JobType::Closes => {
            match project.forge.one(cx, via, &project.native, key.kind, key.iid).await? {
                Answer::Gone(reason) => Departed::Gone(reason),
                Answer::Moved(to) => Departed::Moved(to),
                Answer::Hidden => return Ok(Fetched::Hidden),
                Answer::New(_) | Answer::NotModified => {
                    let what = format!("{} of {}{}", key.job, key.kind.sigil(), key.iid);
                    return Err(ForgeError::NotFound { host: host(), what });
                }
            }
        }
    };
    match project
        .forge
        .project(cx, via, &ProjectRef::Id(project.native.clone()), None)
        .await?
    {
        Answer::New(_) | Answer::NotModified => Ok(Fetched::Gone(departed)),
        Answer::Gone(_) | Answer::Moved(_) | Answer::Hidden => Err(ForgeError::NotFound {
            host: host(),
            what: "the project".to_owned(),
        }),
    }
}
