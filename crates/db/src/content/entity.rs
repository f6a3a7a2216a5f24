//! Issues and merge requests: one page row becomes one entity, its links and at most one revision.

use std::collections::BTreeSet;

use annals_core::{EntityKind, Iid, NativeId, Oid, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::blob::Payload;
use super::entity_links::Links;
use super::entity_row::{self, Columns, Known, MrColumns};
use super::revision::{self, Newest, Subject};
use super::state::{IssueState, MergeRequestState, ReviewerState, State};
use super::user::{name_or_ghost, user_opt, user_or_ghost};
use super::{Change, LabelIn, MilestoneIn, UserIn, upsert_label, upsert_milestone, upsert_user};
use crate::ids::{Detail, EntityId, Files, GoneReason, RevisionOp, entity_table};
use crate::text::{Cut, clean, clean_long, clean_opt};
use crate::work::dirty;
use crate::{Error, WriteTx};

/// Bits of the column `flags`.
pub mod flag {
    /// A time of the payload cannot be right; the payload keeps it as it was sent.
    pub const TIME_SUSPECT: i64 = 1;
    /// The text is cut; the payload has all of it.
    pub const BODY_TRUNCATED: i64 = 2;
}

/// What issues and merge requests have in common, as a payload tells it.
#[derive(Debug, Clone)]
pub struct EntityIn {
    /// The forge's own id.
    pub native_id: NativeId,
    /// Its number in the project.
    pub iid: Iid,
    /// Its title.
    pub title: String,
    /// Its description; empty where there is none.
    pub body: String,
    /// Open, closed, merged.
    pub state: crate::ids::State,
    /// Why it is closed, in the forge's word.
    pub state_reason: Option<String>,
    /// Incident, task and the like, in the forge's word.
    pub issue_type: Option<String>,
    /// Whether only members may see it.
    pub confidential: bool,
    /// Whether its discussion is closed.
    pub locked: bool,
    /// Who wrote it; `None` is the ghost.
    pub author: Option<UserIn>,
    /// What it is planned for.
    pub milestone: Option<MilestoneIn>,
    /// Who closed it.
    pub closed_by: Option<UserIn>,
    /// Its labels, all of them.
    pub labels: Vec<LabelIn>,
    /// Who it is assigned to, all of them.
    pub assignees: Vec<UserIn>,
    /// When it was written.
    pub created_at: Option<UnixMs>,
    /// When it last changed; `None` where that cannot be trusted.
    pub updated_at: Option<UnixMs>,
    /// When it was closed.
    pub closed_at: Option<UnixMs>,
    /// When it is due.
    pub due_at: Option<UnixMs>,
    /// Its page.
    pub web_url: Option<String>,
    /// Where it went, if it did.
    pub moved_to: Option<String>,
    /// Bits of [`flag`] that the projection sets.
    pub flags: i64,
    /// What the forge sent.
    pub payload: Option<Payload>,
}

/// An issue is an entity and nothing more.
pub type IssueIn = EntityIn;

/// A merge request as a payload tells it.
#[derive(Debug, Clone)]
pub struct MergeRequestIn {
    /// What it shares with issues.
    pub entity: EntityIn,
    /// Whether its author says it is not ready.
    pub draft: bool,
    /// Where it comes from.
    pub source_branch: Option<String>,
    /// Where it goes.
    pub target_branch: Option<String>,
    /// The project it comes from, by native id or path.
    pub source_project: Option<String>,
    /// Its newest commit.
    pub head_oid: Option<Oid>,
    /// The commit that merged it.
    pub merge_commit_oid: Option<Oid>,
    /// The commit it was squashed to.
    pub squash_oid: Option<Oid>,
    /// When it was merged.
    pub merged_at: Option<UnixMs>,
    /// Who merged it.
    pub merged_by: Option<UserIn>,
    /// Who was asked to review it, all of them.
    pub reviewers: Vec<ReviewerIn>,
    /// What its list row lacks; `None` if this payload is a list row.
    pub detail: Option<MrDetailIn>,
}

/// Somebody asked to review a merge request.
#[derive(Debug, Clone)]
pub struct ReviewerIn {
    /// Who.
    pub user: UserIn,
    /// What became of it, in the forge's word.
    pub state: Option<String>,
}

/// The parts of a merge request outside its list row.
#[derive(Debug, Clone, Default)]
pub struct MrDetailIn {
    /// The commit its diff is against.
    pub base_oid: Option<Oid>,
    /// Where its branch began when the diff was made.
    pub start_oid: Option<Oid>,
}

/// What writing an entity did, and what that means for the jobs it owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityApplied {
    /// Its row.
    pub id: EntityId,
    /// What was written.
    pub change: Change,
    /// Whether `updated_at` moved, or it is new: its discussions and events may have.
    pub updated_at_moved: bool,
    /// Whether head or base moved, or it is new with a head: its files and commits did.
    pub heads_moved: bool,
    /// Whether a merge request still lacks its detail parts.
    pub detail_owed: bool,
}

/// Writes an issue with its links.
///
/// # Errors
/// [`Error::IidConflict`] if another native id has the number; nothing is written then.
pub fn upsert_issue(tx: &WriteTx<'_>, project: ProjectId, issue: &IssueIn) -> Result<EntityApplied, Error> {
    Upsert {
        tx,
        project,
        kind: EntityKind::Issue,
        entity: issue,
        mr: None,
    }
    .run()
}

/// Writes a merge request with its links.
///
/// # Errors
/// [`Error::IidConflict`] if another native id has the number; nothing is written then.
pub fn upsert_merge_request(tx: &WriteTx<'_>, project: ProjectId, mr: &MergeRequestIn) -> Result<EntityApplied, Error> {
    Upsert {
        tx,
        project,
        kind: EntityKind::MergeRequest,
        entity: &mr.entity,
        mr: Some(mr),
    }
    .run()
}

/// Writes that an entity is no longer readable at the forge. Everything about it stays; a later
/// upsert brings it back.
///
/// # Errors
/// [`Error::NotFound`] if there is no such row.
pub fn mark_entity_gone(tx: &WriteTx<'_>, entity: EntityId, reason: GoneReason) -> Result<Change, Error> {
    mark_gone(tx, entity, reason, None)
}

/// Writes that an entity is now one of another project, and where: a path with number, or an address.
///
/// # Errors
/// [`Error::NotFound`] if there is no such row.
pub fn mark_entity_moved(tx: &WriteTx<'_>, entity: EntityId, target: &str) -> Result<Change, Error> {
    mark_gone(tx, entity, GoneReason::Moved, Some(&clean(target)))
}

fn mark_gone(tx: &WriteTx<'_>, entity: EntityId, reason: GoneReason, moved_to: Option<&str>) -> Result<Change, Error> {
    let table = entity_table(entity.kind);
    let (known, newest) = tx
        .prepare_cached(&format!(
            "SELECT e.gone_reason, e.moved_to, {} FROM {table} e LEFT JOIN revisions r ON r.id = e.revision_id WHERE e.id = ?1",
            Newest::COLUMNS
        ))?
        .query_row(params![entity.row], |row| {
            let before = (row.get::<_, Option<GoneReason>>(0)?, row.get::<_, Option<String>>(1)?);
            Ok((before, Newest::at(row, 2)?))
        })
        .optional()?
        .ok_or_else(|| Error::missing(format!("{} row {}", entity.kind, entity.row)))?;
    let (known, target) = known;
    if known == Some(reason) && (moved_to.is_none() || moved_to == target.as_deref()) {
        return Ok(Change::Unchanged);
    }
    let seq = tx.content_seq()?;
    let mut revision = newest.as_ref().map(|newest| newest.id);
    if known.is_none() {
        revision = Some(revision::write_gone(tx, subject(entity), newest.as_ref())?);
    }
    let sql = format!(
        "UPDATE {table} SET gone_at = coalesce(gone_at, ?2), gone_reason = ?3, revision_id = ?4, changed_seq = ?5,
             moved_to = coalesce(?6, moved_to)
         WHERE id = ?1"
    );
    tx.prepare_cached(&sql)?
        .execute(params![entity.row, tx.now().0, reason, revision, seq, moved_to])?;
    dirty::mark(tx, entity.kind.into(), entity.row, "gone")?;
    dirty::mark_discussions_of(tx, entity, "gone")?;
    Ok(Change::Changed)
}

fn subject(entity: EntityId) -> Subject {
    Subject {
        kind: entity.kind.into(),
        row: entity.row,
    }
}

struct Upsert<'a, 'c> {
    tx: &'a WriteTx<'c>,
    project: ProjectId,
    kind: EntityKind,
    entity: &'a EntityIn,
    mr: Option<&'a MergeRequestIn>,
}

impl Upsert<'_, '_> {
    fn run(&self) -> Result<EntityApplied, Error> {
        let known = entity_row::find(self.tx, self.kind, self.project, &self.entity.native_id)?;
        self.refuse_taken_iid(known.as_ref())?;
        let links = self.links()?;
        let next = self.columns()?;
        let mr = self
            .mr
            .map(|mr| self.mr_columns(mr, known.as_ref().and_then(|known| known.mr.as_ref())))
            .transpose()?;
        let state = self.state(&next, mr.as_ref())?;
        match known {
            None => self.insert(&next, mr.as_ref(), &links, &state),
            Some(known) => self.update(&known, &next, mr.as_ref(), &links, &state),
        }
    }

    /// Two native ids must not share a number. Checked before anything is written.
    fn refuse_taken_iid(&self, known: Option<&Known>) -> Result<(), Error> {
        if known.is_some_and(|known| known.columns.iid == self.entity.iid.0) {
            return Ok(());
        }
        let sql = format!(
            "SELECT native_id FROM {} WHERE project_id = ?1 AND iid = ?2",
            entity_table(self.kind)
        );
        let owner: Option<String> = self
            .tx
            .prepare_cached(&sql)?
            .query_row(params![self.project.0, self.entity.iid.0], |row| row.get(0))
            .optional()?;
        owner.map_or(Ok(()), |known| {
            Err(Error::IidConflict {
                iid: self.entity.iid,
                known,
                claimed: self.entity.native_id.0.clone(),
            })
        })
    }

    fn links(&self) -> Result<Links, Error> {
        let forge = self.tx.forge_of(self.project)?;
        let mut links = Links::default();
        for label in &self.entity.labels {
            links.labels.insert(upsert_label(self.tx, self.project, label)?.0);
        }
        for user in &self.entity.assignees {
            links.assignees.insert(upsert_user(self.tx, forge, user)?.0);
        }
        for reviewer in self.mr.iter().flat_map(|mr| &mr.reviewers) {
            let id = upsert_user(self.tx, forge, &reviewer.user)?.0;
            links.reviewers.insert(id, clean_opt(reviewer.state.as_deref()));
        }
        Ok(links)
    }

    fn columns(&self) -> Result<Columns, Error> {
        let entity = self.entity;
        let forge = self.tx.forge_of(self.project)?;
        let (body, cut) = clean_long(&entity.body);
        let (title, _) = clean_long(&entity.title);
        let milestone = entity.milestone.as_ref();
        let milestone = milestone
            .map(|milestone| upsert_milestone(self.tx, self.project, milestone))
            .transpose()?;
        Ok(Columns {
            iid: entity.iid.0,
            title: title.into_owned(),
            body: body.into_owned(),
            state: entity.state,
            state_reason: clean_opt(entity.state_reason.as_deref()),
            issue_type: clean_opt(entity.issue_type.as_deref()),
            confidential: entity.confidential,
            locked: entity.locked,
            author_id: user_or_ghost(self.tx, forge, entity.author.as_ref())?,
            milestone_id: milestone.map(|(id, _)| id),
            closed_by_id: user_opt(self.tx, forge, entity.closed_by.as_ref())?,
            created_at: ms(entity.created_at),
            updated_at: ms(entity.updated_at),
            closed_at: ms(entity.closed_at),
            due_at: ms(entity.due_at),
            web_url: clean_opt(entity.web_url.as_deref()),
            moved_to: clean_opt(entity.moved_to.as_deref()),
            flags: entity.flags | if cut == Cut::Truncated { flag::BODY_TRUNCATED } else { 0 },
        })
    }

    /// A list row says nothing about base and start: what the last detail said stays, and is owed
    /// again once the head has moved.
    fn mr_columns(&self, mr: &MergeRequestIn, known: Option<&MrColumns>) -> Result<MrColumns, Error> {
        let forge = self.tx.forge_of(self.project)?;
        let head_oid = oid(mr.head_oid.as_ref());
        let same_head = known.is_some_and(|known| known.head_oid == head_oid);
        let (detail, base_oid, start_oid) = match (&mr.detail, known) {
            (Some(detail), _) => (
                Detail::Complete,
                oid(detail.base_oid.as_ref()),
                oid(detail.start_oid.as_ref()),
            ),
            (None, Some(known)) => {
                let detail = if same_head { known.detail } else { Detail::Pending };
                (detail, known.base_oid.clone(), known.start_oid.clone())
            }
            (None, None) => (Detail::Pending, None, None),
        };
        let mut next = MrColumns {
            draft: mr.draft,
            source_branch: clean_opt(mr.source_branch.as_deref()),
            target_branch: clean_opt(mr.target_branch.as_deref()),
            source_project: clean_opt(mr.source_project.as_deref()),
            head_oid,
            base_oid,
            start_oid,
            merge_commit_oid: oid(mr.merge_commit_oid.as_ref()),
            squash_oid: oid(mr.squash_oid.as_ref()),
            merged_at: ms(mr.merged_at),
            merged_by_id: user_opt(self.tx, forge, mr.merged_by.as_ref())?,
            detail,
            files: known.map_or(Files::None, |known| known.files),
        };
        if next.head_oid.is_none() {
            next.files = Files::None;
        } else if heads_moved(known, &next) {
            next.files = Files::Pending;
        }
        Ok(next)
    }

    fn state(&self, next: &Columns, mr: Option<&MrColumns>) -> Result<State, Error> {
        let entity = self.entity;
        let author = clean(name_or_ghost(entity.author.as_ref()));
        let assignees = names(entity.assignees.iter().map(|user| user.username.as_str()));
        let labels = names(entity.labels.iter().map(|label| label.name.as_str()));
        let milestone = entity.milestone.as_ref().map(|milestone| milestone.title.as_str());
        let (Some(columns), Some(mr)) = (mr, self.mr) else {
            return State::of(&IssueState {
                assignees,
                author: &author,
                body: &next.body,
                confidential: next.confidential,
                due_at: next.due_at,
                issue_type: next.issue_type.as_deref(),
                labels,
                locked: next.locked,
                milestone,
                state: next.state.as_str(),
                state_reason: next.state_reason.as_deref(),
                title: &next.title,
            });
        };
        let mut reviewers: Vec<_> = mr
            .reviewers
            .iter()
            .map(|reviewer| ReviewerState {
                name: &reviewer.user.username,
                state: reviewer.state.as_deref(),
            })
            .collect();
        reviewers.sort_unstable();
        State::of(&MergeRequestState {
            assignees,
            author: &author,
            base_oid: columns.base_oid.as_deref(),
            body: &next.body,
            confidential: next.confidential,
            draft: columns.draft,
            due_at: next.due_at,
            head_oid: columns.head_oid.as_deref(),
            issue_type: next.issue_type.as_deref(),
            labels,
            locked: next.locked,
            merge_commit_oid: columns.merge_commit_oid.as_deref(),
            merged_at: columns.merged_at,
            merged_by: mr.merged_by.as_ref().map(|user| user.username.as_str()),
            milestone,
            reviewers,
            source_branch: columns.source_branch.as_deref(),
            source_project: columns.source_project.as_deref(),
            squash_oid: columns.squash_oid.as_deref(),
            start_oid: columns.start_oid.as_deref(),
            state: next.state.as_str(),
            state_reason: next.state_reason.as_deref(),
            target_branch: columns.target_branch.as_deref(),
            title: &next.title,
        })
    }

    fn insert(
        &self,
        next: &Columns,
        mr: Option<&MrColumns>,
        links: &Links,
        state: &State,
    ) -> Result<EntityApplied, Error> {
        let seq = self.tx.content_seq()?;
        let row = entity_row::insert(self.tx, self.project, &self.entity.native_id, next, mr, seq)?;
        let id = EntityId { kind: self.kind, row };
        links.add(self.tx, id)?;
        let revision = revision::write(
            self.tx,
            subject(id),
            RevisionOp::First,
            None,
            state,
            self.entity.updated_at,
            self.entity.payload.as_ref(),
        )?;
        entity_row::set_revision(self.tx, id, revision)?;
        dirty::mark(self.tx, self.kind.into(), row, Change::New.reason())?;
        Ok(EntityApplied {
            id,
            change: Change::New,
            updated_at_moved: true,
            heads_moved: mr.is_some_and(|mr| mr.head_oid.is_some()),
            detail_owed: mr.is_some_and(|mr| mr.detail == Detail::Pending),
        })
    }

    fn update(
        &self,
        known: &Known,
        next: &Columns,
        mr: Option<&MrColumns>,
        links: &Links,
        state: &State,
    ) -> Result<EntityApplied, Error> {
        let id = EntityId {
            kind: self.kind,
            row: known.row,
        };
        let same_state = known
            .newest
            .as_ref()
            .is_some_and(|newest| newest.state_hash == state.hash);
        let same_links = Links::read(self.tx, id)? == *links;
        let same_columns = known.columns == *next && known.mr.as_ref() == mr;
        let updated_at_moved = known.columns.updated_at != next.updated_at;
        let mut applied = EntityApplied {
            id,
            change: Change::Unchanged,
            updated_at_moved,
            heads_moved: mr.is_some_and(|mr| heads_moved(known.mr.as_ref(), mr)),
            detail_owed: mr.is_some_and(|mr| mr.detail == Detail::Pending),
        };
        if same_state && same_links && same_columns && !known.gone {
            return Ok(applied);
        }
        let seq = self.tx.content_seq()?;
        let mut revision = known.newest.as_ref().map(|newest| newest.id);
        applied.change = Change::Touched;
        if !same_state || known.gone {
            applied.change = Change::Changed;
            let op = if known.gone {
                RevisionOp::Back
            } else {
                RevisionOp::Changed
            };
            let forge_time = self.entity.updated_at.filter(|_| updated_at_moved);
            let payload = self.entity.payload.as_ref();
            revision = Some(revision::write(
                self.tx,
                subject(id),
                op,
                known.newest.as_ref(),
                state,
                forge_time,
                payload,
            )?);
        }
        entity_row::update(self.tx, id, next, mr, revision, seq)?;
        if !same_links {
            links.replace(self.tx, id)?;
        }
        dirty::mark(self.tx, self.kind.into(), id.row, applied.change.reason())?;
        if known.gone || known.columns.shown_below() != next.shown_below() {
            dirty::mark_discussions_of(self.tx, id, "parent")?;
        }
        Ok(applied)
    }
}

/// The first detail of a head only completes what is known about it; it moves nothing.
fn heads_moved(known: Option<&MrColumns>, next: &MrColumns) -> bool {
    let Some(known) = known else {
        return next.head_oid.is_some();
    };
    let base_learnt = known.base_oid.is_none() && known.detail == Detail::Pending;
    known.head_oid != next.head_oid || (known.base_oid != next.base_oid && !base_learnt)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn oid(oid: Option<&Oid>) -> Option<String> {
    oid.map(|oid| oid.as_str().to_owned())
}

fn ms(at: Option<UnixMs>) -> Option<i64> {
    at.map(|at| at.0)
}
