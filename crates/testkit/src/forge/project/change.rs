//! Pushed states of a merge request: commits and changed files.

use annals_core::UnixMs;

use super::DiffRefs;

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
