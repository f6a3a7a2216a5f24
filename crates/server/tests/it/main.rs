//! The server over a real socket, on every runtime.
//!
//! One test program, because each one links everything again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

mod answers;
mod same_path;
