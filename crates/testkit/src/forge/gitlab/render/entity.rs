//! Issues and merge requests.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::super::calendar::{day, stamp};
use super::super::super::project::{DiffRefs, Head, ItemState, Project, Secrecy};
use super::super::super::state::Entity;
use super::under::file;
use super::{Account, MilestoneRow, account, accounts, milestone};

/// What every issue and merge request row begins with.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct Common<'a> {
    id: i64,
    iid: i64,
    project_id: i64,
    title: &'a str,
    description: Option<&'a str>,
    state: &'static str,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
    closed_by: Option<Account<'a>>,
    labels: Vec<&'a str>,
    milestone: Option<MilestoneRow<'a>>,
    assignees: Vec<Account<'a>>,
    author: Option<Account<'a>>,
    assignee: Option<Account<'a>>,
    user_notes_count: u32,
    upvotes: u32,
    downvotes: u32,
    discussion_locked: Option<bool>,
    imported: bool,
    imported_from: &'static str,
    web_url: String,
    time_stats: Value,
    task_completion_status: Value,
    references: Value,
}

fn common<'a>(project: &'a Project, head: &'a Head) -> Common<'a> {
    let sign = if head.merge.is_some() { '!' } else { '#' };
    let short = format!("{sign}{}", head.key.iid);
    Common {
        id: head.key.native_id(),
        iid: head.key.iid,
        project_id: project.id,
        title: &head.title,
        description: head.body.as_deref(),
        state: head.state.as_str(),
        created_at: stamp(head.created_at),
        updated_at: stamp(head.updated_at),
        closed_at: head.closed_at.map(stamp),
        closed_by: head.closed_by.and_then(|user| account(project, user)),
        labels: labels(project, head),
        milestone: head
            .milestone
            .and_then(|index| project.milestones.get(index as usize))
            .map(|found| milestone(project, found)),
        assignees: accounts(project, &head.assignees),
        author: account(project, head.author),
        assignee: head.assignees.first().and_then(|user| account(project, *user)),
        user_notes_count: head.user_notes,
        upvotes: 0,
        downvotes: 0,
        discussion_locked: head.discussion_locked,
        imported: false,
        imported_from: "none",
        web_url: project.web_url_of(head.key),
        time_stats: json!({
            "time_estimate": 0, "total_time_spent": 0, "human_time_estimate": null, "human_total_time_spent": null,
        }),
        task_completion_status: json!({ "count": 0, "completed_count": 0 }),
        references: json!({ "short": short, "relative": short, "full": format!("{}{short}", project.path) }),
    }
}

/// Names in the order of the alphabet, as GitLab lists them.
fn labels<'a>(project: &'a Project, head: &Head) -> Vec<&'a str> {
    let mut names: Vec<&str> = head
        .labels
        .iter()
        .filter_map(|index| project.labels.get(*index as usize))
        .map(|l| l.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// An issue.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct IssueRow<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    r#type: String,
    issue_type: &'static str,
    confidential: bool,
    due_date: Option<String>,
    merge_requests_count: u32,
    blocking_issues_count: u32,
    has_tasks: bool,
    severity: &'static str,
    moved_to_id: Option<i64>,
    service_desk_reply_to: Option<&'static str>,
    weight: Option<i64>,
}

/// Writes an issue, as text at once: its row may have been generated just for this.
pub(in crate::forge::gitlab) fn issue(project: &Project, head: &Head) -> Raw {
    Raw::of(&issue_row(project, head))
}

fn issue_row<'a>(project: &'a Project, head: &'a Head) -> IssueRow<'a> {
    IssueRow {
        common: common(project, head),
        r#type: head.issue_type.to_uppercase(),
        issue_type: head.issue_type,
        confidential: head.secrecy == Secrecy::Members,
        due_date: head.due.map(day),
        merge_requests_count: 0,
        blocking_issues_count: 0,
        has_tasks: false,
        severity: "UNKNOWN",
        moved_to_id: head.moved_to,
        service_desk_reply_to: None,
        weight: None,
    }
}

/// A merge request as a list shows it.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct MergeRequestRow<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    merged_by: Option<Account<'a>>,
    merge_user: Option<Account<'a>>,
    merged_at: Option<String>,
    prepared_at: String,
    target_branch: &'a str,
    source_branch: &'a str,
    source_project_id: i64,
    target_project_id: i64,
    reviewers: Vec<Account<'a>>,
    draft: bool,
    work_in_progress: bool,
    merge_when_pipeline_succeeds: bool,
    merge_status: &'static str,
    detailed_merge_status: &'static str,
    sha: &'a str,
    merge_commit_sha: Option<&'a str>,
    squash_commit_sha: Option<&'a str>,
    should_remove_source_branch: Option<bool>,
    force_remove_source_branch: bool,
    squash: bool,
    has_conflicts: bool,
    blocking_discussions_resolved: bool,
    reference: String,
}

fn merge_request_row<'a>(project: &'a Project, head: &'a Head) -> Option<MergeRequestRow<'a>> {
    let merge = head.merge.as_ref()?;
    let merger = || merge.merged_by.and_then(|user| account(project, user));
    Some(MergeRequestRow {
        common: common(project, head),
        merged_by: merger(),
        merge_user: merger(),
        merged_at: merge.merged_at.map(stamp),
        prepared_at: stamp(head.created_at),
        target_branch: &merge.target_branch,
        source_branch: &merge.source_branch,
        source_project_id: merge.source_project,
        target_project_id: project.id,
        reviewers: accounts(project, &merge.reviewers),
        draft: merge.draft,
        work_in_progress: merge.draft,
        merge_when_pipeline_succeeds: false,
        merge_status: "can_be_merged",
        detailed_merge_status: if head.state == ItemState::Opened {
            "mergeable"
        } else {
            "not_open"
        },
        sha: &merge.refs.head,
        merge_commit_sha: merge.merge_commit.as_deref(),
        squash_commit_sha: merge.squash_commit.as_deref(),
        should_remove_source_branch: None,
        force_remove_source_branch: true,
        squash: merge.squash_commit.is_some(),
        has_conflicts: false,
        blocking_discussions_resolved: true,
        reference: format!("!{}", head.key.iid),
    })
}

/// Writes a merge request as a list shows it.
pub(in crate::forge::gitlab) fn merge_request(project: &Project, head: &Head) -> Raw {
    Raw::of(&merge_request_row(project, head))
}

#[derive(Serialize)]
struct Refs<'a> {
    base_sha: &'a str,
    head_sha: &'a str,
    start_sha: &'a str,
}

fn diff_refs(refs: &DiffRefs) -> Refs<'_> {
    Refs {
        base_sha: &refs.base,
        head_sha: &refs.head,
        start_sha: &refs.start,
    }
}

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    row: Option<MergeRequestRow<'a>>,
    subscribed: bool,
    changes_count: String,
    merge_error: Option<&'static str>,
    first_contribution: bool,
    diff_refs: Option<Refs<'a>>,
}

fn detail<'a>(project: &'a Project, entity: &'a Entity) -> Detail<'a> {
    Detail {
        row: merge_request_row(project, &entity.head),
        subscribed: false,
        changes_count: entity
            .thread
            .versions
            .last()
            .map_or(0, |version| version.files.len())
            .to_string(),
        merge_error: None,
        first_contribution: false,
        diff_refs: entity.head.merge.as_ref().map(|merge| diff_refs(&merge.refs)),
    }
}

/// Writes a merge request as its own page shows it.
pub(in crate::forge::gitlab) fn merge_request_detail(project: &Project, entity: &Entity) -> Raw {
    Raw::of(&detail(project, entity))
}

/// The same with its changes.
pub(in crate::forge::gitlab) fn merge_request_changes(project: &Project, entity: &Entity) -> Value {
    let mut value = serde_json::to_value(detail(project, entity)).unwrap_or_default();
    let files: Vec<_> = entity
        .thread
        .versions
        .last()
        .iter()
        .flat_map(|version| &version.files)
        .map(file)
        .collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("changes".to_owned(), json!(files));
        fields.insert("overflow".to_owned(), json!(false));
    }
    value
}

/// JSON that is written already.
pub(in crate::forge::gitlab) struct Raw(Box<serde_json::value::RawValue>);

impl Raw {
    fn of(row: &impl Serialize) -> Self {
        let text = serde_json::value::to_raw_value(row);
        Self(text.unwrap_or_else(|_| serde_json::value::RawValue::NULL.to_owned()))
    }
}

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
