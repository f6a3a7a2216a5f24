//! Discussions with their notes, in pages of notes so that no thread is too long to show.

use annals_core::UnixMs;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Certainty, Visibility, json};
use crate::Error;
use crate::ids::{DiscussionKind, EntityId, NoteKind, Side, UserKind};

/// A discussion, or the part of it that falls into a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discussion {
    /// The forge's own id.
    pub id: String,
    /// Its shape.
    pub kind: DiscussionKind,
    /// Whether it can be resolved.
    pub resolvable: bool,
    /// Whether it is.
    pub resolved: bool,
    /// By whom.
    pub resolved_by: Option<String>,
    /// When.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub resolved_at: Option<UnixMs>,
    /// Since when the forge no longer shows it.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub gone_at: Option<UnixMs>,
    /// Its notes.
    pub notes: Vec<Note>,
    /// Its row.
    #[serde(skip)]
    pub row: i64,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The forge's own id.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// What sort of account that is.
    pub author_kind: UserKind,
    /// What it says.
    pub body: String,
    /// Its shape.
    pub kind: NoteKind,
    /// Whether the forge wrote it on somebody's behalf.
    pub system: bool,
    /// Whether only members may see it.
    pub internal: bool,
    /// When it was written.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub created_at: Option<UnixMs>,
    /// When it last changed.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub updated_at: Option<UnixMs>,
    /// Since when the forge no longer shows it.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub gone_at: Option<UnixMs>,
    /// Of a reading [as of](super::as_of) a time: how sure it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// Its place in a diff.
    pub position: Option<Position>,
}

/// Where in a diff a note was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The file before.
    pub old_path: Option<String>,
    /// The file after.
    pub new_path: Option<String>,
    /// The line before.
    pub old_line: Option<i64>,
    /// The line after.
    pub new_line: Option<i64>,
    /// Where a range of lines begins.
    pub start_line: Option<i64>,
    /// Which of the two the note is on.
    pub side: Option<Side>,
    /// The newest commit then.
    pub head_oid: Option<String>,
    /// Whether the line is no longer in the diff.
    pub outdated: bool,
}

/// Which notes of an entity to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotePage {
    /// How many notes to skip, in the order of the threads.
    pub offset: usize,
    /// How many notes to return.
    pub limit: usize,
}

impl NotePage {
    /// All of them.
    pub const ALL: Self = Self {
        offset: 0,
        limit: usize::MAX,
    };
}

/// The discussions of an entity, as far as one page reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threads {
    /// The discussions, by their first note.
    pub discussions: Vec<Discussion>,
    /// How many notes the entity has in all.
    pub total_notes: u64,
}

/// The discussions of an entity that the caller was shown, without internal notes unless they may see
/// these. Notes that are gone are included, marked as such.
///
/// # Errors
/// A failure of the file.
pub fn threads(conn: &Connection, visibility: &Visibility, entity: EntityId, page: NotePage) -> Result<Threads, Error> {
    let parent = entity.parent_column();
    let highest = visibility.highest_flag();
    let sql = format!(
        "SELECT count(*) FROM discussions d JOIN notes n ON n.discussion_id = d.id
         WHERE d.{parent} = ?1 AND n.internal <= ?2"
    );
    let total_notes = conn
        .prepare_cached(&sql)?
        .query_row(params![entity.row, highest], |row| row.get(0))?;
    let sql = format!(
        "SELECT d.id, d.native_id, d.kind, d.resolvable, d.resolved, r.username, d.resolved_at, d.gone_at, n.native_id,
                u.username, u.kind, n.body, n.kind, n.system, n.internal, n.created_at, n.updated_at, n.gone_at,
                p.note_id, p.old_path, p.new_path, p.old_line, p.new_line, p.start_line, p.side, p.head_oid, p.outdated
         FROM discussions d JOIN notes n ON n.discussion_id = d.id JOIN users u ON u.id = n.author_id
         LEFT JOIN users r ON r.id = d.resolved_by_id LEFT JOIN diff_note_positions p ON p.note_id = n.id
         WHERE d.{parent} = ?1 AND n.internal <= ?2
         ORDER BY d.first_note_at, d.id, n.position, n.id LIMIT ?3 OFFSET ?4"
    );
    let clamp = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![entity.row, highest, clamp(page.limit), clamp(page.offset)])?;
    let mut discussions: Vec<Discussion> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let note = Note {
            id: row.get(8)?,
            author: row.get(9)?,
            author_kind: row.get(10)?,
            body: row.get(11)?,
            kind: row.get(12)?,
            system: row.get(13)?,
            internal: row.get(14)?,
            created_at: json::time(row, 15)?,
            updated_at: json::time(row, 16)?,
            gone_at: json::time(row, 17)?,
            certainty: None,
            position: position(row, 18)?,
        };
        if let Some(open) = discussions.last_mut().filter(|open| open.row == id) {
            open.notes.push(note);
            continue;
        }
        discussions.push(Discussion {
            id: row.get(1)?,
            kind: row.get(2)?,
            resolvable: row.get(3)?,
            resolved: row.get(4)?,
            resolved_by: row.get(5)?,
            resolved_at: json::time(row, 6)?,
            gone_at: json::time(row, 7)?,
            notes: vec![note],
            row: id,
        });
    }
    Ok(Threads {
        discussions,
        total_notes,
    })
}

/// The place in a diff from the nine columns at `at` on, the first of which says whether there is one.
pub(super) fn position(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Position>> {
    if row.get::<_, Option<i64>>(at)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Position {
        old_path: row.get(at + 1)?,
        new_path: row.get(at + 2)?,
        old_line: row.get(at + 3)?,
        new_line: row.get(at + 4)?,
        start_line: row.get(at + 5)?,
        side: row.get(at + 6)?,
        head_oid: row.get(at + 7)?,
        outdated: row.get(at + 8)?,
    }))
}
