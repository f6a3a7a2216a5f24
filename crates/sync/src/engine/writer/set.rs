//! Sets: all children of one kind under one entity, and the end of the job that fetched them.

use annals_core::{Code, EntityKind, Iid, ProjectId, RunId, UnixMs};
use annals_db::content::{self, SetChange, replace_discussions, replace_events, replace_file_changes};
use annals_db::control::check_fence;
use annals_db::ids::{EntityId, JobType};
use annals_db::work::job::{self, JobEnd};
use annals_db::work::{Job, set};
use annals_db::{Error, WriteTx};
use rusqlite::OptionalExtension;

use super::aside::{keep, settle};
use super::children::{self, Absent};
use super::gone::Departed;
use super::place::{Place, Wrote, fenced};
use super::row::{Cause, owe};
use crate::forge::{Bad, EntityRow, Row, SetAnswer, SetIn, SetKey};

/// How the transaction of a set ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWrote {
    /// What it did.
    pub wrote: Wrote,
    /// How the job ended.
    pub end: JobEnd,
}

/// Writes a set and ends its job. A set from an older fetch than the one in the file is dropped.
/// `None` is an answer that shows an older state than the file has: nothing was written, and the job
/// is still claimed.
pub fn write_set(
    tx: &WriteTx<'_>,
    place: &Place,
    claimed: &Job,
    run_id: &RunId,
    key: &SetKey,
    answer: &SetAnswer,
) -> Result<Option<SetWrote>, Error> {
    let mut is_late = false;
    let wrote = fenced(tx, place, |wrote| {
        if set::has_newer(tx, claimed.entity, claimed.job_type, answer.began_at, tx.now())? {
            return Ok(());
        }
        if let SetIn::Detail(mr) = &answer.set
            && is_older(tx, claimed, mr)?
        {
            is_late = true;
            return Ok(());
        }
        wrote.rows = u64::try_from(answer.items).unwrap_or(u64::MAX);
        let scope = set_scope(key);
        let mut bad = answer.bad.clone();
        let absent = if bad.is_empty() { Absent::Gone } else { Absent::Unknown };
        wrote.written = match &answer.set {
            SetIn::Detail(mr) => write_detail(tx, place, mr, &mut bad)?,
            children => replace_set(tx, place.project, claimed.entity, children, claimed.cause_at, absent)?,
        };
        settle(tx, place.project, &scope, &bad, wrote)?;
        let payload = answer.payload.as_ref();
        let (entity, kind) = (claimed.entity, claimed.job_type);
        set::record(
            tx,
            entity,
            kind,
            answer.began_at,
            claimed.cause_at,
            answer.items,
            payload,
        )?;
        keep(tx, place.project, &scope, answer.kept.as_ref())
    })?;
    if is_late {
        return Ok(None);
    }
    Ok(Some(SetWrote {
        wrote,
        end: job::complete(tx, claimed, run_id)?,
    }))
}

/// Makes the children of an entity those of a fetched set; how many rows that wrote. The detail of a merge request is
/// no set of children and is left alone.
pub fn replace_set(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    set: &SetIn,
    at: UnixMs,
    absent: Absent,
) -> Result<u64, Error> {
    // With an unreadable child among them a list does not prove that another one is gone.
    let shape = |shape| match absent {
        Absent::Gone => shape,
        Absent::Unknown => content::SetShape::Unproven,
    };
    Ok(match set {
        SetIn::Detail(_) => 0,
        SetIn::Discussions(discussions) => {
            let set = content::DiscussionSetIn {
                shape: shape(discussions.shape),
                ..discussions.clone()
            };
            let applied = replace_discussions(tx, project, entity, &set)?;
            written(&applied.discussions) + written(&applied.notes)
        }
        SetIn::Events(events) => {
            let set = content::EventSetIn {
                shape: shape(events.shape),
                ..events.clone()
            };
            written(&replace_events(tx, project, entity, &set)?)
        }
        SetIn::Diffs(files) => written(&replace_file_changes(tx, project, entity, files)?),
        SetIn::Commits(commits) => children::replace_commits(tx, project, entity, commits, absent, at)?,
        SetIn::Closes(targets) => children::replace_closes(tx, project, entity, targets, absent)?,
    })
}

const fn written(change: &SetChange) -> u64 {
    change.written()
}

/// The name of a set in validators and quarantine: `issue/12/discussions`.
#[must_use]
pub fn set_scope(key: &SetKey) -> String {
    format!("{}/{}/{}", key.kind, key.iid, key.job)
}

/// Takes [`set_scope`] apart.
#[must_use]
pub fn read_set_scope(scope: &str) -> Option<(EntityKind, Iid, JobType)> {
    let mut parts = scope.split('/');
    let kind = parts.next()?.parse().ok()?;
    let iid = Iid(parts.next()?.parse().ok()?);
    let job = JobType::parse(parts.next()?)?;
    parts.next().is_none().then_some((kind, iid, job))
}

/// Whether a page shows a merge request as it was before what the file has heard of it. Where one
/// of the times is not known, nobody can say.
fn is_older(tx: &WriteTx<'_>, claimed: &Job, mr: &content::MergeRequestIn) -> Result<bool, Error> {
    let known: Option<i64> = tx
        .prepare_cached("SELECT updated_at FROM merge_requests WHERE id = ?1")?
        .query_row((claimed.entity.row,), |row| row.get(0))
        .optional()?
        .flatten();
    Ok(known
        .zip(mr.entity.updated_at)
        .is_some_and(|(known, shown)| known > shown.0))
}

/// Writes a merge request from its own page.
fn write_detail(
    tx: &WriteTx<'_>,
    place: &Place,
    mr: &content::MergeRequestIn,
    bad: &mut Vec<Bad>,
) -> Result<u64, Error> {
    let applied = match content::upsert_merge_request(tx, place.project, mr) {
        Ok(applied) => applied,
        Err(error @ Error::IidConflict { .. }) => {
            bad.push(Bad {
                native_ref: mr.entity.native_id.to_string(),
                iid: Some(mr.entity.iid),
                raw: mr
                    .entity
                    .payload
                    .as_ref()
                    .map(|p| p.as_bytes().to_vec())
                    .unwrap_or_default()
                    .into(),
                code: Code::IidConflict,
                message: error.to_string(),
            });
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    let row = Row {
        native_id: mr.entity.native_id.clone(),
        iid: mr.entity.iid,
        at: mr.entity.updated_at,
        raw: bytes::Bytes::new(),
        entity: EntityRow::MergeRequest(Box::new(mr.clone())),
    };
    owe(tx, place, &row, &applied, Cause::Detail)?;
    Ok(u64::from(applied.change.is_written()))
}

/// Ends a job whose set has not changed since it was last fetched.
pub fn write_unmodified(tx: &WriteTx<'_>, place: &Place, claimed: &Job, run_id: &RunId) -> Result<SetWrote, Error> {
    check_fence(tx, &place.lock)?;
    Ok(SetWrote {
        wrote: Wrote::default(),
        end: job::complete(tx, claimed, run_id)?,
    })
}

/// Writes that the parent of a job is gone, and ends the job.
pub fn write_gone(
    tx: &WriteTx<'_>,
    place: &Place,
    claimed: &Job,
    run_id: &RunId,
    departed: &Departed,
) -> Result<SetWrote, Error> {
    let wrote = fenced(tx, place, |wrote| departed.mark(tx, claimed.entity, wrote))?;
    Ok(SetWrote {
        wrote,
        end: job::complete(tx, claimed, run_id)?,
    })
}
