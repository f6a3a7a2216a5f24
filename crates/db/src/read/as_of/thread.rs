//! Discussions with their notes as they were.

use annals_core::UnixMs;
use rusqlite::{Connection, Row, params};

use super::pick::{self, Picked};
use super::state;
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::{EntityId, SubjectKind, UserKind};
use crate::read::thread::position;
use crate::read::{Discussion, Note, NotePage, Position, Threads, Visibility, json};
use crate::text::{clean, clean_opt};

/// The discussions of an entity that the caller was shown, as they were at `at`: without notes that
/// were written later or were gone by then.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn threads(
    conn: &Connection,
    visibility: &Visibility,
    entity: EntityId,
    page: NotePage,
    at: UnixMs,
) -> Result<Threads, Error> {
    let sql = format!(
        "{} WHERE d.{} = ?2 AND n.internal <= ?3 ORDER BY d.first_note_at, d.id, n.position, n.id",
        select("1"),
        entity.parent_column()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![at.0, entity.row, visibility.highest_flag()])?;
    let mut unpack = Unpack::default();
    let mut threads = Threads {
        discussions: Vec::new(),
        total_notes: 0,
    };
    let end = page.offset.saturating_add(page.limit) as u64;
    while let Some(row) = rows.next()? {
        let note = note(row, at, &mut unpack)?;
        if note.internal && !visibility.shows_confidential() {
            continue;
        }
        let index = threads.total_notes;
        threads.total_notes += 1;
        if index < page.offset as u64 || index >= end {
            continue;
        }
        let id: i64 = row.get(0)?;
        match threads.discussions.last_mut().filter(|open| open.row == id) {
            Some(open) => open.notes.push(note),
            None => threads.discussions.push(Discussion {
                notes: vec![note],
                ..discussion(row, at, &mut unpack)?
            }),
        }
    }
    Ok(threads)
}

/// A note with its discussion, without the others in it; `None` if one of them was not there at `at`.
pub(in crate::read) fn note_by_row(
    conn: &Connection,
    row: i64,
    at: UnixMs,
    unpack: &mut Unpack,
) -> Result<Option<(Discussion, Note)>, Error> {
    let sql = format!("{} WHERE n.id = ?2", select("1"));
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![at.0, row])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some((discussion(row, at, unpack)?, note(row, at, unpack)?)))
}

/// Selects every note that was there at `?1` in a discussion that was, as [`note`] and [`discussion`]
/// read them, and `more` columns from [`MORE`] on.
pub(super) fn select(more: &str) -> String {
    format!(
        "SELECT d.id, d.native_id, {}, n.native_id, n.created_at, n.updated_at, {}, u.kind,
                p.note_id, p.old_path, p.new_path, p.old_line, p.new_line, p.start_line, p.side, p.head_oid, p.outdated,
                {more}
         FROM discussions d JOIN notes n ON n.discussion_id = d.id JOIN users u ON u.id = n.author_id
         LEFT JOIN diff_note_positions p ON p.note_id = n.id
         {} {}",
        pick::columns("dr", "db"),
        pick::columns("nr", "nb"),
        pick::join(SubjectKind::Discussion, "d.id", "d.first_note_at", "dr", "db"),
        pick::join(SubjectKind::Note, "n.id", "n.created_at", "nr", "nb"),
    )
}

const DISCUSSION: usize = 2;
const NOTE: usize = DISCUSSION + pick::WIDTH;
const NOTE_PICKED: usize = NOTE + 3;
const AFTER: usize = NOTE_PICKED + pick::WIDTH;
/// Where the columns begin that a caller selects beside these.
pub(super) const MORE: usize = AFTER + 10;

/// The discussion of a row, without its notes.
pub(super) fn discussion(row: &Row<'_>, at: UnixMs, unpack: &mut Unpack) -> Result<Discussion, Error> {
    let was: state::Discussion = Picked::read(row, DISCUSSION, at, unpack)?.state()?;
    // The first state of a thread holds from its beginning, when it cannot have been resolved yet.
    let resolved = was.resolved && was.resolved_at.is_none_or(|resolved_at| resolved_at <= at.0);
    Ok(Discussion {
        id: row.get(1)?,
        kind: was.kind(),
        resolvable: was.resolvable,
        resolved,
        resolved_by: clean_opt(was.resolved_by.as_deref().filter(|_| resolved)),
        resolved_at: was.resolved_at.filter(|_| resolved).map(UnixMs),
        gone_at: None,
        notes: Vec::new(),
        row: row.get(0)?,
    })
}

/// The note of a row.
pub(super) fn note(row: &Row<'_>, at: UnixMs, unpack: &mut Unpack) -> Result<Note, Error> {
    let picked = Picked::read(row, NOTE_PICKED, at, unpack)?;
    let was: state::Note = picked.state()?;
    let created_at: Option<i64> = row.get(NOTE + 1)?;
    let kind = was.kind();
    let outdated = position(row, AFTER + 1)?.is_some_and(|now| now.outdated);
    let position = was.position.map(|was| Position {
        side: was.side(),
        old_path: was.old_path,
        new_path: was.new_path,
        old_line: was.old_line,
        new_line: was.new_line,
        start_line: was.start_line,
        head_oid: was.head_oid,
        outdated,
    });
    let author_kind: UserKind = row.get(AFTER)?;
    Ok(Note {
        id: row.get(NOTE)?,
        // The account may have become the ghost since.
        author_kind: if was.author == "ghost" {
            UserKind::Ghost
        } else {
            author_kind
        },
        author: clean(&was.author).into_owned(),
        body: was.body,
        kind,
        system: was.system,
        internal: was.internal,
        created_at: json::time(row, NOTE + 1)?,
        updated_at: picked.updated_at(row.get(NOTE + 2)?, created_at, at),
        gone_at: None,
        certainty: Some(picked.certainty),
        position,
    })
}
