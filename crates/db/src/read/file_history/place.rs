//! Which projects have a path.

use annals_core::UnixMs;
use rusqlite::{Connection, params};

use super::Scope;
use crate::Error;
use crate::read::clause::Clause;
use crate::read::moment::Moment;
use crate::read::project::named;
use crate::read::{ProjectName, Visibility};

/// The visible projects in which a change or a note names the path.
///
/// # Errors
/// A failure of the file.
pub fn projects_with_path(
    conn: &Connection,
    visibility: &Visibility,
    path: &str,
    as_of: Option<UnixMs>,
) -> Result<Vec<ProjectName>, Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "p.id", None);
    let mut found = named(conn, &clause)?;
    let mut failed = None;
    found.retain(|project| {
        let scope = Scope {
            project: project.id,
            at: Moment::of(as_of),
            highest: visibility.highest_flag(),
        };
        has(conn, &scope, path).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            false
        })
    });
    failed.map_or(Ok(found), Err)
}

/// Whether a change or a note of the project names the path.
pub(super) fn has(conn: &Connection, scope: &Scope, path: &str) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM ({}) v WHERE v.at <= ?4 LIMIT 1", named_at());
    let mut select = conn.prepare_cached(&sql)?;
    Ok(select.exists(params![scope.project.0, path, scope.highest, scope.at])?)
}

/// Since when something of the project names the path.
pub(super) fn since(conn: &Connection, scope: &Scope, path: &str) -> Result<Option<UnixMs>, Error> {
    let sql = format!("SELECT min(v.at) FROM ({}) v", named_at());
    let mut select = conn.prepare_cached(&sql)?;
    let since: Option<i64> = select.query_row(params![scope.project.0, path, scope.highest], |row| row.get(0))?;
    Ok(since.map(UnixMs))
}

/// When anything of the project `?1` names the path `?2`, as far as the caller sees flags up to `?3`.
fn named_at() -> String {
    let change = |column: &str| {
        format!(
            "SELECT c.from_at AS at FROM mr_file_changes c CROSS JOIN merge_requests m ON m.id = c.mr_id
              WHERE c.project_id = ?1 AND c.{column} = ?2 AND m.confidential <= ?3"
        )
    };
    let commit = |column: &str| {
        format!(
            "SELECT coalesce(k.committer_at, k.author_at, 0) AS at
               FROM commit_file_changes c CROSS JOIN commits k ON k.id = c.commit_id
              WHERE c.project_id = ?1 AND c.{column} = ?2"
        )
    };
    let note = |column: &str| {
        format!(
            "SELECT coalesce(n.created_at, 0) AS at FROM diff_note_positions c CROSS JOIN notes n ON n.id = c.note_id
               CROSS JOIN discussions d ON d.id = n.discussion_id CROSS JOIN merge_requests m ON m.id = d.mr_id
              WHERE c.project_id = ?1 AND c.{column} = ?2 AND n.internal <= ?3 AND m.confidential <= ?3"
        )
    };
    let parts = [
        change("new_path"),
        change("old_path"),
        commit("new_path"),
        commit("old_path"),
        note("new_path"),
        note("old_path"),
    ];
    parts.join(" UNION ALL ")
}
