//! Which sets of an entity are in, and how old the fetch was that brought them.

use annals_core::UnixMs;
use rusqlite::{Connection, OptionalExtension, params};

use crate::content::blob::{self, Hash, Payload};
use crate::ids::{EntityId, JobType};
use crate::{Error, WriteTx};

/// A set as it was last fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRow {
    /// When the fetch began.
    pub fetched_at: UnixMs,
    /// The parent's time it answered to.
    pub cause_at: UnixMs,
    /// How many children it had.
    pub items: u64,
    /// Its raw pages, where they are kept.
    pub payload_hash: Option<Hash>,
}

/// The set of an entity.
///
/// # Errors
/// A failure of the file.
pub fn get(conn: &Connection, entity: EntityId, job_type: JobType) -> Result<Option<SetRow>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT fetched_at, cause_at, items, payload_hash FROM dependent_sets
             WHERE entity_type = ?1 AND entity_id = ?2 AND job_type = ?3",
        )?
        .query_row(params![entity.kind.as_str(), entity.row, job_type], |row| {
            Ok(SetRow {
                fetched_at: UnixMs(row.get(0)?),
                cause_at: UnixMs(row.get(1)?),
                items: row.get(2)?,
                payload_hash: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Whether the file has a set from a fetch that began later than `began_at`: an older fetch must
/// never replace a newer one. A fetch later than `now` was timed by a clock that was ahead; it would
/// keep the set as it is until then, and proves nothing.
///
/// # Errors
/// A failure of the file.
pub fn has_newer(
    conn: &Connection,
    entity: EntityId,
    job_type: JobType,
    began_at: UnixMs,
    now: UnixMs,
) -> Result<bool, Error> {
    Ok(get(conn, entity, job_type)?.is_some_and(|set| set.fetched_at > began_at && set.fetched_at <= now))
}

/// Records that a set was stored. `payload` is its raw pages where no child keeps its own (events,
/// commits, references, file lists); those of the fetch before are dropped.
///
/// # Errors
/// A failure of the file.
pub fn record(
    tx: &WriteTx<'_>,
    entity: EntityId,
    job_type: JobType,
    fetched_at: UnixMs,
    cause_at: UnixMs,
    items: usize,
    payload: Option<&Payload>,
) -> Result<(), Error> {
    let before = get(tx, entity, job_type)?.and_then(|set| set.payload_hash);
    let after = payload.map(|payload| blob::put(tx, payload.as_bytes())).transpose()?;
    tx.prepare_cached(
        "INSERT INTO dependent_sets (entity_type, entity_id, job_type, fetched_at, cause_at, items, payload_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET fetched_at = excluded.fetched_at, cause_at = excluded.cause_at,
             items = excluded.items, payload_hash = excluded.payload_hash",
    )?
    .execute(params![
        entity.kind.as_str(),
        entity.row,
        job_type,
        fetched_at.0,
        cause_at.0,
        i64::try_from(items).unwrap_or(i64::MAX),
        after
    ])?;
    match before {
        Some(before) if Some(before) != after => blob::drop_if_unused(tx, &before),
        _ => Ok(()),
    }
}
