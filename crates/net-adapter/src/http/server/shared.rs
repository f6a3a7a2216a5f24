//! What the connections of one server have in common, and what the two servers know of one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;

use super::leftovers::Leftovers;
use super::limits::ServerLimits;
use super::seats::Seat;
use crate::token::Token;
use crate::{Cx, Stream};

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) served: Counter,
    pub(crate) refused: Counter,
    pub(crate) idle_closed: Counter,
    pub(crate) finished_in_drain: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) panicked: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) accept_errors: Counter,
}

/// One server.
pub(crate) struct Shared {
    pub(crate) app: Router,
    pub(crate) limits: ServerLimits,
    pub(crate) counters: Counters,
    /// Raised when the server has stopped accepting and wants its connections to end.
    pub(crate) drain: Arc<Token>,
}

/// One connection, as the request regions see it.
pub(crate) struct Connected {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cx: Cx,
    pub(crate) peer: SocketAddr,
    pub(crate) leftovers: Leftovers,
}

/// A connection that was accepted, for whichever server the backend has.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cx: Cx,
    /// Given back when the connection has ended.
    pub(crate) seat: Seat,
}
