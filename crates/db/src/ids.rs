//! Row ids of this file and the words its columns may hold.
//!
//! An id of one table cannot stand in for an id of another, and a word that a column does not
//! know cannot be written.

use std::fmt;

use annals_core::EntityKind;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

macro_rules! row_id {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map(Self)
            }
        }
    )+};
}

row_id! {
    /// A row of `forges`.
    ForgeId,
    /// A row of `users`.
    UserId,
    /// A row of `labels`.
    LabelId,
    /// A row of `milestones`.
    MilestoneId,
    /// A row of `discussions`.
    DiscussionId,
    /// A row of `notes`.
    NoteId,
    /// A row of `revisions`.
    RevisionId,
    /// A row of `dependent_jobs`.
    JobId,
    /// A row of `dirty_sources`.
    DirtyId,
    /// A row of `documents`.
    DocumentId,
}

/// A row of `issues` or `merge_requests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    /// Which of the two tables.
    pub kind: EntityKind,
    /// The row id in it.
    pub row: i64,
}

impl EntityId {
    /// A row of `issues`.
    #[must_use]
    pub const fn issue(row: i64) -> Self {
        Self {
            kind: EntityKind::Issue,
            row,
        }
    }

    /// A row of `merge_requests`.
    #[must_use]
    pub const fn merge_request(row: i64) -> Self {
        Self {
            kind: EntityKind::MergeRequest,
            row,
        }
    }

    /// The row id for a column that names an issue.
    pub(crate) fn issue_row(self) -> Option<i64> {
        (self.kind == EntityKind::Issue).then_some(self.row)
    }

    /// The row id for a column that names a merge request.
    pub(crate) fn mr_row(self) -> Option<i64> {
        (self.kind == EntityKind::MergeRequest).then_some(self.row)
    }

    /// The column of child tables that refers to an entity of this kind.
    pub(crate) const fn parent_column(self) -> &'static str {
        match self.kind {
            EntityKind::Issue => "issue_id",
            EntityKind::MergeRequest => "mr_id",
        }
    }
}

/// The table that holds entities of a kind.
pub(crate) const fn entity_table(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "merge_requests",
    }
}

/// Reads a kind from a column.
pub(crate) fn entity_kind(text: &str) -> FromSqlResult<EntityKind> {
    match text {
        "issue" => Ok(EntityKind::Issue),
        "merge_request" => Ok(EntityKind::MergeRequest),
        other => Err(unknown_word("EntityKind", other)),
    }
}

/// Reads a kind from column `index` of a row.
pub(crate) fn kind_at(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<EntityKind> {
    let text = row.get_ref(index)?.as_str()?;
    entity_kind(text).map_err(rusqlite::Error::from)
}

pub(crate) fn unknown_word(of: &'static str, word: &str) -> FromSqlError {
    FromSqlError::Other(format!("{word:?} is no {of}").into())
}

macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$vdoc:meta])+ $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])+ $variant),+ }

        impl $name {
            /// Every word, in the order of the schema.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as columns and JSON hold it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The variant that `text` names.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                Self::parse(text).ok_or_else(|| unknown_word(stringify!($name), text))
            }
        }
    )+};
}

words! {
    /// The software a forge runs.
    ForgeKind {
        /// GitLab.
        Gitlab = "gitlab",
        /// GitHub, public or Enterprise.
        Github = "github",
        /// Gitea.
        Gitea = "gitea",
        /// Forgejo.
        Forgejo = "forgejo",
        /// Nostr relays carrying NIP-34 events.
        Nip34 = "nip34",
    }

    /// Whether a project can still be read at its forge.
    ProjectState {
        /// It answers.
        Active = "active",
        /// It is now another project.
        Moved = "moved",
        /// It exists, but not for us.
        Hidden = "hidden",
        /// It does not answer any more.
        Missing = "missing",
    }

    /// What sort of account a user is.
    UserKind {
        /// A person.
        Human = "human",
        /// A program, by the forge's own flag or id.
        Bot = "bot",
        /// A deleted account; one per forge.
        Ghost = "ghost",
        /// The forge did not say.
        Unknown = "unknown",
    }

    /// The state of an issue or merge request.
    State {
        /// Open.
        Open = "open",
        /// Closed without a merge.
        Closed = "closed",
        /// Merged; merge requests only.
        Merged = "merged",
        /// A word this version does not know; the payload has it.
        Other = "other",
    }

    /// The state of a milestone.
    MilestoneState {
        /// Open for work.
        Active = "active",
        /// Closed.
        Closed = "closed",
        /// A word this version does not know.
        Other = "other",
    }

    /// Why an entity is no longer readable at the forge.
    GoneReason {
        /// The forge says it was deleted.
        Deleted = "deleted",
        /// The forge does not know it.
        Missing = "missing",
        /// It is now an entity of another project.
        Moved = "moved",
        /// It exists, but not for us.
        Hidden = "hidden",
    }

    /// Whether the parts of a merge request outside its list row have been fetched.
    Detail {
        /// Still owed.
        Pending = "pending",
        /// Here.
        Complete = "complete",
    }

    /// How much of a merge request's file list is here.
    Files {
        /// It has no head, so there is nothing to fetch.
        None = "none",
        /// Still owed.
        Pending = "pending",
        /// All of it.
        Complete = "complete",
        /// As much as the forge was willing to give.
        Truncated = "truncated",
    }

    /// The shape of a discussion.
    DiscussionKind {
        /// One remark alone.
        Comment = "comment",
        /// A remark with replies.
        Thread = "thread",
        /// The body of a review.
        Review = "review",
    }

    /// The shape of a note.
    NoteKind {
        /// A remark.
        Note = "note",
        /// A remark on a line of a diff.
        DiffNote = "diff_note",
        /// The body of a review.
        Review = "review",
    }

    /// Which side of a diff a line is on.
    Side {
        /// The old file.
        Old = "old",
        /// The new file.
        New = "new",
        /// An unchanged line, in both.
        Both = "both",
    }

    /// What a resource event is about.
    EventKind {
        /// Opened, closed, merged, reopened.
        State = "state",
        /// A label added or removed.
        Label = "label",
        /// A milestone set or removed.
        Milestone = "milestone",
        /// Assigned or unassigned.
        Assignee = "assignee",
        /// A reviewer asked for or removed.
        Reviewer = "reviewer",
        /// A new title.
        Title = "title",
        /// A merge.
        Merge = "merge",
        /// A mention from elsewhere.
        Reference = "reference",
        /// Something this version does not know.
        Other = "other",
    }

    /// Who says that an event happened.
    EventOrigin {
        /// The forge.
        Forge = "forge",
        /// We do: two states we saw differ.
        Derived = "derived",
    }

    /// What happened to a file.
    FileChange {
        /// It is new.
        Added = "added",
        /// Its content changed.
        Modified = "modified",
        /// It is gone.
        Deleted = "deleted",
        /// It has another name, and perhaps other content.
        Renamed = "renamed",
        /// It was copied from another.
        Copied = "copied",
        /// Only its mode changed.
        Mode = "mode",
        /// A word this version does not know.
        Other = "other",
    }

    /// What a revision belongs to.
    SubjectKind {
        /// A project.
        Project = "project",
        /// An issue.
        Issue = "issue",
        /// A merge request.
        MergeRequest = "merge_request",
        /// A discussion.
        Discussion = "discussion",
        /// A note.
        Note = "note",
        /// A label.
        Label = "label",
        /// A milestone.
        Milestone = "milestone",
    }

    /// What a revision records.
    RevisionOp {
        /// The first time it was seen.
        First = "first",
        /// Its state is another one.
        Changed = "changed",
        /// The forge no longer shows it.
        Gone = "gone",
        /// The forge shows it again.
        Back = "back",
    }

    /// What a document is made from.
    SourceKind {
        /// An issue.
        Issue = "issue",
        /// A merge request.
        MergeRequest = "merge_request",
        /// A discussion.
        Discussion = "discussion",
        /// A commit.
        Commit = "commit",
    }

    /// Which pass over a stream a cursor belongs to.
    Pass {
        /// The everyday one.
        Incremental = "incremental",
        /// A complete re-read.
        Full = "full",
    }

    /// A fetch that is owed because its parent changed.
    JobType {
        /// The parts of a merge request that its list row lacks.
        Detail = "detail",
        /// Discussions and notes.
        Discussions = "discussions",
        /// Resource events.
        Events = "events",
        /// The changed files.
        Diffs = "diffs",
        /// The commits.
        Commits = "commits",
        /// The issues it closes.
        Closes = "closes",
    }

    /// Where a job stands.
    JobStatus {
        /// Owed.
        Pending = "pending",
        /// A run is at it.
        Claimed = "claimed",
        /// Done.
        Done = "done",
        /// Given up after its last attempt.
        Failed = "failed",
        /// Its run ended before it.
        Aborted = "aborted",
    }

    /// What a run sets out to do.
    RunMode {
        /// The everyday run.
        Normal = "normal",
        /// A complete re-read.
        Full = "full",
        /// Named entities only.
        Surgical = "surgical",
        /// A comparison with the forge.
        Verify = "verify",
        /// Mending what a comparison found.
        Repair = "repair",
    }

    /// Who asked for a run.
    RunOrigin {
        /// The command line.
        Cli = "cli",
        /// The API.
        Api = "api",
        /// A Slack command.
        Slack = "slack",
        /// A schedule.
        Schedule = "schedule",
        /// A webhook.
        Webhook = "webhook",
        /// A retry of another run.
        Retry = "retry",
    }

    /// Where a run stands.
    RunStatus {
        /// Waiting for its turn.
        Queued = "queued",
        /// Under way.
        Running = "running",
        /// Everything it set out to do is done.
        Done = "done",
        /// Some of it is.
        Partial = "partial",
        /// It failed.
        Failed = "failed",
        /// It was asked to stop.
        Cancelled = "cancelled",
    }

    /// What a verification found wrong.
    Finding {
        /// Bytes of the file are not what they were written as.
        Corrupt = "corrupt",
        /// What was derived from content is not what its content gives.
        Drift = "drift",
        /// The forge has it, the file does not.
        MissingHere = "missing_here",
        /// The file shows it, the forge has it no more.
        MissingThere = "missing_there",
        /// The forge has a newer state.
        StaleHere = "stale_here",
        /// Same age, other content.
        Differs = "differs",
        /// The children of one kind are others.
        SetDiffers = "set_differs",
    }

    /// A stage that a named entity goes through in a run.
    EntityStage {
        /// Everything about it is fetched.
        Preflight = "preflight",
        /// Its row is written.
        Ingest = "ingest",
        /// Its sets are written.
        Dependents = "dependents",
        /// Its documents are made.
        Documents = "documents",
        /// They are embedded.
        Embed = "embed",
    }

    /// How a stage went for an entity.
    EntityStatus {
        /// Well.
        Ok = "ok",
        /// It failed.
        Failed = "failed",
        /// It was left alone because the file has a newer state.
        SkippedStale = "skipped_stale",
    }

    /// Where one stream of a run stands.
    StreamStatus {
        /// Under way.
        Running = "running",
        /// Read to its end.
        Done = "done",
        /// Ended early; the next run goes on.
        Partial = "partial",
        /// It failed.
        Failed = "failed",
        /// The run was asked to stop.
        Cancelled = "cancelled",
        /// Left out.
        Skipped = "skipped",
    }
}

impl From<EntityKind> for SubjectKind {
    fn from(kind: EntityKind) -> Self {
        match kind {
            EntityKind::Issue => Self::Issue,
            EntityKind::MergeRequest => Self::MergeRequest,
        }
    }
}

impl From<EntityKind> for SourceKind {
    fn from(kind: EntityKind) -> Self {
        match kind {
            EntityKind::Issue => Self::Issue,
            EntityKind::MergeRequest => Self::MergeRequest,
        }
    }
}
