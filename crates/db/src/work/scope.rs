//! The dirty rows that one run's own writes have left, so that it can make exactly those documents.
//!
//! A run that was asked for a few entities must not pay for the queue of everybody else: it reads
//! [`high_mark`](super::dirty::high_mark) before a write, [`left_by`] after it, both in the transaction of the write,
//! and keeps the ids.

use std::collections::BTreeMap;

use rusqlite::params;

use super::dirty::DirtySource;
use crate::ids::{DirtyId, EntityId, SourceKind};
use crate::{Error, WriteTx};

/// The dirty rows above `mark` that are about an entity, its discussions or its commits. Rows that the
/// same write left for others, because it renamed a label that they show, are not among them.
///
/// # Errors
/// A failure of the file.
pub fn left_by(tx: &WriteTx<'_>, mark: DirtyId, entity: EntityId) -> Result<Vec<DirtyId>, Error> {
    let sql = format!(
        "SELECT d.id FROM dirty_sources d WHERE d.id > ?1 AND (
             (d.source_kind = ?2 AND d.source_id = ?3)
             OR (d.source_kind = 'discussion'
                 AND EXISTS (SELECT 1 FROM discussions x WHERE x.id = d.source_id AND x.{parent} = ?3))
             OR (d.source_kind = 'commit' AND ?2 = 'merge_request'
                 AND EXISTS (SELECT 1 FROM mr_commits c WHERE c.commit_id = d.source_id AND c.mr_id = ?3)))
         ORDER BY d.id",
        parent = entity.parent_column()
    );
    let mut select = tx.prepare_cached(&sql)?;
    let ids = select.query_map(params![mark, entity.kind.as_str(), entity.row], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The sources of these dirty rows, in the order of their first row. Rows that are not there any more
/// were answered by somebody else.
///
/// # Errors
/// A failure of the file.
pub fn sources_of(tx: &WriteTx<'_>, ids: &[DirtyId]) -> Result<Vec<DirtySource>, Error> {
    let mut select = tx.prepare_cached("SELECT source_kind, source_id FROM dirty_sources WHERE id = ?1")?;
    let mut places: BTreeMap<(SourceKind, i64), usize> = BTreeMap::new();
    let mut sources: Vec<DirtySource> = Vec::new();
    for id in ids {
        let mut rows = select.query(params![id])?;
        let Some(row) = rows.next()? else { continue };
        let (kind, source_id) = (row.get(0)?, row.get(1)?);
        let place = *places.entry((kind, source_id)).or_insert(sources.len());
        match sources.get_mut(place) {
            Some(source) => source.up_to = source.up_to.max(*id),
            None => sources.push(DirtySource {
                kind,
                source_id,
                up_to: *id,
            }),
        }
    }
    Ok(sources)
}

/// Takes exactly these dirty rows away; older and later ones of the same sources stay.
///
/// # Errors
/// A failure of the file.
pub fn clear(tx: &WriteTx<'_>, ids: &[DirtyId]) -> Result<(), Error> {
    let mut delete = tx.prepare_cached("DELETE FROM dirty_sources WHERE id = ?1")?;
    for id in ids {
        delete.execute(params![id])?;
    }
    Ok(())
}
