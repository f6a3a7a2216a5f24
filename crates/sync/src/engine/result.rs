//! What a run did, as the command prints it and the ledger keeps it.

use annals_core::{Code, EntityKind, Iid, Report, RunId};
use annals_db::ids::{DirtyId, RunMode, RunStatus};
use annals_db::work::CursorPoint;
use serde::Serialize;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncResult {
    /// Its id.
    pub run_id: RunId,
    /// What it set out to do.
    pub mode: RunMode,
    /// How it ended.
    pub status: RunStatus,
    /// Each project, in the order asked for.
    pub projects: Vec<ProjectResult>,
    /// Revisions written.
    pub revisions: u64,
    /// Documents rendered again.
    pub documents_regenerated: u64,
    /// Documents embedded again.
    pub documents_embedded: u64,
    /// Entities left alone because the file was newer.
    pub skipped_stale: u64,
    /// Entities of which something failed.
    pub failed_iids: Vec<EntityRef>,
    /// Entities left alone because the file was newer.
    pub skipped_stale_iids: Vec<EntityRef>,
    /// The dirty rows that a surgical run left and answered itself.
    pub dirty_source_ids: Vec<DirtyId>,
    /// Requests sent.
    pub requests: u64,
    /// Answers that said "not modified".
    pub not_modified: u64,
    /// Milliseconds spent waiting for hosts, summed over all tasks.
    pub waited_ms: u64,
    /// Why it did not end as `done`.
    pub error_code: Option<Code>,
}

/// An entity by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EntityRef {
    /// Issue or merge request.
    pub entity_type: EntityKind,
    /// Its number.
    pub iid: Iid,
}

/// What a run did for a project.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProjectResult {
    /// Its path.
    pub path: String,
    /// Its streams, in the order they were read.
    pub streams: Vec<StreamResult>,
    /// Its dependent jobs.
    pub jobs: JobsResult,
}

/// What a run read of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StreamResult {
    /// Its name.
    pub stream: String,
    /// Pages stored.
    pub pages: u64,
    /// Rows on them.
    pub rows: u64,
    /// Rows written.
    pub written: u64,
    /// Rows that were as they are.
    pub unchanged: u64,
    /// Rows that could not be read, and children of its rows.
    pub quarantined: u64,
    /// Where it is read to: the update time and id of the last row stored.
    pub cursor: Option<String>,
}

/// What a run did with dependent jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobsResult {
    /// Done by this run.
    pub done: u64,
    /// Still owed.
    pub pending: u64,
    /// Given up by this run.
    pub failed: u64,
    /// Ended with this run.
    pub aborted: u64,
}

impl std::fmt::Display for EntityRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.entity_type.sigil(), self.iid)
    }
}

impl SyncResult {
    /// Whether anything came in. Documents do not count: they are made from what is here.
    #[must_use]
    pub fn stored_something(&self) -> bool {
        let streams = self.projects.iter().flat_map(|project| &project.streams);
        self.revisions > 0
            || self.projects.iter().any(|project| project.jobs.done > 0)
            || streams.map(|stream| stream.written).sum::<u64>() > 0
    }

    /// Puts the result into the details of a report.
    #[must_use]
    pub fn describe(&self, report: Report) -> Report {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(members)) => members
                .into_iter()
                .fold(report, |report, (name, value)| report.with_detail(&name, value)),
            _ => report.with_detail("run_id", self.run_id.as_str()),
        }
    }
}

/// A cursor as results and the ledger show it.
#[must_use]
pub fn cursor_text(point: &CursorPoint) -> String {
    format!("{}/{}", point.at.rfc3339(), point.tie_id)
}
