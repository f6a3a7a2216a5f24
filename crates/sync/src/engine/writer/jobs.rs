//! Looking up what a job is about, and letting go of jobs and lock together.

use annals_core::{EntityKind, Iid, Oid, ProjectId, UnixMs};
use annals_db::control::check_fence;
use annals_db::ids::EntityId;
use annals_db::{Error, WriteTx};
use rusqlite::OptionalExtension;

use super::place::Place;

/// The head of a merge request as the file knows it.
pub fn head_of(tx: &WriteTx<'_>, entity: EntityId) -> Result<Option<Oid>, Error> {
    if entity.kind != EntityKind::MergeRequest {
        return Ok(None);
    }
    let head: Option<String> = tx
        .prepare_cached("SELECT head_oid FROM merge_requests WHERE id = ?1")?
        .query_row((entity.row,), |row| row.get(0))
        .optional()?
        .flatten();
    Ok(head.and_then(|head| head.parse().ok()))
}

/// The row of an entity, by its number, and when it was updated.
pub fn entity_at(
    tx: &WriteTx<'_>,
    project: ProjectId,
    kind: EntityKind,
    iid: Iid,
) -> Result<Option<(EntityId, UnixMs)>, Error> {
    let (sql, make): (_, fn(i64) -> EntityId) = match kind {
        EntityKind::Issue => (
            "SELECT id, updated_at FROM issues WHERE project_id = ?1 AND iid = ?2",
            EntityId::issue,
        ),
        EntityKind::MergeRequest => (
            "SELECT id, updated_at FROM merge_requests WHERE project_id = ?1 AND iid = ?2",
            EntityId::merge_request,
        ),
    };
    let row: Option<(i64, Option<i64>)> = tx
        .prepare_cached(sql)?
        .query_row((project.0, iid.0), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.map(|(row, at)| (make(row), UnixMs(at.unwrap_or_default()))))
}

/// Gives the lock back, and with it the claims that this run leaves open in the project.
pub fn let_go(tx: &WriteTx<'_>, place: &Place) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE dependent_jobs SET status = 'pending', claimed_by = NULL, claimed_at = NULL, updated_at = ?3
         WHERE status = 'claimed' AND claimed_by = ?1 AND project_id = ?2 AND scope_run_id IS NULL",
    )?
    .execute((place.lock.run_id.as_str(), place.project.0, tx.now().0))?;
    annals_db::control::lock::release(tx, &place.lock)
}

/// Makes every waiting job of a project due: whoever asks in person is not told to come back later.
pub fn make_due(tx: &WriteTx<'_>, place: &Place) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    tx.prepare_cached(
        "UPDATE dependent_jobs SET not_before = 0 WHERE project_id = ?1 AND status = 'pending' AND not_before > 0",
    )?
    .execute((place.project.0,))?;
    Ok(())
}
