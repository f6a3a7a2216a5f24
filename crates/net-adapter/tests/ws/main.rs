//! WebSocket, both sides, on every host: against each other, and against peers that send bytes as the test wants them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod cancelling;
mod crossing;
mod ending;
mod goodbyes;
mod many;
mod server;
mod site;
mod talking;
mod tls;
