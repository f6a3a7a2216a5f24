//! The queries behind commands, API and pages.
//!
//! What shows content takes a [`Visibility`] and applies it inside the query; what hangs on an
//! [`entity`](entity()) is asked for by the row of one that was shown. The results serialise to the
//! robot output and the API: times as RFC 3339, ids as text, numbers of entities as numbers.
//!
//! The functions here read what is; those of [`as_of`] read what was, and answer in the same types.

pub mod as_of;
mod clause;
mod count;
mod entity;
mod file_history;
mod health;
mod json;
mod linked;
mod list;
mod moment;
mod notes;
mod project;
mod run;
mod stats;
mod thread;
mod timeline;
mod visibility;
mod who;

pub use as_of::Certainty;
pub use count::{Count, CountBy, CountQuery, Group, count};
pub use entity::{
    Entity, Event, FieldDiff, File, MergeRequestPart, Reviewer, Revision, StateDiff, diff, entity, entity_updated_at,
    events, files, raw, renderer_version, revisions,
};
pub use file_history::{
    FileCommit, FileFinding, FileHistory, FileHistoryQuery, FileNote, FileRequest, Requests, file_history,
    projects_with_path,
};
pub use health::{Backlog, Health, health};
pub use linked::linked;
pub use list::{Direction, GoneRows, List, ListItem, ListQuery, NameFilter, Place, Slice, Sort, list};
pub use notes::{Listed, NoteList, NoteOrigin, NotesQuery, PathPattern, Resolved, notes};
pub use project::{CursorRow, LastRun, ProjectCounts, ProjectName, ProjectRow, find_projects, project, projects};
pub use run::{Run, RunDetail, RunEntity, RunStream, run, runs};
#[cfg(test)]
pub(crate) use stats::tables_of;
pub use stats::{BlobStats, Depth, QuarantineStats, Stats, check, content_seq, schema, stats};
pub use thread::{Discussion, Note, NotePage, Position, Threads, threads};
pub use timeline::{Timeline, TimelineEvent, TimelineKind, TimelineQuery, timeline};
pub use visibility::{Confidential, Visibility, VisibleProjects};
pub use who::{Deed, Evidence, Matter, Person, Reason, Who, WhoQuery, who};

/// Whether a part of an answer that costs something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// It is not.
    #[default]
    LeftOut,
    /// It is.
    Included,
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
