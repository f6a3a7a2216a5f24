//! Doing again what an earlier run failed at.

use annals_core::RunId;
use annals_db::Db;
use annals_db::control::{self, ledger};
use annals_db::ids::{RunOrigin, RunStatus};
use annals_net_adapter::Cx;

use super::request::{Kept, SurgicalOptions};
use super::run::{Task, drive};
use crate::engine::resolve;
use crate::engine::{EntityRef, SyncResult};
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
    let targets: Vec<EntityRef> = failed
        .into_iter()
        .map(|(entity_type, iid)| EntityRef { entity_type, iid })
        .collect();
    let kept = Kept::read(&asked.requested);
    let mut options = options;
    options.sync.origin = RunOrigin::Retry;
    options.sync.documents = kept.documents;
    options.sync.settings.events &= kept.events;
    let task = Task {
        known,
        targets,
        extent: kept.extent,
        parent: Some(parent),
    };
    drive(cx, started, db, task, options, progress).await
}
