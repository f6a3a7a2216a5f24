//! The state of each kind of subject: canonical JSON of what a reader would call its content.
//!
//! Members are declared, and so written, in alphabetical order. They hold names, never local ids, so
//! that two files that saw the same forge have the same states. Not in a state: update times,
//! counters, votes, pictures, URLs and what the token may do.

use serde::Serialize;

use super::blob::{self, Hash};
use crate::Error;

/// A state and its hash.
pub(crate) struct State {
    pub bytes: Vec<u8>,
    pub hash: Hash,
}

impl State {
    pub fn of(content: &impl Serialize) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(content).map_err(|error| Error::corrupt(error.to_string()))?;
        let hash = blob::hash(&bytes);
        Ok(Self { bytes, hash })
    }
}

#[derive(Serialize)]
pub(super) struct ProjectState<'a> {
    pub archived: bool,
    pub default_branch: Option<&'a str>,
    pub description: Option<&'a str>,
    pub path: &'a str,
    pub title: &'a str,
    pub visibility: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct LabelState<'a> {
    pub color: Option<&'a str>,
    pub description: Option<&'a str>,
    pub name: &'a str,
}

#[derive(Serialize)]
pub(super) struct MilestoneState<'a> {
    pub description: Option<&'a str>,
    pub due_at: Option<i64>,
    pub start_at: Option<i64>,
    pub state: Option<&'a str>,
    pub title: &'a str,
}

#[derive(Serialize)]
pub(super) struct IssueState<'a> {
    pub assignees: Vec<&'a str>,
    pub author: &'a str,
    pub body: &'a str,
    pub confidential: bool,
    pub due_at: Option<i64>,
    pub issue_type: Option<&'a str>,
    pub labels: Vec<&'a str>,
    pub locked: bool,
    pub milestone: Option<&'a str>,
    pub state: &'a str,
    pub state_reason: Option<&'a str>,
    pub title: &'a str,
}

#[derive(Serialize)]
pub(super) struct MergeRequestState<'a> {
    pub assignees: Vec<&'a str>,
    pub author: &'a str,
    pub base_oid: Option<&'a str>,
    pub body: &'a str,
    pub confidential: bool,
    pub draft: bool,
    pub due_at: Option<i64>,
    pub head_oid: Option<&'a str>,
    pub issue_type: Option<&'a str>,
    pub labels: Vec<&'a str>,
    pub locked: bool,
    pub merge_commit_oid: Option<&'a str>,
    pub merged_at: Option<i64>,
    pub merged_by: Option<&'a str>,
    pub milestone: Option<&'a str>,
    pub reviewers: Vec<ReviewerState<'a>>,
    pub source_branch: Option<&'a str>,
    pub source_project: Option<&'a str>,
    pub squash_oid: Option<&'a str>,
    pub start_oid: Option<&'a str>,
    pub state: &'a str,
    pub state_reason: Option<&'a str>,
    pub target_branch: Option<&'a str>,
    pub title: &'a str,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReviewerState<'a> {
    pub name: &'a str,
    pub state: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct DiscussionState<'a> {
    pub kind: &'a str,
    pub resolvable: bool,
    pub resolved: bool,
    pub resolved_at: Option<i64>,
    pub resolved_by: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct NoteState<'a> {
    pub author: &'a str,
    pub body: &'a str,
    pub internal: bool,
    pub kind: &'a str,
    pub position: Option<PositionState<'a>>,
    pub system: bool,
}

#[derive(Serialize)]
pub(super) struct PositionState<'a> {
    pub base_oid: Option<&'a str>,
    pub head_oid: Option<&'a str>,
    pub new_line: Option<i64>,
    pub new_path: Option<&'a str>,
    pub old_line: Option<i64>,
    pub old_path: Option<&'a str>,
    pub side: Option<&'a str>,
    pub start_line: Option<i64>,
    pub start_oid: Option<&'a str>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The keys of an object of flat JSON in the order they are written.
    fn keys(state: &State) -> Vec<String> {
        let text = String::from_utf8(state.bytes.clone()).unwrap();
        text.split(['{', ','])
            .filter_map(|part| part.strip_prefix('"')?.split_once("\":"))
            .map(|(key, _)| key.to_owned())
            .collect()
    }

    #[test]
    fn members_are_written_in_alphabetical_order() {
        let position = PositionState {
            base_oid: None,
            head_oid: None,
            new_line: None,
            new_path: None,
            old_line: None,
            old_path: None,
            side: None,
            start_line: None,
            start_oid: None,
        };
        let states = [
            State::of(&ProjectState {
                archived: false,
                default_branch: None,
                description: None,
                path: "p",
                title: "t",
                visibility: None,
            }),
            State::of(&LabelState {
                color: None,
                description: None,
                name: "n",
            }),
            State::of(&MilestoneState {
                description: None,
                due_at: None,
                start_at: None,
                state: None,
                title: "t",
            }),
            State::of(&IssueState {
                assignees: vec![],
                author: "a",
                body: "b",
                confidential: false,
                due_at: None,
                issue_type: None,
                labels: vec![],
                locked: false,
                milestone: None,
                state: "open",
                state_reason: None,
                title: "t",
            }),
            State::of(&MergeRequestState {
                assignees: vec![],
                author: "a",
                base_oid: None,
                body: "b",
                confidential: false,
                draft: false,
                due_at: None,
                head_oid: None,
                issue_type: None,
                labels: vec![],
                locked: false,
                merge_commit_oid: None,
                merged_at: None,
                merged_by: None,
                milestone: None,
                reviewers: vec![],
                source_branch: None,
                source_project: None,
                squash_oid: None,
                start_oid: None,
                state: "open",
                state_reason: None,
                target_branch: None,
                title: "t",
            }),
            State::of(&DiscussionState {
                kind: "thread",
                resolvable: false,
                resolved: false,
                resolved_at: None,
                resolved_by: None,
            }),
            State::of(&NoteState {
                author: "a",
                body: "b",
                internal: false,
                kind: "note",
                position: None,
                system: false,
            }),
            State::of(&position),
        ];
        for state in states {
            let keys = keys(&state.unwrap());
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            assert!(keys.len() > 2);
            assert_eq!(keys, sorted);
        }
    }
}
