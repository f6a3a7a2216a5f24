//! A note and, where it has one, its place in a diff.

use annals_core::{NativeId, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::blob::Payload;
use super::entity::flag;
use super::revision::{self, Newest, Subject};
use super::state::{NoteState, PositionState, State};
use super::user::{name_or_ghost, user_or_ghost};
use super::{Change, UserIn};
use crate::ids::{DiscussionId, NoteId, NoteKind, RevisionOp, Side, SubjectKind, UserId};
use crate::text::{Cut, clean, clean_long, clean_opt};
use crate::{Error, WriteTx};

/// A note as a payload tells it.
#[derive(Debug, Clone)]
pub struct NoteIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// Who wrote it; `None` is the ghost.
    pub author: Option<UserIn>,
    /// What it says.
    pub body: String,
    /// Its shape.
    pub kind: NoteKind,
    /// Whether the forge wrote it on somebody's behalf.
    pub system: bool,
    /// Whether only members may see it.
    pub internal: bool,
    /// When it was written.
    pub created_at: Option<UnixMs>,
    /// When it last changed.
    pub updated_at: Option<UnixMs>,
    /// Bits of [`flag`](super::flag).
    pub flags: i64,
    /// Its place in a diff.
    pub position: Option<DiffPositionIn>,
    /// What the forge sent.
    pub payload: Option<Payload>,
}

/// Where in a diff a note was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffPositionIn {
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
    /// The commit the diff was against.
    pub base_oid: Option<String>,
    /// Where the branch began.
    pub start_oid: Option<String>,
    /// The newest commit then.
    pub head_oid: Option<String>,
    /// Whether the line is no longer in the diff.
    pub outdated: bool,
    /// The lines around it, where the forge sends them.
    pub hunk: Option<String>,
}

/// Where a note belongs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub project: ProjectId,
    pub discussion: DiscussionId,
    pub position: usize,
}

#[derive(PartialEq)]
struct Columns {
    discussion_id: DiscussionId,
    position: i64,
    author_id: UserId,
    body: String,
    kind: NoteKind,
    system: bool,
    internal: bool,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    flags: i64,
    missing_since: Option<i64>,
}

struct Known {
    id: NoteId,
    gone: bool,
    newest: Option<Newest>,
    columns: Columns,
    diff: Option<DiffPositionIn>,
}

/// Writes a note.
pub(super) fn upsert(tx: &WriteTx<'_>, place: Place, note: &NoteIn) -> Result<(NoteId, Change), Error> {
    let next = columns(tx, place, note)?;
    let diff = note.position.as_ref().map(cleaned);
    let state = state(&next, diff.as_ref(), note)?;
    let Some(known) = find(tx, place.project, &note.native_id)? else {
        return insert(tx, place, note, &next, diff.as_ref(), &state);
    };
    let same_state = known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.state_hash == state.hash);
    if same_state && !known.gone && known.columns == next && known.diff == diff {
        return Ok((known.id, Change::Unchanged));
    }
    let seq = tx.content_seq()?;
    let mut revision = known.newest.as_ref().map(|newest| newest.id);
    if !same_state || known.gone {
        let op = if known.gone {
            RevisionOp::Back
        } else {
            RevisionOp::Changed
        };
        let forge_time = note.updated_at.filter(|at| Some(at.0) != known.columns.updated_at);
        let newest = known.newest.as_ref();
        revision = Some(revision::write(
            tx,
            subject(known.id),
            op,
            newest,
            &state,
            forge_time,
            note.payload.as_ref(),
        )?);
    }
    tx.prepare_cached(
        "UPDATE notes SET discussion_id = ?2, position = ?3, author_id = ?4, body = ?5, kind = ?6, system = ?7,
             internal = ?8, created_at = ?9, updated_at = ?10, flags = ?11, gone_at = NULL, missing_since = NULL,
             revision_id = ?12, changed_seq = ?13
         WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        next.discussion_id,
        next.position,
        next.author_id,
        next.body,
        next.kind,
        next.system,
        next.internal,
        next.created_at,
        next.updated_at,
        next.flags,
        revision,
        seq
    ])?;
    if known.diff != diff {
        write_diff(tx, place.project, known.id, diff.as_ref())?;
    }
    Ok((
        known.id,
        if same_state && !known.gone {
            Change::Touched
        } else {
            Change::Changed
        },
    ))
}

fn insert(
    tx: &WriteTx<'_>,
    place: Place,
    note: &NoteIn,
    next: &Columns,
    diff: Option<&DiffPositionIn>,
    state: &State,
) -> Result<(NoteId, Change), Error> {
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO notes (project_id, native_id, discussion_id, position, author_id, body, kind, system, internal,
                            created_at, updated_at, flags, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        place.project.0,
        clean(note.native_id.as_str()),
        next.discussion_id,
        next.position,
        next.author_id,
        next.body,
        next.kind,
        next.system,
        next.internal,
        next.created_at,
        next.updated_at,
        next.flags,
        seq
    ])?;
    let id = NoteId(tx.last_insert_rowid());
    let revision = revision::write(
        tx,
        subject(id),
        RevisionOp::First,
        None,
        state,
        note.updated_at,
        note.payload.as_ref(),
    )?;
    tx.prepare_cached("UPDATE notes SET revision_id = ?2 WHERE id = ?1")?
        .execute(params![id, revision])?;
    if diff.is_some() {
        write_diff(tx, place.project, id, diff)?;
    }
    Ok((id, Change::New))
}

const fn subject(id: NoteId) -> Subject {
    Subject {
        kind: SubjectKind::Note,
        row: id.0,
    }
}

fn columns(tx: &WriteTx<'_>, place: Place, note: &NoteIn) -> Result<Columns, Error> {
    let forge = tx.forge_of(place.project)?;
    let (body, cut) = clean_long(&note.body);
    Ok(Columns {
        discussion_id: place.discussion,
        position: i64::try_from(place.position).unwrap_or(i64::MAX),
        author_id: user_or_ghost(tx, forge, note.author.as_ref())?,
        body: body.into_owned(),
        kind: note.kind,
        system: note.system,
        internal: note.internal,
        created_at: note.created_at.map(|at| at.0),
        updated_at: note.updated_at.map(|at| at.0),
        flags: note.flags | if cut == Cut::Truncated { flag::BODY_TRUNCATED } else { 0 },
        missing_since: None,
    })
}

fn cleaned(diff: &DiffPositionIn) -> DiffPositionIn {
    let owned = |text: &Option<String>| clean_opt(text.as_deref());
    DiffPositionIn {
        old_path: owned(&diff.old_path),
        new_path: owned(&diff.new_path),
        base_oid: owned(&diff.base_oid),
        start_oid: owned(&diff.start_oid),
        head_oid: owned(&diff.head_oid),
        hunk: owned(&diff.hunk),
        ..*diff
    }
}

fn state(next: &Columns, diff: Option<&DiffPositionIn>, note: &NoteIn) -> Result<State, Error> {
    State::of(&NoteState {
        author: &clean(name_or_ghost(note.author.as_ref())),
        body: &next.body,
        internal: next.internal,
        kind: next.kind.as_str(),
        position: diff.map(|diff| PositionState {
            base_oid: diff.base_oid.as_deref(),
            head_oid: diff.head_oid.as_deref(),
            new_line: diff.new_line,
            new_path: diff.new_path.as_deref(),
            old_line: diff.old_line,
            old_path: diff.old_path.as_deref(),
            side: diff.side.map(Side::as_str),
            start_line: diff.start_line,
            start_oid: diff.start_oid.as_deref(),
        }),
        system: next.system,
    })
}

fn find(tx: &WriteTx<'_>, project: ProjectId, native_id: &NativeId) -> Result<Option<Known>, Error> {
    let sql = format!(
        "SELECT n.id, n.gone_at IS NOT NULL, {}, n.discussion_id, n.position, n.author_id, n.body, n.kind, n.system,
                n.internal, n.created_at, n.updated_at, n.flags, n.missing_since, p.note_id, p.old_path, p.new_path,
                p.old_line, p.new_line, p.start_line, p.side, p.base_oid, p.start_oid, p.head_oid, p.outdated, p.hunk
         FROM notes n LEFT JOIN revisions r ON r.id = n.revision_id LEFT JOIN diff_note_positions p ON p.note_id = n.id
         WHERE n.project_id = ?1 AND n.native_id = ?2",
        Newest::COLUMNS
    );
    let found = tx
        .prepare_cached(&sql)?
        .query_row(params![project.0, clean(native_id.as_str())], |row| {
            let diff = match row.get::<_, Option<i64>>(18)? {
                None => None,
                Some(_) => Some(DiffPositionIn {
                    old_path: row.get(19)?,
                    new_path: row.get(20)?,
                    old_line: row.get(21)?,
                    new_line: row.get(22)?,
                    start_line: row.get(23)?,
                    side: row.get(24)?,
                    base_oid: row.get(25)?,
                    start_oid: row.get(26)?,
                    head_oid: row.get(27)?,
                    outdated: row.get(28)?,
                    hunk: row.get(29)?,
                }),
            };
            Ok(Known {
                id: row.get(0)?,
                gone: row.get(1)?,
                newest: Newest::at(row, 2)?,
                columns: Columns {
                    discussion_id: row.get(7)?,
                    position: row.get(8)?,
                    author_id: row.get(9)?,
                    body: row.get(10)?,
                    kind: row.get(11)?,
                    system: row.get(12)?,
                    internal: row.get(13)?,
                    created_at: row.get(14)?,
                    updated_at: row.get(15)?,
                    flags: row.get(16)?,
                    missing_since: row.get(17)?,
                },
                diff,
            })
        })
        .optional()?;
    Ok(found)
}

fn write_diff(tx: &WriteTx<'_>, project: ProjectId, note: NoteId, diff: Option<&DiffPositionIn>) -> Result<(), Error> {
    let Some(diff) = diff else {
        tx.prepare_cached("DELETE FROM diff_note_positions WHERE note_id = ?1")?
            .execute(params![note])?;
        return Ok(());
    };
    tx.prepare_cached(
        "INSERT OR REPLACE INTO diff_note_positions (note_id, project_id, old_path, new_path, old_line, new_line,
             start_line, side, base_oid, start_oid, head_oid, outdated, hunk)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        note,
        project.0,
        diff.old_path,
        diff.new_path,
        diff.old_line,
        diff.new_line,
        diff.start_line,
        diff.side,
        diff.base_oid,
        diff.start_oid,
        diff.head_oid,
        diff.outdated,
        diff.hunk
    ])?;
    Ok(())
}
