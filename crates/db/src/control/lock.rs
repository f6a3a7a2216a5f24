//! Single flight per project: a row in the very file it fences.
//!
//! Every acquisition raises the fence, and every content transaction reads it first. Whoever was
//! taken over finds another fence there, gets `lock_lost` and writes nothing more.

use annals_core::{ProjectId, Report, RunId, UnixMs};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::process::{Alive, ProcessId};
use crate::{Error, WriteTx};

/// How often a run beats.
pub const HEARTBEAT_MS: i64 = 5_000;

/// A lock or run without a beat for so long is stale.
pub const STALE_AFTER_MS: i64 = 30_000;

/// A held lock: the proof that content of its project may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// `project:<id>`.
    pub scope: String,
    /// The run that holds it.
    pub run_id: RunId,
    /// The number of this acquisition.
    pub fence: i64,
}

/// What a run needs to say to get a lock.
#[derive(Debug, Clone)]
pub struct LockRequest {
    /// The project.
    pub project: ProjectId,
    /// The run.
    pub run_id: RunId,
    /// Who it is, for people: `annals sync`, `annals-server`.
    pub holder: String,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// `project:<id>`.
    pub scope: String,
    /// Who it is, for people.
    pub holder: String,
    /// The run.
    pub run_id: Option<RunId>,
    /// The process.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Since when.
    #[serde(with = "annals_core::time::rfc3339")]
    pub acquired_at: UnixMs,
    /// Last sign of life.
    #[serde(with = "annals_core::time::rfc3339")]
    pub heartbeat_at: UnixMs,
    /// How long it is held.
    pub age_ms: i64,
}

impl Holder {
    /// Adds the holder to a report, as `sync_in_progress` promises.
    #[must_use]
    pub fn describe(&self, report: Report) -> Report {
        let report = report
            .with_detail("holder", self.holder.as_str())
            .with_detail("host", self.process.host.as_str())
            .with_detail("pid", self.process.pid)
            .with_detail("age_ms", self.age_ms);
        match &self.run_id {
            Some(run_id) => report.with_detail("run_id", run_id.as_str()),
            None => report,
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// It is yours.
    Yes(Lock),
    /// Somebody else runs.
    Held(Box<Holder>),
}

/// The scope of a project's lock.
#[must_use]
pub fn scope(project: ProjectId) -> String {
    format!("project:{project}")
}

/// Takes the lock if it is free, stale, held by a process that is gone, or already held by this run.
///
/// # Errors
/// A failure of the file.
pub fn acquire(tx: &WriteTx<'_>, request: &LockRequest, alive: &Alive) -> Result<Acquired, Error> {
    let scope = scope(request.project);
    if let Some(holder) = held(tx, request.project, tx.now())? {
        let ours = holder.run_id.as_ref() == Some(&request.run_id);
        if !ours && is_live(&holder, tx.now(), alive) {
            return Ok(Acquired::Held(Box::new(holder)));
        }
    }
    let fence = tx
        .prepare_cached(
            "INSERT INTO sync_locks (scope, run_id, holder, host, pid, process_start, fence, acquired_at, heartbeat_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
             ON CONFLICT (scope) DO UPDATE SET run_id = excluded.run_id, holder = excluded.holder,
                 host = excluded.host, pid = excluded.pid, process_start = excluded.process_start,
                 fence = fence + 1, acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at
             RETURNING fence",
        )?
        .query_row(
            params![
                scope,
                request.run_id.as_str(),
                request.holder,
                alive.me.host,
                alive.me.pid,
                alive.me.process_start,
                tx.now().0
            ],
            |row| row.get(0),
        )?;
    Ok(Acquired::Yes(Lock {
        scope,
        run_id: request.run_id.clone(),
        fence,
    }))
}

/// The first statement of every content transaction: fails if the lock was taken over.
///
/// # Errors
/// [`Error::LockLost`]; the run must write nothing more.
pub fn check_fence(conn: &Connection, lock: &Lock) -> Result<(), Error> {
    let ours = conn
        .prepare_cached("SELECT 1 FROM sync_locks WHERE scope = ?1 AND fence = ?2 AND holder IS NOT NULL")?
        .exists(params![lock.scope, lock.fence])?;
    if ours { Ok(()) } else { Err(lost(lock)) }
}

/// Shows that the run and its lock live. In a transaction of its own.
///
/// # Errors
/// [`Error::LockLost`] if the lock was taken over.
pub fn beat(tx: &WriteTx<'_>, lock: &Lock) -> Result<(), Error> {
    check_fence(tx, lock)?;
    tx.prepare_cached("UPDATE sync_locks SET heartbeat_at = ?2 WHERE scope = ?1")?
        .execute(params![lock.scope, tx.now().0])?;
    super::run::beat_run(tx, &lock.run_id)
}

/// Gives the lock back; nothing happens if it was lost.
///
/// # Errors
/// A failure of the file.
pub fn release(tx: &WriteTx<'_>, lock: &Lock) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sync_locks SET run_id = NULL, holder = NULL WHERE scope = ?1 AND fence = ?2")?
        .execute(params![lock.scope, lock.fence])?;
    Ok(())
}

/// Gives back whatever a run holds, in the transaction that closes it.
pub(super) fn release_of(tx: &WriteTx<'_>, run_id: &RunId) -> Result<(), Error> {
    tx.prepare_cached("UPDATE sync_locks SET run_id = NULL, holder = NULL WHERE run_id = ?1")?
        .execute(params![run_id.as_str()])?;
    Ok(())
}

const HELD: &str = "SELECT scope, holder, run_id, host, pid, process_start, acquired_at, heartbeat_at
                    FROM sync_locks WHERE holder IS NOT NULL";

/// Who holds the lock of a project.
///
/// # Errors
/// A failure of the file.
pub fn held(conn: &Connection, project: ProjectId, now: UnixMs) -> Result<Option<Holder>, Error> {
    let found = conn
        .prepare_cached(&format!("{HELD} AND scope = ?1"))?
        .query_row(params![scope(project)], |row| read(row, now))
        .optional()?;
    Ok(found)
}

/// Every held lock.
///
/// # Errors
/// A failure of the file.
pub fn all_held(conn: &Connection, now: UnixMs) -> Result<Vec<Holder>, Error> {
    let mut select = conn.prepare_cached(&format!("{HELD} ORDER BY scope"))?;
    let rows = select.query_map([], |row| read(row, now))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The lock that somebody lives behind, if there is one: the schema must not move under it.
pub(crate) fn any_live(conn: &Connection, now: UnixMs, alive: &Alive) -> Result<Option<Holder>, Error> {
    Ok(all_held(conn, now)?
        .into_iter()
        .find(|holder| is_live(holder, now, alive)))
}

fn read(row: &Row<'_>, now: UnixMs) -> rusqlite::Result<Holder> {
    let acquired_at = UnixMs(row.get(6)?);
    Ok(Holder {
        scope: row.get(0)?,
        holder: row.get(1)?,
        run_id: row.get::<_, Option<String>>(2)?.map(RunId),
        process: ProcessId::at(row, 3)?,
        acquired_at,
        heartbeat_at: UnixMs(row.get(7)?),
        age_ms: (now.0 - acquired_at.0).max(0),
    })
}

fn is_live(holder: &Holder, now: UnixMs, alive: &Alive) -> bool {
    now.0 - holder.heartbeat_at.0 < STALE_AFTER_MS && !alive.is_dead(&holder.process)
}

fn lost(lock: &Lock) -> Error {
    Error::LockLost {
        scope: lock.scope.clone(),
        run_id: lock.run_id.to_string(),
    }
}
