//! States as they are read back: what [`content`](crate::content) wrote under the hash of a revision.
//!
//! A member that an older projection did not have yet is as if it were empty.

use serde::Deserialize;

use crate::ids::{DiscussionKind, NoteKind, Side, State};
use crate::text::{clean, fold};

/// What a list shows of an issue or merge request. The description is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    pub assignees: Vec<String>,
    pub author: String,
    pub confidential: bool,
    pub draft: bool,
    pub labels: Vec<String>,
    pub merged_at: Option<i64>,
    pub milestone: Option<String>,
    state: String,
    pub state_reason: Option<String>,
    pub title: String,
}

impl Head {
    pub fn state(&self) -> State {
        State::parse(&self.state).unwrap_or(State::Other)
    }

    pub fn set_state(&mut self, state: State) {
        state.as_str().clone_into(&mut self.state);
    }
}

/// What only the page of an entity shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rest {
    pub base_oid: Option<String>,
    pub body: String,
    pub due_at: Option<i64>,
    pub head_oid: Option<String>,
    pub issue_type: Option<String>,
    pub locked: bool,
    pub merge_commit_oid: Option<String>,
    pub merged_by: Option<String>,
    pub reviewers: Vec<Reviewer>,
    pub source_branch: Option<String>,
    pub source_project: Option<String>,
    pub squash_oid: Option<String>,
    pub target_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reviewer {
    pub name: String,
    pub state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Discussion {
    kind: String,
    pub resolvable: bool,
    pub resolved: bool,
    pub resolved_at: Option<i64>,
    pub resolved_by: Option<String>,
}

impl Default for Discussion {
    fn default() -> Self {
        Self {
            kind: DiscussionKind::Comment.as_str().to_owned(),
            resolvable: false,
            resolved: false,
            resolved_at: None,
            resolved_by: None,
        }
    }
}

impl Discussion {
    pub fn kind(&self) -> DiscussionKind {
        DiscussionKind::parse(&self.kind).unwrap_or(DiscussionKind::Thread)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    pub author: String,
    pub body: String,
    pub internal: bool,
    kind: String,
    pub position: Option<Position>,
    pub system: bool,
}

impl Note {
    pub fn kind(&self) -> NoteKind {
        NoteKind::parse(&self.kind).unwrap_or(NoteKind::Note)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    pub head_oid: Option<String>,
    pub new_line: Option<i64>,
    pub new_path: Option<String>,
    pub old_line: Option<i64>,
    pub old_path: Option<String>,
    side: Option<String>,
    pub start_line: Option<i64>,
}

impl Position {
    pub fn side(&self) -> Option<Side> {
        self.side.as_deref().and_then(Side::parse)
    }
}

/// Names in the order lists have them, and as columns hold them.
pub(super) fn in_order(names: Vec<String>) -> Vec<String> {
    let mut keyed: Vec<_> = names
        .into_iter()
        .map(|name| (fold(&name), clean(&name).into_owned()))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, name)| name).collect()
}
