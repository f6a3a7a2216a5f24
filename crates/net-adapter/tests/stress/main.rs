//! Cancellation everywhere: whatever goes on, and at whatever moment it is stopped, nothing is left behind and nothing
//! that had begun is unaccounted for.
//!
//! On real runtimes each scenario is stopped at a drawn event of its, many times; in the labs at every suspension point of
//! every task, by a request and by a drop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says how to replay it"
)]

mod batches;
mod channels;
mod ends;
mod harness;
mod host;
mod http;
mod probe;
mod storm;

/// The tests of each scenario, an `async fn(Cx, Probe)`: one per runtime and one per lab.
macro_rules! stress {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[cfg(feature = "tokio")]
            #[test]
            fn tokio() {
                crate::harness::real(stringify!($name), annals_net_adapter::BackendKind::Tokio, super::$name);
            }
            #[cfg(feature = "asupersync")]
            #[test]
            fn asupersync() {
                crate::harness::real(stringify!($name), annals_net_adapter::BackendKind::Asupersync, super::$name);
            }
            #[cfg(feature = "tokio")]
            #[test]
            fn lab_tokio() {
                crate::harness::lab(stringify!($name), annals_net_adapter::BackendKind::Tokio, super::$name);
            }
            #[cfg(feature = "asupersync")]
            #[test]
            fn lab_asupersync() {
                crate::harness::lab(stringify!($name), annals_net_adapter::BackendKind::Asupersync, super::$name);
            }
        }
    )+};
}
pub(crate) use stress;
