//! What an entity closes, or is closed by.

use annals_core::EntityKind;
use rusqlite::{Connection, params};

use super::Visibility;
use crate::Error;
use crate::ids::EntityId;

/// Of a merge request the issues that it closes, of an issue the merge requests that close it, as far as
/// they are mirrored and the caller may see them. A project is meant by its path, or by one that it had
/// and no other has now, as it is written or in small letters.
///
/// # Errors
/// A failure of the file.
pub fn linked(conn: &Connection, visibility: &Visibility, entity: EntityId) -> Result<Vec<EntityId>, Error> {
    let (sql, other) = match entity.kind {
        EntityKind::MergeRequest => (
            "SELECT DISTINCT i.id FROM merge_requests m JOIN projects s ON s.id = m.project_id
             JOIN entity_references r ON r.project_id = m.project_id AND r.source_kind = 'merge_request'
                                     AND r.source_id = m.id AND r.kind = 'closes' AND r.target_kind = 'issue'
             JOIN projects p ON p.forge_id = s.forge_id AND (p.path_folded = lower(r.target_path)
                 OR (p.id IN (SELECT o.project_id FROM project_paths o WHERE o.path_folded = lower(r.target_path))
                     AND NOT EXISTS (SELECT 1 FROM projects q
                                      WHERE q.forge_id = s.forge_id AND q.path_folded = lower(r.target_path))))
             JOIN issues i ON i.project_id = p.id AND i.iid = r.target_iid
             WHERE m.id = ?1 AND i.confidential <= ?2
               AND (?3 IS NULL OR i.project_id IN (SELECT value FROM json_each(?3))) ORDER BY i.id",
            EntityKind::Issue,
        ),
        EntityKind::Issue => (
            "SELECT DISTINCT m.id FROM issues i JOIN projects p ON p.id = i.project_id
             JOIN entity_references r ON r.target_path IN (
                      SELECT p.path UNION ALL SELECT p.path_folded
                       UNION ALL SELECT o.path_folded FROM project_paths o
                                  WHERE o.project_id = p.id
                                    AND NOT EXISTS (SELECT 1 FROM projects q
                                                     WHERE q.forge_id = p.forge_id AND q.path_folded = o.path_folded))
                  AND r.target_kind = 'issue' AND r.target_iid = i.iid
                  AND r.kind = 'closes' AND r.source_kind = 'merge_request'
             JOIN merge_requests m ON m.id = r.source_id JOIN projects s ON s.id = m.project_id AND s.forge_id = p.forge_id
             WHERE i.id = ?1 AND m.confidential <= ?2
               AND (?3 IS NULL OR m.project_id IN (SELECT value FROM json_each(?3))) ORDER BY m.id",
            EntityKind::MergeRequest,
        ),
    };
    let mut select = conn.prepare_cached(sql)?;
    let values = params![entity.row, visibility.highest_flag(), visibility.project_ids()];
    let rows = select.query_map(values, |row| {
        Ok(EntityId {
            kind: other,
            row: row.get(0)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
