//! What was mirrored: typed input, one function per noun, one answer to "did anything change".
//!
//! Every function takes the transaction first and compares what it is given with what the file has.
//! The *state* of a thing (what a reader would call its content) is hashed; only a new state writes
//! a revision and its payload. Columns outside the state are updated without one, and an identical
//! item writes nothing at all. Whatever changes carries the number of the commit as `changed_seq`
//! and, where a document shows it, leaves a row in `dirty_sources`.
//!
//! [`forge`], [`project`], [`user`], [`label`] and [`milestone`] come first; [`entity`] is an issue
//! or a merge request; [`thread`], [`event`] and [`files`] are the sets below one, replaced whole.

pub mod blob;
pub mod entity;
pub mod event;
pub mod files;
pub mod forge;
pub mod label;
pub mod milestone;
pub mod project;
pub mod revision;
pub mod thread;
pub mod user;

mod change;
mod entity_links;
mod entity_row;
mod note;
mod seen;
mod state;

pub use blob::Payload;
pub use change::{Change, SetChange, SetShape};
pub use entity::{
    EntityApplied, EntityIn, IssueIn, MergeRequestIn, MrDetailIn, ReviewerIn, flag, mark_entity_gone,
    mark_entity_moved, upsert_issue, upsert_merge_request,
};
pub use event::{EventSetIn, ResourceEventIn, replace_events};
pub use files::{FileChangeIn, FileSetIn, MrVersionIn, record_mr_version, replace_file_changes};
pub use forge::{ForgeIn, set_forge_facts, upsert_forge};
pub use label::{LabelIn, replace_labels, upsert_label};
pub use milestone::{MilestoneIn, replace_milestones, upsert_milestone};
pub use note::{DiffPositionIn, NoteIn};
pub use project::Tracking;
pub use project::{ProjectIn, mark_project, set_tracked, upsert_project};
pub use thread::{DiscussionIn, DiscussionSetIn, DiscussionsApplied, known_note, replace_discussions};
pub use user::{UserIn, upsert_user};

pub(crate) use seen::Seen;

#[cfg(test)]
mod tests;
