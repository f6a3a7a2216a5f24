//! Making every document anew, offline, from the rows of the mirror.

use annals_db::work::dirty;
use annals_db::{Db, WriteTx};
use annals_net_adapter::Cx;
use rusqlite::params;

use super::drain::{Drained, drain};
use super::render::Source;
use crate::Error;
use crate::index::{Fts5, TextIndex};

/// The reason of dirty rows whose source has lost its entry of the text index.
pub(super) const REBUILD: &str = "rebuild";

/// What a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Rebuilt {
    /// Sources rendered.
    pub rendered: u64,
    /// Documents that were not as they should have been.
    pub changed: u64,
    /// Documents that were.
    pub unchanged: u64,
    /// Documents without a source.
    pub removed: u64,
}

impl From<Drained> for Rebuilt {
    fn from(drained: Drained) -> Self {
        Self {
            rendered: drained.sources,
            changed: drained.changed + drained.moved,
            unchanged: drained.unchanged,
            removed: drained.removed,
        }
    }
}

/// Empties the text index and owes every document again, in one transaction: a rebuild that is killed later is
/// finished by the next drain, and until then a search says how many documents it is missing.
///
/// # Errors
/// A failure of the file; `tx` must then be undone.
pub fn owe_everything(tx: &WriteTx<'_>, index: &dyn TextIndex) -> Result<(), annals_db::Error> {
    index.clear(tx)?;
    tx.prepare_cached(
        "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
         SELECT 'issue', id, ?1, ?2 FROM issues
         UNION ALL SELECT 'merge_request', id, ?1, ?2 FROM merge_requests
         UNION ALL SELECT 'discussion', id, ?1, ?2 FROM discussions
         UNION ALL SELECT 'commit', id, ?1, ?2 FROM commits
         UNION ALL SELECT kind, source_id, ?1, ?2 FROM documents",
    )?
    .execute(params![REBUILD, tx.now().0])?;
    Ok(())
}

/// Owes the documents of these sources and their entries of the text index, whatever they are like now.
///
/// # Errors
/// A failure of the file; `tx` must then be undone.
pub fn owe_anew(tx: &WriteTx<'_>, sources: &[Source]) -> Result<(), annals_db::Error> {
    sources
        .iter()
        .try_for_each(|source| dirty::mark(tx, source.kind, source.id, REBUILD))
}

/// Makes every document and the whole text index anew, without the network.
///
/// # Errors
/// [`Error::Db`] for a failure of the file or a cancelled `cx`.
///
/// # Cancel safety
/// Once the first transaction is in, the rest is owed like any other document: the next drain finishes it.
pub async fn rebuild(cx: &Cx, db: &Db) -> Result<Rebuilt, Error> {
    db.write(cx, |tx| owe_everything(tx, &Fts5)).await?;
    Ok(drain(cx, db).await?.into())
}
