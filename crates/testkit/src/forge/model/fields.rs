//! The values of each row, after the mapping from GitLab's words to the mirror's.

use annals_core::{EntityKind, UnixMs};
use serde_json::{Value, json};

use super::super::generate::cut_by_the_forge;
use super::super::project::{
    Commit, DiffText, Discussion, DiscussionShape, FileChange, FileChangeKind, Head, ItemState, Key, Label, Milestone,
    MilestoneState, Note, NoteOrigin, Position, Project, Resolution, Secrecy, User, UserIx, UserKind, Version,
};
use super::super::state::Entity;
use super::rows::{Row, Section};

fn row(section: Section, fields: Vec<(&'static str, Value)>) -> Row {
    Row { section, fields }
}

fn user_id(project: &Project, user: UserIx) -> Value {
    project.users.get(user as usize).map(|user| user.id.to_string()).into()
}

fn at(time: Option<UnixMs>) -> Value {
    time.map(|time| time.0).into()
}

fn flag(yes: bool) -> Value {
    i64::from(yes).into()
}

/// Forge ids as text, in the order of text.
fn sorted(ids: impl Iterator<Item = String>) -> Value {
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    json!(ids)
}

pub(super) fn project(project: &Project) -> Row {
    row(
        Section::Projects,
        vec![
            ("native_id", project.id.to_string().into()),
            ("path", project.path.clone().into()),
            ("description", project.description.clone().into()),
            ("default_branch", project.default_branch.clone().into()),
            ("visibility", "public".into()),
            ("archived", flag(false)),
            ("web_url", project.web_url().into()),
            ("created_at", project.created_at.0.into()),
        ],
    )
}

pub(super) fn user(project: &Project, user: &User) -> Row {
    let kind = match user.kind {
        UserKind::Human => "human",
        UserKind::Bot => "bot",
        UserKind::Ghost => "ghost",
    };
    row(
        Section::Users,
        vec![
            ("native_id", user.id.to_string().into()),
            ("username", user.username.clone().into()),
            ("display_name", user.name.clone().into()),
            ("kind", kind.into()),
            ("web_url", format!("{}/{}", project.external_url, user.username).into()),
        ],
    )
}

pub(super) fn label(label: &Label) -> Row {
    row(
        Section::Labels,
        vec![
            ("native_id", label.id.to_string().into()),
            ("name", label.name.clone().into()),
            ("color", label.color.clone().into()),
            ("description", label.description.clone().unwrap_or_default().into()),
        ],
    )
}

pub(super) fn milestone(milestone: &Milestone) -> Row {
    let state = match milestone.state {
        MilestoneState::Active => "active",
        MilestoneState::Closed => "closed",
    };
    row(
        Section::Milestones,
        vec![
            ("native_id", milestone.id.to_string().into()),
            ("iid", milestone.iid.into()),
            ("title", milestone.title.clone().into()),
            ("description", milestone.description.clone().into()),
            ("state", state.into()),
            ("start_at", at(milestone.start)),
            ("due_at", at(milestone.due)),
        ],
    )
}

/// What both kinds of entity have.
fn common(project: &Project, head: &Head) -> Vec<(&'static str, Value)> {
    let state = match head.state {
        ItemState::Opened | ItemState::Locked => "open",
        ItemState::Closed => "closed",
        ItemState::Merged => "merged",
    };
    let milestone = head.milestone.and_then(|index| project.milestones.get(index as usize));
    let labels = head
        .labels
        .iter()
        .filter_map(|index| project.labels.get(*index as usize));
    vec![
        ("iid", head.key.iid.into()),
        ("native_id", head.key.native_id().to_string().into()),
        ("title", head.title.clone().into()),
        ("body", head.body.clone().unwrap_or_default().into()),
        ("state", state.into()),
        ("confidential", flag(head.secrecy == Secrecy::Members)),
        ("locked", flag(head.discussion_locked == Some(true))),
        ("author", user_id(project, head.author)),
        ("milestone", milestone.map(|milestone| milestone.id.to_string()).into()),
        (
            "closed_by",
            head.closed_by.map_or(Value::Null, |user| user_id(project, user)),
        ),
        ("created_at", head.created_at.0.into()),
        ("updated_at", head.updated_at.0.into()),
        ("closed_at", at(head.closed_at)),
        ("due_at", at(head.due)),
        ("web_url", project.web_url_of(head.key).into()),
        ("labels", sorted(labels.map(|label| label.id.to_string()))),
        ("assignees", people(project, &head.assignees)),
    ]
}

fn people(project: &Project, users: &[UserIx]) -> Value {
    sorted(
        users
            .iter()
            .filter_map(|user| project.users.get(*user as usize))
            .map(|user| user.id.to_string()),
    )
}

pub(super) fn issue(project: &Project, head: &Head) -> Row {
    let mut fields = common(project, head);
    fields.push(("issue_type", head.issue_type.into()));
    row(Section::Issues, fields)
}

pub(super) fn merge_request(project: &Project, entity: &Entity) -> Row {
    let mut fields = common(project, &entity.head);
    if let Some(merge) = &entity.head.merge {
        let cut = entity.thread.versions.last().is_some_and(cut_by_the_forge);
        fields.extend([
            ("draft", flag(merge.draft)),
            ("source_branch", merge.source_branch.clone().into()),
            ("target_branch", merge.target_branch.clone().into()),
            ("source_project", merge.source_project.to_string().into()),
            ("head_oid", merge.refs.head.clone().into()),
            ("base_oid", merge.refs.base.clone().into()),
            ("start_oid", merge.refs.start.clone().into()),
            ("merge_commit_oid", merge.merge_commit.clone().into()),
            ("squash_oid", merge.squash_commit.clone().into()),
            ("merged_at", at(merge.merged_at)),
            (
                "merged_by",
                merge.merged_by.map_or(Value::Null, |user| user_id(project, user)),
            ),
            ("reviewers", people(project, &merge.reviewers)),
            ("detail", "complete".into()),
            ("files", if cut { "truncated" } else { "complete" }.into()),
        ]);
    }
    row(Section::MergeRequests, fields)
}

pub(super) fn discussion(project: &Project, key: Key, discussion: &Discussion, notes: &[&Note]) -> Row {
    let resolvable: Vec<_> = notes
        .iter()
        .filter(|note| note.resolution != Resolution::Impossible)
        .collect();
    let resolved = !resolvable.is_empty() && resolvable.iter().all(|note| note.resolution != Resolution::Open);
    let last = resolvable.iter().filter_map(|note| match note.resolution {
        Resolution::Resolved { by, at } => Some((at, by)),
        _ => None,
    });
    let settled = last.max().filter(|_| resolved);
    let shape = match discussion.shape {
        DiscussionShape::Single => "comment",
        DiscussionShape::Thread => "thread",
    };
    row(
        Section::Discussions,
        vec![
            ("kind", key.kind.as_str().into()),
            ("iid", key.iid.into()),
            ("native_id", discussion.id.clone().into()),
            ("shape", shape.into()),
            ("resolvable", flag(!resolvable.is_empty())),
            ("resolved", flag(resolved)),
            (
                "resolved_by",
                settled.map_or(Value::Null, |(_, by)| user_id(project, by)),
            ),
            ("resolved_at", at(settled.map(|(at, _)| at))),
            ("first_note_at", at(notes.iter().map(|note| note.created_at).min())),
            ("last_note_at", at(notes.iter().map(|note| note.created_at).max())),
        ],
    )
}

pub(super) fn note(project: &Project, discussion: &Discussion, rank: usize, note: &Note) -> Row {
    row(
        Section::Notes,
        vec![
            ("native_id", note.id.to_string().into()),
            ("discussion", discussion.id.clone().into()),
            ("rank", rank.into()),
            ("author", user_id(project, note.author)),
            ("body", note.body.clone().into()),
            (
                "kind",
                if note.position.is_some() { "diff_note" } else { "note" }.into(),
            ),
            ("system", flag(note.origin == NoteOrigin::System)),
            ("internal", flag(note.secrecy == Secrecy::Members)),
            ("created_at", note.created_at.0.into()),
            ("updated_at", note.updated_at.0.into()),
        ],
    )
}

pub(super) fn position(note: &Note, place: &Position) -> Row {
    let side = match (place.old_line, place.new_line) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "old",
        (None, _) => "new",
    };
    row(
        Section::Positions,
        vec![
            ("note", note.id.to_string().into()),
            ("old_path", place.old_path.clone().into()),
            ("new_path", place.new_path.clone().into()),
            ("old_line", place.old_line.into()),
            ("new_line", place.new_line.into()),
            ("start_line", place.first_line.into()),
            ("side", side.into()),
            ("base_oid", place.refs.base.clone().into()),
            ("start_oid", place.refs.start.clone().into()),
            ("head_oid", place.refs.head.clone().into()),
        ],
    )
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
pub(super) fn event(
    project: &Project,
    key: Key,
    kind: &'static str,
    id: i64,
    action: &str,
    subject: Value,
    user: UserIx,
    when: UnixMs,
) -> Row {
    row(
        Section::Events,
        vec![
            ("kind", key.kind.as_str().into()),
            ("iid", key.iid.into()),
            ("event", kind.into()),
            ("native_id", id.to_string().into()),
            ("action", action.into()),
            ("subject", subject),
            ("actor", user_id(project, user)),
            ("created_at", when.0.into()),
            ("origin", "forge".into()),
        ],
    )
}

pub(super) fn closes(project: &Project, key: Key, iid: i64) -> Row {
    row(
        Section::References,
        vec![
            ("source_kind", key.kind.as_str().into()),
            ("source_iid", key.iid.into()),
            ("kind", "closes".into()),
            ("target_path", project.path.clone().into()),
            ("target_kind", EntityKind::Issue.as_str().into()),
            ("target_iid", iid.into()),
        ],
    )
}

pub(super) fn version(key: Key, version: &Version) -> Row {
    row(
        Section::Versions,
        vec![
            ("mr", key.iid.into()),
            ("head_oid", version.refs.head.clone().into()),
            ("base_oid", version.refs.base.clone().into()),
            ("start_oid", version.refs.start.clone().into()),
        ],
    )
}

pub(super) fn commit(key: Key, rank: usize, commit: &Commit) -> Row {
    row(
        Section::Commits,
        vec![
            ("mr", key.iid.into()),
            ("rank", rank.into()),
            ("oid", commit.oid.clone().into()),
            ("title", commit.title.clone().into()),
            ("message", commit.message.clone().into()),
            ("author_name", commit.author_name.clone().into()),
            ("author_email", commit.author_email.clone().into()),
            ("author_at", commit.authored_at.0.into()),
            ("committer_at", commit.committed_at.0.into()),
            ("parents", json!(commit.parents)),
        ],
    )
}

pub(super) fn file(key: Key, file: &FileChange) -> Row {
    let change = match file.kind {
        FileChangeKind::Added => "added",
        FileChangeKind::Modified => "modified",
        FileChangeKind::Deleted => "deleted",
        FileChangeKind::Renamed => "renamed",
        FileChangeKind::Mode => "mode",
    };
    let (added, removed) = match file.text {
        DiffText::Lines { added, removed } => (added, removed),
        DiffText::Binary | DiffText::TooLarge => (0, 0),
    };
    row(
        Section::Files,
        vec![
            ("mr", key.iid.into()),
            ("old_path", file.old_path.clone().into()),
            ("new_path", file.new_path.clone().into()),
            ("change", change.into()),
            ("additions", added.into()),
            ("deletions", removed.into()),
            ("binary", flag(file.text == DiffText::Binary)),
            ("too_large", flag(file.text == DiffText::TooLarge)),
        ],
    )
}
