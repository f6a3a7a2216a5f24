//! Sets of vectors, and which of them answers.
//!
//! Another model, another number of dimensions or another way of cutting makes another set, which owes every document.
//! Vectors of two sets cannot be compared, so one of them answers alone: the old one until the new one covers
//! [`SWITCH_PERCENT`] of the documents, and then it is taken away.

use annals_core::config::EmbedProvider;
use annals_db::WriteTx;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::embed::{EmbedderId, OVERLAP_CHARS};

/// How much of the documents a new set must cover before it answers.
pub const SWITCH_PERCENT: u64 = 95;

/// How many vectors of an old set one transaction takes away.
const SWEPT: usize = 2_000;

/// What one embedder makes of the documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmbeddingSet {
    /// Its row.
    #[serde(skip)]
    pub id: i64,
    /// Who makes it.
    #[serde(serialize_with = "provider_name")]
    pub provider: EmbedProvider,
    /// With what.
    pub model: String,
    /// Numbers per vector.
    pub dims: usize,
    /// How documents are cut: bytes of a piece, characters of overlap.
    #[serde(skip)]
    pub chunking: String,
    /// Whether it answers searches.
    pub active: bool,
}

fn provider_name<S: serde::Serializer>(provider: &EmbedProvider, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(provider.as_str())
}

const COLUMNS: &str = "id, provider, model, dims, chunking, active";

impl EmbeddingSet {
    /// The set that answers.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn active(conn: &Connection) -> Result<Option<Self>, annals_db::Error> {
        let sql = format!("SELECT {COLUMNS} FROM embedding_sets WHERE active");
        let found = conn.prepare_cached(&sql)?.query_row([], read).optional()?;
        Ok(found.flatten())
    }

    /// The set that an embedder has made or begun. Where it does not know its dimensions, they are those of the newest.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn of(conn: &Connection, id: &EmbedderId) -> Result<Option<Self>, annals_db::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM embedding_sets
              WHERE provider = ?1 AND model = ?2 AND chunking = ?3 AND dims = coalesce(?4, dims) ORDER BY id DESC LIMIT 1"
        );
        let values = params![id.provider.as_str(), id.model, chunking(id), id.dims];
        let found = conn.prepare_cached(&sql)?.query_row(values, read).optional()?;
        Ok(found.flatten())
    }

    /// Whether an embedder like this made it.
    #[must_use]
    pub fn is_of(&self, id: &EmbedderId) -> bool {
        self.provider == id.provider && self.model == id.model && id.dims.is_none_or(|dims| dims == self.dims)
    }

    /// Begins the set of an embedder: every document is owed. The first of a file answers at once.
    pub(crate) fn begin(tx: &WriteTx<'_>, id: &EmbedderId, dims: usize) -> Result<Self, annals_db::Error> {
        let known = EmbedderId {
            dims: Some(dims),
            ..id.clone()
        };
        if let Some(begun) = Self::of(tx, &known)? {
            return Ok(begun);
        }
        tx.content_seq()?;
        tx.prepare_cached(
            "INSERT INTO embedding_sets (provider, model, dims, chunking, active)
             VALUES (?1, ?2, ?3, ?4, NOT EXISTS (SELECT 1 FROM embedding_sets WHERE active))",
        )?
        .execute(params![id.provider.as_str(), id.model, dims, chunking(id)])?;
        let row = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT INTO embedding_owed (set_id, document_id) SELECT ?1, id FROM documents WHERE flags & 2 = 0",
        )?
        .execute(params![row])?;
        let sql = format!("SELECT {COLUMNS} FROM embedding_sets WHERE id = ?1");
        let begun = tx.prepare_cached(&sql)?.query_row(params![row], read)?;
        begun.ok_or(annals_db::Error::Closed)
    }

    /// How many documents it owes.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn owes(&self, conn: &Connection) -> Result<u64, annals_db::Error> {
        let sql = "SELECT count(*) FROM embedding_owed WHERE set_id = ?1";
        Ok(conn
            .prepare_cached(sql)?
            .query_row(params![self.id], |row| row.get(0))?)
    }

    /// Lets it answer once it covers enough. Whether it does; one that another process has taken away never does.
    pub(crate) fn take_over(&mut self, tx: &WriteTx<'_>) -> Result<bool, annals_db::Error> {
        if self.active {
            return Ok(true);
        }
        let is_here = "SELECT 1 FROM embedding_sets WHERE id = ?1";
        if !tx.prepare_cached(is_here)?.exists(params![self.id])? {
            return Ok(false);
        }
        let documents: u64 = tx
            .prepare_cached("SELECT count(*) FROM documents")?
            .query_row([], |row| row.get(0))?;
        let covered = documents.saturating_sub(self.owes(tx)?);
        if covered * 100 < documents * SWITCH_PERCENT {
            return Ok(false);
        }
        tx.content_seq()?;
        tx.prepare_cached("UPDATE embedding_sets SET active = 0 WHERE active")?
            .execute([])?;
        tx.prepare_cached("UPDATE embedding_sets SET active = 1 WHERE id = ?1")?
            .execute(params![self.id])?;
        self.active = true;
        Ok(true)
    }

    /// Takes away a part of the sets that neither answer nor are this one. Whether more is left.
    pub(crate) fn sweep_others(&self, tx: &WriteTx<'_>) -> Result<bool, annals_db::Error> {
        let sql = "SELECT id FROM embedding_sets WHERE NOT active AND id <> ?1 ORDER BY id LIMIT 1";
        let other: Option<i64> = tx
            .prepare_cached(sql)?
            .query_row(params![self.id], |row| row.get(0))
            .optional()?;
        let Some(other) = other else { return Ok(false) };
        tx.content_seq()?;
        let sql = "DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings WHERE set_id = ?1 LIMIT ?2)";
        if tx.prepare_cached(sql)?.execute(params![other, SWEPT])? < SWEPT {
            tx.prepare_cached("DELETE FROM embedding_sets WHERE id = ?1")?
                .execute(params![other])?;
        }
        Ok(true)
    }

    /// Whether there is a set to take away.
    pub(crate) fn has_others(&self, conn: &Connection) -> Result<bool, annals_db::Error> {
        let sql = "SELECT 1 FROM embedding_sets WHERE NOT active AND id <> ?1";
        Ok(conn.prepare_cached(sql)?.exists(params![self.id])?)
    }
}

fn chunking(id: &EmbedderId) -> String {
    format!("{}/{OVERLAP_CHARS}", id.max_input)
}

/// None for a set of a provider that this version does not know.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<EmbeddingSet>> {
    let provider = match row.get_ref(1)?.as_str()? {
        "hashing" => EmbedProvider::Hashing,
        "openai" => EmbedProvider::OpenAi,
        "ollama" => EmbedProvider::Ollama,
        _ => return Ok(None),
    };
    Ok(Some(EmbeddingSet {
        id: row.get(0)?,
        provider,
        model: row.get(2)?,
        dims: row.get(3)?,
        chunking: row.get(4)?,
        active: row.get(5)?,
    }))
}
