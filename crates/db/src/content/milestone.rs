//! Milestones of a project and of the groups above it.

use std::collections::BTreeSet;

use annals_core::{EntityKind, Iid, NativeId, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::revision::{self, Newest, Subject};
use super::state::{self, State};
use super::{Change, SetChange, SetShape};
use crate::ids::{MilestoneId, MilestoneState, RevisionOp, SubjectKind, entity_table};
use crate::text::{clean, clean_opt};
use crate::{Error, WriteTx};

/// A milestone as a payload tells it, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilestoneIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// Its number.
    pub iid: Option<Iid>,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether work on it goes on.
    pub state: Option<MilestoneState>,
    /// When it begins.
    pub start_at: Option<UnixMs>,
    /// When it is due.
    pub due_at: Option<UnixMs>,
}

/// Writes a milestone. A new title raises `changed_seq` of what is planned for it and dirties its
/// documents.
///
/// # Errors
/// A failure of the file.
pub fn upsert_milestone(
    tx: &WriteTx<'_>,
    project: ProjectId,
    milestone: &MilestoneIn,
) -> Result<(MilestoneId, Change), Error> {
    let key = (project, milestone.native_id.clone());
    if let Some((known, id)) = tx.seen.borrow().milestones.get(&key)
        && known == milestone
    {
        return Ok((*id, Change::Unchanged));
    }
    let written = write(tx, project, milestone)?;
    let mut seen = tx.seen.borrow_mut();
    seen.milestones.insert(key, (milestone.clone(), written.0));
    Ok(written)
}

fn write(tx: &WriteTx<'_>, project: ProjectId, milestone: &MilestoneIn) -> Result<(MilestoneId, Change), Error> {
    let next = Columns::of(milestone);
    let Some(known) = find(tx, project, &milestone.native_id)? else {
        return insert(tx, project, &milestone.native_id, &next);
    };
    let state = next.state()?;
    let same_state = known
        .newest
        .as_ref()
        .is_some_and(|newest| newest.state_hash == state.hash);
    if same_state && !known.gone && !known.missing && known.columns == next {
        return Ok((known.id, Change::Unchanged));
    }
    let seq = tx.content_seq()?;
    let mut newest = known.newest.as_ref().map(|newest| newest.id);
    if !same_state || known.gone {
        let op = if known.gone {
            RevisionOp::Back
        } else {
            RevisionOp::Changed
        };
        newest = Some(revision::write(
            tx,
            subject(known.id),
            op,
            known.newest.as_ref(),
            &state,
            None,
            None,
        )?);
    }
    tx.prepare_cached(
        "UPDATE milestones SET iid = ?2, title = ?3, description = ?4, state = ?5, start_at = ?6, due_at = ?7,
             gone_at = NULL, missing_since = NULL, revision_id = ?8, changed_seq = ?9
         WHERE id = ?1",
    )?
    .execute(params![
        known.id,
        next.iid,
        next.title,
        next.description,
        next.state,
        next.start_at,
        next.due_at,
        newest,
        seq
    ])?;
    if next.title != known.columns.title {
        renamed(tx, known.id, seq)?;
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

/// Writes the complete list of a project's milestones; see
/// [`replace_labels`](super::replace_labels) for what an absent one means.
///
/// # Errors
/// A failure of the file.
pub fn replace_milestones(
    tx: &WriteTx<'_>,
    project: ProjectId,
    milestones: &[MilestoneIn],
    shape: SetShape,
) -> Result<SetChange, Error> {
    let mut counts = SetChange::default();
    let mut seen = BTreeSet::new();
    for milestone in milestones {
        let (id, change) = upsert_milestone(tx, project, milestone)?;
        counts.count(change);
        seen.insert(id);
    }
    if shape == SetShape::Unproven {
        return Ok(counts);
    }
    let absent = tx
        .prepare_cached(&format!(
            "SELECT m.id, m.missing_since IS NOT NULL, {} FROM milestones m LEFT JOIN revisions r ON r.id = m.revision_id
             WHERE m.project_id = ?1 AND m.gone_at IS NULL ORDER BY m.id",
            Newest::COLUMNS
        ))?
        .query_map(params![project.0], |row| {
            Ok((row.get::<_, MilestoneId>(0)?, row.get::<_, bool>(1)?, Newest::at(row, 2)?))
        })?
        .filter(|row| row.as_ref().map_or(true, |(id, ..)| !seen.contains(id)))
        .collect::<Result<Vec<_>, _>>()?;
    tx.seen.borrow_mut().milestones.clear();
    for (id, was_missing, newest) in absent {
        let seq = tx.content_seq()?;
        if shape == SetShape::ManyPages && !was_missing {
            tx.prepare_cached("UPDATE milestones SET missing_since = ?2, changed_seq = ?3 WHERE id = ?1")?
                .execute(params![id, tx.now().0, seq])?;
            counts.missing += 1;
            continue;
        }
        let newest = revision::write_gone(tx, subject(id), newest.as_ref())?;
        tx.prepare_cached("UPDATE milestones SET gone_at = ?2, revision_id = ?3, changed_seq = ?4 WHERE id = ?1")?
            .execute(params![id, tx.now().0, newest, seq])?;
        counts.gone += 1;
    }
    Ok(counts)
}

const fn subject(id: MilestoneId) -> Subject {
    Subject {
        kind: SubjectKind::Milestone,
        row: id.0,
    }
}

#[derive(PartialEq)]
struct Columns {
    iid: Option<i64>,
    title: String,
    description: Option<String>,
    state: Option<MilestoneState>,
    start_at: Option<i64>,
    due_at: Option<i64>,
}

impl Columns {
    fn of(milestone: &MilestoneIn) -> Self {
        Self {
            iid: milestone.iid.map(|iid| iid.0),
            title: clean(&milestone.title).into_owned(),
            description: clean_opt(milestone.description.as_deref()),
            state: milestone.state,
            start_at: milestone.start_at.map(|at| at.0),
            due_at: milestone.due_at.map(|at| at.0),
        }
    }

    fn state(&self) -> Result<State, Error> {
        State::of(&state::MilestoneState {
            description: self.description.as_deref(),
            due_at: self.due_at,
            start_at: self.start_at,
            state: self.state.map(MilestoneState::as_str),
            title: &self.title,
        })
    }
}

struct Known {
    id: MilestoneId,
    gone: bool,
    missing: bool,
    columns: Columns,
    newest: Option<Newest>,
}

fn find(tx: &WriteTx<'_>, project: ProjectId, native_id: &NativeId) -> Result<Option<Known>, Error> {
    let found = tx
        .prepare_cached(&format!(
            "SELECT m.id, m.gone_at IS NOT NULL, m.missing_since IS NOT NULL, m.iid, m.title, m.description, m.state, m.start_at, m.due_at, {}
             FROM milestones m LEFT JOIN revisions r ON r.id = m.revision_id
             WHERE m.project_id = ?1 AND m.native_id = ?2",
            Newest::COLUMNS
        ))?
        .query_row(params![project.0, clean(native_id.as_str())], |row| {
            Ok(Known {
                id: row.get(0)?,
                gone: row.get(1)?,
                missing: row.get(2)?,
                columns: Columns {
                    iid: row.get(3)?,
                    title: row.get(4)?,
                    description: row.get(5)?,
                    state: row.get(6)?,
                    start_at: row.get(7)?,
                    due_at: row.get(8)?,
                },
                newest: Newest::at(row, 9)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn insert(
    tx: &WriteTx<'_>,
    project: ProjectId,
    native_id: &NativeId,
    next: &Columns,
) -> Result<(MilestoneId, Change), Error> {
    let seq = tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO milestones (project_id, native_id, iid, title, description, state, start_at, due_at, changed_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        project.0,
        clean(native_id.as_str()),
        next.iid,
        next.title,
        next.description,
        next.state,
        next.start_at,
        next.due_at,
        seq
    ])?;
    let id = MilestoneId(tx.last_insert_rowid());
    let newest = revision::write(tx, subject(id), RevisionOp::First, None, &next.state()?, None, None)?;
    tx.prepare_cached("UPDATE milestones SET revision_id = ?2 WHERE id = ?1")?
        .execute(params![id, newest])?;
    Ok((id, Change::New))
}

fn renamed(tx: &WriteTx<'_>, milestone: MilestoneId, seq: i64) -> Result<(), Error> {
    for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
        let table = entity_table(kind);
        let sql = format!("UPDATE {table} SET changed_seq = ?2 WHERE milestone_id = ?1");
        tx.prepare_cached(&sql)?.execute(params![milestone, seq])?;
        let sql = format!(
            "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
             SELECT '{kind}', id, 'milestone_renamed', ?2 FROM {table} WHERE milestone_id = ?1 ORDER BY id"
        );
        tx.prepare_cached(&sql)?.execute(params![milestone, tx.now().0])?;
    }
    Ok(())
}
