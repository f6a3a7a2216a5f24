//! Documents for exactly the dirty rows that this run's own writes have left.

use annals_core::{EntityKind, ProjectId};
use annals_db::ids::{DirtyId, DocumentId};
use annals_net_adapter::Cx;
use annals_search::documents::{Drained, drain_exactly};
use annals_search::index::Fts5;
use rusqlite::{Connection, params};

use super::run::Surgery;
use crate::engine::EntityRef;
use crate::error::Error;

/// Dirty rows that one transaction answers.
const PAGE: usize = 200;

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Made {
    pub drained: Drained,
    /// The documents whose text is new or another: what there is to embed.
    pub regenerated: Vec<DocumentId>,
}

/// Makes them, page by page; `made` has what is done, also when it ends early.
///
/// # Errors
/// A failure of the file, or a request to stop; rows that were not answered are still owed.
///
/// # Cancel safety
/// Pages that were committed stay; the one under way is committed whole or not at all.
pub async fn run(cx: &Cx, surgery: &Surgery, rows: &[DirtyId], made: &mut Made) -> Result<(), Error> {
    for page in rows.chunks(PAGE) {
        let _started = cx.may_start()?;
        let page = page.to_vec();
        let done = surgery
            .run
            .db
            .write(cx, move |tx| drain_exactly(tx, &Fts5, &page))
            .await?;
        made.drained += done.drained;
        made.regenerated.extend(done.regenerated);
    }
    Ok(())
}

/// The documents of these entities: their own, and those of what was said about them and of their commits.
///
/// # Errors
/// A failure of the file.
pub fn of_entities(
    conn: &Connection,
    project: ProjectId,
    of: &[EntityRef],
) -> Result<Vec<DocumentId>, annals_db::Error> {
    let issue = "
        WITH e AS (SELECT id FROM issues WHERE project_id = ?1 AND iid = ?2)
        SELECT d.id FROM e JOIN documents d ON d.kind = 'issue' AND d.source_id = e.id
        UNION ALL
        SELECT d.id FROM e JOIN discussions x ON x.issue_id = e.id
          JOIN documents d ON d.kind = 'discussion' AND d.source_id = x.id";
    let merge_request = "
        WITH e AS (SELECT id FROM merge_requests WHERE project_id = ?1 AND iid = ?2)
        SELECT d.id FROM e JOIN documents d ON d.kind = 'merge_request' AND d.source_id = e.id
        UNION ALL
        SELECT d.id FROM e JOIN discussions x ON x.mr_id = e.id
          JOIN documents d ON d.kind = 'discussion' AND d.source_id = x.id
        UNION ALL
        SELECT d.id FROM e JOIN mr_commits c ON c.mr_id = e.id AND c.to_at IS NULL
          JOIN documents d ON d.kind = 'commit' AND d.source_id = c.commit_id";
    let mut all = Vec::new();
    for of in of {
        let sql = match of.entity_type {
            EntityKind::Issue => issue,
            EntityKind::MergeRequest => merge_request,
        };
        let mut select = conn.prepare_cached(sql)?;
        let rows = select.query_map(params![project.0, of.iid.0], |row| Ok(DocumentId(row.get(0)?)))?;
        for row in rows {
            all.push(row?);
        }
    }
    Ok(all)
}
