//! The run ledger.

use annals_core::{EntityKind, Iid, RunId, UnixMs};
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;
use serde_json::Value;

use super::clause::{Clause, count};
use super::{Visibility, json};
use crate::Error;
use crate::control::ProcessId;
use crate::ids::{RunMode, RunOrigin, RunStatus, StreamStatus, kind_at};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its id.
    pub run_id: RunId,
    /// The run it repeats a part of.
    pub parent_run_id: Option<RunId>,
    /// What it set out to do.
    pub mode: RunMode,
    /// Who asked.
    pub origin: RunOrigin,
    /// The path of its project, if it has just one.
    pub project: Option<String>,
    /// How it ended, or that it has not.
    pub status: RunStatus,
    /// Its phase.
    pub phase: String,
    /// What was asked for.
    pub requested: Value,
    /// What it counted.
    pub counters: Value,
    /// Why it did not end as done.
    pub error_code: Option<String>,
    /// The same with details.
    pub error: Value,
    /// The process that ran it.
    #[serde(flatten)]
    pub process: ProcessId,
    /// When it began.
    #[serde(with = "annals_core::time::rfc3339")]
    pub started_at: UnixMs,
    /// Last sign of life.
    #[serde(with = "annals_core::time::rfc3339")]
    pub heartbeat_at: UnixMs,
    /// When it ended.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub finished_at: Option<UnixMs>,
}

/// One stream of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunStream {
    /// The path of its project.
    pub project: String,
    /// Its name.
    pub stream: String,
    /// How it ended, or that it has not.
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
    /// Where it began.
    pub cursor_from: Option<String>,
    /// Where it ended.
    pub cursor_to: Option<String>,
    /// Why it ended early.
    pub error_code: Option<String>,
}

/// One entity of a run that named entities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunEntity {
    /// Issue or merge request.
    #[serde(serialize_with = "entity_kind")]
    pub entity_type: EntityKind,
    /// Its number.
    pub iid: Iid,
    /// How far it came.
    pub stage: String,
    /// How that went.
    pub status: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// When.
    #[serde(with = "annals_core::time::rfc3339")]
    pub updated_at: UnixMs,
}

fn entity_kind<S: serde::Serializer>(kind: &EntityKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// A run with everything in the ledger about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its streams.
    pub streams: Vec<RunStream>,
    /// Its entities.
    pub entities: Vec<RunEntity>,
}

/// Runs, the newest first; those of other projects than the visible ones are left out.
///
/// # Errors
/// A failure of the file.
pub fn runs(
    conn: &Connection,
    visibility: &Visibility,
    status: Option<RunStatus>,
    limit: usize,
) -> Result<Vec<Run>, Error> {
    let mut clause = Clause::default();
    if let Some(status) = status {
        clause.with("r.status = ?", [status.as_str().to_owned().into()]);
    }
    select(conn, visibility, clause, limit)
}

/// One run.
///
/// # Errors
/// A failure of the file.
pub fn run(conn: &Connection, visibility: &Visibility, run_id: &RunId) -> Result<Option<RunDetail>, Error> {
    let mut clause = Clause::default();
    clause.with("r.run_id = ?", [run_id.as_str().to_owned().into()]);
    let Some(run) = select(conn, visibility, clause, 1)?.pop() else {
        return Ok(None);
    };
    Ok(Some(RunDetail {
        run,
        streams: streams(conn, visibility, run_id)?,
        entities: entities(conn, run_id)?,
    }))
}

/// A run is visible if one of its projects is, or if it has none yet and the caller sees all.
fn select(conn: &Connection, visibility: &Visibility, mut clause: Clause, limit: usize) -> Result<Vec<Run>, Error> {
    if let Some(ids) = visibility.project_ids() {
        clause.with(
            "(r.project_id IN (SELECT value FROM json_each(?)) OR EXISTS (SELECT 1 FROM sync_run_streams s
              WHERE s.run_id = r.run_id AND s.project_id IN (SELECT value FROM json_each(?))))",
            [ids.clone().into(), ids.into()],
        );
    }
    let sql = format!(
        "SELECT r.run_id, r.parent_run_id, r.mode, r.origin, p.path, r.status, r.phase, r.requested, r.counters,
                r.error_code, r.error, r.host, r.pid, r.process_start, r.started_at, r.heartbeat_at, r.finished_at
         FROM sync_runs r LEFT JOIN projects p ON p.id = r.project_id WHERE {}
         ORDER BY r.started_at DESC, r.run_id DESC LIMIT ?",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(clause.values([count(limit)])), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        run_id: RunId(row.get(0)?),
        parent_run_id: row.get::<_, Option<String>>(1)?.map(RunId),
        mode: row.get(2)?,
        origin: row.get(3)?,
        project: row.get(4)?,
        status: row.get(5)?,
        phase: row.get(6)?,
        requested: json::value(row, 7)?,
        counters: json::value(row, 8)?,
        error_code: row.get(9)?,
        error: json::value(row, 10)?,
        process: ProcessId::at(row, 11)?,
        started_at: UnixMs(row.get(14)?),
        heartbeat_at: UnixMs(row.get(15)?),
        finished_at: json::time(row, 16)?,
    })
}

fn streams(conn: &Connection, visibility: &Visibility, run_id: &RunId) -> Result<Vec<RunStream>, Error> {
    let mut clause = Clause::default();
    clause.with("s.run_id = ?", [run_id.as_str().to_owned().into()]);
    clause.visible(visibility, "s.project_id", None);
    let sql = format!(
        "SELECT p.path, s.stream, s.status, s.pages, s.rows, s.written, s.unchanged, s.quarantined, s.cursor_from,
                s.cursor_to, s.error_code
         FROM sync_run_streams s JOIN projects p ON p.id = s.project_id WHERE {} ORDER BY p.path_folded, p.id, s.stream",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(clause.values([])), |row| {
        Ok(RunStream {
            project: row.get(0)?,
            stream: row.get(1)?,
            status: row.get(2)?,
            pages: row.get(3)?,
            rows: row.get(4)?,
            written: row.get(5)?,
            unchanged: row.get(6)?,
            quarantined: row.get(7)?,
            cursor_from: row.get(8)?,
            cursor_to: row.get(9)?,
            error_code: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn entities(conn: &Connection, run_id: &RunId) -> Result<Vec<RunEntity>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT entity_type, iid, stage, status, error_code, error_message, updated_at FROM sync_run_entities
         WHERE run_id = ?1 ORDER BY entity_type, iid, id",
    )?;
    let rows = select.query_map(params![run_id.as_str()], |row| {
        Ok(RunEntity {
            entity_type: kind_at(row, 0)?,
            iid: Iid(row.get(1)?),
            stage: row.get(2)?,
            status: row.get(3)?,
            error_code: row.get(4)?,
            error_message: row.get(5)?,
            updated_at: UnixMs(row.get(6)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
