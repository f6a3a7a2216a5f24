//! Which merge requests touched a file, newest first, across its renames; with the notes on it and the
//! commits that are indexed.
//!
//! Read in this order: `chain` finds all the names the file has had, `requests`, `notes` and `commits`
//! what touched one of them, `finding` says why an answer may be empty or short, and `place` which
//! projects have the path at all.

mod chain;
mod commits;
mod finding;
mod notes;
mod place;
mod requests;

pub use commits::FileCommit;
pub use finding::FileFinding;
pub use notes::FileNote;
pub use place::projects_with_path;
pub use requests::{FileRequest, Requests};

pub(super) use chain::chain;
pub(super) use requests::touched;

use annals_core::files::ChainBounds;
use annals_core::{ProjectId, UnixMs};
use rusqlite::Connection;

use super::clause::json_list;
use super::moment::Moment;
use super::{Part, Visibility};
use crate::Error;

/// What is asked about a file.
#[derive(Debug, Clone)]
pub struct FileHistoryQuery {
    /// Its project.
    pub project: ProjectId,
    /// Its path, as forges write it.
    pub path: String,
    /// How far renames are followed.
    pub bounds: ChainBounds,
    /// Which merge requests.
    pub requests: Requests,
    /// Whether the notes on it are wanted.
    pub discussions: Part,
    /// Whether the commits that touch it are wanted.
    pub commits: Part,
    /// How many merge requests to return.
    pub limit: usize,
    /// When, if not now.
    pub as_of: Option<UnixMs>,
}

impl FileHistoryQuery {
    /// The newest 50 merge requests of a file.
    #[must_use]
    pub fn of(project: ProjectId, path: impl Into<String>) -> Self {
        Self {
            project,
            path: path.into(),
            bounds: ChainBounds::default(),
            requests: Requests::All,
            discussions: Part::LeftOut,
            commits: Part::LeftOut,
            limit: 50,
            as_of: None,
        }
    }
}

/// What touched a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHistory {
    /// Every name the file has had, with the one asked for, sorted.
    pub rename_chain: Vec<String>,
    /// Whether it has more names than are followed.
    pub chain_truncated: bool,
    /// The merge requests, newest first.
    pub merge_requests: Vec<FileRequest>,
    /// How many there are in all.
    pub total_mrs: u64,
    /// The notes on it, oldest first, if they were wanted.
    pub discussions: Option<Vec<FileNote>>,
    /// The indexed commits, newest first, if they were wanted.
    pub commits: Option<Vec<FileCommit>>,
    /// Why the answer may be empty or short.
    pub findings: Vec<FileFinding>,
    /// How many of the merge requests and notes nobody had seen yet at the time that is asked about; none of now.
    pub derived: u64,
}

/// The history of a file; `None` if the project is not shown to the caller.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn file_history(
    conn: &Connection,
    visibility: &Visibility,
    query: &FileHistoryQuery,
) -> Result<Option<FileHistory>, Error> {
    if !visibility.shows(query.project) {
        return Ok(None);
    }
    let scope = Scope {
        project: query.project,
        at: Moment::of(query.as_of),
        highest: visibility.highest_flag(),
    };
    let names = chain(conn, &scope, &query.path, query.bounds)?;
    let paths = json_list(&names.paths);
    let found = requests::requests(conn, &scope, &paths, query.requests, query.limit)?;
    let (merge_requests, total_mrs, mut derived) = (found.requests, found.total, found.derived);
    let discussions = match query.discussions {
        Part::Included => {
            let found = notes::notes(conn, &scope, &paths, query.requests)?;
            derived += found.derived;
            Some(found.notes)
        }
        Part::LeftOut => None,
    };
    let commits = match query.commits {
        Part::Included => Some(commits::commits(conn, &scope, &paths)?),
        Part::LeftOut => None,
    };
    let nothing = total_mrs == 0 && discussions.iter().all(Vec::is_empty) && commits.iter().all(Vec::is_empty);
    let findings = finding::findings(conn, &scope, &query.path, &paths, nothing.then_some(query.requests))?;
    Ok(Some(FileHistory {
        rename_chain: names.paths,
        chain_truncated: names.truncated,
        merge_requests,
        total_mrs,
        discussions,
        commits,
        findings,
        derived,
    }))
}

/// What every statement here is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub project: ProjectId,
    pub at: Moment,
    /// The highest `confidential` or `internal` flag that is shown.
    pub highest: i64,
}

#[cfg(test)]
mod tests;
