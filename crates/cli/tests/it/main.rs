//! The command as its user meets it: what it is given, what it prints, how it ends.
//!
//! One test program, because each one links everything again.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may"
)]

mod support;

mod auth;
mod autocorrect;
mod budget;
mod completions;
mod config;
mod demo;
mod doctor;
mod envelope;
mod mcp;
mod modes;
mod readme;
mod robot_docs;
mod same_path;
mod store;
mod sync;
mod usage;
