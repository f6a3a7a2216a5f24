//! Discussions and their notes: the whole set below one entity, replaced in one go.

use std::collections::BTreeSet;

use annals_core::{NativeId, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::blob::Payload;
use super::note::{self, NoteIn};
use super::revision::{self, Newest, Subject};
use super::state::{DiscussionState, State};
use super::user::user_opt;
use super::{Change, SetChange, SetShape, UserIn};
use crate::ids::{DiscussionId, DiscussionKind, EntityId, NoteId, RevisionOp, SourceKind, SubjectKind, UserId};
use crate::text::clean;
use crate::work::dirty;
use crate::{Error, WriteTx};

/// Every discussion of one entity, as one fetch saw them.
#[derive(Debug, Clone)]
pub struct DiscussionSetIn {
    /// The discussions in the forge's order.
    pub discussions: Vec<DiscussionIn>,
    /// In how many pages they came.
    pub shape: SetShape,
}

/// A discussion with all its notes.
#[derive(Debug, Clone)]
pub struct DiscussionIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// Its shape.
    pub kind: DiscussionKind,
    /// Whether it can be resolved.
    pub resolvable: bool,
    /// Whether it is.
    pub resolved: bool,
    /// By whom.
    pub resolved_by: Option<UserIn>,
    /// When.
    pub resolved_at: Option<UnixMs>,
    /// Its notes in the forge's order.
    pub notes: Vec<NoteIn>,
    /// What the forge sent, the notes left out where they carry their own.
    pub payload: Option<Payload>,
}

/// What replacing a set of discussions did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiscussionsApplied {
    /// To the discussions.
    pub discussions: SetChange,
    /// To the notes.
    pub notes: SetChange,
}

impl DiscussionsApplied {
    /// Whether anything was written.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        self.discussions.is_written() || self.notes.is_written()
    }
}

/// Replaces all discussions and notes of an entity. A child that is absent is gone, or missing if
/// the set came in several pages and it was not missing already.
///
/// # Errors
/// A failure of the file.
pub fn replace_discussions(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    set: &DiscussionSetIn,
) -> Result<DiscussionsApplied, Error> {
    let mut applied = DiscussionsApplied::default();
    let mut seen = BTreeSet::new();
    let mut seen_notes = BTreeSet::new();
    for discussion in &set.discussions {
        let (id, change) = upsert(tx, project, entity, discussion)?;
        applied.discussions.count(change);
        seen.insert(id.0);
        let mut shown = change.is_written() && discussion.notes.iter().any(|note| !note.system);
        for (position, note) in discussion.notes.iter().enumerate() {
            let place = note::Place {
                project,
                discussion: id,
                position,
            };
            let (note_id, change) = note::upsert(tx, place, note)?;
            applied.notes.count(change);
            seen_notes.insert(note_id.0);
            shown |= change.is_written() && !note.system;
        }
        if shown {
            dirty::mark(tx, SourceKind::Discussion, id.0, change.reason())?;
        }
    }
    absent_notes(tx, entity, set.shape, &seen_notes, &mut applied.notes)?;
    absent_discussions(tx, entity, set.shape, &seen, &mut applied.discussions)?;
    Ok(applied)
}

#[derive(PartialEq)]
struct Columns {
    kind: DiscussionKind,
    resolvable: bool,
    resolved: bool,
    resolved_by_id: Option<UserId>,
    resolved_at: Option<i64>,
    first_note_at: Option<i64>,
    last_note_at: Option<i64>,
    missing_since: Option<i64>,
}

struct Known {
    id: DiscussionId,
    gone: bool,
    newest: Option<Newest>,
    columns: Columns,
}

fn find(tx: &WriteTx<'_>, entity: EntityId, native_id: &NativeId) -> Result<Option<Known>, Error> {
    let sql = format!(
        "SELECT d.id, d.gone_at IS NOT NULL, {}, d.kind, d.resolvable, d.resolved, d.resolved_by_id, d.resolved_at,
                d.first_note_at, d.last_note_at, d.missing_since
         FROM discussions d LEFT JOIN revisions r ON r.id = d.revision_id WHERE d.{} = ?1 AND d.native_id = ?2",
        Newest::COLUMNS,
        entity.parent_column()
    );
    let found = tx
        .prepare_cached(&sql)?
        .query_row(params![entity.row, clean(native_id.as_str())], |row| {
            Ok(Known {
                id: row.get(0)?,
                gone: row.get(1)?,
                newest: Newest::at(row, 2)?,
                columns: Columns {
                    kind: row.get(7)?,
                    resolvable: row.get(8)?,
                    resolved: row.get(9)?,
                    resolved_by_id: row.get(10)?,
                    resolved_at: row.get(11)?,
                    first_note_at: row.get(12)?,
                    last_note_at: row.get(13)?,
                    missing_since: row.get(14)?,
                },
            })
        })
        .optional()?;
    Ok(found)
}

fn upsert(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    discussion: &DiscussionIn,
) -> Result<(DiscussionId, Change), Error> {
    let forge = tx.forge_of(project)?;
    let times = || {
        discussion
            .notes
            .iter()
            .filter_map(|note| note.created_at)
            .map(|at| at.0)
    };
    let next = Columns {
        kind: discussion.kind,
        resolvable: discussion.resolvable,
        resolved: discussion.resolved,
        resolved_by_id: user_opt(tx, forge, discussion.resolved_by.as_ref())?,
        resolved_at: discussion.resolved_at.map(|at| at.0),
        first_note_at: times().min(),
        last_note_at: times().max(),
        missing_since: None,
    };
    let resolved_by = discussion.resolved_by.as_ref().map(|user| clean(&user.username));
    let state = State::of(&DiscussionState {
        kind: next.kind.as_str(),
        resolvable: next.resolvable,
        resolved: next.resolved,
        resolved_at: next.resolved_at,
        resolved_by: resolved_by.as_deref(),
    })?;
    let Some(known) = find(tx, entity, &discussion.native_id)? else {
        return insert(tx, project, entity, discussion, &next, &state);
    };
    let same_state = known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.state_hash == state.hash);
    if same_state && !known.gone && known.columns == next {
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
        let resolved_at = discussion
            .resolved_at
            .filter(|at| Some(at.0) != known.columns.resolved_at);
        let newest = known.newest.as_ref();
        let payload = discussion.payload.as_ref();
        revision = Some(revision::write(
            tx,
            subject(known.id),
            op,
            newest,
            &state,
            resolved_at,
            payload,
        )?);
    }
    tx.prepare_cached(
        "UPDATE discussions SET kind = ?2, resolvable = ?3, resolved = ?4, resolved_by_id = ?5, resolved_at = ?6,
             first_note_at = ?7, last_note_at = ?8, gone_at = NULL, missing_since = NULL, revision_id = ?9,
             changed_seq = ?10
         WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        next.kind,
        next.resolvable,
        next.resolved,
        next.resolved_by_id,
        next.resolved_at,
        next.first_note_at,
        next.last_note_at,
        revision,
        seq
    ])?;
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
    project: ProjectId,
    entity: EntityId,
    discussion: &DiscussionIn,
    next: &Columns,
    state: &State,
) -> Result<(DiscussionId, Change), Error> {
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO discussions (project_id, issue_id, mr_id, native_id, kind, resolvable, resolved, resolved_by_id,
                                  resolved_at, first_note_at, last_note_at, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        project.0,
        entity.issue_row(),
        entity.mr_row(),
        clean(discussion.native_id.as_str()),
        next.kind,
        next.resolvable,
        next.resolved,
        next.resolved_by_id,
        next.resolved_at,
        next.first_note_at,
        next.last_note_at,
        seq
    ])?;
    let id = DiscussionId(tx.last_insert_rowid());
    let began = next.first_note_at.map(UnixMs);
    let payload = discussion.payload.as_ref();
    let revision = revision::write(tx, subject(id), RevisionOp::First, None, state, began, payload)?;
    tx.prepare_cached("UPDATE discussions SET revision_id = ?2 WHERE id = ?1")?
        .execute(params![id, revision])?;
    Ok((id, Change::New))
}

const fn subject(id: DiscussionId) -> Subject {
    Subject {
        kind: SubjectKind::Discussion,
        row: id.0,
    }
}

/// A row that the fetch did not bring.
struct Absent {
    row: i64,
    missing: bool,
    discussion: i64,
    shown: bool,
    newest: Option<Newest>,
}

fn absent_discussions(
    tx: &WriteTx<'_>,
    entity: EntityId,
    shape: SetShape,
    seen: &BTreeSet<i64>,
    counts: &mut SetChange,
) -> Result<(), Error> {
    let sql = format!(
        "SELECT d.id, d.missing_since IS NOT NULL, d.id, 1, {}
         FROM discussions d LEFT JOIN revisions r ON r.id = d.revision_id
         WHERE d.{} = ?1 AND d.gone_at IS NULL ORDER BY d.id",
        Newest::COLUMNS,
        entity.parent_column()
    );
    mark_absent(
        tx,
        &sql,
        entity,
        shape,
        seen,
        "discussions",
        SubjectKind::Discussion,
        counts,
    )
}

fn absent_notes(
    tx: &WriteTx<'_>,
    entity: EntityId,
    shape: SetShape,
    seen: &BTreeSet<i64>,
    counts: &mut SetChange,
) -> Result<(), Error> {
    let sql = format!(
        "SELECT n.id, n.missing_since IS NOT NULL, n.discussion_id, n.system = 0, {}
         FROM discussions d JOIN notes n ON n.discussion_id = d.id LEFT JOIN revisions r ON r.id = n.revision_id
         WHERE d.{} = ?1 AND n.gone_at IS NULL ORDER BY n.id",
        Newest::COLUMNS,
        entity.parent_column()
    );
    mark_absent(tx, &sql, entity, shape, seen, "notes", SubjectKind::Note, counts)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step of two callers that differ in all of them"
)]
fn mark_absent(
    tx: &WriteTx<'_>,
    sql: &str,
    entity: EntityId,
    shape: SetShape,
    seen: &BTreeSet<i64>,
    table: &'static str,
    kind: SubjectKind,
    counts: &mut SetChange,
) -> Result<(), Error> {
    if shape == SetShape::Unproven {
        return Ok(());
    }
    let absent = tx
        .prepare_cached(sql)?
        .query_map(params![entity.row], |row| {
            Ok(Absent {
                row: row.get(0)?,
                missing: row.get(1)?,
                discussion: row.get(2)?,
                shown: row.get(3)?,
                newest: Newest::at(row, 4)?,
            })
        })?
        .filter(|row| row.as_ref().map_or(true, |absent| !seen.contains(&absent.row)))
        .collect::<Result<Vec<_>, _>>()?;
    for absent in absent {
        let seq = tx.content_seq()?;
        if shape == SetShape::ManyPages && !absent.missing {
            let sql = format!("UPDATE {table} SET missing_since = ?2, changed_seq = ?3 WHERE id = ?1");
            tx.prepare_cached(&sql)?.execute(params![absent.row, tx.now().0, seq])?;
            counts.missing += 1;
            continue;
        }
        let revision = revision::write_gone(tx, Subject { kind, row: absent.row }, absent.newest.as_ref())?;
        let sql = format!("UPDATE {table} SET gone_at = ?2, revision_id = ?3, changed_seq = ?4 WHERE id = ?1");
        tx.prepare_cached(&sql)?
            .execute(params![absent.row, tx.now().0, revision, seq])?;
        if absent.shown {
            dirty::mark(tx, SourceKind::Discussion, absent.discussion, "gone")?;
        }
        counts.gone += 1;
    }
    Ok(())
}

/// A note by native id with its `updated_at`, for a stream of single notes that only says which
/// parents must be fetched again.
///
/// # Errors
/// A failure of the file.
pub fn known_note(
    conn: &rusqlite::Connection,
    project: ProjectId,
    native_id: &NativeId,
) -> Result<Option<(NoteId, Option<UnixMs>)>, Error> {
    let found = conn
        .prepare_cached("SELECT id, updated_at FROM notes WHERE project_id = ?1 AND native_id = ?2")?
        .query_row(params![project.0, clean(native_id.as_str())], |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(UnixMs)))
        })
        .optional()?;
    Ok(found)
}
