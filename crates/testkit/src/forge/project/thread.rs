//! Discussions, notes and events.

use annals_core::UnixMs;

use super::{DiffRefs, Secrecy, UserIx, Version};

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
