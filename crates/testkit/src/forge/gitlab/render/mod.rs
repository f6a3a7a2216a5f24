//! Rows as GitLab 18 writes them: the same fields, in the same shapes.
//!
//! [`entity`] writes issues and merge requests, [`under`] what is fetched under them; here are the
//! project and the parts that appear in everything.

mod entity;
mod under;

pub(super) use entity::{issue, merge_request, merge_request_changes, merge_request_detail};
pub(super) use under::{
    commit, discussion, file, label_event, milestone_event, note, state_event, version, version_detail,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::super::calendar::{day, stamp};
use super::super::project::{Label, Milestone, MilestoneState, Project, UserIx};
use super::super::rng::fingerprint;
use super::super::state::State;

/// An account as it appears inside other rows.
#[derive(Debug, Serialize)]
pub(in crate::forge::gitlab) struct Account<'a> {
    id: i64,
    username: &'a str,
    public_email: &'static str,
    name: &'a str,
    state: &'static str,
    locked: bool,
    avatar_url: Option<&'static str>,
    web_url: String,
}

fn account(project: &Project, user: UserIx) -> Option<Account<'_>> {
    let user = project.users.get(user as usize)?;
    Some(Account {
        id: user.id,
        username: &user.username,
        public_email: "",
        name: &user.name,
        state: "active",
        locked: false,
        avatar_url: None,
        web_url: format!("{}/{}", project.external_url, user.username),
    })
}

fn accounts<'a>(project: &'a Project, users: &[UserIx]) -> Vec<Account<'a>> {
    users.iter().filter_map(|user| account(project, *user)).collect()
}

pub(super) fn project(project: &Project) -> Value {
    let group = project.path.rsplit_once('/').map_or("", |(group, _)| group);
    let short = project.path.rsplit('/').next().unwrap_or_default();
    let web = project.web_url();
    json!({
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": format!("{group} / {}", project.name),
        "path": short,
        "path_with_namespace": project.path,
        "created_at": stamp(project.created_at),
        "default_branch": project.default_branch,
        "tag_list": [],
        "topics": [],
        "http_url_to_repo": format!("{web}.git"),
        "web_url": web,
        "readme_url": format!("{web}/-/blob/{}/README.md", project.default_branch),
        "forks_count": 0,
        "star_count": 0,
        "namespace": {"id": 77, "name": group, "path": group, "kind": "group", "full_path": group, "parent_id": null},
        "archived": false,
        "visibility": "public",
        "issues_enabled": true,
        "merge_requests_enabled": true,
        "issues_access_level": "enabled",
        "merge_requests_access_level": "enabled",
        "empty_repo": false,
    })
}

pub(super) fn branch(state: &State) -> Value {
    let project = state.project();
    json!({
        "name": project.default_branch,
        "commit": {"id": super::super::rng::oid(fingerprint(project.path.as_bytes()), &[1])},
        "merged": false,
        "protected": true,
        "default": true,
        "web_url": format!("{}/-/tree/{}", project.web_url(), project.default_branch),
    })
}

/// A label in the list of labels.
#[derive(Debug, Serialize)]
pub(super) struct LabelRow<'a> {
    id: i64,
    name: &'a str,
    description: Option<&'a str>,
    description_html: &'a str,
    text_color: &'static str,
    color: &'a str,
    subscribed: bool,
    priority: Option<i64>,
    is_project_label: bool,
}

pub(super) fn label(label: &Label) -> LabelRow<'_> {
    LabelRow {
        id: label.id,
        name: &label.name,
        description: label.description.as_deref(),
        description_html: label.description.as_deref().unwrap_or_default(),
        text_color: "#FFFFFF",
        color: &label.color,
        subscribed: false,
        priority: None,
        is_project_label: true,
    }
}

/// A milestone, in its list and inside other rows.
#[derive(Debug, Serialize)]
pub(super) struct MilestoneRow<'a> {
    id: i64,
    iid: i64,
    project_id: i64,
    title: &'a str,
    description: &'a str,
    pub(super) state: &'static str,
    created_at: String,
    updated_at: String,
    due_date: Option<String>,
    start_date: Option<String>,
    expired: bool,
    web_url: String,
}

pub(super) fn milestone<'a>(project: &Project, milestone: &'a Milestone) -> MilestoneRow<'a> {
    MilestoneRow {
        id: milestone.id,
        iid: milestone.iid,
        project_id: project.id,
        title: &milestone.title,
        description: &milestone.description,
        state: match milestone.state {
            MilestoneState::Active => "active",
            MilestoneState::Closed => "closed",
        },
        created_at: stamp(milestone.created_at),
        updated_at: stamp(milestone.updated_at),
        due_date: milestone.due.map(day),
        start_date: milestone.start.map(day),
        expired: milestone.state == MilestoneState::Closed,
        web_url: format!("{}/-/milestones/{}", project.web_url(), milestone.iid),
    }
}
