//! The HTTP/1.1 server.
//!
//! Promise: whatever a client sends, a request is read in exactly one way or refused; whatever a handler does, the
//! connection ends in bounded time and nothing of the request is left behind; and all of it is the same on every backend,
//! because the head, the framing, the limits and the timers are ours on all of them.
//!
//! Read in this order: [`head`] and [`framing`] say what a request is, [`refusal`] what happens to anything else, [`limits`]
//! how much one client gets. `intake` reads a connection, `link` adds its clock and its writing side. `control` is what a
//! handler and its connection share, `exchange` runs the handler, `response` and `outgoing` make its answer fit to send.
//! `sse` makes answers that go on, `upgrade` leaves HTTP.
//! `own` is our loop over all that; `gate` puts the same before a foreign server. `listener` accepts, limits and drains;
//! `extract` is what handlers see.

mod control;
mod exchange;
mod extract;
mod farewell;
pub mod framing;
#[cfg_attr(
    not(feature = "tokio"),
    allow(dead_code, reason = "only tokio brings a server of its own")
)]
pub(crate) mod gate;
pub mod head;
mod intake;
mod leftovers;
pub mod limits;
mod link;
mod listener;
mod outbox;
mod outgoing;
pub(crate) mod own;
pub mod refusal;
mod response;
mod seats;
pub(crate) mod shared;
mod sse;
pub(crate) mod timer;
pub(crate) mod upgrade;

pub use control::BodyError;
pub use extract::{NotServed, PeerAddr, ReqCx, RouteLimited};
pub use head::{HeadLimits, HeadReader, Persistence, RequestHead};
pub use limits::{RouteLimits, ServerLimits};
pub use listener::{HttpServer, ServeReport};
pub use refusal::Refusal;
pub use sse::{SseEvent, sse};
