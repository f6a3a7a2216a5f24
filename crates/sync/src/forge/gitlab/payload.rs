//! The shapes GitLab's API v4 sends, as far as Annals reads them.
//!
//! Only what identifies an item is required; anything else may be missing or null, because
//! versions, editions and permissions of a token differ in it. A field of the wrong type is an
//! error of its item. Unknown fields are skipped without being built. Times stay as they were sent;
//! `annals_core::time::ForgeTime` judges them.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// `users` as they appear inside other items.
#[derive(Debug, Clone, Deserialize)]
pub struct WireUser {
    pub id: i64,
    pub username: Option<String>,
    pub name: Option<String>,
    pub web_url: Option<String>,
    pub bot: Option<bool>,
}

/// A label: its name, or with details.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum WireLabel {
    Name(String),
    Full(WireLabelDetail),
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireLabelDetail {
    pub id: i64,
    pub name: Option<String>,
    pub color: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireMilestone {
    pub id: i64,
    pub iid: Option<i64>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub state: Option<String>,
    #[serde(default)]
    pub start_date: Value,
    #[serde(default)]
    pub due_date: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireProject {
    pub id: i64,
    pub path_with_namespace: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub default_branch: Option<String>,
    pub visibility: Option<String>,
    pub archived: Option<bool>,
    pub web_url: Option<String>,
    #[serde(default)]
    pub created_at: Value,
    #[serde(default)]
    pub updated_at: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireIssue {
    pub id: i64,
    pub iid: i64,
    pub title: Option<String>,
    pub description: Option<String>,
    pub state: Option<String>,
    pub issue_type: Option<String>,
    pub confidential: Option<bool>,
    pub discussion_locked: Option<bool>,
    pub author: Option<WireUser>,
    pub assignees: Option<Vec<WireUser>>,
    pub assignee: Option<WireUser>,
    pub labels: Option<Vec<WireLabel>>,
    pub milestone: Option<WireMilestone>,
    pub closed_by: Option<WireUser>,
    #[serde(default)]
    pub created_at: Value,
    #[serde(default)]
    pub updated_at: Value,
    #[serde(default)]
    pub closed_at: Value,
    #[serde(default)]
    pub due_date: Value,
    pub web_url: Option<String>,
    pub moved_to_id: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct WireDiffRefs {
    pub base_sha: Option<String>,
    pub head_sha: Option<String>,
    pub start_sha: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireMergeRequest {
    pub id: i64,
    pub iid: i64,
    pub title: Option<String>,
    pub description: Option<String>,
    pub state: Option<String>,
    pub discussion_locked: Option<bool>,
    pub draft: Option<bool>,
    pub work_in_progress: Option<bool>,
    pub author: Option<WireUser>,
    pub assignees: Option<Vec<WireUser>>,
    pub assignee: Option<WireUser>,
    pub reviewers: Option<Vec<WireUser>>,
    pub labels: Option<Vec<WireLabel>>,
    pub milestone: Option<WireMilestone>,
    pub source_branch: Option<String>,
    pub target_branch: Option<String>,
    pub source_project_id: Option<i64>,
    pub sha: Option<String>,
    pub diff_refs: Option<WireDiffRefs>,
    pub merge_commit_sha: Option<String>,
    pub squash_commit_sha: Option<String>,
    pub merged_by: Option<WireUser>,
    pub merge_user: Option<WireUser>,
    pub closed_by: Option<WireUser>,
    #[serde(default)]
    pub created_at: Value,
    #[serde(default)]
    pub updated_at: Value,
    #[serde(default)]
    pub merged_at: Value,
    #[serde(default)]
    pub closed_at: Value,
    pub web_url: Option<String>,
}

/// A discussion; its notes stay raw, so that one bad note costs one note.
#[derive(Debug, Deserialize)]
pub struct WireDiscussion<'a> {
    pub id: String,
    pub individual_note: Option<bool>,
    #[serde(borrow)]
    pub notes: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireNote {
    pub id: i64,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub body: Option<String>,
    pub author: Option<WireUser>,
    #[serde(default)]
    pub created_at: Value,
    #[serde(default)]
    pub updated_at: Value,
    pub system: Option<bool>,
    pub internal: Option<bool>,
    pub confidential: Option<bool>,
    pub resolvable: Option<bool>,
    pub resolved: Option<bool>,
    pub resolved_by: Option<WireUser>,
    #[serde(default)]
    pub resolved_at: Value,
    pub position: Option<WirePosition>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WirePosition {
    pub base_sha: Option<String>,
    pub start_sha: Option<String>,
    pub head_sha: Option<String>,
    pub old_path: Option<String>,
    pub new_path: Option<String>,
    pub old_line: Option<i64>,
    pub new_line: Option<i64>,
    pub line_range: Option<WireLineRange>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireLineRange {
    pub start: Option<WireLineEnd>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireLineEnd {
    pub old_line: Option<i64>,
    pub new_line: Option<i64>,
}

/// A state, label or milestone event: one shape with the fields of all three.
#[derive(Debug, Clone, Deserialize)]
pub struct WireEvent {
    pub id: i64,
    pub user: Option<WireUser>,
    #[serde(default)]
    pub created_at: Value,
    pub action: Option<String>,
    pub state: Option<String>,
    pub label: Option<WireLabelDetail>,
    pub milestone: Option<WireMilestone>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireDiff {
    pub old_path: Option<String>,
    pub new_path: Option<String>,
    pub a_mode: Option<String>,
    pub b_mode: Option<String>,
    pub diff: Option<String>,
    pub new_file: Option<bool>,
    pub renamed_file: Option<bool>,
    pub deleted_file: Option<bool>,
    pub too_large: Option<bool>,
    pub collapsed: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireCommit {
    pub id: String,
    pub title: Option<String>,
    pub message: Option<String>,
    pub author_name: Option<String>,
    pub author_email: Option<String>,
    #[serde(default)]
    pub authored_date: Value,
    #[serde(default)]
    pub committed_date: Value,
    pub parent_ids: Option<Vec<String>>,
}

/// An issue as far as it is a reference.
#[derive(Debug, Clone, Deserialize)]
pub struct WireReference {
    pub iid: i64,
    pub references: Option<WireReferenceNames>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WireReferenceNames {
    pub full: Option<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_what_identifies_an_item_is_required() {
        let issue: WireIssue = serde_json::from_str(r#"{"id":1,"iid":2}"#).unwrap();
        assert_eq!((issue.id, issue.iid, issue.title), (1, 2, None));
        for bad in [
            r#"{"iid":2}"#,
            r#"{"id":1}"#,
            r#"{"id":1.5,"iid":2}"#,
            r#"{"id":99999999999999999999,"iid":2}"#,
            r#"{"id":1,"iid":"x"}"#,
            r#"{"id":1,"iid":2,"title":7}"#,
            r#"{"id":1,"iid":2,"title":"\ud800"}"#,
            "[]",
            "null",
        ] {
            assert!(serde_json::from_str::<WireIssue>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_come_as_names_or_with_details() {
        let issue: WireIssue =
            serde_json::from_str(r##"{"id":1,"iid":2,"labels":["a",{"id":7,"name":"b","color":"#fff"}]}"##).unwrap();
        let labels = issue.labels.unwrap();
        assert!(matches!(&labels[0], WireLabel::Name(n) if n == "a"));
        assert!(matches!(&labels[1], WireLabel::Full(l) if l.id == 7));
    }
}
