//! What callers hold of a WebSocket: all of it, or one of its halves.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use annals_core::{Cancelled, MonoTime, NetworkErrorKind};
use tungstenite::protocol::Role;

use super::link::{Leaving, Link};
use super::message::{WsEnd, WsError, WsMsg, WsOpts};
use crate::http::server::timer::Timer;
use crate::{Cx, Stream, TimeoutError};

/// A WebSocket. Dropping it, or both of its halves, closes the connection without a word; on a server, whoever granted it
/// says goodbye instead.
pub struct WebSocket {
    tx: WsTx,
    rx: WsRx,
}

/// The half that sends.
pub struct WsTx {
    link: Arc<Link>,
    close_wait: Duration,
}

/// The half that receives. While nobody receives, no ping is answered and none is sent.
pub struct WsRx {
    link: Arc<Link>,
    ping_every: Option<Duration>,
    pong_within: Duration,
    close_wait: Duration,
    timer: Timer,
    watch: Watch,
}

/// What is known of the peer's life.
struct Watch {
    heard: u64,
    since: MonoTime,
    pinged: Option<MonoTime>,
    leaving: Option<MonoTime>,
}

impl WebSocket {
    pub(super) fn new(cx: &Cx, stream: Stream, early: &[u8], role: Role, o: &WsOpts) -> Self {
        let link = Arc::new(Link::new(stream, early, role, o.max_message));
        Self {
            tx: WsTx {
                link: link.clone(),
                close_wait: o.close_wait,
            },
            rx: WsRx {
                link,
                ping_every: o.ping_every,
                pong_within: o.pong_within,
                close_wait: o.close_wait,
                timer: Timer::default(),
                watch: Watch {
                    heard: 0,
                    since: cx.now(),
                    pinged: None,
                    leaving: None,
                },
            },
        }
    }

    pub(super) fn link(&self) -> Arc<Link> {
        self.tx.link.clone()
    }

    /// Connects to a `ws` or `wss` URL.
    ///
    /// # Errors
    /// [`WsError::Net`] when the server cannot be reached or trusted, [`WsError::Handshake`] when it does not want to, and
    /// [`WsError::Cancelled`].
    ///
    /// # Cancel safety
    /// Cancelled or dropped, it closes the connection.
    pub async fn connect(cx: &Cx, url: &str, o: WsOpts) -> Result<Self, WsError> {
        // A large future, made once per connection.
        Box::pin(super::client::connect(cx, url, o)).await
    }

    /// Sends one message; returns when the system has taken it.
    ///
    /// # Errors
    /// [`WsError::Ended`]: nothing more can be sent, and a message that waited may not have gone out; but what the peer said
    /// before can still be received.
    /// [`WsError::TooBig`] for a ping or pong of more than 125 bytes, which was not sent. [`WsError::Cancelled`].
    ///
    /// # Cancel safety
    /// Cancelled or dropped, it has queued the whole frame or nothing. A frame that was queued goes out with the next call of
    /// either half.
    pub async fn send(&mut self, cx: &Cx, message: impl Into<WsMsg>) -> Result<(), WsError> {
        self.tx.send(cx, message).await
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`WsError::Ended`] when there will be no more, [`WsError::TooBig`], [`WsError::Net`] for a peer that breaks the
    /// protocol, [`WsError::Cancelled`].
    ///
    /// # Cancel safety
    /// Cancelled or dropped, it has lost nothing: the next call goes on where it was.
    pub async fn recv(&mut self, cx: &Cx) -> Result<WsMsg, WsError> {
        self.rx.recv(cx).await
    }

    /// Says goodbye and waits for the peer's, dropping what it still sends.
    ///
    /// # Errors
    /// [`WsError::Cancelled`]. That the peer did not answer in time is an end like another: `Abnormal`.
    ///
    /// # Cancel safety
    /// Cancelled or dropped while it waits, it closes the connection.
    pub async fn close(self, cx: &Cx, code: u16, reason: &str) -> Result<WsEnd, WsError> {
        self.tx.close(cx, code, reason).await
    }

    /// The two halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (WsTx, WsRx) {
        (self.tx, self.rx)
    }
}

impl WsTx {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send(&mut self, cx: &Cx, message: impl Into<WsMsg>) -> Result<(), WsError> {
        let mut message = Some(message.into());
        match cx
            .or_cancel(poll_fn(|context| self.link.poll_send(context, &mut message)))
            .await
        {
            Ok(sent) => sent,
            Err(Cancelled(reason)) => Err(WsError::Cancelled(reason)),
        }
    }

    /// As [`WebSocket::close`]. The other half gets nothing more.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn close(self, cx: &Cx, code: u16, reason: &str) -> Result<WsEnd, WsError> {
        let wait = self.close_wait;
        farewell(cx, &self.link, wait, code, reason).await
    }
}

impl WsRx {
    /// As [`WebSocket::recv`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv(&mut self, cx: &Cx) -> Result<WsMsg, WsError> {
        match cx.or_cancel(poll_fn(|context| self.poll_recv(cx, context))).await {
            Ok(received) => received,
            Err(Cancelled(reason)) => Err(WsError::Cancelled(reason)),
        }
    }

    fn poll_recv(&mut self, cx: &Cx, context: &mut Context<'_>) -> Poll<Result<WsMsg, WsError>> {
        loop {
            if let Poll::Ready(received) = self.link.poll_receive(context) {
                self.note_life(cx.now());
                return Poll::Ready(received);
            }
            self.note_life(cx.now());
            let due = if let Some(since) = self.watch.leaving {
                Some(since.after(self.close_wait))
            } else {
                let asked = self.watch.pinged.map(|at| at.after(self.pong_within));
                asked.or_else(|| self.ping_every.map(|every| self.watch.since.after(every)))
            };
            if self.timer.poll(cx, context, due).is_pending() {
                return Poll::Pending;
            }
            if self.watch.leaving.is_some() {
                return Poll::Ready(Err(self.link.late()));
            }
            if self.watch.pinged.is_some() {
                let end = self.link.give_up(NetworkErrorKind::ReadTimeout);
                return Poll::Ready(Err(WsError::Ended(end)));
            }
            self.watch.pinged = Some(cx.now());
            self.link.ping(context);
        }
    }

    fn note_life(&mut self, now: MonoTime) {
        let heard = self.link.heard();
        if heard != self.watch.heard {
            self.watch.heard = heard;
            self.watch.since = now;
            self.watch.pinged = None;
        }
        if self.watch.leaving.is_none() && self.link.is_leaving() {
            self.watch.leaving = Some(now);
        }
    }
}

/// Say goodbye, wait for the peer's. The connection is over with it, whoever still holds a half.
pub(super) async fn farewell(cx: &Cx, link: &Link, wait: Duration, code: u16, reason: &str) -> Result<WsEnd, WsError> {
    let _leaving = Leaving(link);
    let said = poll_fn(|context| link.poll_close(context, code, reason));
    match cx.timeout(wait, said).await {
        Ok(end) => Ok(end),
        Err(TimeoutError::Elapsed) => Ok(link.give_up(NetworkErrorKind::ReadTimeout)),
        Err(TimeoutError::Cancelled(reason)) => Err(WsError::Cancelled(reason)),
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("ended", &self.tx.link.has_ended())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WsTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WsTx")
    }
}

impl fmt::Debug for WsRx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WsRx")
    }
}
