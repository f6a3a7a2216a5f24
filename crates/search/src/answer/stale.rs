//! What the mirror has and a search does not find yet.

use annals_db::Visibility;
use annals_db::work::dirty;
use rusqlite::{Connection, params};

use crate::documents::Flags;
use crate::vector::EmbeddingSet;

/// What an answer may not have yet, of what the reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Stale {
    /// Changes whose documents are still to be made.
    pub dirty: u64,
    /// Documents whose vectors are still to be made, where an answer goes by vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unembedded: Option<u64>,
}

/// `?1` is a list of projects or null, `?2` the highest flag that is shown.
const SEEN: &str = "
    SELECT count(*) FROM dirty_sources s
      LEFT JOIN discussions x ON s.source_kind = 'discussion' AND x.id = s.source_id
      LEFT JOIN commits c ON s.source_kind = 'commit' AND c.id = s.source_id
      LEFT JOIN issues i ON i.id = CASE s.source_kind WHEN 'issue' THEN s.source_id ELSE x.issue_id END
      LEFT JOIN merge_requests m ON m.id = CASE s.source_kind WHEN 'merge_request' THEN s.source_id ELSE x.mr_id END
     WHERE (?1 IS NULL OR coalesce(i.project_id, m.project_id, c.project_id) IN (SELECT value FROM json_each(?1)))
       AND coalesce(i.confidential, m.confidential, 0) <= ?2
       AND NOT EXISTS (SELECT 1 FROM notes n WHERE n.discussion_id = x.id AND n.internal > ?2)";

impl Stale {
    /// Counts what waits, without telling of what the reader may not see.
    pub(super) fn count(conn: &Connection, visibility: &Visibility) -> Result<Self, annals_db::Error> {
        let projects = visibility.project_ids();
        if projects.is_none() && visibility.shows_confidential() {
            return Ok(Self {
                dirty: dirty::count(conn)?,
                unembedded: None,
            });
        }
        let seen: i64 = conn
            .prepare_cached(SEEN)?
            .query_row(params![projects, visibility.highest_flag()], |row| row.get(0))?;
        Ok(Self {
            dirty: u64::try_from(seen).unwrap_or(0),
            unembedded: None,
        })
    }

    /// With what a set of vectors still owes, of what the reader may see. What is embedded only once more has vectors.
    pub(super) fn with_vectors(
        self,
        conn: &Connection,
        set: &EmbeddingSet,
        visibility: &Visibility,
    ) -> Result<Self, annals_db::Error> {
        let projects = visibility.project_ids();
        let hidden = Flags::PURGED.with(Flags::CONFIDENTIAL, !visibility.shows_confidential());
        let sql = "SELECT count(*) FROM embedding_owed o JOIN documents d ON d.id = o.document_id
                    WHERE o.set_id = ?1 AND d.flags & ?2 = 0
                      AND (o.anew = 0 OR NOT EXISTS (SELECT 1 FROM embeddings e
                                                      WHERE e.document_id = o.document_id AND e.set_id = o.set_id))
                      AND (?3 IS NULL OR d.project_id IN (SELECT value FROM json_each(?3)))";
        let owed = conn
            .prepare_cached(sql)?
            .query_row(params![set.id, hidden.0, projects], |row| row.get(0))?;
        Ok(Self {
            unembedded: Some(owed),
            ..self
        })
    }
}
