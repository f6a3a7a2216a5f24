//! Black-box tests of the Annals programs: they are started as users start them, and judged by what they print, store
//! and return.
//!
//! [`program`] starts them, [`mode`] says on which runtime, [`skip`](skip()) is for a test that this machine cannot run. The tests
//! themselves are in `tests/`, one file per promise.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a support crate of tests: it starts programs, reads the environment and may panic"
)]

pub mod mode;
pub mod program;
pub mod skip;

pub use mode::RuntimeMode;
pub use program::{annals, annals_bin, forge_sim_bin};
pub use skip::{SKIP_LOG, skip};
