//! Documents beside what their sources give now, and the text index beside the documents: a verification of the file
//! alone.

use annals_db::WriteTx;
use annals_db::ids::SourceKind;
use rusqlite::{Connection, OptionalExtension, params};

use super::render::{Source, render};
use super::store::is_held;
use crate::index::{Fts5, TextIndex};

/// A stretch of sources that was looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many.
    pub sources: u64,
    /// The row of the last of them; none when there are no more.
    pub last: Option<i64>,
    /// Those whose document is not what rendering gives, although nothing says that it is owed.
    pub drifted: Vec<Source>,
}

/// Renders the next `limit` sources of a kind behind row `after` and compares.
///
/// # Errors
/// A failure of the file.
pub fn check_page(conn: &Connection, kind: SourceKind, after: i64, limit: usize) -> Result<Checked, annals_db::Error> {
    let table = match kind {
        SourceKind::Issue => "issues",
        SourceKind::MergeRequest => "merge_requests",
        SourceKind::Discussion => "discussions",
        SourceKind::Commit => "commits",
    };
    // A document may outlive its source's row; it is drift too.
    let sql = format!(
        "SELECT id FROM {table} WHERE id > ?1
         UNION SELECT source_id FROM documents WHERE kind = ?2 AND source_id > ?1
         ORDER BY 1 LIMIT ?3"
    );
    let ids: Vec<i64> = conn
        .prepare_cached(&sql)?
        .query_map(
            params![after, kind.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    let mut checked = Checked::default();
    let mut owed = conn.prepare_cached("SELECT 1 FROM dirty_sources WHERE source_kind = ?1 AND source_id = ?2")?;
    for id in ids {
        checked.sources += 1;
        checked.last = Some(id);
        let source = Source { kind, id };
        if owed.exists(params![kind, id])? {
            continue;
        }
        if !is_held(conn, source, render(conn, source)?.as_ref())? {
            checked.drifted.push(source);
        }
    }
    Ok(checked)
}

/// How the text index stands to the documents.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct IndexChecked {
    /// How many documents there are.
    pub documents: u64,
    /// Sources whose document the index does not have, although nothing says that it is owed.
    pub unindexed: Vec<Source>,
    /// Entries of the index that belong to no document.
    pub strays: Vec<i64>,
}

/// Compares which documents there are with which the text index has. The index keeps no text, so that this is all that
/// can be compared.
///
/// # Errors
/// A failure of the file.
pub fn check_index(conn: &Connection) -> Result<IndexChecked, annals_db::Error> {
    let documents: i64 = conn.query_row("SELECT count(*) FROM documents", (), |row| row.get(0))?;
    let mut checked = IndexChecked {
        documents: documents.unsigned_abs(),
        ..IndexChecked::default()
    };
    let mut source = conn.prepare_cached(
        "SELECT d.kind, d.source_id FROM documents d WHERE d.id = ?1 AND NOT EXISTS (
             SELECT 1 FROM dirty_sources s WHERE s.source_kind = d.kind AND s.source_id = d.source_id)",
    )?;
    for id in Fts5::unindexed(conn)? {
        let found = source.query_row((id,), |row| {
            Ok(Source {
                kind: row.get(0)?,
                id: row.get(1)?,
            })
        });
        checked.unindexed.extend(found.optional()?);
    }
    checked.strays = Fts5::strays(conn)?;
    Ok(checked)
}

/// Takes entries of the text index that belong to no document out of it.
///
/// # Errors
/// A failure of the file; `tx` must then be undone.
pub fn remove_strays(tx: &WriteTx<'_>) -> Result<(), annals_db::Error> {
    Fts5::strays(tx)?.into_iter().try_for_each(|id| Fts5.remove(tx, id))
}
