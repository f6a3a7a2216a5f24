//! Whether the file is what it was written to be: every check looks at the file alone and changes nothing.
//!
//! Two kinds of defects: [`Corrupt`](Finding::Corrupt), bytes that are not what was written, which nothing here can
//! mend; and [`Drift`](Finding::Drift), something derived that no longer follows from what it was derived from.
//!
//! [`file`] asks SQLite; [`blobs`] hashes every payload again; [`revisions`] walks the history of every subject;
//! [`rows`] compares entities with their newest revision; [`owed`] looks at cursors, jobs and intervals; [`vectors`]
//! measures vectors.

pub mod blobs;
pub mod file;
pub mod owed;
pub mod revisions;
pub mod rows;
pub mod vectors;

use annals_core::{EntityKind, Iid, ProjectId};

use crate::ids::Finding;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Whether bytes are damaged, or something derived is not what it should be.
    pub finding: Finding,
    /// Whose, where it belongs to a project.
    pub project: Option<ProjectId>,
    /// Which entity, where it belongs to one.
    pub entity: Option<(EntityKind, Iid)>,
    /// What, in words.
    pub what: String,
}

impl Defect {
    /// Bytes that are not what was written.
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self {
            finding: Finding::Corrupt,
            project: None,
            entity: None,
            what: what.into(),
        }
    }

    /// Something derived that no longer follows from what it was derived from.
    #[must_use]
    pub fn drift(what: impl Into<String>) -> Self {
        Self {
            finding: Finding::Drift,
            ..Self::corrupt(what)
        }
    }

    fn of(self, project: Option<ProjectId>) -> Self {
        Self { project, ..self }
    }
}
