//! A page of owed documents: read in one snapshot, embedded group by group.

use annals_net_adapter::Cx;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::settle::settle;
use super::{EmbedError, Embedder, chunks};
use crate::vector::{EmbeddingSet, Made, Outcome};

/// The most text that is read at once, but for one document that is longer by itself.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// After so many failures a document waits until somebody asks for it, or its text changes.
pub(super) const TRIES: i64 = 3;

/// Which of the owed documents.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    /// Those behind this row.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
    /// Whether also those that failed too often.
    pub again: super::Again,
    /// These, as a JSON list; all if there is none.
    pub these: Option<String>,
}

/// An owed document.
#[derive(Debug)]
pub(super) struct Owed {
    pub id: i64,
    read_hash: Vec<u8>,
    text: String,
    text_hash: Vec<u8>,
    /// Whether the vectors that are there were made of this text.
    is_same: bool,
}

pub(super) fn read(conn: &Connection, set: &EmbeddingSet, pick: &Pick) -> Result<Vec<Owed>, annals_db::Error> {
    let mut statement = conn.prepare_cached(
        "SELECT d.id, d.content_hash, d.title, d.body, o.anew,
                (SELECT e.content_hash FROM embeddings e WHERE e.document_id = d.id AND e.set_id = o.set_id
                  ORDER BY e.chunk LIMIT 1)
           FROM embedding_owed o JOIN documents d ON d.id = o.document_id
          WHERE o.set_id = ?1 AND o.document_id > ?2 AND o.attempts < ?3
            AND (?4 IS NULL OR o.document_id IN (SELECT value FROM json_each(?4)))
          ORDER BY o.document_id LIMIT ?5",
    )?;
    let tries = match pick.again {
        super::Again::AfterFewFailures => TRIES,
        super::Again::Always => i64::MAX,
    };
    let mut rows = statement.query(params![set.id, pick.after, tries, pick.these, pick.limit])?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let document = owed(row)?;
        bytes += document.text.len();
        if bytes > PAGE_BYTES && !page.is_empty() {
            break;
        }
        page.push(document);
    }
    Ok(page)
}

/// What is embedded is what somebody wrote: the names around it would make all of one author alike.
fn owed(row: &Row<'_>) -> rusqlite::Result<Owed> {
    let (title, body) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?);
    let text = match (title.is_empty(), body.is_empty()) {
        (true, _) => body.to_owned(),
        (false, true) => title.to_owned(),
        (false, false) => format!("{title}\n\n{body}"),
    };
    let text_hash = Sha256::digest(text.as_bytes()).to_vec();
    let (anew, held): (bool, Option<Vec<u8>>) = (row.get(4)?, row.get(5)?);
    Ok(Owed {
        id: row.get(0)?,
        read_hash: row.get(1)?,
        is_same: !anew && held.as_ref() == Some(&text_hash),
        text,
        text_hash,
    })
}

/// Groups whose pieces fill one request each; a document is never in two.
pub(super) fn groups(page: Vec<Owed>, embedder: &dyn Embedder) -> Vec<Vec<Owed>> {
    let id = embedder.identity();
    let (mut groups, mut pieces) = (vec![Vec::new()], 0);
    for document in page {
        let count = if document.is_same {
            0
        } else {
            chunks(&document.text, id.max_input).len()
        };
        if pieces > 0 && pieces + count > id.batch.get() {
            groups.push(Vec::new());
            pieces = 0;
        }
        pieces += count;
        if let Some(group) = groups.last_mut() {
            group.push(document);
        }
    }
    groups
}

/// What became of a group.
pub(super) struct Group {
    /// What was made, as far as it went.
    pub made: Vec<Made>,
    /// Why the first of its failures failed.
    pub failure: Option<EmbedError>,
    /// Why it did not go further.
    pub ended: Option<EmbedError>,
}

/// Embeds a group.
pub(super) async fn embed(cx: &Cx, embedder: &dyn Embedder, dims: usize, group: Vec<Owed>) -> Group {
    let cut = |document: &Owed| document.text.len();
    tracing::debug!(
        documents = group.len(),
        bytes = group.iter().map(cut).sum::<usize>(),
        "embedding"
    );
    let max = embedder.identity().max_input;
    let pieces: Vec<Vec<&str>> = group
        .iter()
        .map(|document| match document.is_same {
            true => Vec::new(),
            false => chunks(&document.text, max),
        })
        .collect();
    let (settled, ended) = settle(cx, embedder, dims, &pieces.concat()).await;
    let mut settled = settled.into_iter();
    let (mut made, mut failure) = (Vec::with_capacity(group.len()), None);
    for (document, pieces) in group.iter().zip(&pieces) {
        let (mut vectors, mut parts) = (Ok(Vec::new()), 0);
        for part in settled.by_ref().take(pieces.len()) {
            parts += 1;
            match (&mut vectors, part) {
                (Ok(vectors), Ok(part)) => vectors.extend(part),
                (Ok(_), Err(error)) => vectors = Err(error),
                (Err(_), _) => {}
            }
        }
        let outcome = match vectors {
            // It ended before this one: what one has is whole, and what failed has failed whatever the rest does.
            Ok(_) if parts < pieces.len() => break,
            Ok(_) if document.is_same => Outcome::Unchanged,
            Ok(vectors) => Outcome::Vectors(vectors),
            Err(error) => {
                tracing::warn!(document = document.id, %error, "a document could not be embedded");
                failure = failure.or(Some(error));
                Outcome::Failed
            }
        };
        made.push(Made {
            id: document.id,
            read_hash: document.read_hash.clone(),
            text_hash: document.text_hash.clone(),
            outcome,
        });
    }
    Group { made, failure, ended }
}
