//! One entity of a page, and what it makes stale.

use annals_core::{Code, EntityKind, UnixMs};
use annals_db::content::{self, EntityApplied, MrVersionIn};
use annals_db::ids::JobType;
use annals_db::work::JobIn;
use annals_db::work::job;
use annals_db::{Error, WriteTx};

use super::aside::{Aside, put_aside};
use super::place::{Place, Wrote};
use crate::forge::{Bad, EntityRow, Row, Stream};

pub(super) fn write_row(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    row: &Row,
    open: &Aside<'_>,
    wrote: &mut Wrote,
) -> Result<(), Error> {
    wrote.rows += 1;
    let (applied, has_detail) = match &row.entity {
        EntityRow::Issue(issue) => (content::upsert_issue(tx, place.project, issue), true),
        EntityRow::MergeRequest(mr) => (
            content::upsert_merge_request(tx, place.project, mr),
            mr.detail.is_some(),
        ),
    };
    let applied = match applied {
        Ok(applied) => applied,
        // The row that has the number stays; this one waits for somebody to look.
        Err(error @ Error::IidConflict { .. }) => {
            let bad = Bad {
                native_ref: row.native_id.to_string(),
                iid: Some(row.iid),
                raw: row.raw.clone(),
                code: Code::IidConflict,
                message: error.to_string(),
            };
            return put_aside(tx, place.project, stream.as_str(), &bad, wrote);
        }
        Err(error) => return Err(error),
    };
    open.resolve(tx, row.native_id.as_str())?;
    if applied.change.is_written() {
        wrote.written += 1;
        owe(
            tx,
            place,
            row,
            &applied,
            if has_detail { Cause::Whole } else { Cause::ListRow },
        )?;
    } else {
        wrote.unchanged += 1;
    }
    Ok(())
}

/// What brought the news of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A row of a list, which lacks the detail of a merge request.
    ListRow,
    /// A row or page with everything.
    Whole,
    /// The detail job itself.
    Detail,
}

/// Owes what a changed entity has made stale.
pub(super) fn owe(
    tx: &WriteTx<'_>,
    place: &Place,
    row: &Row,
    applied: &EntityApplied,
    cause: Cause,
) -> Result<(), Error> {
    let cause_at = row.at.unwrap_or(UnixMs(0));
    let enqueue = |job_type| {
        job::enqueue(
            tx,
            &JobIn {
                project: place.project,
                entity: applied.id,
                iid: row.iid,
                job_type,
                cause_at,
                scope: None,
            },
        )
    };
    let is_mr = applied.id.kind == EntityKind::MergeRequest;
    if is_mr && cause == Cause::ListRow && (applied.updated_at_moved || applied.detail_owed) {
        enqueue(JobType::Detail)?;
    }
    if applied.updated_at_moved {
        enqueue(JobType::Discussions)?;
        // Owed also by a run that leaves events out: a later one fetches them.
        enqueue(JobType::Events)?;
    }
    if let EntityRow::MergeRequest(mr) = &row.entity {
        record_version(tx, mr, row.at, applied)?;
        if applied.heads_moved && mr.head_oid.is_some() {
            enqueue(JobType::Diffs)?;
            enqueue(JobType::Commits)?;
        }
        let revised = applied.change.is_revised() && cause != Cause::Detail;
        if revised || (cause == Cause::Detail && applied.updated_at_moved) {
            enqueue(JobType::Closes)?;
        }
    }
    Ok(())
}

/// Records the state that a merge request was pushed to, where there is news of it.
pub fn record_version(
    tx: &WriteTx<'_>,
    mr: &content::MergeRequestIn,
    seen_at: Option<UnixMs>,
    applied: &EntityApplied,
) -> Result<(), Error> {
    let detail = mr.detail.as_ref();
    let Some(head) = mr.head_oid.as_ref().filter(|_| applied.heads_moved || detail.is_some()) else {
        return Ok(());
    };
    let version = MrVersionIn {
        head_oid: head.clone(),
        base_oid: detail.and_then(|d| d.base_oid.clone()),
        start_oid: detail.and_then(|d| d.start_oid.clone()),
        seen_at,
    };
    content::record_mr_version(tx, applied.id, &version).map(|_| ())
}
