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
mod care;
mod completions;
mod config;
mod demo;
mod doctor;
mod embed;
mod envelope;
mod file_history;
mod found;
mod history;
mod mcp;
mod modes;
mod reading;
mod related;
mod robot_docs;
mod same_path;
mod store;
mod surgical;
mod sync;
mod transcripts;
mod usage;
mod verify;
