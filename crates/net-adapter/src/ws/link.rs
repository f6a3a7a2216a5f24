//! One WebSocket connection, shared by its two halves and by who says goodbye.

use std::io::{ErrorKind, Read as _};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use annals_core::NetworkErrorKind;
use bytes::Bytes;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig, WebSocketContext};

use super::message::{WsEnd, WsError, WsMsg};
use super::shim::{Half, Shim, Waiting, Wire};
use crate::Stream;
use crate::http::kind_of_stream_error;
use crate::token::lock;

/// Bytes read at once; each connection keeps a buffer of this size.
const READ: usize = 4 * 1024;
/// Answers to pings that wait to be sent may not take more than this.
const OWN_FRAMES: usize = 64 * 1024;
/// A ping, a pong and a goodbye hold so many bytes.
const SIGN: usize = 125;
/// A close frame holds so many bytes of reason.
const REASON: usize = 123;

/// The code of a close frame that had none.
pub(super) const NO_CODE: u16 = 1005;

pub(super) struct Link {
    state: Mutex<State>,
    waiting: Arc<Waiting>,
    waker: Waker,
}

struct State {
    wire: Wire,
    frames: WebSocketContext,
    role: Role,
    max_message: usize,
    /// The peer's goodbye was read; the connection is about to end.
    farewell: Option<WsEnd>,
    /// This end gives up: it says why, then waits for the peer to close.
    fault: Option<Fault>,
    ended: Option<WsEnd>,
}

/// What a peer did that ends the connection, and how far this end is with telling it.
#[derive(Clone, Copy)]
struct Fault {
    kind: FaultKind,
    step: Step,
}

#[derive(Clone, Copy)]
enum FaultKind {
    TooBig,
    NotText,
    Protocol,
}

#[derive(Clone, Copy)]
enum Step {
    Say,
    Flush,
    Close,
    Discard,
}

impl FaultKind {
    fn code(self) -> CloseCode {
        match self {
            Self::TooBig => CloseCode::Size,
            Self::NotText => CloseCode::Invalid,
            Self::Protocol => CloseCode::Protocol,
        }
    }
}

impl Link {
    /// A connection whose handshake is over; `early` came with it.
    pub(super) fn new(stream: Stream, early: &[u8], role: Role, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_write_buffer_size(OWN_FRAMES)
            .max_message_size(Some(max_message))
            // A message is measured as a whole; a frame may also be a sign of life.
            .max_frame_size(Some(max_message.max(SIGN)));
        let waiting = Arc::<Waiting>::default();
        Self {
            state: Mutex::new(State {
                wire: Wire::new(stream),
                frames: WebSocketContext::from_partially_read(early.to_vec(), role, Some(config)),
                role,
                max_message,
                farewell: None,
                fault: None,
                ended: None,
            }),
            waker: waiting.clone().into(),
            waiting,
        }
    }

    /// Polls with the waker that reaches all who wait. When the connection ends, or is about to, the others learn it.
    fn with<T>(&self, half: Half, context: &Context<'_>, poll: impl FnOnce(&mut State, &mut Context<'_>) -> T) -> T {
        self.waiting.wait(half, context.waker());
        self.change(|state| {
            state.wire.begin();
            poll(state, &mut Context::from_waker(&self.waker))
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let before = (state.is_leaving(), state.ended.is_some());
        let result = change(&mut state);
        let after = (state.is_leaving(), state.ended.is_some());
        let stream = if after.1 { state.wire.take() } else { None };
        let again = state.wire.wants_again();
        // A waker is anybody's code, and so is what a stream wakes when it goes: neither may find the lock held.
        drop(state);
        drop(stream);
        if before != after || again {
            self.waker.wake_by_ref();
        }
        result
    }

    /// The next message.
    pub(super) fn poll_receive(&self, context: &Context<'_>) -> Poll<Result<WsMsg, WsError>> {
        self.with(Half::Receiver, context, State::poll_receive)
    }

    /// Takes `message` once everything before it is on its way, then sends it. Ready when the system has it.
    pub(super) fn poll_send(&self, context: &Context<'_>, message: &mut Option<WsMsg>) -> Poll<Result<(), WsError>> {
        self.with(Half::Sender, context, |state, context| {
            state.poll_send(context, message)
        })
    }

    /// Says goodbye and waits for the peer's; messages that still come are dropped.
    pub(super) fn poll_close(&self, context: &Context<'_>, code: u16, reason: &str) -> Poll<WsEnd> {
        self.with(Half::Closer, context, |state, context| {
            state.poll_close(context, code, reason)
        })
    }

    /// Queues a ping; a connection that cannot take it is silent anyway.
    pub(super) fn ping(&self, context: &Context<'_>) {
        self.with(Half::Receiver, context, |state, context| {
            let sent = state.queue(context, Message::Ping(Bytes::new()));
            if let Err(error) = sent {
                tracing::debug!(%error, "a ping could not be queued");
            }
        });
    }

    /// Gives the connection up where it stands; what is known of its end is more than `otherwise` says.
    pub(super) fn give_up(&self, otherwise: NetworkErrorKind) -> WsEnd {
        self.change(|state| state.give_up(otherwise))
    }

    /// How many bytes have come.
    pub(super) fn heard(&self) -> u64 {
        lock(&self.state).wire.heard()
    }

    /// Whether only the peer's end of the connection is waited for.
    pub(super) fn is_leaving(&self) -> bool {
        lock(&self.state).is_leaving()
    }

    /// The error when the peer's end of the connection did not come in time.
    pub(super) fn late(&self) -> WsError {
        self.change(|state| match state.fault {
            Some(fault) => {
                state.give_up(NetworkErrorKind::Protocol);
                state.error_of(fault.kind)
            }
            None => WsError::Ended(state.give_up(NetworkErrorKind::ReadTimeout)),
        })
    }

    pub(super) fn has_ended(&self) -> Option<WsEnd> {
        lock(&self.state).ended.clone()
    }
}

/// A goodbye in progress, or a WebSocket that somebody else answers for. Whatever way that ends, be it said, cancelled,
/// dropped or a panic, the WebSocket is given up with it.
pub(super) struct Leaving<'a>(pub(super) &'a Link);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.give_up(NetworkErrorKind::Cancelled);
    }
}

impl State {
    fn is_leaving(&self) -> bool {
        self.farewell.is_some() || self.fault.is_some() || self.wire.unsent().is_some() || !self.frames.can_write()
    }

    fn give_up(&mut self, otherwise: NetworkErrorKind) -> WsEnd {
        let lost = self.lost(otherwise);
        let end = self.farewell.take().unwrap_or(lost);
        self.ended.get_or_insert(end).clone()
    }

    /// What went wrong first is why.
    fn lost(&self, kind: NetworkErrorKind) -> WsEnd {
        WsEnd::Abnormal(self.wire.unsent().unwrap_or(kind))
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<WsMsg, WsError>> {
        loop {
            if let Some(end) = &self.ended {
                return Poll::Ready(Err(WsError::Ended(end.clone())));
            }
            if let Some(fault) = self.fault {
                ready!(self.poll_fault(context, fault));
                self.ended.get_or_insert(WsEnd::Abnormal(NetworkErrorKind::Protocol));
                return Poll::Ready(Err(self.error_of(fault.kind)));
            }
            if self.farewell.is_some() {
                // Everything queued, this end's goodbye last, goes out before the end: `read` knows of its answer only.
                let (frames, mut shim) = self.lend(context);
                match frames.flush(&mut shim) {
                    Ok(()) => {}
                    // For a server reading is the end; a client goes on, to learn of the server's.
                    Err(error) if would_block(&error) && self.role == Role::Server => return Poll::Pending,
                    Err(error) if would_block(&error) => {}
                    Err(error) => {
                        self.fail(context, error);
                        continue;
                    }
                }
            } else if !self.nudge(context) {
                continue;
            }
            let (frames, mut shim) = self.lend(context);
            let message = match frames.read(&mut shim) {
                Ok(message) => message,
                Err(error) => {
                    if would_block(&error) {
                        return Poll::Pending;
                    }
                    self.fail(context, error);
                    continue;
                }
            };
            match message {
                Message::Text(text) => return Poll::Ready(Ok(WsMsg::Text(text.as_str().to_owned()))),
                Message::Binary(bytes) => return Poll::Ready(Ok(WsMsg::Binary(bytes))),
                Message::Ping(bytes) => {
                    // The answer is queued; it must not wait for the next call.
                    self.nudge(context);
                    return Poll::Ready(Ok(WsMsg::Ping(bytes)));
                }
                Message::Pong(bytes) => return Poll::Ready(Ok(WsMsg::Pong(bytes))),
                Message::Close(frame) => {
                    let (code, reason) = frame.map_or((NO_CODE, String::new()), |frame| {
                        (frame.code.into(), frame.reason.as_str().to_owned())
                    });
                    self.farewell = Some(WsEnd::Clean { code, reason });
                    self.bound(usize::MAX);
                }
                // Only ever given to be sent.
                Message::Frame(_) => {}
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, message: &mut Option<WsMsg>) -> Poll<Result<(), WsError>> {
        if message.is_some() {
            // What comes too late need not wait to learn it.
            if let Some(end) = self.refusal() {
                return Poll::Ready(Err(WsError::Ended(end)));
            }
            ready!(self.poll_flush(context))?;
        }
        if let Some(message) = message.take() {
            let message = match message {
                WsMsg::Text(text) => Message::Text(text.into()),
                WsMsg::Binary(bytes) => Message::Binary(bytes),
                WsMsg::Ping(bytes) => Message::Ping(bytes),
                WsMsg::Pong(bytes) => Message::Pong(bytes),
            };
            self.queue(context, message)?;
        }
        self.poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>, code: u16, reason: &str) -> Poll<WsEnd> {
        if self.ended.is_none() && self.fault.is_none() && self.frames.can_write() {
            let said = self.say_goodbye(context, sendable(code), cut(reason));
            self.take_note(context, said);
        }
        loop {
            if let Some(end) = &self.ended {
                return Poll::Ready(end.clone());
            }
            // What comes after the goodbye is nobody's any more; how it all ends stands in `ended`.
            if ready!(self.poll_receive(context)).is_err() && self.ended.is_none() {
                self.ended = Some(WsEnd::Abnormal(NetworkErrorKind::Protocol));
            }
        }
    }

    /// Queues the goodbye, behind whatever waits there: as the last frame of all it needs no bound.
    fn say_goodbye(&mut self, context: &mut Context<'_>, code: CloseCode, reason: &str) -> tungstenite::Result<()> {
        self.bound(usize::MAX);
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let (frames, mut shim) = self.lend(context);
        // An answer to a ping that had found no room goes before it.
        match frames.flush(&mut shim) {
            Err(error) if !would_block(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        frames.close(&mut shim, Some(frame))
    }

    /// How much may wait to be sent.
    fn bound(&mut self, bytes: usize) {
        self.frames.set_config(|config| config.max_write_buffer_size = bytes);
    }

    /// Why no further message is taken, if none is.
    fn refusal(&self) -> Option<WsEnd> {
        let leaving = || WsEnd::Abnormal(NetworkErrorKind::ClosedEarly);
        match &self.ended {
            None if self.frames.can_write() => None,
            None => Some(self.farewell.clone().unwrap_or_else(leaving)),
            ended => ended.clone(),
        }
    }

    /// Puts one whole frame in the queue, whatever the stream takes of it now.
    fn queue(&mut self, context: &mut Context<'_>, message: Message) -> Result<(), WsError> {
        if let Some(end) = self.refusal() {
            return Err(WsError::Ended(end));
        }
        if let Message::Ping(bytes) | Message::Pong(bytes) = &message
            && bytes.len() > SIGN
        {
            return Err(WsError::TooBig { limit: SIGN });
        }
        // The bound is for answers to pings, which a peer can ask for without end; a message is the caller's.
        self.bound(usize::MAX);
        let (frames, mut shim) = self.lend(context);
        let written = frames.write(&mut shim, message);
        self.bound(OWN_FRAMES);
        self.take_note(context, written);
        Ok(())
    }

    /// Ready when the system has all that was queued, also while the connection is about to end.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        loop {
            if let Some(end) = &self.ended {
                return Poll::Ready(Err(WsError::Ended(end.clone())));
            }
            let farewell = self.farewell.is_some();
            let (frames, mut shim) = self.lend(context);
            match frames.flush(&mut shim) {
                Ok(()) => {}
                Err(error) if would_block(&error) => return Poll::Pending,
                // So a server learns that its answer to the goodbye is written, and all before it.
                Err(error @ tungstenite::Error::ConnectionClosed) if farewell => self.fail(context, error),
                Err(error) => {
                    self.fail(context, error);
                    continue;
                }
            }
            let lost = self.wire.unsent().map(WsEnd::Abnormal);
            return Poll::Ready(lost.map_or(Ok(()), |end| Err(WsError::Ended(end))));
        }
    }

    /// Send what waits, as far as it goes. False if the connection turned out to be over.
    fn nudge(&mut self, context: &mut Context<'_>) -> bool {
        let (frames, mut shim) = self.lend(context);
        let flushed = frames.flush(&mut shim);
        self.take_note(context, flushed);
        self.ended.is_none() && self.fault.is_none()
    }

    fn take_note(&mut self, context: &mut Context<'_>, result: tungstenite::Result<()>) {
        match result {
            Err(error) if !would_block(&error) => self.fail(context, error),
            Ok(()) | Err(_) => {}
        }
    }

    /// An error of the frames or of the stream is the end, or the begin of it.
    fn fail(&mut self, context: &mut Context<'_>, error: tungstenite::Error) {
        use tungstenite::Error;
        tracing::debug!(%error, "a WebSocket ends");
        if let Some(farewell) = self.farewell.take() {
            // After the goodbyes any end is a good one. Nothing can fail any more that matters.
            drop(self.wire.poll_close(context));
            self.ended = Some(farewell);
            return;
        }
        let kind = match error {
            Error::Io(error) => {
                self.ended = Some(self.lost(kind_of_stream_error(&error)));
                return;
            }
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                self.ended = Some(self.lost(NetworkErrorKind::ClosedEarly));
                return;
            }
            Error::Capacity(_) => FaultKind::TooBig,
            Error::Utf8(_) => FaultKind::NotText,
            _ => FaultKind::Protocol,
        };
        self.fault = Some(Fault { kind, step: Step::Say });
    }

    /// Tell the peer what it did, close this side, wait for its own end.
    fn poll_fault(&mut self, context: &mut Context<'_>, fault: Fault) -> Poll<()> {
        let mut step = fault.step;
        loop {
            self.fault = Some(Fault { step, ..fault });
            step = match step {
                Step::Say => match self.say_goodbye(context, fault.kind.code(), "") {
                    Err(error) if !would_block(&error) => return Poll::Ready(()),
                    Ok(()) | Err(_) => Step::Flush,
                },
                Step::Flush => {
                    let (frames, mut shim) = self.lend(context);
                    match frames.flush(&mut shim) {
                        Ok(()) => Step::Close,
                        Err(error) if would_block(&error) => return Poll::Pending,
                        Err(_) => return Poll::Ready(()),
                    }
                }
                Step::Close => match ready!(self.wire.poll_close(context)) {
                    Ok(()) => Step::Discard,
                    Err(_) => return Poll::Ready(()),
                },
                Step::Discard => {
                    // Closing over unread bytes would be a reset, and the peer perhaps never read why.
                    let mut piece = [0; READ];
                    let (_, mut shim) = self.lend(context);
                    match shim.read(&mut piece) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                        Ok(0) | Err(_) => return Poll::Ready(()),
                        Ok(_) => Step::Discard,
                    }
                }
            };
        }
    }

    fn error_of(&self, kind: FaultKind) -> WsError {
        match kind {
            FaultKind::TooBig => WsError::TooBig {
                limit: self.max_message,
            },
            FaultKind::NotText | FaultKind::Protocol => WsError::Net(NetworkErrorKind::Protocol),
        }
    }

    fn lend<'a, 'b>(&'a mut self, context: &'a mut Context<'b>) -> (&'a mut WebSocketContext, Shim<'a, 'b>) {
        let shim = Shim {
            wire: &mut self.wire,
            context,
        };
        (&mut self.frames, shim)
    }
}

fn would_block(error: &tungstenite::Error) -> bool {
    matches!(error, tungstenite::Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

/// A code that may stand in a close frame.
fn sendable(code: u16) -> CloseCode {
    let code = CloseCode::from(code);
    if code.is_allowed() { code } else { CloseCode::Normal }
}

/// As much of a reason as a close frame holds.
fn cut(reason: &str) -> &str {
    let end = (0..=REASON.min(reason.len()))
        .rev()
        .find(|at| reason.is_char_boundary(*at))
        .unwrap_or(0);
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
