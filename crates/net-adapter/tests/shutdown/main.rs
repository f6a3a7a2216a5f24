//! How a process ends: by one signal, by two, by none of its own will, and always in bounded time.
//!
//! A signal ends the process it is sent to, so most of these tests run this program again and play a role in it
//! ([`child`]); they wait for what it says and for nothing else.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod bounded;
mod child;
mod orders;
mod signals;
mod together;
