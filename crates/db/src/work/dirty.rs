//! Sources whose documents must be made again. Append-only: who makes one takes the rows it has seen
//! and leaves later ones for the next time.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::ids::{DirtyId, EntityId, SourceKind};
use crate::{Error, WriteTx};

/// One source with everything that was said about it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtySource {
    /// The table of the source.
    pub kind: SourceKind,
    /// Its row id.
    pub source_id: i64,
    /// The newest of its rows: what a document made now answers to.
    pub up_to: DirtyId,
}

/// Says that the document of a source must be made again.
///
/// # Errors
/// A failure of the file.
pub fn mark(tx: &WriteTx<'_>, kind: SourceKind, source_id: i64, reason: &str) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![kind, source_id, reason, tx.now().0])?;
    Ok(())
}

/// The same for every discussion below an entity: their documents show its title and state.
pub(crate) fn mark_discussions_of(tx: &WriteTx<'_>, entity: EntityId, reason: &str) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
         SELECT 'discussion', id, ?2, ?3 FROM discussions WHERE {} = ?1 ORDER BY id",
        entity.parent_column()
    );
    tx.prepare_cached(&sql)?
        .execute(params![entity.row, reason, tx.now().0])?;
    Ok(())
}

/// The mark of §9: rows written from now on in this transaction have a higher id.
///
/// # Errors
/// A failure of the file.
pub fn high_mark(conn: &Connection) -> Result<DirtyId, Error> {
    Ok(conn
        .prepare_cached("SELECT coalesce(max(id), 0) FROM dirty_sources")?
        .query_row([], |row| row.get(0))?)
}

/// Up to `limit` sources, the longest waiting first.
///
/// # Errors
/// A failure of the file.
pub fn take(conn: &Connection, limit: usize) -> Result<Vec<DirtySource>, Error> {
    let mut waiting = conn.prepare_cached("SELECT source_kind, source_id FROM dirty_sources ORDER BY id")?;
    let mut rows = waiting.query([])?;
    let mut newest =
        conn.prepare_cached("SELECT max(id) FROM dirty_sources WHERE source_kind = ?1 AND source_id = ?2")?;
    let mut seen = BTreeMap::new();
    let mut sources = Vec::new();
    while sources.len() < limit
        && let Some(row) = rows.next()?
    {
        let (kind, source_id): (SourceKind, i64) = (row.get(0)?, row.get(1)?);
        if seen.insert((kind, source_id), ()).is_some() {
            continue;
        }
        let up_to = newest.query_row(params![kind, source_id], |row| row.get(0))?;
        sources.push(DirtySource { kind, source_id, up_to });
    }
    Ok(sources)
}

/// Deletes what was said about a source up to the row it was taken with.
///
/// # Errors
/// A failure of the file.
pub fn clear(tx: &WriteTx<'_>, source: &DirtySource) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM dirty_sources WHERE source_kind = ?1 AND source_id = ?2 AND id <= ?3")?
        .execute(params![source.kind, source.source_id, source.up_to])?;
    Ok(())
}

/// How many rows wait.
///
/// # Errors
/// A failure of the file.
pub fn count(conn: &Connection) -> Result<u64, Error> {
    let rows: Option<i64> = conn
        .prepare_cached("SELECT count(*) FROM dirty_sources")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0))
}
