//! One test body, every host: the way conformance tests are written.
//!
//! A body is an `async fn(Cx)`. [`on_every_host!`](crate::on_every_host) makes one `#[test]` of it
//! per compiled runtime and one per lab; [`on_every_runtime!`](crate::on_every_runtime) leaves the
//! labs out, for bodies that need real sockets or threads.

use std::convert::Infallible;

use crate::backend::BackendKind;
use crate::channel::BroadcastReceiver;
use crate::lab::LabConfig;
use crate::lab::replay::Replay;
use crate::registry::{RegionEvent, RegistrySnapshot};
use crate::runtime::{Runtime, RuntimeConfig};
use crate::{Cx, Outcome};

/// Seeds of a lab run in the ordinary suite; `ANNALS_LAB_SEEDS` raises it.
const SEEDS: u64 = 4;

/// Runs a body on a real runtime and fails if it panics or leaves anything behind.
///
/// # Panics
/// When the body did, or a task, permit or panic was left.
#[allow(clippy::panic, reason = "a failed test")]
pub fn real<Fut: Future<Output = ()>>(kind: BackendKind, body: impl FnOnce(Cx) -> Fut) {
    let config = RuntimeConfig {
        workers: 2,
        ..RuntimeConfig::default()
    };
    let runtime = match Runtime::build(kind, &config) {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    };
    let main = runtime.run_main(|cx| async move {
        body(cx).await;
        Ok::<(), Infallible>(())
    });
    match main.outcome {
        Outcome::Ok(()) => {}
        Outcome::Panicked(message) => panic!("{message}"),
        Outcome::Cancelled(reason) => panic!("{reason}"),
        Outcome::Err(never) => match never {},
    }
    let left = &main.drain.stragglers;
    assert!(main.drain.quiescent && left.is_empty(), "left behind: {left:?}");
    assert_eq!(main.drain.open_permits, 0, "permits were not given back");
    assert_eq!(main.drain.panicked, 0, "a task panicked");
}

/// Runs a body in the lab over several seeds and fails if a run is not clean.
///
/// # Panics
/// When a run was not.
#[allow(clippy::panic, reason = "a failed test")]
pub fn lab<Fut: Future<Output = ()> + Send + 'static>(
    kind: BackendKind,
    body: impl Fn(Cx) -> Fut + Clone + Send + 'static,
) {
    let seeds = std::env::var("ANNALS_LAB_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(SEEDS);
    let replay = Replay::asked().unwrap_or_else(|failure| panic!("{failure}"));
    if replay.is_some_and(|replay| replay.backend != kind) {
        return;
    }
    for seed in replay.map_or(0..seeds, |replay| replay.seed..replay.seed.saturating_add(1)) {
        let config = LabConfig {
            cancel_at: replay.and_then(|replay| replay.cancel_at),
            ..LabConfig::new(seed).on(kind)
        };
        let report = config.run(body.clone());
        if let Err(failure) = report.clean() {
            panic!("{failure}");
        }
    }
}

/// Every region of the host that a body runs on, as [`Runtime::snapshot`].
#[must_use]
pub fn snapshot(cx: &Cx) -> RegistrySnapshot {
    cx.rt().snapshot()
}

/// What happens to the regions of that host from now on, as [`Runtime::region_events`].
#[must_use]
pub fn region_events(cx: &Cx) -> BroadcastReceiver<RegionEvent> {
    cx.rt().region_events().subscribe()
}

/// One `#[test]` per runtime and per lab for each named body.
#[macro_export]
macro_rules! on_every_host {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[cfg(feature = "tokio")]
            #[test]
            fn tokio() { $crate::testing::real($crate::BackendKind::Tokio, super::$name); }
            #[cfg(feature = "asupersync")]
            #[test]
            fn asupersync() { $crate::testing::real($crate::BackendKind::Asupersync, super::$name); }
            #[cfg(feature = "tokio")]
            #[test]
            fn lab_tokio() { $crate::testing::lab($crate::BackendKind::Tokio, super::$name); }
            #[cfg(feature = "asupersync")]
            #[test]
            fn lab_asupersync() { $crate::testing::lab($crate::BackendKind::Asupersync, super::$name); }
        }
    )+};
}

/// One `#[test]` per runtime for each named body.
#[macro_export]
macro_rules! on_every_runtime {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[cfg(feature = "tokio")]
            #[test]
            fn tokio() { $crate::testing::real($crate::BackendKind::Tokio, super::$name); }
            #[cfg(feature = "asupersync")]
            #[test]
            fn asupersync() { $crate::testing::real($crate::BackendKind::Asupersync, super::$name); }
        }
    )+};
}
