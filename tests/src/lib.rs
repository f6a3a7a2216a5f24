//! Black-box tests of the Annals programs: they are started as users start them, and judged by what they print, store
//! and return.
//!
//! A test sits at a [`Desk`], a folder of its own, and starts programs from it: [`program`] finds them, [`mode`] says on
//! which runtime, [`running`] talks to one while it runs and [`ended`] reads what it left. It mirrors a [`Forge`], which
//! is a process of its own too, looks into the file with [`Mirror`], and asks servers with [`http`].
//! [`skip`](skip()) is for a test that this machine cannot run. The tests themselves are in `tests/`, one file per
//! promise.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a support crate of tests: it starts programs, reads the environment and may panic"
)]

pub mod desk;
pub mod ended;
pub mod forge;
pub mod http;
pub mod mirror;
pub mod mode;
pub mod program;
pub mod running;
pub mod skip;

pub use desk::Desk;
pub use ended::Ended;
pub use forge::Forge;
pub use mirror::Mirror;
pub use mode::RuntimeMode;
pub use program::{annals, annals_bin, forge_sim_bin};
pub use running::Running;
pub use skip::{SKIP_LOG, skip};
