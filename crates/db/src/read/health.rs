//! Whether the mirror is fit to be relied on, by what the file alone says.

use annals_core::UnixMs;
use rusqlite::Connection;
use serde::Serialize;

use super::project::{self, ProjectRow};
use super::{Visibility, stats};
use crate::Error;
use crate::control::{Holder, lock};
use crate::ids::ProjectState;
use crate::work::{dirty, job};

/// What is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Fetches that are owed.
    pub jobs: u64,
    /// Fetches that were given up.
    pub failed_jobs: u64,
    /// Changes that are not searchable yet.
    pub dirty: u64,
    /// Items that were set aside.
    pub quarantine: u64,
}

/// How the mirror stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The schema of the file.
    pub schema: u32,
    /// Who syncs now, or did until its process ended.
    pub locks: Vec<Holder>,
    /// The projects that runs include.
    pub projects: Vec<ProjectRow>,
    /// What is owed.
    pub backlog: Backlog,
}

/// Reads how the mirror stands; for the owner of the file. No table is counted that grows with content.
///
/// # Errors
/// A failure of the file.
pub fn health(conn: &Connection, now: UnixMs) -> Result<Health, Error> {
    let jobs = job::counts(conn, None)?;
    let mut projects = project::projects(conn, &Visibility::all())?;
    projects.retain(|row| row.tracked && row.name.state == ProjectState::Active);
    Ok(Health {
        schema: stats::schema(conn)?,
        locks: lock::all_held(conn, now)?,
        projects,
        backlog: Backlog {
            jobs: jobs.pending,
            failed_jobs: jobs.failed,
            dirty: dirty::count(conn)?,
            quarantine: conn.query_row("SELECT count(*) FROM quarantine WHERE resolved_at IS NULL", [], |row| {
                row.get(0)
            })?,
        },
    })
}
