//! Vectors of documents: each must be as long as its set says, or distances to it mean nothing.

use rusqlite::{Connection, params};

use super::Defect;
use crate::ids::DocumentId;
use crate::{Error, WriteTx};

/// A document that has a vector of another length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The set it is in.
    pub set: i64,
    /// Whose vector it is.
    pub document: DocumentId,
    /// What is wrong, in words.
    pub defect: Defect,
}

/// Measures every vector. Documents whose vectors are to be made again are left out.
///
/// # Errors
/// A failure of the file.
pub fn dims(conn: &Connection) -> Result<Vec<Misfit>, Error> {
    let mut select = conn.prepare(
        "SELECT e.set_id, e.document_id, d.project_id, d.doc_key, min(length(e.vector) / 4), s.dims
         FROM embeddings e JOIN embedding_sets s ON s.id = e.set_id JOIN documents d ON d.id = e.document_id
         WHERE length(e.vector) <> 4 * s.dims
           AND NOT EXISTS (SELECT 1 FROM embedding_owed o
                           WHERE o.set_id = e.set_id AND o.document_id = e.document_id AND o.anew = 1)
         GROUP BY e.set_id, e.document_id ORDER BY e.set_id, e.document_id",
    )?;
    let rows = select.query_map([], |row| {
        let (key, length, dims): (String, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let what = format!("a vector of the document {key} has {length} numbers, and its set {dims}");
        Ok(Misfit {
            set: row.get(0)?,
            document: row.get(1)?,
            defect: Defect::drift(what).of(Some(annals_core::ProjectId(row.get(2)?))),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Owes the vectors of a document anew.
///
/// # Errors
/// A failure of the file.
pub fn owe_anew(tx: &WriteTx<'_>, misfit: &Misfit) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO embedding_owed (set_id, document_id, anew) VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET attempts = 0, anew = 1",
    )?
    .execute(params![misfit.set, misfit.document])?;
    Ok(())
}
