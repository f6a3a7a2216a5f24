//! What reviewers wrote on lines of the file.

use std::collections::BTreeMap;

use annals_core::text::snippet;
use annals_core::{Iid, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::Scope;
use super::requests::{self, Requests, touched};
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::SubjectKind;
use crate::read::{Certainty, Discussion, Note, as_of, json};

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

/// Notes that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The oldest first.
    pub notes: Vec<FileNote>,
    /// How many of them nobody had seen yet at the time that is asked about.
    pub derived: u64,
}

/// The notes on any of the names.
pub(super) fn notes(conn: &Connection, scope: &Scope, paths: &Value, which: Requests) -> Result<Found, Error> {
    let sql = format!(
        "WITH placed AS MATERIALIZED ({})
         SELECT n.id, m.iid, d.native_id, u.username, n.created_at, coalesce(p.new_path, p.old_path),
                coalesce(p.new_line, p.old_line), d.resolvable, d.resolved, n.body, m.id
         FROM placed JOIN notes n ON n.id = placed.note_id JOIN diff_note_positions p ON p.note_id = n.id
         JOIN discussions d ON d.id = n.discussion_id JOIN merge_requests m ON m.id = d.mr_id
         JOIN users u ON u.id = n.author_id
         WHERE n.system = 0 AND n.internal <= ?4 AND m.confidential <= ?4 AND {} AND {} AND {} AND {}
         ORDER BY n.created_at, n.id",
        touched("c.note_id", "diff_note_positions", "1"),
        scope.at.there(SubjectKind::Note, "n", "?3"),
        scope.at.there(SubjectKind::Discussion, "d", "?3"),
        scope.at.there(SubjectKind::MergeRequest, "m", "?3"),
        which.condition(scope),
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope.project.0, paths, scope.at, scope.highest])?;
    let mut found = Found::default();
    let (mut unpack, mut asked_for) = (Unpack::default(), BTreeMap::new());
    while let Some(row) = rows.next()? {
        let (resolvable, resolved): (bool, bool) = (row.get(7)?, row.get(8)?);
        let body: String = row.get(9)?;
        let note = FileNote {
            iid: Iid(row.get(1)?),
            discussion_id: row.get(2)?,
            author: row.get(3)?,
            created_at: json::time(row, 4)?,
            path: row.get(5)?,
            line: row.get(6)?,
            resolved: resolvable.then_some(resolved),
            snippet: snippet(&body, &[]).text,
        };
        let Some(at) = scope.at.past() else {
            found.notes.push(note);
            continue;
        };
        let mr: i64 = row.get(10)?;
        let is_asked_for = match asked_for.get(&mr) {
            Some(known) => *known,
            None => {
                let is_one = requests::was(conn, scope, which, mr, at, &mut unpack)?.is_some();
                asked_for.insert(mr, is_one);
                is_one
            }
        };
        if !is_asked_for {
            continue;
        }
        let was = as_of::note_by_row(conn, row.get(0)?, at, &mut unpack)?;
        if let Some((discussion, was)) = was.filter(|(_, was)| i64::from(was.internal) <= scope.highest) {
            found.derived += u64::from(was.certainty == Some(Certainty::Derived));
            found.notes.push(note.then(discussion, was));
        }
    }
    Ok(found)
}

impl FileNote {
    /// What it was. A state without a place is one from before places were kept.
    fn then(self, discussion: Discussion, was: Note) -> Self {
        let (path, line) = match was.position {
            Some(place) => (place.new_path.or(place.old_path), place.new_line.or(place.old_line)),
            None => (self.path, self.line),
        };
        Self {
            author: was.author,
            path,
            line,
            resolved: discussion.resolvable.then_some(discussion.resolved),
            snippet: snippet(&was.body, &[]).text,
            ..self
        }
    }
}
