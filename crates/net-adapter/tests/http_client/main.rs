//! The HTTP client against raw TCP servers, the same on every host.
//!
//! The servers speak bytes, not HTTP: what a test expects of the wire stands in the test. Names are
//! those of the specification; a module has one test per host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod bodies;
mod cancelling;
mod connections;
mod faults;
mod framing;
mod limiter;
mod native;
mod parity;
mod proxies;
mod redirects;
mod support;
mod tls;
mod validators;
