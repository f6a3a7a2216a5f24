//! Discussions, notes, events, commits, versions and changed files.

use annals_core::EntityKind;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::super::calendar::{stamp, stamp_in_zone};
use super::super::super::project::{
    Commit, DiffText, Discussion, DiscussionShape, FileChange, FileChangeKind, Head, LabelEvent, MilestoneEvent, Note,
    NoteOrigin, Position, Project, Resolution, Secrecy, StateEvent, Version,
};
use super::super::diff;
use super::{Account, account, milestone};

/// A note.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct NoteRow<'a> {
    pub(in crate::forge::gitlab) id: i64,
    r#type: Option<&'static str>,
    body: &'a str,
    attachment: Option<&'static str>,
    author: Option<Account<'a>>,
    pub(in crate::forge::gitlab) created_at: String,
    updated_at: String,
    system: bool,
    noteable_id: i64,
    noteable_type: &'static str,
    project_id: i64,
    noteable_iid: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Value>,
    resolvable: bool,
    #[serde(flatten)]
    resolution: Option<ResolutionPart<'a>>,
    confidential: bool,
    internal: bool,
    imported: bool,
    commands_changes: Value,
}

#[derive(Debug, Serialize)]
struct ResolutionPart<'a> {
    resolved: bool,
    resolved_by: Option<Account<'a>>,
    resolved_at: Option<String>,
}

pub(in crate::forge::gitlab) fn note<'a>(
    project: &'a Project,
    head: &Head,
    discussion: &Discussion,
    note: &'a Note,
) -> NoteRow<'a> {
    NoteRow {
        id: note.id,
        r#type: match (&note.position, discussion.shape) {
            (Some(_), _) => Some("DiffNote"),
            (None, DiscussionShape::Thread) => Some("DiscussionNote"),
            (None, DiscussionShape::Single) => None,
        },
        body: &note.body,
        attachment: None,
        author: account(project, note.author),
        created_at: stamp(note.created_at),
        updated_at: stamp(note.updated_at),
        system: note.origin == NoteOrigin::System,
        noteable_id: head.key.native_id(),
        noteable_type: noteable(head),
        project_id: project.id,
        noteable_iid: head.key.iid,
        commit_id: None,
        position: note.position.as_ref().map(position),
        resolvable: note.resolution != Resolution::Impossible,
        resolution: match note.resolution {
            Resolution::Impossible => None,
            Resolution::Open => Some(ResolutionPart {
                resolved: false,
                resolved_by: None,
                resolved_at: None,
            }),
            Resolution::Resolved { by, at } => Some(ResolutionPart {
                resolved: true,
                resolved_by: account(project, by),
                resolved_at: Some(stamp(at)),
            }),
        },
        confidential: note.secrecy == Secrecy::Members,
        internal: note.secrecy == Secrecy::Members,
        imported: false,
        commands_changes: json!({}),
    }
}

fn position(at: &Position) -> Value {
    let range = at.first_line.map(|first| {
        let end = |old: Option<i64>, new: Option<i64>| {
            let kind = if new.is_some() { "new" } else { "old" };
            json!({
                "line_code": format!("{:x}_{}_{}", at.new_path.len(), old.unwrap_or(0), new.unwrap_or(0)),
                "type": kind, "old_line": old, "new_line": new,
            })
        };
        json!({ "start": end(None, Some(first)), "end": end(at.old_line, at.new_line) })
    });
    json!({
        "base_sha": at.refs.base,
        "start_sha": at.refs.start,
        "head_sha": at.refs.head,
        "old_path": at.old_path,
        "new_path": at.new_path,
        "position_type": "text",
        "old_line": at.old_line,
        "new_line": at.new_line,
        "line_range": range,
    })
}

const fn noteable(head: &Head) -> &'static str {
    match head.key.kind {
        EntityKind::Issue => "Issue",
        EntityKind::MergeRequest => "MergeRequest",
    }
}

/// A discussion.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct DiscussionRow<'a> {
    id: &'a str,
    individual_note: bool,
    notes: Vec<NoteRow<'a>>,
}

pub(in crate::forge::gitlab) fn discussion<'a>(
    project: &'a Project,
    head: &Head,
    discussion: &'a Discussion,
) -> DiscussionRow<'a> {
    DiscussionRow {
        id: &discussion.id,
        individual_note: discussion.shape == DiscussionShape::Single,
        notes: discussion
            .notes
            .iter()
            .map(|one| note(project, head, discussion, one))
            .collect(),
    }
}

pub(in crate::forge::gitlab) fn state_event(project: &Project, head: &Head, event: &StateEvent) -> Value {
    json!({
        "id": event.id,
        "user": account(project, event.user),
        "created_at": stamp(event.at),
        "resource_type": noteable(head),
        "resource_id": head.key.native_id(),
        "source_commit": null,
        "source_merge_request": null,
        "state": event.state,
    })
}

pub(in crate::forge::gitlab) fn label_event(project: &Project, head: &Head, event: &LabelEvent) -> Value {
    let label = project.labels.get(event.label as usize);
    json!({
        "id": event.id,
        "user": account(project, event.user),
        "created_at": stamp(event.at),
        "resource_type": noteable(head),
        "resource_id": head.key.native_id(),
        "label": label.map(|label| json!({
            "id": label.id, "name": label.name, "color": label.color, "description": label.description,
        })),
        "action": event.action.as_str(),
    })
}

pub(in crate::forge::gitlab) fn milestone_event(project: &Project, head: &Head, event: &MilestoneEvent) -> Value {
    json!({
        "id": event.id,
        "user": account(project, event.user),
        "created_at": stamp(event.at),
        "resource_type": noteable(head),
        "resource_id": head.key.native_id(),
        "milestone": project.milestones.get(event.milestone as usize).map(|found| milestone(project, found)),
        "action": event.action.as_str(),
    })
}

/// A commit.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct CommitRow<'a> {
    id: &'a str,
    short_id: &'a str,
    created_at: String,
    parent_ids: &'a [String],
    title: &'a str,
    message: &'a str,
    author_name: &'a str,
    author_email: &'a str,
    authored_date: String,
    committer_name: &'a str,
    committer_email: &'a str,
    committed_date: String,
    trailers: Value,
    extended_trailers: Value,
    web_url: String,
}

pub(in crate::forge::gitlab) fn commit<'a>(project: &Project, commit: &'a Commit) -> CommitRow<'a> {
    CommitRow {
        id: &commit.oid,
        short_id: commit.oid.get(..8).unwrap_or_default(),
        created_at: stamp_in_zone(commit.committed_at, commit.offset_minutes),
        parent_ids: &commit.parents,
        title: &commit.title,
        message: &commit.message,
        author_name: &commit.author_name,
        author_email: &commit.author_email,
        authored_date: stamp_in_zone(commit.authored_at, commit.offset_minutes),
        committer_name: &commit.author_name,
        committer_email: &commit.author_email,
        committed_date: stamp_in_zone(commit.committed_at, commit.offset_minutes),
        trailers: json!({}),
        extended_trailers: json!({}),
        web_url: format!("{}/-/commit/{}", project.web_url(), commit.oid),
    }
}

/// The change of one file.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct FileRow<'a> {
    diff: String,
    collapsed: bool,
    too_large: bool,
    new_path: &'a str,
    old_path: &'a str,
    a_mode: &'static str,
    b_mode: &'static str,
    new_file: bool,
    renamed_file: bool,
    deleted_file: bool,
    generated_file: bool,
}

pub(in crate::forge::gitlab) fn file(change: &FileChange) -> FileRow<'_> {
    let (a_mode, b_mode) = match change.kind {
        FileChangeKind::Added => ("0", "100644"),
        FileChangeKind::Deleted => ("100644", "0"),
        FileChangeKind::Mode => ("100644", "100755"),
        FileChangeKind::Modified | FileChangeKind::Renamed => ("100644", "100644"),
    };
    FileRow {
        diff: diff::text(change),
        collapsed: change.text == DiffText::TooLarge,
        too_large: change.text == DiffText::TooLarge,
        new_path: &change.new_path,
        old_path: &change.old_path,
        a_mode,
        b_mode,
        new_file: change.kind == FileChangeKind::Added,
        renamed_file: change.kind == FileChangeKind::Renamed,
        deleted_file: change.kind == FileChangeKind::Deleted,
        generated_file: false,
    }
}

/// A version in the list of versions.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct VersionRow<'a> {
    id: i64,
    head_commit_sha: &'a str,
    base_commit_sha: &'a str,
    start_commit_sha: &'a str,
    created_at: String,
    merge_request_id: i64,
    state: &'static str,
    real_size: String,
}

pub(in crate::forge::gitlab) fn version<'a>(head: &Head, version: &'a Version) -> VersionRow<'a> {
    VersionRow {
        id: version.id,
        head_commit_sha: &version.refs.head,
        base_commit_sha: &version.refs.base,
        start_commit_sha: &version.refs.start,
        created_at: stamp(version.created_at),
        merge_request_id: head.key.native_id(),
        state: "collected",
        real_size: version.files.len().to_string(),
    }
}

/// A version with its commits and files.
pub(in crate::forge::gitlab) fn version_detail(project: &Project, head: &Head, of: &Version) -> Value {
    let mut value = serde_json::to_value(version(head, of)).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert(
            "commits".to_owned(),
            json!(of.commits.iter().map(|c| commit(project, c)).collect::<Vec<_>>()),
        );
        fields.insert("diffs".to_owned(), json!(of.files.iter().map(file).collect::<Vec<_>>()));
    }
    value
}
