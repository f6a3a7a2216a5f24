//! The row of an issue or merge request.

use annals_core::UnixMs;

use super::{Key, UserIx};

/// The state of an entity in GitLab's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// Being worked on.
    Opened,
    /// Done or dropped.
    Closed,
    /// A merge request that is in.
    Merged,
    /// A merge request whose merge is under way.
    Locked,
}

impl ItemState {
    /// GitLab's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Merged => "merged",
            Self::Locked => "locked",
        }
    }
}

/// Who may see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Everybody.
    Public,
    /// Members: a confidential issue, an internal note.
    Members,
}

/// What a list row shows of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Which entity.
    pub key: Key,
    /// Its title.
    pub title: String,
    /// Its description; GitLab says `null` for one that was never written.
    pub body: Option<String>,
    /// Its state.
    pub state: ItemState,
    /// Who wrote it.
    pub author: UserIx,
    /// Who works on it.
    pub assignees: Vec<UserIx>,
    /// Its labels, as indexes into the project's.
    pub labels: Vec<u32>,
    /// Its milestone, as an index into the project's.
    pub milestone: Option<u32>,
    /// Who may see it.
    pub secrecy: Secrecy,
    /// Whether its discussion is locked.
    pub discussion_locked: Option<bool>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
    /// When it was closed.
    pub closed_at: Option<UnixMs>,
    /// Who closed it.
    pub closed_by: Option<UserIx>,
    /// Midnight of the day it is due.
    pub due: Option<UnixMs>,
    /// `issue`, `incident` or `task`; of no meaning for a merge request.
    pub issue_type: &'static str,
    /// How many notes people wrote.
    pub user_notes: u32,
    /// The id of the issue it went to in another project.
    pub moved_to: Option<i64>,
    /// What only a merge request has.
    pub merge: Option<Merge>,
}

/// The part of a head that only a merge request has.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// Not ready for review.
    pub draft: bool,
    /// Where the change comes from.
    pub source_branch: String,
    /// Where it goes.
    pub target_branch: String,
    /// The project it comes from; a fork's id, or ours.
    pub source_project: i64,
    /// Who was asked to review.
    pub reviewers: Vec<UserIx>,
    /// When it was merged.
    pub merged_at: Option<UnixMs>,
    /// Who merged it.
    pub merged_by: Option<UserIx>,
    /// The commit that merged it.
    pub merge_commit: Option<String>,
    /// The commit it was squashed into.
    pub squash_commit: Option<String>,
    /// The newest pushed state.
    pub refs: DiffRefs,
}

/// The three commits that a diff is read between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffRefs {
    /// Where the branches parted.
    pub base: String,
    /// The tip of the source branch.
    pub head: String,
    /// The tip of the target branch when it was compared.
    pub start: String,
}
