//! How a surgical run ends: its row closed, its jobs handed on, its result.

use std::collections::BTreeSet;
use std::sync::Arc;

use annals_core::{CancelReason, Code, EntityKind, Report};
use annals_db::control::{self, RunEnd};
use annals_db::ids::{DirtyId, RunMode, RunStatus};
use annals_db::work::job;
use annals_net_adapter::Cx;
use serde_json::json;

use super::dependents::DependentsEnd;
use super::documents::Made;
use super::failure::{PreflightFailed, TargetFailure};
use super::ingest::Ingested;
use crate::engine::ending::{finishing, stop_of};
use crate::engine::resolve::KnownProject;
use crate::engine::result::{EntityRef, JobsResult, ProjectResult, StreamResult, SyncResult};
use crate::engine::run::Run;
use crate::engine::writer::Wrote;
use crate::error::{Error, Failure, Incomplete};
use crate::forge::Stream;
use crate::progress::Event;

/// What the stages came to so far.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    path: Option<String>,
    targets: Vec<EntityRef>,
    /// The targets that the preflight could not have.
    pub preflight: Vec<TargetFailure>,
    /// Whether the one transaction is in.
    is_ingested: bool,
    /// Targets written with news, and left as they were.
    written: BTreeSet<EntityRef>,
    stale: Vec<EntityRef>,
    pub failed: BTreeSet<EntityRef>,
    /// The target whose writing undid the others.
    pub culprit: Option<EntityRef>,
    jobs: JobsResult,
    revisions: u64,
    quarantined: u64,
    /// What this run's writes have left to be made into documents.
    pub dirty: Vec<DirtyId>,
    pub made: Made,
    /// Documents that got their vectors.
    pub embedded: u64,
    failures: Vec<Failure>,
    stopped: Option<CancelReason>,
    /// Whether there is nothing left to do.
    pub is_complete: bool,
}

impl Ends {
    /// Nothing was done yet.
    pub fn of(targets: &[EntityRef], known: Option<&KnownProject>) -> Self {
        Self {
            path: known.map(|known| known.path.clone()),
            targets: targets.to_vec(),
            is_complete: targets.is_empty(),
            ..Self::default()
        }
    }

    /// Notes what ended the run early.
    pub fn note(&mut self, error: &Error) {
        match stop_of(error) {
            Some(stop) => self.stopped = Some(stop.reason().clone()),
            None => self.failures.push(Failure {
                project: self.path.clone(),
                part: self.culprit.map(|of| of.to_string()),
                report: of_a_run(error.report()),
            }),
        }
    }

    /// The same, of a run whose stages left no word.
    pub fn with(mut self, error: &Error) -> Self {
        self.note(error);
        self
    }

    /// Notes a failure of a part that nothing else waits for.
    pub fn fail(&mut self, part: &str, report: Report) {
        self.failures.push(Failure {
            project: self.path.clone(),
            part: Some(part.to_owned()),
            report: of_a_run(report),
        });
    }

    /// The targets that were not left as stale, also those whose sets alone had news.
    pub fn written(&self) -> impl Iterator<Item = EntityRef> + '_ {
        self.targets.iter().copied().filter(|of| !self.stale.contains(of))
    }

    /// Notes that the one transaction is in.
    pub fn ingested(&mut self, wrote: &Wrote, targets: &[(EntityRef, Ingested)]) {
        self.is_ingested = true;
        self.revisions += wrote.revisions;
        for (of, what) in targets {
            match what {
                Ingested::Stale => self.stale.push(*of),
                Ingested::Written { is_news, dirty } => {
                    if *is_news {
                        self.written.insert(*of);
                    }
                    self.dirty.extend(dirty);
                }
            }
        }
    }

    /// Notes how the sets went; returns what ended their stage, if something did.
    pub fn dependents(&mut self, end: DependentsEnd) -> Option<Error> {
        self.jobs = end.jobs;
        self.revisions += end.revisions;
        self.quarantined += end.quarantined;
        self.dirty.extend(end.dirty);
        for (of, report) in end.failed {
            self.failed.insert(of);
            self.failures.push(Failure {
                project: self.path.clone(),
                part: Some(of.to_string()),
                report,
            });
        }
        if end.ended_by.as_ref().is_some_and(|error| stop_of(error).is_none()) {
            self.failed.extend(end.waiting);
        }
        end.ended_by
    }

    fn stored_something(&self) -> bool {
        self.is_ingested && (self.stale.len() < self.targets.len())
    }

    /// The targets as streams show theirs: how many were read, written, left.
    fn streams(&self) -> Vec<StreamResult> {
        let of = |kind: EntityKind| {
            let count = |all: &mut dyn Iterator<Item = &EntityRef>| -> u64 {
                all.filter(|of| of.entity_type == kind).map(|_| 1).sum()
            };
            let rows = count(&mut self.targets.iter());
            let written = count(&mut self.written.iter());
            StreamResult {
                stream: Stream::of(kind).as_str().to_owned(),
                rows,
                written,
                unchanged: if self.is_ingested { rows - written } else { 0 },
                ..StreamResult::default()
            }
        };
        let streams = EntityKind::ALL.into_iter().map(of);
        let mut streams: Vec<StreamResult> = streams.filter(|stream| stream.rows > 0).collect();
        if let Some(first) = streams.first_mut() {
            first.quarantined = self.quarantined;
        }
        streams
    }

    fn result(&self, run: &Run) -> SyncResult {
        let project = self.path.clone().map(|path| ProjectResult {
            path,
            streams: self.streams(),
            jobs: self.jobs,
        });
        SyncResult {
            run_id: run.run_id.clone(),
            mode: RunMode::Surgical,
            status: RunStatus::Done,
            projects: project.into_iter().collect(),
            revisions: self.revisions,
            documents_regenerated: self.made.drained.changed,
            documents_embedded: self.embedded,
            skipped_stale: self.stale.len() as u64,
            failed_iids: self.failed.iter().copied().collect(),
            skipped_stale_iids: self.stale.clone(),
            dirty_source_ids: self.dirty.clone(),
            requests: run.meter.requests(),
            not_modified: run.meter.not_modified_answers(),
            waited_ms: run.meter.waited_ms(),
            error_code: None,
        }
    }
}

/// What is told of a failure that a run ended with. Some codes are those of single items, and no
/// command ends with them.
fn of_a_run(report: Report) -> Report {
    if report.code.exit_code().is_some() {
        return report;
    }
    Report {
        details: report.details,
        ..Report::new(Code::Transform, report.message)
    }
}

/// Closes the run, cancelled or not. In the transaction that closes it, jobs of its scope that are
/// not done are aborted, and owed without scope.
///
/// # Errors
/// Why the run did not do all it was asked for.
///
/// # Cancel safety
/// A cancellation waits for it.
pub async fn finish(cx: &Cx, run: &Arc<Run>, mut ends: Ends) -> Result<SyncResult, Error> {
    let stopped = match ends.stopped.take() {
        None if !ends.is_complete && ends.preflight.is_empty() && ends.failures.is_empty() => cx.cancel_reason(),
        stopped => stopped,
    };
    let preflight = (!ends.preflight.is_empty()).then(|| PreflightFailed {
        run_id: run.run_id.clone(),
        total: ends.targets.len(),
        failures: std::mem::take(&mut ends.preflight),
    });
    let mut result = ends.result(run);
    if let Some(failed) = &preflight {
        result.failed_iids = failed.failures.iter().map(|failure| failure.target).collect();
    }
    (result.status, result.error_code) = match (&stopped, &preflight, ends.failures.as_slice()) {
        (Some(reason), _, _) => (RunStatus::Cancelled, Some(reason.code())),
        (None, Some(failed), _) => (RunStatus::Failed, Some(failed.code())),
        (None, None, []) => (RunStatus::Done, None),
        (None, None, _) if ends.stored_something() => (RunStatus::Partial, Some(Code::Partial)),
        (None, None, [first, ..]) => (RunStatus::Failed, Some(first.report.code)),
    };
    let failures: Vec<_> = match &preflight {
        Some(failed) => failed.failures.iter().map(TargetFailure::to_json).collect(),
        None => ends.failures.iter().map(Failure::to_json).collect(),
    };
    let end = RunEnd {
        status: result.status,
        counters: json!({
            "targets": ends.targets.len(),
            "requests": result.requests,
            "waited_ms": result.waited_ms,
            "revisions": result.revisions,
            "skipped_stale": result.skipped_stale,
            "documents_regenerated": result.documents_regenerated,
            "jobs_done": ends.jobs.done,
        }),
        error_code: result.error_code,
        error: (!failures.is_empty()).then(|| json!({ "failures": failures })),
    };
    let closed = finishing(cx, |cx| {
        let (db, run_id) = (run.db.clone(), run.run_id.clone());
        async move {
            let write = db.write(&cx, move |tx| {
                control::finish_run(tx, &run_id, &end)?;
                job::scope_counts(tx, &run_id)
            });
            Ok(write.await?)
        }
    });
    let closed = closed.await;
    if let (Ok(counts), Some(project)) = (&closed, result.projects.first_mut()) {
        project.jobs.aborted = counts.aborted;
    }
    for project in &result.projects {
        run.progress.tell(Event::ProjectFinished {
            project: project.path.clone(),
            status: result.status.as_str(),
        });
    }
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
    if let Some(failed) = preflight {
        return Err(Error::Preflight(Box::new(failed)));
    }
    closed?;
    if let Err(error) = run.db.checkpoint(cx).await {
        // The log is merged by whoever comes next.
        tracing::debug!(%error, "no checkpoint at the end of the run");
    }
    match result.error_code {
        None => Ok(result),
        Some(code) => Err(Error::Incomplete(Box::new(Incomplete {
            code,
            result,
            failures: ends.failures,
        }))),
    }
}
