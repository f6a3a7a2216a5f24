//! What died before: runs that say they run and do not.

use annals_core::{Code, RunId};
use rusqlite::params;

use super::lock::{self, STALE_AFTER_MS};
use super::process::{Alive, ProcessId};
use super::run;
use crate::ids::RunStatus;
use crate::work::job;
use crate::{Error, WriteTx};

/// What was healed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healed {
    /// The runs that were found dead.
    pub runs: Vec<RunId>,
    /// The claims that are owed again.
    pub reclaimed: u64,
}

/// Closes runs without a beat for 30 s, or whose process is gone, as `failed` with `interrupted`;
/// frees their locks, gives back their claims and aborts their scoped jobs. Done at the start of
/// every run.
///
/// # Errors
/// A failure of the file.
pub fn heal(tx: &WriteTx<'_>, alive: &Alive) -> Result<Healed, Error> {
    let runs = tx
        .prepare_cached(
            "SELECT run_id, heartbeat_at, host, pid, process_start FROM sync_runs WHERE status = 'running'
             ORDER BY run_id",
        )?
        .query_map([], |row| {
            Ok((RunId(row.get(0)?), row.get::<_, i64>(1)?, ProcessId::at(row, 2)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut healed = Healed::default();
    for (run_id, heartbeat_at, process) in runs {
        let silent = tx.now().0 - heartbeat_at >= STALE_AFTER_MS;
        if !silent && !alive.is_dead(&process) {
            continue;
        }
        tx.prepare_cached(
            "UPDATE sync_runs SET status = 'failed', error_code = ?2, finished_at = ?3 WHERE run_id = ?1",
        )?
        .execute(params![run_id.as_str(), Code::Interrupted.as_str(), tx.now().0])?;
        run::close_streams(tx, &run_id, RunStatus::Failed)?;
        job::release(tx, &run_id, Code::Interrupted.as_str())?;
        lock::release_of(tx, &run_id)?;
        healed.runs.push(run_id);
    }
    healed.reclaimed = job::reclaim(tx)?;
    Ok(healed)
}
