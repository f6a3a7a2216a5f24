//! What a GitLab project is made of, as plain data.
//!
//! People, labels and milestones are named by their index in the project, so that an entity stays
//! small. An entity is a [`Head`] (what a list row shows) and a [`Thread`] (everything fetched
//! under it).

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

/// Everything that is fetched under an entity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thread {
    /// Oldest first.
    pub discussions: Vec<Discussion>,
    /// Closed, reopened, merged.
    pub states: Vec<StateEvent>,
    /// Labels added and removed.
    pub labels: Vec<LabelEvent>,
    /// Milestones set and removed.
    pub milestones: Vec<MilestoneEvent>,
    /// Pushed states of a merge request, oldest first.
    pub versions: Vec<Version>,
    /// Issues that merging it closes.
    pub closes: Vec<i64>,
}

/// Notes that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Discussion {
    /// Forty hex digits.
    pub id: String,
    /// Whether it is one comment that nobody answered in a thread.
    pub shape: DiscussionShape,
    /// Oldest first, never empty.
    pub notes: Vec<Note>,
}

/// How notes hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscussionShape {
    /// One comment.
    Single,
    /// A thread that takes replies.
    Thread,
}

/// One note.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The forge's id.
    pub id: i64,
    /// Who wrote it.
    pub author: UserIx,
    /// What it says.
    pub body: String,
    /// Whether a person wrote it, or GitLab on their behalf.
    pub origin: NoteOrigin,
    /// Who may see it.
    pub secrecy: Secrecy,
    /// When it was written.
    pub created_at: UnixMs,
    /// When it was last edited.
    pub updated_at: UnixMs,
    /// Where in the diff it stands.
    pub position: Option<Position>,
    /// Whether and how it is resolved.
    pub resolution: Resolution,
}

/// Who speaks in a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteOrigin {
    /// A person or a bot.
    User,
    /// GitLab, about something a person did.
    System,
}

/// Whether a note can be, and is, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It cannot be.
    Impossible,
    /// It waits.
    Open,
    /// It is.
    Resolved {
        /// By whom.
        by: UserIx,
        /// When.
        at: UnixMs,
    },
}

/// Where in a diff a note stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The compared commits.
    pub refs: DiffRefs,
    /// The file before.
    pub old_path: String,
    /// The file after.
    pub new_path: String,
    /// The line before, unless it was added.
    pub old_line: Option<i64>,
    /// The line after, unless it was removed.
    pub new_line: Option<i64>,
    /// The first line, of a note on several.
    pub first_line: Option<i64>,
}

/// An entity changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEvent {
    /// The forge's id.
    pub id: i64,
    /// Who did it.
    pub user: UserIx,
    /// When.
    pub at: UnixMs,
    /// `closed`, `reopened` or `merged`.
    pub state: &'static str,
}

/// Something was put on an entity, or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Put on.
    Add,
    /// Taken off.
    Remove,
}

impl Action {
    /// GitLab's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

/// A label was put on or taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelEvent {
    /// The forge's id.
    pub id: i64,
    /// Who did it.
    pub user: UserIx,
    /// When.
    pub at: UnixMs,
    /// Which label.
    pub label: u32,
    /// On or off.
    pub action: Action,
}

/// A milestone was set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilestoneEvent {
    /// The forge's id.
    pub id: i64,
    /// Who did it.
    pub user: UserIx,
    /// When.
    pub at: UnixMs,
    /// Which milestone.
    pub milestone: u32,
    /// Set or removed.
    pub action: Action,
}

/// One pushed state of a merge request.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The forge's id.
    pub id: i64,
    /// The compared commits.
    pub refs: DiffRefs,
    /// When it was pushed.
    pub created_at: UnixMs,
    /// Newest first.
    pub commits: Vec<Commit>,
    /// What it changes.
    pub files: Vec<FileChange>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Forty hex digits.
    pub oid: String,
    /// The first line of the message.
    pub title: String,
    /// The whole message.
    pub message: String,
    /// Who wrote it, as git knows them.
    pub author_name: String,
    /// Their address.
    pub author_email: String,
    /// When it was written.
    pub authored_at: UnixMs,
    /// When it was committed.
    pub committed_at: UnixMs,
    /// The zone the author's times are printed in.
    pub offset_minutes: i64,
    /// The commits before it.
    pub parents: Vec<String>,
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// Its text changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name.
    Renamed,
    /// Only its permissions changed.
    Mode,
}

/// How much of a file's change the forge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffText {
    /// All of it.
    Lines {
        /// Lines added.
        added: u32,
        /// Lines removed.
        removed: u32,
    },
    /// That the bytes differ.
    Binary,
    /// Nothing: it is over the forge's limit.
    TooLarge,
}

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its name before.
    pub old_path: String,
    /// Its name after.
    pub new_path: String,
    /// What happened to it.
    pub kind: FileChangeKind,
    /// What is shown.
    pub text: DiffText,
    /// What the lines are drawn from.
    pub seed: u64,
}
