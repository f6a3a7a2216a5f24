//! The ledger of runs.

use annals_core::{Code, ProjectId, RunId};
use rusqlite::params;
use serde_json::Value;

use super::process::Alive;
use crate::ids::{RunMode, RunOrigin, RunStatus, StreamStatus};
use crate::work::job;
use crate::{Error, WriteTx};

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub run_id: RunId,
    /// The run it repeats a part of.
    pub parent: Option<RunId>,
    /// What it sets out to do.
    pub mode: RunMode,
    /// Who asked.
    pub origin: RunOrigin,
    /// Its project, if it has just one.
    pub project: Option<ProjectId>,
    /// What was asked for.
    pub requested: Value,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Done, partial, failed or cancelled.
    pub status: RunStatus,
    /// What it counted.
    pub counters: Value,
    /// Why it did not end as done.
    pub error_code: Option<Code>,
    /// The same with details, without secrets.
    pub error: Option<Value>,
}

/// One stream of a run so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// Its project.
    pub project: ProjectId,
    /// Its name.
    pub stream: String,
    /// Where it stands.
    pub status: StreamStatus,
    /// Pages stored.
    pub pages: u64,
    /// Rows on them.
    pub rows: u64,
    /// Rows written.
    pub written: u64,
    /// Rows that were as they are.
    pub unchanged: u64,
    /// Rows that could not be read.
    pub quarantined: u64,
    /// Where it began, as text.
    pub cursor_from: Option<String>,
    /// Where it is, as text.
    pub cursor_to: Option<String>,
    /// Why it ended early.
    pub error_code: Option<Code>,
}

/// Writes that a run has begun, in phase `begin`.
///
/// # Errors
/// A failure of the file.
pub fn begin_run(tx: &WriteTx<'_>, run: &NewRun, alive: &Alive) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO sync_runs (run_id, parent_run_id, mode, origin, project_id, requested, status, phase, counters, host,
                                pid, process_start, started_at, heartbeat_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'running', 'begin', '{}', ?7, ?8, ?9, ?10, ?10)",
    )?
    .execute(params![
        run.run_id.as_str(),
        run.parent.as_ref().map(RunId::as_str),
        run.mode,
        run.origin,
        run.project.map(|project| project.0),
        run.requested.to_string(),
        alive.me.host,
        alive.me.pid,
        alive.me.process_start,
        tx.now().0
    ])?;
    Ok(())
}

/// Writes which phase a run is in.
///
/// # Errors
/// A failure of the file.
pub fn set_phase(tx: &WriteTx<'_>, run_id: &RunId, phase: &str) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sync_runs SET phase = ?2, heartbeat_at = ?3 WHERE run_id = ?1 AND status = 'running'")?
        .execute(params![run_id.as_str(), phase, tx.now().0])?;
    Ok(())
}

/// Names the project of a run that learnt it on the way.
///
/// # Errors
/// A failure of the file.
pub fn set_project(tx: &WriteTx<'_>, run_id: &RunId, project: ProjectId) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sync_runs SET project_id = ?2 WHERE run_id = ?1")?
        .execute(params![run_id.as_str(), project.0])?;
    Ok(())
}

/// Writes what a run has counted so far.
///
/// # Errors
/// A failure of the file.
pub fn set_counters(tx: &WriteTx<'_>, run_id: &RunId, counters: &Value) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE sync_runs SET counters = ?2, heartbeat_at = ?3 WHERE run_id = ?1 AND status = 'running'",
    )?
    .execute(params![run_id.as_str(), counters.to_string(), tx.now().0])?;
    Ok(())
}

/// Shows that a run lives, also before it has a lock.
///
/// # Errors
/// A failure of the file.
pub fn beat_run(tx: &WriteTx<'_>, run_id: &RunId) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sync_runs SET heartbeat_at = ?2 WHERE run_id = ?1 AND status = 'running'")?
        .execute(params![run_id.as_str(), tx.now().0])?;
    Ok(())
}

/// Writes where a stream stands.
///
/// # Errors
/// A failure of the file.
pub fn put_stream(tx: &WriteTx<'_>, run_id: &RunId, stream: &StreamRow) -> Result<(), Error> {
    let n = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO sync_run_streams (run_id, project_id, stream, status, pages, rows, written, unchanged,
                                                  quarantined, cursor_from, cursor_to, error_code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        run_id.as_str(),
        stream.project.0,
        stream.stream,
        stream.status,
        n(stream.pages),
        n(stream.rows),
        n(stream.written),
        n(stream.unchanged),
        n(stream.quarantined),
        stream.cursor_from,
        stream.cursor_to,
        stream.error_code.map(Code::as_str)
    ])?;
    Ok(())
}

/// Counts more items of a stream that were put aside, after it was read.
///
/// # Errors
/// A failure of the file.
pub fn add_quarantined(
    tx: &WriteTx<'_>,
    run_id: &RunId,
    project: ProjectId,
    stream: &str,
    items: u64,
) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE sync_run_streams SET quarantined = quarantined + ?4
         WHERE run_id = ?1 AND project_id = ?2 AND stream = ?3",
    )?
    .execute(params![
        run_id.as_str(),
        project.0,
        stream,
        i64::try_from(items).unwrap_or(i64::MAX)
    ])?;
    Ok(())
}

/// Closes a run: its row, its claims and scoped jobs, its locks. Closing it twice changes nothing.
///
/// # Errors
/// A failure of the file.
pub fn finish_run(tx: &WriteTx<'_>, run_id: &RunId, end: &RunEnd) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE sync_runs SET status = ?2, phase = 'finish', counters = ?3, error_code = ?4, error = ?5,
             heartbeat_at = ?6, finished_at = ?6
         WHERE run_id = ?1 AND status IN ('queued', 'running')",
    )?
    .execute(params![
        run_id.as_str(),
        end.status,
        end.counters.to_string(),
        end.error_code.map(Code::as_str),
        end.error.as_ref().map(Value::to_string),
        tx.now().0
    ])?;
    close_streams(tx, run_id, end.status)?;
    job::release(tx, run_id, end.status.as_str())?;
    super::lock::release_of(tx, run_id)
}

/// A stream still under way when its run ends, ended with it.
pub(super) fn close_streams(tx: &WriteTx<'_>, run_id: &RunId, status: RunStatus) -> Result<(), Error> {
    let status = match status {
        RunStatus::Cancelled => StreamStatus::Cancelled,
        RunStatus::Failed => StreamStatus::Failed,
        RunStatus::Queued | RunStatus::Running | RunStatus::Done | RunStatus::Partial => StreamStatus::Partial,
    };
    tx.prepare_cached("UPDATE sync_run_streams SET status = ?2 WHERE run_id = ?1 AND status = 'running'")?
        .execute(params![run_id.as_str(), status])?;
    Ok(())
}
