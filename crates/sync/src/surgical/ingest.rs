//! The one transaction: every target, or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals_core::{RunId, UnixMs};
use annals_db::content;
use annals_db::ids::{DirtyId, JobType};
use annals_db::work::{JobIn, dirty, job, scope};
use annals_db::{Error as DbError, WriteTx};
use annals_net_adapter::{Cx, Started};

use super::run::Surgery;
use crate::engine::EntityRef;
use crate::engine::writer::{self, Aside, Events, Place, Wrote};
use crate::error::Error;
use crate::forge::{EntityRow, Row, Stream};

/// A target as the transaction needs it; its sets wait for the next stage.
pub struct Planned {
    pub of: EntityRef,
    pub row: Row,
    pub jobs: Vec<JobType>,
}

/// What became of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// The file has a newer state, and keeps it.
    Stale,
    /// It is in the file.
    Written {
        /// Whether any column is another than before.
        is_news: bool,
        /// What it made stale.
        dirty: Vec<DirtyId>,
    },
}

/// The transaction failed, and with it every target.
pub struct RolledBack {
    /// The target that was being written, if it was one of them that failed.
    pub culprit: Option<EntityRef>,
    pub error: Error,
}

/// Says that no target was being written.
const NOBODY: usize = usize::MAX;

/// Writes all targets in one transaction.
///
/// # Errors
/// [`RolledBack`]; nothing was written.
///
/// # Cancel safety
/// All is written or nothing; once begun it runs to its end.
pub async fn run(
    cx: &Cx,
    _started: Started,
    surgery: &Surgery,
    place: &Place,
    planned: Vec<Planned>,
) -> Result<(Wrote, Vec<(EntityRef, Ingested)>), RolledBack> {
    let at = Arc::new(AtomicUsize::new(NOBODY));
    let names: Vec<EntityRef> = planned.iter().map(|planned| planned.of).collect();
    let (place, run_id, writing) = (place.clone(), surgery.run.run_id.clone(), at.clone());
    let undocumented = surgery.undocumented.clone();
    let written = surgery.run.db.write(cx, move |tx| {
        let mut done = Vec::with_capacity(planned.len());
        let wrote = writer::fenced(tx, &place, |wrote| {
            for (n, target) in planned.iter().enumerate() {
                writing.store(n, Ordering::Relaxed);
                // What was made stale before is somebody else's, but for a run that is about just that.
                let mark = match undocumented.contains(&target.of) {
                    true => DirtyId(0),
                    false => dirty::high_mark(tx)?,
                };
                done.push((target.of, one(tx, &place, &run_id, target, mark)?));
                wrote.rows += 1;
            }
            writing.store(NOBODY, Ordering::Relaxed);
            Ok(())
        })?;
        Ok((wrote, done))
    });
    written.await.map_err(|error| RolledBack {
        culprit: names.get(at.load(Ordering::Relaxed)).copied(),
        error: error.into(),
    })
}

fn one(tx: &WriteTx<'_>, place: &Place, run_id: &RunId, target: &Planned, mark: DirtyId) -> Result<Ingested, DbError> {
    let EntityRef { entity_type, iid } = target.of;
    let entity = match &target.row.entity {
        EntityRow::Issue(issue) => &**issue,
        EntityRow::MergeRequest(mr) => &mr.entity,
    };
    let known_at = writer::entity_at(tx, place.project, entity_type, iid)?.map(|(_, at)| at);
    // Where the forge's time cannot be trusted nobody can say which is newer.
    if entity
        .updated_at
        .zip(known_at)
        .is_some_and(|(shown, known)| known > shown)
    {
        return Ok(Ingested::Stale);
    }
    let applied = match &target.row.entity {
        EntityRow::Issue(issue) => content::upsert_issue(tx, place.project, issue)?,
        EntityRow::MergeRequest(mr) => {
            let applied = content::upsert_merge_request(tx, place.project, mr)?;
            writer::record_version(tx, mr, target.row.at, &applied)?;
            applied
        }
    };
    // It may have been put aside by a run that could not read it.
    let stream = Stream::of(entity_type).as_str();
    Aside::read(tx, place.project, stream)?.resolve(tx, target.row.native_id.as_str())?;
    let enqueue = |job_type, scope: Option<&RunId>| {
        job::enqueue(
            tx,
            &JobIn {
                project: place.project,
                entity: applied.id,
                iid,
                job_type,
                cause_at: target.row.at.unwrap_or(UnixMs(0)),
                scope: scope.cloned(),
            },
        )
    };
    for job_type in &target.jobs {
        enqueue(*job_type, Some(run_id))?;
    }
    if place.events == Events::Leave && applied.updated_at_moved {
        // Left out here, they are still owed.
        enqueue(JobType::Events, None)?;
    }
    Ok(Ingested::Written {
        is_news: applied.change.is_written(),
        dirty: scope::left_by(tx, mark, applied.id)?,
    })
}
