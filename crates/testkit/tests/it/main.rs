//! The simulated forge: its model, its API, and the server that speaks for it.
//!
//! One test program, because each one links everything again.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod common;
mod mirror;

mod api;
mod model;
mod program;
mod simulator;
