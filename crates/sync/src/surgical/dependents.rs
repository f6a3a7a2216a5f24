//! The sets of the targets, from what the preflight brought and from nowhere else.
//!
//! Jobs of this run's scope are claimed in the order of every sync. One without its payload fails: a
//! surgical run never goes back to the forge. Whatever is not done when the run ends becomes a job
//! without scope, in the transaction that closes the run.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::{Code, Report};
use annals_db::control::check_fence;
use annals_db::ids::{DirtyId, JobType};
use annals_db::work::job::{self, Claim, Failure as JobFailure, JobEnd};
use annals_db::work::{Job, dirty, scope};
use annals_net_adapter::{Cx, Started};

use super::preflight::Set;
use super::run::Surgery;
use crate::engine::EntityRef;
use crate::engine::result::JobsResult;
use crate::engine::writer::{self, Place, Wrote};
use crate::error::Error;
use crate::progress::Event;

/// Jobs claimed in one transaction.
const CLAIM: usize = 64;

/// The sets to write, by target and job.
pub type Sets = BTreeMap<(EntityRef, JobType), Set>;

/// How the stage ended.
#[derive(Default)]
pub struct DependentsEnd {
    pub jobs: JobsResult,
    pub revisions: u64,
    /// Children that were put aside.
    pub quarantined: u64,
    /// What the sets made stale.
    pub dirty: Vec<DirtyId>,
    /// Targets of which a job failed by itself, and why.
    pub failed: BTreeMap<EntityRef, Report>,
    /// Targets that wait for a set: its turn never came, or its transaction failed.
    pub waiting: BTreeSet<EntityRef>,
    /// What ended the stage before all was done: a failure of the file, or a request to stop.
    pub ended_by: Option<Error>,
}

/// Writes the sets, one transaction each.
///
/// # Errors
/// None: how it ended is in the result.
///
/// # Cancel safety
/// Sets that were committed stay, with their jobs done.
pub async fn run(cx: &Cx, surgery: &Surgery, place: &Place, sets: Sets) -> DependentsEnd {
    let mut end = DependentsEnd::default();
    let mut waiting: BTreeSet<(EntityRef, JobType)> = sets.keys().copied().collect();
    if let Err(error) = drive(cx, surgery, place, sets, &mut waiting, &mut end).await {
        end.ended_by = Some(error);
    }
    end.waiting = waiting.into_iter().map(|(of, _)| of).collect();
    end
}

async fn drive(
    cx: &Cx,
    surgery: &Surgery,
    place: &Place,
    mut sets: Sets,
    waiting: &mut BTreeSet<(EntityRef, JobType)>,
    end: &mut DependentsEnd,
) -> Result<(), Error> {
    loop {
        let started = cx.may_start()?;
        let jobs = claim(cx, started, surgery, place).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            let started = cx.may_start()?;
            let of = EntityRef {
                entity_type: job.entity.kind,
                iid: job.iid,
            };
            let slot = (of, job.job_type);
            if let Some(set) = sets.remove(&slot) {
                let wrote = write(cx, started, surgery, place, job, set).await?;
                waiting.remove(&slot);
                note(surgery, slot, wrote, end);
            } else {
                let report = Report::new(
                    Code::Internal,
                    format!("nothing was fetched for the {} of {of}", job.job_type),
                );
                fail(cx, started, surgery, place, job).await?;
                end.jobs.failed += 1;
                end.failed.entry(of).or_insert(report);
            }
        }
    }
}

async fn claim(cx: &Cx, _started: Started, surgery: &Surgery, place: &Place) -> Result<Vec<Job>, Error> {
    let (place, run_id) = (place.clone(), surgery.run.run_id.clone());
    let claimed = surgery.run.db.write(cx, move |tx| {
        check_fence(tx, &place.lock)?;
        let claim = Claim {
            project: place.project,
            scope: Some(&run_id),
            run_id: &run_id,
            types: JobType::ALL,
            limit: CLAIM,
        };
        job::claim(tx, &claim)
    });
    Ok(claimed.await?)
}

/// What the transaction of a set did.
struct SetEnd {
    wrote: Wrote,
    end: JobEnd,
    dirty: Vec<DirtyId>,
}

async fn write(
    cx: &Cx,
    _started: Started,
    surgery: &Surgery,
    place: &Place,
    job: Job,
    set: Set,
) -> Result<SetEnd, Error> {
    surgery.run.odd_at(&surgery.known.path, &set.answer.odd);
    let (place, run_id) = (place.clone(), surgery.run.run_id.clone());
    let written = surgery.run.db.write(cx, move |tx| {
        let mark = dirty::high_mark(tx)?;
        // `None` is an entity older than the file's, which only its own page can be.
        let done = match writer::write_set(tx, &place, &job, &run_id, &set.key, &set.answer)? {
            Some(done) => done,
            None => writer::write_unmodified(tx, &place, &job, &run_id)?,
        };
        Ok(SetEnd {
            wrote: done.wrote,
            end: done.end,
            dirty: scope::left_by(tx, mark, job.entity)?,
        })
    });
    Ok(written.await?)
}

fn note(surgery: &Surgery, (of, job_type): (EntityRef, JobType), done: SetEnd, end: &mut DependentsEnd) {
    end.jobs.done += u64::from(done.end == JobEnd::Done);
    end.revisions += done.wrote.revisions;
    end.quarantined += done.wrote.quarantined;
    end.dirty.extend(done.dirty);
    surgery.tell_quarantined(&done.wrote);
    surgery.run.progress.tell(Event::SetStored {
        project: surgery.known.path.clone(),
        entity: of.entity_type,
        iid: of.iid,
        set: job_type.as_str(),
        items: done.wrote.rows,
    });
}

/// A job of this scope that nothing was fetched for: nobody but this run may do it, and this run never
/// fetches again.
async fn fail(cx: &Cx, _started: Started, surgery: &Surgery, place: &Place, job: Job) -> Result<(), Error> {
    let (place, run_id) = (place.clone(), surgery.run.run_id.clone());
    let failed = surgery.run.db.write(cx, move |tx| {
        check_fence(tx, &place.lock)?;
        job::fail(tx, &job, &run_id, Code::Internal, JobFailure::Permanent)
    });
    failed.await?;
    Ok(())
}
