//! From dirty rows to documents, a page at a time.

use annals_db::ids::{DirtyId, DocumentId};
use annals_db::work::dirty::{self, DirtySource};
use annals_db::work::scope;
use annals_db::{Db, WriteTx};
use annals_net_adapter::Cx;
use rusqlite::{OptionalExtension, params};

use super::rebuild::REBUILD;
use super::render::{Source, render};
use super::store::{IndexEntry, Stored, store};
use crate::Error;
use crate::index::{Fts5, TextIndex};

/// How many sources one transaction takes.
const PAGE: usize = 200;

/// What one page, or many, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Drained {
    /// Sources taken.
    pub sources: u64,
    /// Documents whose text is new or another.
    pub changed: u64,
    /// Documents of which only dates or filter columns moved.
    pub moved: u64,
    /// Documents that were right already.
    pub unchanged: u64,
    /// Documents whose source is not there any more.
    pub removed: u64,
}

/// Renders everything that is owed, in pages of one transaction each.
///
/// # Errors
/// [`Error::Db`] for a failure of the file or a cancelled `cx`.
///
/// # Cancel safety
/// Pages that were committed stay; the page under way is undone or committed whole, and what is left is still owed.
pub async fn drain(cx: &Cx, db: &Db) -> Result<Drained, Error> {
    let mut total = Drained::default();
    loop {
        let page = db.write(cx, |tx| drain_page(tx, &Fts5)).await?;
        if page.sources == 0 {
            return Ok(total);
        }
        total += page;
    }
}

/// Renders one page of what is owed, the longest waiting first, and takes its dirty rows away, all in `tx`. Rows that
/// arrive later stay. A page without a source is the last.
///
/// # Errors
/// A failure of the file; `tx` must then be undone.
pub fn drain_page(tx: &WriteTx<'_>, index: &dyn TextIndex) -> Result<Drained, annals_db::Error> {
    let mut page = Drained::default();
    for dirty in dirty::take(tx, PAGE)? {
        let source = Source {
            kind: dirty.kind,
            id: dirty.source_id,
        };
        let stored = store(tx, index, source, render(tx, source)?, entry(tx, &dirty)?)?;
        dirty::clear(tx, &dirty)?;
        page.count(stored);
    }
    Ok(page)
}

/// What a drain of given dirty rows did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrainedExactly {
    /// Its counts.
    pub drained: Drained,
    /// The documents whose text is new or another: what there is to embed.
    pub regenerated: Vec<DocumentId>,
}

/// Renders the sources of exactly these dirty rows and takes exactly these rows away, all in `tx`: older and later rows
/// of the same sources stay. Rows that are gone were answered by somebody else, and nothing is rendered for them.
///
/// # Errors
/// A failure of the file; `tx` must then be undone.
pub fn drain_exactly(
    tx: &WriteTx<'_>,
    index: &dyn TextIndex,
    rows: &[DirtyId],
) -> Result<DrainedExactly, annals_db::Error> {
    let mut done = DrainedExactly::default();
    for dirty in scope::sources_of(tx, rows)? {
        let source = Source {
            kind: dirty.kind,
            id: dirty.source_id,
        };
        let stored = store(tx, index, source, render(tx, source)?, entry(tx, &dirty)?)?;
        if stored == Stored::Changed {
            done.regenerated.extend(document_of(tx, source)?);
        }
        done.drained.count(stored);
    }
    scope::clear(tx, rows)?;
    Ok(done)
}

fn document_of(tx: &WriteTx<'_>, source: Source) -> Result<Option<DocumentId>, annals_db::Error> {
    let sql = "SELECT id FROM documents WHERE kind = ?1 AND source_id = ?2";
    let values = params![source.kind.as_str(), source.id];
    Ok(tx.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
}

/// A rebuild emptied the index and owes every source for that reason.
fn entry(tx: &WriteTx<'_>, dirty: &DirtySource) -> Result<IndexEntry, annals_db::Error> {
    let sql = "SELECT 1 FROM dirty_sources WHERE source_kind = ?1 AND source_id = ?2 AND id <= ?3 AND reason = ?4";
    let values = params![dirty.kind, dirty.source_id, dirty.up_to, REBUILD];
    Ok(if tx.prepare_cached(sql)?.exists(values)? {
        IndexEntry::Lost
    } else {
        IndexEntry::Held
    })
}

impl Drained {
    fn count(&mut self, stored: Stored) {
        self.sources += 1;
        match stored {
            Stored::Changed => self.changed += 1,
            Stored::Moved => self.moved += 1,
            Stored::Unchanged => self.unchanged += 1,
            Stored::Removed => self.removed += 1,
            Stored::Absent => {}
        }
    }
}

impl std::ops::AddAssign for Drained {
    fn add_assign(&mut self, page: Self) {
        self.sources += page.sources;
        self.changed += page.changed;
        self.moved += page.moved;
        self.unchanged += page.unchanged;
        self.removed += page.removed;
    }
}
