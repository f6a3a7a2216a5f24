//! What reviewers wrote on lines of the file.

use annals_core::text::snippet;
use annals_core::{Iid, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::Scope;
use super::requests::{Requests, touched};
use crate::Error;
use crate::ids::SubjectKind;
use crate::read::json;
use crate::read::moment::{not_gone, text, there};

/// A note on a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileNote {
    /// The number of its merge request.
    pub iid: Iid,
    /// The forge's id of its discussion.
    pub discussion_id: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub created_at: Option<UnixMs>,
    /// What the file was called in it.
    pub path: Option<String>,
    /// The line, in the new file where it is there.
    pub line: Option<i64>,
    /// Whether its discussion is resolved; `None` where it cannot be.
    pub resolved: Option<bool>,
    /// Its beginning, on one line.
    pub snippet: String,
}

/// The notes on any of the names, oldest first.
pub(super) fn notes(conn: &Connection, scope: &Scope, paths: &Value, which: Requests) -> Result<Vec<FileNote>, Error> {
    let sql = format!(
        "WITH placed AS MATERIALIZED ({})
         SELECT n.id, m.iid, d.native_id, u.username, n.created_at, coalesce(p.new_path, p.old_path),
                coalesce(p.new_line, p.old_line), d.resolvable, d.resolved, d.resolved_at, n.body
         FROM placed JOIN notes n ON n.id = placed.note_id JOIN diff_note_positions p ON p.note_id = n.id
         JOIN discussions d ON d.id = n.discussion_id JOIN merge_requests m ON m.id = d.mr_id
         JOIN users u ON u.id = n.author_id
         WHERE n.system = 0 AND n.internal <= ?4 AND m.confidential <= ?4 AND {} AND {} AND {} AND {}
         ORDER BY n.created_at, n.id",
        touched("c.note_id", "diff_note_positions", "1"),
        there("n", "?3"),
        not_gone("d", "?3"),
        not_gone("m", "?3"),
        which.condition(),
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope.project.0, paths, scope.at, scope.highest])?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()? {
        let body = match scope.at.state(conn, SubjectKind::Note, row.get(0)?)? {
            Some(known) => text(&known, "body").unwrap_or_default(),
            None => row.get(10)?,
        };
        let (resolvable, resolved): (bool, bool) = (row.get(7)?, row.get(8)?);
        let resolved_at = json::time(row, 9)?;
        let by_then = scope
            .at
            .past()
            .is_none_or(|at| resolved_at.is_none_or(|then| then <= at));
        notes.push(FileNote {
            iid: Iid(row.get(1)?),
            discussion_id: row.get(2)?,
            author: row.get(3)?,
            created_at: json::time(row, 4)?,
            path: row.get(5)?,
            line: row.get(6)?,
            resolved: resolvable.then_some(resolved && by_then),
            snippet: snippet(&body, &[]).text,
        });
    }
    Ok(notes)
}
