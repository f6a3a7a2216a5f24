//! Whom and what the names of a state mean, in a mirror that is being filled.

use std::collections::HashMap;

use annals_core::ProjectId;
use annals_core::text::fold;
use rusqlite::{Connection, OptionalExtension, params};

/// Rows by name, each looked up once; one is made where the name is not that of any row now.
#[derive(Default)]
pub(super) struct Names {
    users: HashMap<(ProjectId, String), i64>,
    labels: HashMap<(ProjectId, String), i64>,
    milestones: HashMap<(ProjectId, String), i64>,
}

impl Names {
    pub fn user(&mut self, mirror: &Connection, project: ProjectId, name: &str) -> rusqlite::Result<i64> {
        let find = "SELECT u.id FROM users u JOIN projects p ON p.forge_id = u.forge_id
                     WHERE p.id = ?1 AND u.username_folded = ?3 AND u.username = ?2 ORDER BY u.id LIMIT 1";
        // Somebody who has another name now, or whose account is gone.
        let make = "INSERT INTO users (forge_id, native_id, username, username_folded, kind)
                    SELECT forge_id, 'as-of:' || ?2, ?2, ?3, 'unknown' FROM projects WHERE id = ?1";
        row(&mut self.users, mirror, [find, make], project, name)
    }

    pub fn label(&mut self, mirror: &Connection, project: ProjectId, name: &str) -> rusqlite::Result<i64> {
        let find = "SELECT id FROM labels WHERE project_id = ?1 AND name_folded = ?3 AND name = ?2
                     ORDER BY gone_at IS NOT NULL, id LIMIT 1";
        let make = "INSERT INTO labels (project_id, native_id, name, name_folded, changed_seq)
                    VALUES (?1, 'as-of:' || ?2, ?2, ?3, 0)";
        row(&mut self.labels, mirror, [find, make], project, name)
    }

    /// Milestones have no folded column: `?3` is named and not looked at.
    pub fn milestone(&mut self, mirror: &Connection, project: ProjectId, title: &str) -> rusqlite::Result<i64> {
        let find = "SELECT id FROM milestones WHERE project_id = ?1 AND title = ?2 AND ?3 = ?3
                     ORDER BY gone_at IS NOT NULL, id LIMIT 1";
        let make = "INSERT INTO milestones (project_id, native_id, title, changed_seq)
                    SELECT ?1, 'as-of:' || ?2, ?2, 0 WHERE ?3 = ?3";
        row(&mut self.milestones, mirror, [find, make], project, title)
    }
}

/// `?1` is the project, `?2` the name, `?3` the name folded.
fn row(
    known: &mut HashMap<(ProjectId, String), i64>,
    mirror: &Connection,
    [find, make]: [&str; 2],
    project: ProjectId,
    name: &str,
) -> rusqlite::Result<i64> {
    let key = (project, name.to_owned());
    if let Some(id) = known.get(&key) {
        return Ok(*id);
    }
    let folded = fold(name);
    let values = params![project.0, name, folded];
    let found = mirror
        .prepare_cached(find)?
        .query_row(values, |row| row.get(0))
        .optional()?;
    let id = match found {
        Some(id) => id,
        None => {
            mirror.prepare_cached(make)?.execute(values)?;
            mirror.last_insert_rowid()
        }
    };
    known.insert(key, id);
    Ok(id)
}
