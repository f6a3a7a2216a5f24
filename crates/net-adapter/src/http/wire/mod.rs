//! One connection to a server, one exchange after the other.
//!
//! A [`Wire`] is driven by whoever polls it; it owns no task and no timer. Dropping it closes the
//! socket. There are two: [`OwnWire`], and hyper's behind a [`Gate`] in the tokio backend. Both read
//! response heads with the same code, so that they accept and refuse the same answers.

#[cfg(feature = "tokio")]
mod gate;
mod head;
mod own;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::error::WireFault;
use super::request::ReqBody;

#[cfg(feature = "tokio")]
pub(crate) use gate::{Gate, Watch};
#[cfg(feature = "tokio")]
pub(crate) use head::After;
pub(crate) use head::{HeadReader, ResponseBody, ResponseHead, write_head};
pub(crate) use own::OwnWire;

/// A request as it goes out: every field, framing included, is in `headers`.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ReqBody,
}

/// One connection that carries one exchange at a time: `start`, then `poll_head` until it answers,
/// then `poll_data` until it ends.
pub(crate) trait Wire: Send {
    /// Begins an exchange; bytes flow when the answer is polled for.
    fn start(&mut self, request: Outgoing);

    /// Sends what is to be sent and reads the head of the answer, interim answers left out.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireFault>>;

    /// The next piece of the answer's body as it was sent, never empty; `None` at its end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireFault>>>;

    /// Whether any byte has arrived since `start`.
    fn was_answered(&self) -> bool;

    /// Whether the exchange is over, both sides want to go on, and the peer has neither closed the
    /// connection nor sent what nobody asked for. Looks at the socket without waiting.
    fn is_reusable(&mut self) -> bool;
}
