//! Which process wrote a row, and whether it still runs.

use rusqlite::Row;

/// A process of some machine. A pid alone is used again; with its start time it is not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProcessId {
    /// The machine.
    pub host: String,
    /// The pid.
    pub pid: i64,
    /// When it started, in whatever unit its machine counts.
    pub process_start: i64,
}

impl ProcessId {
    /// Reads `host, pid, process_start` from position `at` on.
    pub(crate) fn at(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            host: row.get(at)?,
            pid: row.get(at + 1)?,
            process_start: row.get(at + 2)?,
        })
    }
}

/// What this process knows about others: who it is itself, and whether another one of its machine
/// still runs.
#[derive(Clone)]
pub struct Alive {
    /// This process.
    pub me: ProcessId,
    runs: std::sync::Arc<dyn Fn(i64, i64) -> bool + Send + Sync>,
}

impl Alive {
    /// `runs(pid, process_start)` tells whether such a process of this machine runs.
    #[must_use]
    pub fn new(me: ProcessId, runs: impl Fn(i64, i64) -> bool + Send + Sync + 'static) -> Self {
        Self {
            me,
            runs: std::sync::Arc::new(runs),
        }
    }

    /// Whether a process is known to have ended. About another machine nothing is known.
    #[must_use]
    pub fn is_dead(&self, process: &ProcessId) -> bool {
        process.host == self.me.host && *process != self.me && !(self.runs)(process.pid, process.process_start)
    }

    /// Whether a process is known to run.
    #[must_use]
    pub fn is_alive(&self, process: &ProcessId) -> bool {
        process.host == self.me.host && (*process == self.me || (self.runs)(process.pid, process.process_start))
    }
}

impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alive").field("me", &self.me).finish_non_exhaustive()
    }
}
