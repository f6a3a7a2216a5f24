//! The queries behind commands, API and pages.
//!
//! What shows content takes a [`Visibility`] and applies it inside the query; what hangs on an
//! [`entity`](entity()) is asked for by the row of one that was shown. The results serialise to the
//! robot output and the API: times as RFC 3339, ids as text, numbers of entities as numbers.
//!
//! The functions here read what is; those of [`as_of`] read what was, and answer in the same types.

pub mod as_of;
mod clause;
mod entity;
mod json;
mod list;
mod notes;
mod project;
mod run;
mod stats;
mod thread;
mod visibility;

pub use as_of::Certainty;
pub use entity::{
    Entity, Event, FieldDiff, File, MergeRequestPart, Reviewer, Revision, StateDiff, diff, entity, entity_updated_at,
    events, files, raw, renderer_version, revisions,
};
pub use list::{Direction, GoneRows, List, ListItem, ListQuery, NameFilter, Place, Slice, Sort, list};
pub use notes::{Listed, NoteList, NoteOrigin, NotesQuery, PathPattern, Resolved, notes};
pub use project::{CursorRow, LastRun, ProjectCounts, ProjectName, ProjectRow, find_projects, project, projects};
pub use run::{Run, RunDetail, RunEntity, RunStream, run, runs};
#[cfg(test)]
pub(crate) use stats::tables_of;
pub use stats::{BlobStats, Depth, QuarantineStats, Stats, check, content_seq, schema, stats};
pub use thread::{Discussion, Note, NotePage, Position, Threads, threads};
pub use visibility::{Confidential, Visibility, VisibleProjects};

#[cfg(test)]
mod tests;
