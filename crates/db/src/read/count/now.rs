//! Counts of what is there now.

use annals_core::{EntityKind, ProjectId};
use rusqlite::{Connection, params_from_iter};

use super::{CountBy, Tally};
use crate::Error;
use crate::ids::entity_table;
use crate::read::list::conditions;
use crate::read::{ListQuery, Visibility};

/// The month of a time, in UTC: `2024-02`.
macro_rules! month {
    ($time:literal) => {
        concat!("strftime('%Y-%m', ", $time, " / 1000, 'unixepoch')")
    };
}

pub(super) fn count(
    conn: &Connection,
    visibility: &Visibility,
    list: &ListQuery,
    by: Option<CountBy>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let clause = conditions(conn, visibility, list)?;
    let table = entity_table(list.kind);
    let sql = format!("SELECT count(*) FROM {table} e WHERE {}", clause.sql());
    let total: u64 = conn
        .prepare_cached(&sql)?
        .query_row(params_from_iter(clause.values([])), |row| row.get(0))?;
    tally.total += total;
    let Some(by) = by else {
        return Ok(());
    };
    let (value, project, join) = source(by, list.kind);
    let sql = format!(
        "SELECT {value}, {project}, count(DISTINCT e.id) FROM {table} e {join} WHERE {} GROUP BY 1, 2",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(clause.values([])))?;
    while let Some(row) = rows.next()? {
        let project = row.get::<_, Option<i64>>(1)?.map(ProjectId);
        tally.add((row.get(0)?, project), row.get(2)?);
    }
    Ok(())
}

/// The value of an entity `e`, the project that it names, and what must be joined for them.
fn source(by: CountBy, kind: EntityKind) -> (&'static str, &'static str, &'static str) {
    let is_mr = kind == EntityKind::MergeRequest;
    match by {
        CountBy::Kind if is_mr => ("'merge_request'", "NULL", ""),
        CountBy::Kind => ("'issue'", "NULL", ""),
        CountBy::Project => ("p.path", "p.id", "JOIN projects p ON p.id = e.project_id"),
        CountBy::State => ("e.state", "NULL", ""),
        CountBy::Author => ("u.username", "NULL", "JOIN users u ON u.id = e.author_id"),
        CountBy::Assignee if is_mr => (
            "u.username",
            "NULL",
            "LEFT JOIN mr_assignees l ON l.mr_id = e.id LEFT JOIN users u ON u.id = l.user_id",
        ),
        CountBy::Assignee => (
            "u.username",
            "NULL",
            "LEFT JOIN issue_assignees l ON l.issue_id = e.id LEFT JOIN users u ON u.id = l.user_id",
        ),
        CountBy::Label if is_mr => (
            "b.name",
            "NULL",
            "LEFT JOIN mr_labels l ON l.mr_id = e.id LEFT JOIN labels b ON b.id = l.label_id",
        ),
        CountBy::Label => (
            "b.name",
            "NULL",
            "LEFT JOIN issue_labels l ON l.issue_id = e.id LEFT JOIN labels b ON b.id = l.label_id",
        ),
        CountBy::Milestone => ("m.title", "NULL", "LEFT JOIN milestones m ON m.id = e.milestone_id"),
        CountBy::Created => (month!("e.created_at"), "NULL", ""),
        CountBy::Updated => (month!("e.updated_at"), "NULL", ""),
        CountBy::Closed if is_mr => (month!("coalesce(e.merged_at, e.closed_at)"), "NULL", ""),
        CountBy::Closed => (month!("e.closed_at"), "NULL", ""),
    }
}
