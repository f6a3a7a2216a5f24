//! Writing the vectors of one document: all of them, or none.

use annals_db::WriteTx;
use rusqlite::{Connection, OptionalExtension, params};

use super::{EmbeddingSet, from_bytes, to_bytes};

/// What embedding a document came to.
#[derive(Debug)]
pub(crate) struct Made {
    /// The document's row.
    pub id: i64,
    /// Its content hash when it was read. One that has changed since is not this document any more.
    pub read_hash: Vec<u8>,
    /// What was embedded.
    pub text_hash: Vec<u8>,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// These are its vectors.
    Vectors(Vec<Vec<f32>>),
    /// The text that is embedded is the same as before.
    Unchanged,
    /// It could not be done; what it had stays.
    Failed,
}

/// Replaces the vectors of a document and settles what it owes. Whether anything was written: a document that changed
/// since it was read stays owed, and one that somebody else has embedded meanwhile has what it needs.
pub(crate) fn record(tx: &WriteTx<'_>, set: &EmbeddingSet, made: &Made) -> Result<bool, annals_db::Error> {
    let now: Option<Vec<u8>> = tx
        .prepare_cached(
            "SELECT d.content_hash FROM embedding_owed o JOIN documents d ON d.id = o.document_id
              WHERE o.set_id = ?1 AND o.document_id = ?2",
        )?
        .query_row(params![set.id, made.id], |row| row.get(0))
        .optional()?;
    if now.as_ref() != Some(&made.read_hash) {
        return Ok(false);
    }
    match &made.outcome {
        Outcome::Failed => {
            let sql = "UPDATE embedding_owed SET attempts = attempts + 1 WHERE set_id = ?1 AND document_id = ?2";
            tx.prepare_cached(sql)?.execute(params![set.id, made.id])?;
            return Ok(true);
        }
        Outcome::Unchanged => {}
        Outcome::Vectors(vectors) => {
            tx.content_seq()?;
            tx.prepare_cached("DELETE FROM embeddings WHERE document_id = ?1 AND set_id = ?2")?
                .execute(params![made.id, set.id])?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO embeddings (document_id, set_id, chunk, content_hash, vector) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (chunk, vector) in vectors.iter().enumerate() {
                insert.execute(params![made.id, set.id, chunk, made.text_hash, to_bytes(vector)])?;
            }
        }
    }
    tx.prepare_cached("DELETE FROM embedding_owed WHERE set_id = ?1 AND document_id = ?2")?
        .execute(params![set.id, made.id])?;
    Ok(true)
}

/// The vector of the beginning of a document, if it has one.
pub(crate) fn of_document(
    conn: &Connection,
    set: &EmbeddingSet,
    document: i64,
) -> Result<Option<Vec<f32>>, annals_db::Error> {
    let sql = "SELECT vector FROM embeddings WHERE document_id = ?1 AND set_id = ?2 ORDER BY chunk LIMIT 1";
    Ok(conn
        .prepare_cached(sql)?
        .query_row(params![document, set.id], |row| {
            Ok(from_bytes(row.get_ref(0)?.as_blob()?))
        })
        .optional()?)
}
