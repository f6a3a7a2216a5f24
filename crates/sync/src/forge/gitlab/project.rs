//! From GitLab's payloads to what the store takes: names, states and times in the mirror's words.
//!
//! The promise: what cannot be read is refused with a reason, and what is only odd is kept, flagged
//! and told once. Nothing here asks a clock.

use annals_core::time::{ForgeTime, ZoneSaid};
use annals_core::{Iid, NativeId, Oid, UnixMs};
use annals_db::content::{
    EntityIn, IssueIn, LabelIn, MergeRequestIn, MilestoneIn, MrDetailIn, Payload, ProjectIn, ReviewerIn, UserIn, flag,
};
use annals_db::ids::{MilestoneState, State, UserKind};
use serde_json::Value;

use super::payload::{WireIssue, WireLabel, WireLabelDetail, WireMergeRequest, WireMilestone, WireProject, WireUser};
use crate::forge::raw::RawItem;
use crate::forge::{Bad, Handle, Oddity};

/// What projecting one item needs and collects.
#[derive(Debug)]
pub struct Projection {
    now: UnixMs,
    suspect: bool,
    /// What was odd, for one warning each.
    pub odd: Vec<Oddity>,
}

impl Projection {
    /// Judges times against `now`.
    pub fn new(now: UnixMs) -> Self {
        Self {
            now,
            suspect: false,
            odd: Vec::new(),
        }
    }

    /// The time a column stores; a time that cannot be right is remembered for the item's flags.
    pub fn time(&mut self, value: &Value) -> Option<UnixMs> {
        let time = ForgeTime::read(value, self.now);
        self.suspect |= time.is_suspect();
        if let ForgeTime::At { zone: ZoneSaid::No, .. } = time {
            self.odd(Oddity::new("a time without a zone was read as UTC", ""));
        }
        time.stored()
    }

    /// Midnight UTC of a day without a time; a date needs no zone.
    pub fn day(&mut self, value: &Value) -> Option<UnixMs> {
        let time = ForgeTime::read(value, self.now);
        // A due date may lie years ahead.
        if let ForgeTime::Suspect(at) = time {
            at.filter(|at| at.0 >= 0)
        } else {
            time.stored()
        }
    }

    /// Whether a time read since the last call cannot be right.
    pub fn take_suspect(&mut self) -> bool {
        std::mem::take(&mut self.suspect)
    }

    fn flags(&mut self) -> i64 {
        if self.take_suspect() { flag::TIME_SUSPECT } else { 0 }
    }

    pub fn odd(&mut self, oddity: Oddity) {
        if !self.odd.contains(&oddity) {
            self.odd.push(oddity);
        }
    }
}

/// An entity and what the cursor may take from it.
#[derive(Debug)]
pub struct Projected<T> {
    /// The entity.
    pub entity: T,
    /// Its update time, where that can be trusted.
    pub at: Option<UnixMs>,
}

/// Reads an item as `T`, or says why not and under which name it is put aside.
pub fn decode<'a, T: serde::Deserialize<'a>>(item: &RawItem, text: &'a str) -> Result<T, Bad> {
    if item.is_too_deep() {
        return Err(Bad::transform(item, text, "nested too deeply"));
    }
    serde_json::from_str(text).map_err(|error| Bad::transform(item, text, reason(&error)))
}

/// What is wrong, without quoting the item.
fn reason(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Syntax => format!("not JSON at {place}"),
        serde_json::error::Category::Eof => format!("ends early at {place}"),
        serde_json::error::Category::Io | serde_json::error::Category::Data => {
            format!("a field is missing or of the wrong type at {place}")
        }
    }
}

/// Ids and numbers of GitLab are positive.
fn positive(item: &RawItem, text: &str, name: &str, value: i64) -> Result<i64, Bad> {
    if value > 0 {
        Ok(value)
    } else {
        Err(Bad::transform(item, text, format!("{name} is not positive")))
    }
}

impl Bad {
    /// An item that cannot be projected, named as well as it can be.
    pub fn transform(item: &RawItem, text: &str, message: impl Into<String>) -> Self {
        let handle = Handle::of(text);
        Self::unreadable(handle.id, handle.iid.map(Iid), item.bytes(), message)
    }
}

/// A project.
pub fn project(item: &RawItem, projection: &mut Projection) -> Result<ProjectIn, Bad> {
    let text = item.text();
    let wire: WireProject = decode(item, &text)?;
    let id = positive(item, &text, "id", wire.id)?;
    if wire.path_with_namespace.is_empty() {
        return Err(Bad::transform(item, &text, "the path is empty"));
    }
    Ok(ProjectIn {
        native_id: native(id),
        path: wire.path_with_namespace,
        title: wire.name.unwrap_or_default(),
        description: wire.description.filter(|d| !d.is_empty()),
        default_branch: wire.default_branch,
        visibility: wire.visibility,
        archived: wire.archived.unwrap_or(false),
        web_url: wire.web_url,
        created_at: projection.time(&wire.created_at),
        // `last_activity_at` moves with every visit of a robot; it is no update of the project.
        updated_at: projection.time(&wire.updated_at),
        payload: Some(Payload::from_parts([("project", item.bytes().as_ref())])),
    })
}

/// An issue.
pub fn issue(item: &RawItem, projection: &mut Projection) -> Result<Projected<IssueIn>, Bad> {
    let text = item.text();
    let wire: WireIssue = decode(item, &text)?;
    let (id, iid) = (
        positive(item, &text, "id", wire.id)?,
        positive(item, &text, "iid", wire.iid)?,
    );
    let at = ForgeTime::read(&wire.updated_at, projection.now).trusted();
    let entity = EntityIn {
        native_id: native(id),
        iid: Iid(iid),
        title: wire.title.unwrap_or_default(),
        body: wire.description.unwrap_or_default(),
        state: state(wire.state.as_deref(), projection),
        state_reason: None,
        issue_type: wire.issue_type,
        confidential: wire.confidential.unwrap_or(false),
        locked: wire.discussion_locked.unwrap_or(false),
        author: wire.author.map(user),
        milestone: wire.milestone.map(|m| milestone_in(m, projection)),
        closed_by: wire.closed_by.map(user),
        labels: wire.labels.unwrap_or_default().into_iter().map(label).collect(),
        assignees: assignees(wire.assignees, wire.assignee),
        created_at: projection.time(&wire.created_at),
        updated_at: projection.time(&wire.updated_at),
        closed_at: projection.time(&wire.closed_at),
        due_at: projection.day(&wire.due_date),
        web_url: wire.web_url,
        moved_to: wire.moved_to_id.map(|id| id.to_string()),
        flags: projection.flags(),
        payload: Some(Payload::from_parts([("issue", item.bytes().as_ref())])),
    };
    Ok(Projected { entity, at })
}

/// Whether a payload of a merge request is its own page or a row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MrShape {
    /// A row of the list; it may lack `diff_refs`.
    Row,
    /// The page of the merge request itself.
    Page,
}

/// A merge request.
pub fn merge_request(
    item: &RawItem,
    shape: MrShape,
    projection: &mut Projection,
) -> Result<Projected<MergeRequestIn>, Bad> {
    let text = item.text();
    let wire: WireMergeRequest = decode(item, &text)?;
    let (id, iid) = (
        positive(item, &text, "id", wire.id)?,
        positive(item, &text, "iid", wire.iid)?,
    );
    let at = ForgeTime::read(&wire.updated_at, projection.now).trusted();
    let refs = wire.diff_refs.unwrap_or_default();
    let detail = match shape {
        MrShape::Page => Some(MrDetailIn {
            base_oid: oid(refs.base_sha),
            start_oid: oid(refs.start_sha),
        }),
        // A list row that carries the refs of its own head needs no page.
        MrShape::Row if refs.base_sha.is_some() && refs.head_sha == wire.sha => Some(MrDetailIn {
            base_oid: oid(refs.base_sha),
            start_oid: oid(refs.start_sha),
        }),
        MrShape::Row => None,
    };
    let entity = EntityIn {
        native_id: native(id),
        iid: Iid(iid),
        title: wire.title.unwrap_or_default(),
        body: wire.description.unwrap_or_default(),
        state: state(wire.state.as_deref(), projection),
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: wire.discussion_locked.unwrap_or(false),
        author: wire.author.map(user),
        milestone: wire.milestone.map(|m| milestone_in(m, projection)),
        closed_by: wire.closed_by.map(user),
        labels: wire.labels.unwrap_or_default().into_iter().map(label).collect(),
        assignees: assignees(wire.assignees, wire.assignee),
        created_at: projection.time(&wire.created_at),
        updated_at: projection.time(&wire.updated_at),
        closed_at: projection.time(&wire.closed_at),
        due_at: None,
        web_url: wire.web_url,
        moved_to: None,
        flags: 0,
        payload: Some(Payload::from_parts([("merge_request", item.bytes().as_ref())])),
    };
    let mut entity = MergeRequestIn {
        entity,
        draft: wire.draft.or(wire.work_in_progress).unwrap_or(false),
        source_branch: wire.source_branch,
        target_branch: wire.target_branch,
        source_project: wire.source_project_id.map(|id| id.to_string()),
        head_oid: oid(wire.sha),
        merge_commit_oid: oid(wire.merge_commit_sha),
        squash_oid: oid(wire.squash_commit_sha),
        merged_at: projection.time(&wire.merged_at),
        merged_by: wire.merge_user.or(wire.merged_by).map(user),
        reviewers: unique(wire.reviewers.unwrap_or_default().into_iter().map(user).collect())
            .into_iter()
            .map(|user| ReviewerIn { user, state: None })
            .collect(),
        detail,
    };
    entity.entity.flags = projection.flags();
    Ok(Projected { entity, at })
}

/// An object id; anything else, the empty string and the all-zero id mean none.
pub fn oid(text: Option<String>) -> Option<Oid> {
    text.filter(|t| t.bytes().any(|b| b != b'0'))
        .and_then(|t| t.parse().ok())
}

/// GitLab's ids are numbers.
pub fn native(id: i64) -> NativeId {
    NativeId(id.to_string())
}

fn state(word: Option<&str>, projection: &mut Projection) -> State {
    match word {
        Some("opened" | "locked") => State::Open,
        Some("closed") => State::Closed,
        Some("merged") => State::Merged,
        other => {
            projection.odd(Oddity::new(
                "an unknown state was stored as `other`",
                other.unwrap_or("(none)"),
            ));
            State::Other
        }
    }
}

/// A user; kinds are told by GitLab's flag, else by the names it gives to the accounts of tokens
/// and to the account that deleted users leave behind.
pub fn user(wire: WireUser) -> UserIn {
    let username = wire.username.unwrap_or_default();
    let kind = match (username.as_str(), wire.bot) {
        ("" | "ghost", _) => UserKind::Ghost,
        (_, Some(true)) => UserKind::Bot,
        (name, _) if is_token_account(name) => UserKind::Bot,
        _ => UserKind::Human,
    };
    UserIn {
        native_id: native(wire.id),
        username,
        display_name: wire.name,
        kind,
        web_url: wire.web_url,
    }
}

/// `project_<id>_bot`, `group_<id>_bot`, with or without a suffix.
fn is_token_account(name: &str) -> bool {
    let rest = name.strip_prefix("project_").or_else(|| name.strip_prefix("group_"));
    rest.and_then(|rest| rest.split_once('_'))
        .is_some_and(|(id, rest)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with("bot"))
}

fn assignees(many: Option<Vec<WireUser>>, one: Option<WireUser>) -> Vec<UserIn> {
    let users = many.unwrap_or_else(|| one.into_iter().collect());
    unique(users.into_iter().map(user).collect())
}

fn unique(mut users: Vec<UserIn>) -> Vec<UserIn> {
    let mut seen = std::collections::BTreeSet::new();
    users.retain(|user| seen.insert(user.native_id.clone()));
    users
}

fn label(wire: WireLabel) -> LabelIn {
    match wire {
        WireLabel::Name(name) => LabelIn::named(name),
        WireLabel::Full(detail) => label_in(detail),
    }
}

fn label_in(wire: WireLabelDetail) -> LabelIn {
    LabelIn {
        native_id: Some(native(wire.id)),
        name: wire.name.unwrap_or_default(),
        color: wire.color,
        description: wire.description,
    }
}

/// A row of the list of labels.
pub fn label_row(item: &RawItem) -> Result<LabelIn, Bad> {
    let text = item.text();
    let wire: WireLabelDetail = decode(item, &text)?;
    positive(item, &text, "id", wire.id)?;
    Ok(label_in(wire))
}

/// A row of the list of milestones.
pub fn milestone_row(item: &RawItem, projection: &mut Projection) -> Result<MilestoneIn, Bad> {
    let text = item.text();
    let wire: WireMilestone = decode(item, &text)?;
    positive(item, &text, "id", wire.id)?;
    Ok(milestone_in(wire, projection))
}

pub fn milestone_in(wire: WireMilestone, projection: &mut Projection) -> MilestoneIn {
    let state = wire.state.map(|word| match word.as_str() {
        "active" => MilestoneState::Active,
        "closed" => MilestoneState::Closed,
        other => {
            projection.odd(Oddity::new("an unknown milestone state was stored as `other`", other));
            MilestoneState::Other
        }
    });
    MilestoneIn {
        native_id: native(wire.id),
        iid: wire.iid.map(Iid),
        title: wire.title.unwrap_or_default(),
        description: wire.description,
        state,
        start_at: projection.day(&wire.start_date),
        due_at: projection.day(&wire.due_date),
    }
}
