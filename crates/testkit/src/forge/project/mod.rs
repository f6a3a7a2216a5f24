//! What a GitLab project is made of, as plain data.
//!
//! People, labels and milestones are named by their index in the project, so that an entity stays
//! small. An entity is a [`Head`] (what a list row shows, in `head`) and a [`Thread`] (everything
//! fetched under it, in `thread`; pushed changes in `change`).

mod change;
mod head;
mod thread;

pub use change::{Commit, DiffText, FileChange, FileChangeKind, Version};
pub use head::{DiffRefs, Head, ItemState, Merge, Secrecy};
pub use thread::{
    Action, Discussion, DiscussionShape, LabelEvent, MilestoneEvent, Note, NoteOrigin, Position, Resolution,
    StateEvent, Thread,
};

use annals_core::{EntityKind, UnixMs};

/// One issue or merge request of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Issue or merge request; the two count apart.
    pub kind: EntityKind,
    /// The number people use.
    pub iid: i64,
}

impl Key {
    /// The issue with this number.
    #[must_use]
    pub const fn issue(iid: i64) -> Self {
        Self {
            kind: EntityKind::Issue,
            iid,
        }
    }

    /// The merge request with this number.
    #[must_use]
    pub const fn mr(iid: i64) -> Self {
        Self {
            kind: EntityKind::MergeRequest,
            iid,
        }
    }

    /// The forge's own id. Issue ids grow from four to five digits and MR ids from three to four on
    /// the way, so that comparing ids as text shows.
    #[must_use]
    pub const fn native_id(self) -> i64 {
        match self.kind {
            EntityKind::Issue => 9_900 + self.iid,
            EntityKind::MergeRequest => 900 + self.iid,
        }
    }

    /// A number of its own for each key; what ids of children are made from.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self.kind {
            EntityKind::Issue => self.iid * 2,
            EntityKind::MergeRequest => self.iid * 2 + 1,
        }
    }
}

/// The index of a user in [`Project::users`].
pub type UserIx = u32;

/// The project and the parts its entities share.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// The forge's id.
    pub id: i64,
    /// `group/project`.
    pub path: String,
    /// The display name.
    pub name: String,
    /// One paragraph.
    pub description: String,
    /// Where merge requests go.
    pub default_branch: String,
    /// When it was created.
    pub created_at: UnixMs,
    /// Where links in payloads point; what GitLab calls the external URL.
    pub external_url: String,
    /// Everybody who acts in it.
    pub users: Vec<User>,
    /// Its labels and those of its group.
    pub labels: Vec<Label>,
    /// Its milestones.
    pub milestones: Vec<Milestone>,
    /// Paths it had before; they answer with a redirect.
    pub old_paths: Vec<String>,
}

impl Project {
    /// The address of the project's page.
    #[must_use]
    pub fn web_url(&self) -> String {
        format!("{}/{}", self.external_url, self.path)
    }

    /// The address of an entity's page.
    #[must_use]
    pub fn web_url_of(&self, key: Key) -> String {
        let kind = match key.kind {
            EntityKind::Issue => "issues",
            EntityKind::MergeRequest => "merge_requests",
        };
        format!("{}/-/{kind}/{}", self.web_url(), key.iid)
    }
}

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    Human,
    /// A project access token's account; GitLab shows it by its username alone.
    Bot,
    /// The account that deleted users leave behind.
    Ghost,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The forge's id.
    pub id: i64,
    /// The handle.
    pub username: String,
    /// The display name.
    pub name: String,
    /// What it is.
    pub kind: UserKind,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The forge's id.
    pub id: i64,
    /// Its name, possibly scoped (`priority::high`).
    pub name: String,
    /// `#rrggbb`.
    pub color: String,
    /// What it means.
    pub description: Option<String>,
}

/// A milestone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// The forge's id.
    pub id: i64,
    /// Its number within the project.
    pub iid: i64,
    /// Its name.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Whether work goes on.
    pub state: MilestoneState,
    /// Midnight of its first day.
    pub start: Option<UnixMs>,
    /// Midnight of its last day.
    pub due: Option<UnixMs>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

/// Whether a milestone is being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MilestoneState {
    /// Yes.
    Active,
    /// No longer.
    Closed,
}
