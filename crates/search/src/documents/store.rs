//! Writing one document and its entry of the text index, and no more of them than changed.

use annals_db::WriteTx;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::render::{Flags, Rendered, Source, Text};
use crate::index::TextIndex;

/// What storing a source's document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Its text is new or another; the index has it.
    Changed,
    /// Only dates or filter columns moved; the index was not touched.
    Moved,
    /// It was like this already; nothing was written.
    Unchanged,
    /// The source is not there any more, and neither is its document.
    Removed,
    /// There is nothing to search in the source, and there was no document.
    Absent,
}

/// Whether the text index still has its entry for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexEntry {
    /// It has, if there is a document.
    Held,
    /// It was emptied for a rebuild.
    Lost,
}

/// What the file holds for a source.
struct Held {
    id: i64,
    doc_key: String,
    project_id: i64,
    author_id: Option<i64>,
    state: Option<String>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    flags: Flags,
    hash: Vec<u8>,
}

impl Held {
    /// Whether everything beside key and text is the same.
    fn has_columns_of(&self, new: &Rendered) -> bool {
        self.project_id == new.project_id
            && self.author_id == new.author_id
            && self.state == new.state
            && self.created_at == new.created_at
            && self.updated_at == new.updated_at
            && self.flags == new.flags
    }
}

/// Makes the file hold `rendered` as the document of `source`, or none.
pub(super) fn store(
    tx: &WriteTx<'_>,
    index: &dyn TextIndex,
    source: Source,
    rendered: Option<Rendered>,
    entry: IndexEntry,
) -> Result<Stored, annals_db::Error> {
    let held = held(tx, source)?;
    let stored = match (held, rendered) {
        (None, None) => Stored::Absent,
        (Some(held), None) => {
            tx.content_seq()?;
            index.remove(tx, held.id)?;
            tx.prepare_cached("DELETE FROM documents WHERE id = ?1")?
                .execute(params![held.id])?;
            Stored::Removed
        }
        (None, Some(mut rendered)) => {
            rendered.doc_key = free_key(tx, &rendered)?;
            insert(tx, index, &rendered)?;
            Stored::Changed
        }
        (Some(held), Some(mut rendered)) => {
            if held.doc_key != rendered.doc_key {
                rendered.doc_key = free_key(tx, &rendered)?;
            }
            let stored = update(tx, &held, &rendered, entry)?;
            if stored == Stored::Changed || entry == IndexEntry::Lost {
                index.put(tx, held.id, &rendered.text)?;
            }
            stored
        }
    };
    Ok(stored)
}

fn held(conn: &Connection, source: Source) -> Result<Option<Held>, annals_db::Error> {
    let sql = "SELECT id, doc_key, project_id, author_id, state, created_at, updated_at, flags, content_hash
                 FROM documents WHERE kind = ?1 AND source_id = ?2";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Held {
            id: row.get(0)?,
            doc_key: row.get(1)?,
            project_id: row.get(2)?,
            author_id: row.get(3)?,
            state: row.get(4)?,
            created_at: row.get(5)?,
            updated_at: row.get(6)?,
            flags: Flags(row.get(7)?),
            hash: row.get(8)?,
        })
    };
    Ok(conn
        .prepare_cached(sql)?
        .query_row(params![source.kind.as_str(), source.id], read)
        .optional()?)
}

/// Whether the file holds `rendered` as the document of `source`.
pub(super) fn is_held(
    conn: &Connection,
    source: Source,
    rendered: Option<&Rendered>,
) -> Result<bool, annals_db::Error> {
    Ok(match (held(conn, source)?, rendered) {
        (None, None) => true,
        (Some(held), Some(new)) => {
            let own_key = held.doc_key == new.doc_key || held.doc_key == format!("{}~{}", new.doc_key, source.id);
            own_key && held.hash == hash(&new.text) && held.has_columns_of(new) && has_text(conn, held.id, &new.text)?
        }
        (Some(_), None) | (None, Some(_)) => false,
    })
}

/// Whether a document's text is this one, whatever its hash says.
fn has_text(conn: &Connection, id: i64, text: &Text) -> Result<bool, annals_db::Error> {
    let sql = "SELECT 1 FROM documents WHERE id = ?1 AND title = ?2 AND body = ?3 AND meta = ?4";
    Ok(conn
        .prepare_cached(sql)?
        .exists(params![id, text.title, text.body, text.meta])?)
}

fn insert(tx: &WriteTx<'_>, index: &dyn TextIndex, new: &Rendered) -> Result<(), annals_db::Error> {
    let sql = "INSERT INTO documents (doc_key, project_id, kind, source_id, title, body, meta, author_id, state,
                                      created_at, updated_at, flags, content_hash, changed_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    tx.prepare_cached(sql)?.execute(params![
        new.doc_key,
        new.project_id,
        new.source.kind.as_str(),
        new.source.id,
        new.text.title,
        new.text.body,
        new.text.meta,
        new.author_id,
        new.state,
        new.created_at,
        new.updated_at,
        new.flags.0,
        hash(&new.text),
        tx.content_seq()?,
    ])?;
    index.put(tx, tx.last_insert_rowid(), &new.text)
}

fn update(tx: &WriteTx<'_>, held: &Held, new: &Rendered, entry: IndexEntry) -> Result<Stored, annals_db::Error> {
    let hash = hash(&new.text);
    // Who makes documents anew does not believe the hash.
    let same_text = held.hash == hash && (entry == IndexEntry::Held || has_text(tx, held.id, &new.text)?);
    let same_columns = held.doc_key == new.doc_key && held.has_columns_of(new);
    if same_text && same_columns {
        return Ok(Stored::Unchanged);
    }
    let columns = "UPDATE documents SET doc_key = ?2, project_id = ?3, author_id = ?4, state = ?5, created_at = ?6,
                          updated_at = ?7, flags = ?8, changed_seq = ?9 WHERE id = ?1";
    tx.prepare_cached(columns)?.execute(params![
        held.id,
        new.doc_key,
        new.project_id,
        new.author_id,
        new.state,
        new.created_at,
        new.updated_at,
        new.flags.0,
        tx.content_seq()?,
    ])?;
    if same_text {
        return Ok(Stored::Moved);
    }
    let text = "UPDATE documents SET title = ?2, body = ?3, meta = ?4, content_hash = ?5 WHERE id = ?1";
    let Text { title, body, meta } = &new.text;
    tx.prepare_cached(text)?
        .execute(params![held.id, title, body, meta, hash])?;
    Ok(Stored::Changed)
}

/// A forge may use one discussion id under two parents. The later one is then told apart by its row, so that a
/// document is lost to nobody and a page of them never fails over it.
fn free_key(tx: &WriteTx<'_>, new: &Rendered) -> Result<String, annals_db::Error> {
    let sql = "SELECT 1 FROM documents WHERE doc_key = ?1 AND NOT (kind = ?2 AND source_id = ?3)";
    let taken = tx
        .prepare_cached(sql)?
        .exists(params![new.doc_key, new.source.kind.as_str(), new.source.id])?;
    Ok(if taken {
        format!("{}~{}", new.doc_key, new.source.id)
    } else {
        new.doc_key.clone()
    })
}

/// What decides whether the text changed. Lengths keep the fields apart.
fn hash(text: &Text) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for field in [&text.title, &text.body, &text.meta] {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_vec()
}
