//! The transactions of the engine: each is one synchronous function, whole or not at all.
//!
//! Every one begins with the fence, so a run whose lock was taken over writes nothing more. The
//! order inside is that of the specification: entities with all they name, revisions and dirty
//! rows, jobs, cursor, validators.

use std::collections::BTreeSet;

use annals_core::{Code, EntityKind, Iid, ProjectId, RunId, UnixMs};
use annals_db::content::{
    self, Change, EntityApplied, MrVersionIn, Payload, SetChange, replace_discussions, replace_events,
    replace_file_changes, replace_labels, replace_milestones,
};
use annals_db::control::{Lock, check_fence};
use annals_db::ids::{EntityId, GoneReason, JobType, Pass};
use annals_db::work::job::{self, JobEnd};
use annals_db::work::quarantine::{self, QuarantineIn};
use annals_db::work::validator::{self, StoredValidators};
use annals_db::work::{CursorPoint, Job, JobIn, cursor, set};
use annals_db::{Error, WriteTx};
use rusqlite::OptionalExtension;

use super::sets;
use crate::forge::{Bad, CatalogueRows, EntityRow, Kept, Row, SetAnswer, SetIn, SetKey, Stream};

/// A page is cut into transactions of at most so many bytes.
pub const MAX_PART_BYTES: usize = 8 * 1024 * 1024;

/// Whether resource events are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// They are.
    Mirror,
    /// They are left out.
    Leave,
}

/// Where and for whom a transaction writes.
#[derive(Debug, Clone)]
pub struct Place {
    /// The project.
    pub project: ProjectId,
    /// The proof that it may.
    pub lock: Lock,
    /// Whether events are owed.
    pub events: Events,
}

/// What one transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrote {
    /// Rows that were there.
    pub rows: u64,
    /// Rows that were written.
    pub written: u64,
    /// Rows that were as they are.
    pub unchanged: u64,
    /// Items put aside, or still aside.
    pub quarantined: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Where the cursor is now.
    pub cursor: Option<CursorPoint>,
    /// Items put aside that were not known before, for one warning each.
    pub news: Vec<(String, Code)>,
}

impl Wrote {
    /// Adds what another transaction did after this one.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.written += other.written;
        self.unchanged += other.unchanged;
        self.quarantined += other.quarantined;
        self.revisions += other.revisions;
        self.cursor = other.cursor.or(self.cursor.take());
        self.news.extend(other.news);
    }
}

/// Runs `f` behind the fence and counts the revisions it wrote.
fn fenced(tx: &WriteTx<'_>, place: &Place, f: impl FnOnce(&mut Wrote) -> Result<(), Error>) -> Result<Wrote, Error> {
    check_fence(tx, &place.lock)?;
    let before = last_revision(tx)?;
    let mut wrote = Wrote::default();
    f(&mut wrote)?;
    wrote.revisions = last_revision(tx)?.saturating_sub(before);
    Ok(wrote)
}

/// Revision numbers are given out once, so their difference is their count.
fn last_revision(tx: &WriteTx<'_>) -> Result<u64, Error> {
    let seq: Option<i64> = tx
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'revisions'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or_default().unsigned_abs())
}

/// A part of a page: rows in the order of the cursor, and what goes with the first or last part.
#[derive(Debug, Default)]
pub struct PagePart {
    /// Rows.
    pub rows: Vec<Row>,
    /// Items to put aside.
    pub bad: Vec<Bad>,
    /// Validators of the whole page.
    pub kept: Option<Kept>,
}

/// Cuts a page into parts. Rows come in the order of the cursor; those without a trusted time come
/// first, together with the items to put aside: were they last, a kill between two parts could
/// leave them behind a cursor that has passed them.
pub fn parts(mut rows: Vec<Row>, bad: Vec<Bad>, kept: Option<Kept>) -> Vec<PagePart> {
    rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.native_id.tie_order(&b.native_id)));
    let mut parts = vec![PagePart {
        rows: Vec::new(),
        bad,
        kept: None,
    }];
    let mut bytes = 0;
    for row in rows {
        if bytes > 0 && bytes + row.raw.len() > MAX_PART_BYTES {
            parts.push(PagePart::default());
            bytes = 0;
        }
        bytes += row.raw.len();
        if let Some(part) = parts.last_mut() {
            part.rows.push(row);
        }
    }
    if let Some(part) = parts.last_mut() {
        part.kept = kept;
    }
    parts
}

/// Writes a part of a page. The cursor follows the last row whose time can be trusted and is not
/// ahead of `horizon`, the forge's own clock.
pub fn write_page(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    part: &PagePart,
    horizon: UnixMs,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let open = open_quarantine(tx, place.project, stream.as_str())?;
        let mut to = None;
        for row in &part.rows {
            write_row(tx, place, stream, row, &open, wrote)?;
            if let Some(at) = row.at.filter(|at| *at <= horizon) {
                to = Some(CursorPoint {
                    at,
                    tie_id: row.native_id.clone(),
                });
            }
        }
        for bad in &part.bad {
            wrote.rows += 1;
            put_aside(tx, place.project, stream.as_str(), bad, wrote)?;
        }
        cursor::advance(
            tx,
            place.project,
            stream.as_str(),
            Pass::Incremental,
            to.as_ref(),
            wrote.written,
        )?;
        keep(tx, place.project, stream.as_str(), part.kept.as_ref())?;
        wrote.cursor = cursor::get(tx, place.project, stream.as_str(), Pass::Incremental)?.and_then(|c| c.point);
        Ok(())
    })
}

/// Writes an entity that was fetched alone because its row could not be read before.
pub fn write_single(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    native_ref: &str,
    row: &Row,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let open = BTreeSet::from([native_ref.to_owned()]);
        write_row(tx, place, stream, row, &open, wrote)?;
        if wrote.quarantined == 0 {
            quarantine::resolve(tx, place.project, stream.as_str(), native_ref)?;
        } else {
            quarantine::count_attempt(tx, place.project, stream.as_str(), native_ref)?;
        }
        Ok(())
    })
}

/// Writes the rows around an item that had no number. Where none of them is bad any more, the item
/// is among them. The cursor stays: it has passed them long ago.
pub fn write_around(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    native_ref: &str,
    rows: &[Row],
    found: Found,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let open = BTreeSet::new();
        for row in rows {
            write_row(tx, place, stream, row, &open, wrote)?;
        }
        match found {
            Found::Unreadable => quarantine::count_attempt(tx, place.project, stream.as_str(), native_ref),
            Found::Readable => quarantine::resolve(tx, place.project, stream.as_str(), native_ref).map(|_| ()),
        }
    })
}

/// What became of an item that had no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is still there as it was.
    Unreadable,
    /// Everything around its place can be read.
    Readable,
}

/// Counts a single fetch that did not help.
pub fn count_attempt(tx: &WriteTx<'_>, place: &Place, stream: &str, native_ref: &str) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    quarantine::count_attempt(tx, place.project, stream, native_ref)
}

fn write_row(
    tx: &WriteTx<'_>,
    place: &Place,
    stream: Stream,
    row: &Row,
    open: &BTreeSet<String>,
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
    if open.contains(row.native_id.as_str()) {
        quarantine::resolve(tx, place.project, stream.as_str(), row.native_id.as_str())?;
    }
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
enum Cause {
    /// A row of a list, which lacks the detail of a merge request.
    ListRow,
    /// A row or page with everything.
    Whole,
    /// The detail job itself.
    Detail,
}

/// Owes what a changed entity has made stale.
fn owe(tx: &WriteTx<'_>, place: &Place, row: &Row, applied: &EntityApplied, cause: Cause) -> Result<(), Error> {
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
        if place.events == Events::Mirror {
            enqueue(JobType::Events)?;
        }
    }
    if let EntityRow::MergeRequest(mr) = &row.entity {
        let detail = mr.detail.as_ref();
        if let Some(head) = mr.head_oid.as_ref().filter(|_| applied.heads_moved || detail.is_some()) {
            let version = MrVersionIn {
                head_oid: head.clone(),
                base_oid: detail.and_then(|d| d.base_oid.clone()),
                start_oid: detail.and_then(|d| d.start_oid.clone()),
                seen_at: row.at,
            };
            content::record_mr_version(tx, applied.id, &version)?;
        }
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

/// The items of a stream that are aside now; usually none.
fn open_quarantine(tx: &WriteTx<'_>, project: ProjectId, stream: &str) -> Result<BTreeSet<String>, Error> {
    let mut select = tx.prepare_cached(
        "SELECT native_ref FROM quarantine WHERE project_id = ?1 AND stream = ?2 AND resolved_at IS NULL",
    )?;
    let refs = select.query_map((project.0, stream), |row| row.get(0))?;
    Ok(refs.collect::<Result<_, _>>()?)
}

fn put_aside(tx: &WriteTx<'_>, project: ProjectId, stream: &str, bad: &Bad, wrote: &mut Wrote) -> Result<(), Error> {
    let item = QuarantineIn {
        project,
        stream: stream.to_owned(),
        native_ref: bad.native_ref.clone(),
        payload: Payload::raw(bad.raw.to_vec()),
        code: bad.code,
        message: bad.message.clone(),
    };
    wrote.quarantined += 1;
    if quarantine::put(tx, &item)? == Change::New {
        wrote.news.push((format!("{stream} {}", bad.native_ref), bad.code));
    }
    Ok(())
}

/// Keeps validators, writing only what is new.
fn keep(tx: &WriteTx<'_>, project: ProjectId, scope: &str, kept: Option<&Kept>) -> Result<(), Error> {
    let Some(kept) = kept else { return Ok(()) };
    let next = StoredValidators {
        etag: kept.validators.etag.clone(),
        last_modified: kept.validators.last_modified.clone(),
    };
    let known = validator::get(tx, project, scope, &kept.request)?.unwrap_or_default();
    if known == next {
        Ok(())
    } else {
        validator::put(tx, project, scope, &kept.request, &next)
    }
}

/// Writes the project's own row.
pub fn write_project(
    tx: &WriteTx<'_>,
    place: &Place,
    forge: annals_db::ids::ForgeId,
    project: &content::ProjectIn,
    kept: Option<&Kept>,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        let (_, change) = content::upsert_project(tx, forge, project)?;
        wrote.written += u64::from(change.is_written());
        keep(tx, place.project, PROJECT_SCOPE, kept)
    })
}

/// The validator scope of a project's own payload.
pub const PROJECT_SCOPE: &str = "project";

/// Writes a whole catalogue.
pub fn write_catalogue(
    tx: &WriteTx<'_>,
    place: &Place,
    scope: &str,
    rows: &CatalogueRows,
    shape: content::SetShape,
    bad: &[Bad],
    kept: Option<&Kept>,
) -> Result<Wrote, Error> {
    fenced(tx, place, |wrote| {
        // With an unreadable row among them the list does not prove that a row is gone.
        let shape = if bad.is_empty() {
            shape
        } else {
            content::SetShape::ManyPages
        };
        let change = match rows {
            CatalogueRows::Labels(labels) => replace_labels(tx, place.project, labels, shape)?,
            CatalogueRows::Milestones(milestones) => replace_milestones(tx, place.project, milestones, shape)?,
        };
        wrote.written += change.written();
        settle(tx, place.project, scope, bad, wrote)?;
        keep(tx, place.project, scope, kept)
    })
}

/// Puts aside what cannot be read in a list that came whole, and takes out what is no longer bad.
fn settle(tx: &WriteTx<'_>, project: ProjectId, scope: &str, bad: &[Bad], wrote: &mut Wrote) -> Result<(), Error> {
    let mut open = open_quarantine(tx, project, scope)?;
    for one in bad {
        open.remove(&one.native_ref);
        put_aside(tx, project, scope, one, wrote)?;
    }
    for native_ref in open {
        quarantine::resolve(tx, project, scope, &native_ref)?;
    }
    Ok(())
}

/// How the transaction of a set ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWrote {
    /// What it did.
    pub wrote: Wrote,
    /// How the job ended.
    pub end: JobEnd,
}

/// Writes a set and ends its job. A set from an older fetch than the one in the file is dropped.
pub fn write_set(
    tx: &WriteTx<'_>,
    place: &Place,
    claimed: &Job,
    run_id: &RunId,
    key: &SetKey,
    answer: &SetAnswer,
) -> Result<SetWrote, Error> {
    let wrote = fenced(tx, place, |wrote| {
        if set::has_newer(tx, claimed.entity, claimed.job_type, answer.began_at)? {
            return Ok(());
        }
        wrote.rows = u64::try_from(answer.items).unwrap_or(u64::MAX);
        let scope = set_scope(key);
        let mut bad = answer.bad.clone();
        wrote.written = match &answer.set {
            SetIn::Detail(mr) => write_detail(tx, place, claimed, mr, &mut bad)?,
            SetIn::Discussions(discussions) => {
                // With an unreadable child among them the list does not prove that a child is gone.
                let shape = if bad.is_empty() {
                    discussions.shape
                } else {
                    content::SetShape::ManyPages
                };
                let set = content::DiscussionSetIn {
                    shape,
                    ..discussions.clone()
                };
                let applied = replace_discussions(tx, place.project, claimed.entity, &set)?;
                written(&applied.discussions) + written(&applied.notes)
            }
            SetIn::Events(events) => {
                let shape = if bad.is_empty() {
                    events.shape
                } else {
                    content::SetShape::ManyPages
                };
                let set = content::EventSetIn {
                    shape,
                    ..events.clone()
                };
                written(&replace_events(tx, place.project, claimed.entity, &set)?)
            }
            SetIn::Diffs(files) => written(&replace_file_changes(tx, place.project, claimed.entity, files)?),
            SetIn::Commits(commits) => {
                sets::replace_commits(tx, place.project, claimed.entity, commits, claimed.cause_at)?
            }
            SetIn::Closes(targets) => sets::replace_closes(tx, place.project, claimed.entity, targets)?,
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
    Ok(SetWrote {
        wrote,
        end: job::complete(tx, claimed, run_id)?,
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

/// Writes a merge request from its own page, unless the file has heard of a later state of it.
fn write_detail(
    tx: &WriteTx<'_>,
    place: &Place,
    claimed: &Job,
    mr: &content::MergeRequestIn,
    bad: &mut Vec<Bad>,
) -> Result<u64, Error> {
    let known: Option<i64> = tx
        .prepare_cached("SELECT updated_at FROM merge_requests WHERE id = ?1")?
        .query_row((claimed.entity.row,), |row| row.get(0))
        .optional()?
        .flatten();
    if known > mr.entity.updated_at.map(|at| at.0) {
        return Ok(0);
    }
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
    reason: GoneReason,
) -> Result<SetWrote, Error> {
    let wrote = fenced(tx, place, |wrote| {
        let change = content::mark_entity_gone(tx, claimed.entity, reason)?;
        wrote.written += u64::from(change.is_written());
        Ok(())
    })?;
    Ok(SetWrote {
        wrote,
        end: job::complete(tx, claimed, run_id)?,
    })
}

/// The head of a merge request as the file knows it.
pub fn head_of(tx: &WriteTx<'_>, entity: EntityId) -> Result<Option<annals_core::Oid>, Error> {
    if entity.kind != EntityKind::MergeRequest {
        return Ok(None);
    }
    let head: Option<String> = tx
        .prepare_cached("SELECT head_oid FROM merge_requests WHERE id = ?1")?
        .query_row((entity.row,), |row| row.get(0))
        .optional()?
        .flatten();
    Ok(head.and_then(|head| head.parse().ok()))
}

/// The row of an entity, by its number, and when it was updated.
pub fn entity_at(
    tx: &WriteTx<'_>,
    project: ProjectId,
    kind: EntityKind,
    iid: Iid,
) -> Result<Option<(EntityId, UnixMs)>, Error> {
    let (sql, make): (_, fn(i64) -> EntityId) = match kind {
        EntityKind::Issue => (
            "SELECT id, updated_at FROM issues WHERE project_id = ?1 AND iid = ?2",
            EntityId::issue,
        ),
        EntityKind::MergeRequest => (
            "SELECT id, updated_at FROM merge_requests WHERE project_id = ?1 AND iid = ?2",
            EntityId::merge_request,
        ),
    };
    let row: Option<(i64, Option<i64>)> = tx
        .prepare_cached(sql)?
        .query_row((project.0, iid.0), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.map(|(row, at)| (make(row), UnixMs(at.unwrap_or_default()))))
}

/// Gives the lock back, and with it the claims that this run leaves open in the project.
pub fn let_go(tx: &WriteTx<'_>, place: &Place) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE dependent_jobs SET status = 'pending', claimed_by = NULL, claimed_at = NULL, updated_at = ?3
         WHERE status = 'claimed' AND claimed_by = ?1 AND project_id = ?2 AND scope_run_id IS NULL",
    )?
    .execute((place.lock.run_id.as_str(), place.project.0, tx.now().0))?;
    annals_db::control::lock::release(tx, &place.lock)
}

/// Makes every waiting job of a project due: whoever asks in person is not told to come back later.
pub fn make_due(tx: &WriteTx<'_>, place: &Place) -> Result<(), Error> {
    check_fence(tx, &place.lock)?;
    tx.prepare_cached(
        "UPDATE dependent_jobs SET not_before = 0 WHERE project_id = ?1 AND status = 'pending' AND not_before > 0",
    )?
    .execute((place.project.0,))?;
    Ok(())
}
