//! The programs from outside, as a person, a script or an operator meets them.
//!
//! One test program, because each one links everything again.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod alternated;
mod bad_input;
mod churn;
mod demo;
mod faults;
#[cfg(target_os = "linux")]
mod full_disk;
mod interrupted;
mod locks;
mod recorded_forge;
mod runtimes;
mod serve;
mod stopped;
