//! How the parts of a run end early, and how their last words are said all the same.

use std::time::Duration;

use annals_core::CancelReason;
use annals_net_adapter::{CancelKind, Cx, SpawnError, Stop};

use crate::error::Error;

/// How long the last words of a run may take once it was asked to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// How long they may take when nobody waits for the end: a slow disk is no reason to lose them.
const FINISH_UNHURRIED: Duration = Duration::from_secs(30);

/// Runs something short that must not be cut off by a cancellation, in bounded time.
///
/// # Errors
/// Its own, or [`Error::Unfinished`] when the time was up. That is a failure and never a request to
/// stop: nobody made one.
///
/// # Cancel safety
/// A cancellation waits for it.
pub async fn finishing<F, Fut, T>(cx: &Cx, f: F) -> Result<T, Error>
where
    F: FnOnce(Cx) -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let limit = match cx.may_start() {
        Ok(_started) => FINISH_UNHURRIED,
        Err(_) => FINISH_WITHIN,
    };
    match cx.masked(limit, f).await {
        Ok(result) => result,
        Err(exceeded) => Err(Error::Unfinished(exceeded)),
    }
}

/// The request to stop that an error reports, if it does.
pub fn stop_of(error: &Error) -> Option<Stop> {
    use annals_core::TaskError;
    match error {
        Error::Forge(forge) => forge.stop().cloned(),
        other => other.cancel_reason().cloned().map(Stop::Cancelled),
    }
}

/// A task that could not start: its region is ending, or the process is full.
pub fn spawn_failed(error: SpawnError) -> Error {
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
