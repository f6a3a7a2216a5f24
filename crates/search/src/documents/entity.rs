//! Documents of issues and merge requests: title, description, and the names around them.

use annals_core::text::searchable;
use annals_db::ids::SourceKind;
use rusqlite::{Connection, OptionalExtension, params};

use super::render::{Flags, Rendered, Source, Text, key, line, person};

const ISSUE: &str = "
    SELECT f.name, p.native_id, e.native_id, e.project_id, e.title, e.body, e.state, e.author_id, e.created_at,
           e.updated_at, e.gone_at IS NOT NULL, e.confidential, m.title, u.display_name, u.username,
           0, NULL, NULL
      FROM issues e JOIN projects p ON p.id = e.project_id JOIN forges f ON f.id = p.forge_id
      JOIN users u ON u.id = e.author_id LEFT JOIN milestones m ON m.id = e.milestone_id
     WHERE e.id = ?1";

const MERGE_REQUEST: &str = "
    SELECT f.name, p.native_id, e.native_id, e.project_id, e.title, e.body, e.state, e.author_id, e.created_at,
           e.updated_at, e.gone_at IS NOT NULL, e.confidential, m.title, u.display_name, u.username,
           e.draft, e.source_branch, e.target_branch
      FROM merge_requests e JOIN projects p ON p.id = e.project_id JOIN forges f ON f.id = p.forge_id
      JOIN users u ON u.id = e.author_id LEFT JOIN milestones m ON m.id = e.milestone_id
     WHERE e.id = ?1";

const ISSUE_LABELS: &str = "SELECT l.name FROM issue_labels j JOIN labels l ON l.id = j.label_id
     WHERE j.issue_id = ?1 ORDER BY l.name, l.id";
const MR_LABELS: &str = "SELECT l.name FROM mr_labels j JOIN labels l ON l.id = j.label_id
     WHERE j.mr_id = ?1 ORDER BY l.name, l.id";

pub(super) fn render(conn: &Connection, source: Source) -> Result<Option<Rendered>, annals_db::Error> {
    let (sql, labels_sql) = if source.kind == SourceKind::MergeRequest {
        (MERGE_REQUEST, MR_LABELS)
    } else {
        (ISSUE, ISSUE_LABELS)
    };
    let mut labels = conn.prepare_cached(labels_sql)?;
    let labels: Vec<String> = labels
        .query_map(params![source.id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;

    let mut statement = conn.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        let text = |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
        let author = person(row.get_ref(13)?.as_str_or_null()?, row.get_ref(14)?.as_str()?);
        let names = [
            labels.join(", "),
            text(12)?,
            author,
            format!("{} {}", text(16)?, text(17)?),
        ];
        let names: Vec<String> = names
            .iter()
            .map(|name| line(name))
            .filter(|name| !name.is_empty())
            .collect();
        Ok(Rendered {
            doc_key: key(row, source.kind)?,
            project_id: row.get(3)?,
            source,
            text: Text {
                title: line(row.get_ref(4)?.as_str()?),
                body: searchable(row.get_ref(5)?.as_str()?).into_owned(),
                meta: searchable(&names.join("\n")).into_owned(),
            },
            author_id: row.get(7)?,
            state: row.get(6)?,
            created_at: row.get(8)?,
            updated_at: row.get(9)?,
            flags: Flags::default()
                .with(Flags::GONE, row.get(10)?)
                .with(Flags::CONFIDENTIAL, row.get(11)?)
                .with(Flags::DRAFT, row.get(15)?),
        })
    };
    Ok(statement.query_row(params![source.id], read).optional()?)
}
