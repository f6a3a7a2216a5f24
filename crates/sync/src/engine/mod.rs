//! The sync engine: what is new at a forge comes into the file, in whole batches.
//!
//! **What this promises:** after a kill at any instant, rows and cursor agree and the next run goes
//! on from there; one bad item, stream, project or host never stops the others; and the state of
//! the engine is the database alone.
//!
//! Read in this order: [`options`] is what a run is given, [`result`] what it says; `run` goes from
//! one to the other; `project` is one project of it, with `stream`, `dependents` and `aside` as its
//! parts. All writing is in `writer`, in closures that cannot wait. `resolve` and [`register`] find
//! out which project is meant.

mod aside;
mod dependents;
pub mod options;
mod project;
pub mod register;
mod resolve;
pub mod result;
mod run;
mod sets;
mod stream;
mod writer;

pub use options::{Documents, SyncOptions, Target};
pub use register::{Added, add};
pub use result::{EntityRef, JobsResult, ProjectResult, StreamResult, SyncResult};
pub use run::sync;

use std::time::Duration;

use annals_core::CancelReason;
use annals_net_adapter::{CancelKind, Cx, SpawnError, Stop};

use crate::error::Error;

/// How long the last words of a run may take once it was asked to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Runs something short that must not be cut off by a cancellation, in bounded time.
async fn finishing<F, Fut, T>(cx: &Cx, f: F) -> Result<T, Error>
where
    F: FnOnce(Cx) -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    match cx.masked(FINISH_WITHIN, f).await {
        Ok(result) => result,
        Err(exceeded) => Err(Error::Cancelled {
            reason: CancelReason {
                note: Some(exceeded.to_string()),
                ..CancelReason::new(CancelKind::Deadline, "sync.finish", cx.now())
            },
            result: None,
        }),
    }
}

/// The request to stop that an error reports, if it does.
fn stop_of(error: &Error) -> Option<Stop> {
    use annals_core::TaskError;
    match error {
        Error::Forge(forge) => forge.stop().cloned(),
        other => other.cancel_reason().cloned().map(Stop::Cancelled),
    }
}

/// A task that could not start: its region is ending, or the process is full.
fn spawn_failed(error: SpawnError) -> Error {
    match error {
        SpawnError::TaskLimit { .. } | SpawnError::Denied => Error::Panicked(annals_core::PanicMsg {
            task: "sync".to_owned(),
            message: error.to_string(),
        }),
        SpawnError::RegionClosing { .. } | SpawnError::RegionClosed { .. } | SpawnError::RuntimeGone => {
            let reason = CancelReason {
                kind: CancelKind::Shutdown,
                origin: "sync".to_owned(),
                at: annals_core::MonoTime(0),
                note: Some(error.to_string()),
            };
            Error::Cancelled { reason, result: None }
        }
    }
}
