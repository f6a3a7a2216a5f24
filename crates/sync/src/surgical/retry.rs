//! Doing again what an earlier run failed at.

use annals_core::RunId;
use annals_db::Db;
use annals_db::control::{self, ledger};
use annals_db::ids::{EntityStage, RunOrigin, RunStatus};
use annals_net_adapter::Cx;

use super::request::{Kept, SurgicalOptions};
use super::run::{Task, drive};
use crate::engine::resolve;
use crate::engine::{Embedding, EntityRef, SyncResult};
use crate::error::Error;
use crate::progress::Progress;

/// Starts a run for the entities whose last stage failed in run `parent`, never for those that were
/// skipped as stale, and goes as far about them as that run was asked to. A run in which none failed
/// ends well, with no targets.
///
/// # Errors
/// [`Error::UnknownRun`], [`Error::RunActive`], then as [`surgical`](super::surgical).
///
/// # Cancel safety
/// As [`surgical`](super::surgical).
pub async fn retry_failed(
    cx: &Cx,
    db: &Db,
    parent: RunId,
    options: SurgicalOptions,
    progress: Progress,
) -> Result<SyncResult, Error> {
    let started = cx.may_start()?;
    let (of, alive) = (parent.clone(), db.alive().cloned().ok_or(annals_db::Error::Closed)?);
    let found = db.write(cx, move |tx| {
        // A run that only seems to go on, because its process died, has ended too.
        control::heal(tx, &alive)?;
        let Some(asked) = ledger::asked(tx, &of)? else {
            return Ok(None);
        };
        let failed = ledger::failed_entities(tx, &of)?;
        Ok(Some((asked, failed)))
    });
    let Some((asked, failed)) = found.await? else {
        return Err(Error::UnknownRun { run_id: parent });
    };
    match asked.status {
        RunStatus::Queued | RunStatus::Running => return Err(Error::RunActive { run_id: parent }),
        RunStatus::Done | RunStatus::Partial | RunStatus::Failed | RunStatus::Cancelled => {}
    }
    let known = match asked.project {
        Some(id) => db.read(cx, move |conn| resolve::by_id(conn, id)).await?,
        None => None,
    };
    let (mut targets, mut undocumented, mut unembedded) = (Vec::new(), Vec::new(), Vec::new());
    for (entity_type, iid, stage) in failed {
        let of = EntityRef { entity_type, iid };
        targets.push(of);
        // Such a target is as the forge has it, so nothing of it will be written, and what is made of it is owed all the
        // same.
        match stage {
            EntityStage::Documents => {
                undocumented.push(of);
                unembedded.push(of);
            }
            EntityStage::Embed => unembedded.push(of),
            EntityStage::Preflight | EntityStage::Ingest | EntityStage::Dependents => {}
        }
    }
    let kept = Kept::read(&asked.requested);
    let mut options = options;
    options.sync.origin = RunOrigin::Retry;
    options.sync.documents = kept.documents;
    if !kept.embeds {
        options.sync.embedding = Embedding::Leave;
    }
    options.sync.settings.events &= kept.events;
    let task = Task {
        known,
        targets,
        extent: kept.extent,
        undocumented,
        unembedded,
        parent: Some(parent),
    };
    drive(cx, started, db, task, options, progress).await
}
