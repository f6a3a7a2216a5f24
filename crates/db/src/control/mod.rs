//! How the mirroring went: runs, their streams, and the lock that makes a project's run the only one.
//!
//! A [`sweep`] is remembered here too: it may need several runs.
//!
//! These rows are written in transactions of their own, so that rolling back content never erases the
//! record of it. A run first [`heals`](heal::heal) what died before it, takes the [`lock`] of its
//! project, beats every few seconds, and lets every content transaction begin with
//! [`lock::check_fence`].

pub mod finding;
pub mod heal;
pub mod ledger;
pub mod lock;
pub mod process;
pub mod run;
pub mod sweep;

pub use finding::{FindingRow, put_findings};
pub use heal::{Healed, heal};
pub use ledger::EntityRow;
pub use lock::{Acquired, HEARTBEAT_MS, Holder, Lock, LockRequest, STALE_AFTER_MS, acquire, beat, check_fence, held};
pub use process::{Alive, ProcessId};
pub use run::{NewRun, RunEnd, StreamRow, begin_run, finish_run, put_stream, set_counters, set_phase};
