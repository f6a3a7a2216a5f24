//! The reading side of a connection: heads and bodies, one after the other, and the news that the client is gone.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_io::AsyncRead;

use super::control::{BodyError, Control};
use super::framing::{BodyLength, Decoded, Decoder};
use super::head::{HeadLimits, HeadReader, RequestHead};
use super::refusal::Refusal;
use crate::{MonoTime, Stream};

/// Bytes taken from the socket at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What comes where a head is expected.
pub(crate) enum Arrival {
    Head(Box<RequestHead>),
    Refused(Refusal),
    /// The end of the stream, or an error of it, between heads or within one.
    End,
}

/// What interrupts the reading while a request is answered.
pub(crate) enum Interrupt {
    /// The handler asked for a body the client holds back until it hears `100 Continue`.
    Continue,
    /// The client closed its side, or the connection broke.
    Gone,
}

/// Whether the next head can be found after a body the handler did not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The body is over.
    Done,
    /// It is too long, malformed, or the client is gone: the connection has to end.
    Lost,
}

pub(crate) struct Intake {
    buf: BytesMut,
    head: HeadReader,
    body: Option<OpenBody>,
    /// The next head cannot be found any more.
    lost: bool,
    ended: bool,
    read_ahead: usize,
}

struct OpenBody {
    decoder: Decoder,
    control: Arc<Control>,
    owes_continue: bool,
    /// Since when the handler, or the drain of what it left, waits for the next byte.
    waiting: Option<MonoTime>,
    /// Bytes taken off after the answer.
    ignored: u64,
}

impl Intake {
    pub(crate) fn new(limits: HeadLimits, read_ahead: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            head: HeadReader::new(limits),
            body: None,
            lost: false,
            ended: false,
            read_ahead,
        }
    }

    /// True while no byte of the next head has come.
    pub(crate) fn is_between(&self) -> bool {
        self.head.is_at_start() && self.buf.is_empty()
    }

    /// No head will be looked for any more.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// True if closing now would throw away bytes that the client has sent or is about to send.
    pub(crate) fn has_unread(&self) -> bool {
        !self.ended && (self.lost || !self.buf.is_empty() || self.body.is_some())
    }

    /// The next head.
    pub(crate) fn poll_head(&mut self, io: &mut Stream, context: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            match self.head.read(&mut self.buf) {
                Ok(Some(head)) => return Poll::Ready(Arrival::Head(Box::new(head))),
                Ok(None) if self.ended => return Poll::Ready(Arrival::End),
                Ok(None) => {}
                Err(refusal) => {
                    self.lost = true;
                    return Poll::Ready(Arrival::Refused(refusal));
                }
            }
            if self.buf.is_empty() {
                // An idle connection keeps no buffer.
                self.buf = BytesMut::new();
            }
            ready!(self.fill(io, context));
        }
    }

    /// A head has come; its body is next.
    pub(crate) fn begin(&mut self, length: BodyLength, expects_continue: bool, control: &Arc<Control>) {
        self.body = (length != BodyLength::Known(0)).then(|| OpenBody {
            decoder: Decoder::new(length),
            control: control.clone(),
            owes_continue: expects_continue,
            waiting: None,
            ignored: 0,
        });
    }

    /// While a request is answered: give the handler the bytes it asks for, read a little ahead, notice the end.
    pub(crate) fn poll_during(
        &mut self,
        io: &mut Stream,
        context: &mut Context<'_>,
        now: impl Fn() -> MonoTime,
    ) -> Poll<Interrupt> {
        loop {
            let mut wanted = false;
            if let Some(body) = &mut self.body
                && !self.lost
            {
                if body.control.wants(context.waker()) {
                    if body.owes_continue {
                        body.owes_continue = false;
                        return Poll::Ready(Interrupt::Continue);
                    }
                    match body.decoder.decode(&mut self.buf) {
                        Ok(Decoded::Data(data)) => {
                            body.waiting = None;
                            body.control.push(data);
                            if body.decoder.is_done() {
                                body.control.end(Ok(()));
                                self.body = None;
                            }
                            continue;
                        }
                        Ok(Decoded::End) => {
                            body.control.end(Ok(()));
                            self.body = None;
                            continue;
                        }
                        Ok(Decoded::More) => {
                            wanted = true;
                            body.waiting.get_or_insert_with(&now);
                        }
                        Err(error) => {
                            self.fail_body(error.into());
                            continue;
                        }
                    }
                } else {
                    body.waiting = None;
                }
            }
            if self.ended {
                self.fail_body(BodyError::ClientGone);
                return Poll::Ready(Interrupt::Gone);
            }
            if !wanted && self.buf.len() >= self.read_ahead {
                return Poll::Pending;
            }
            ready!(self.fill(io, context));
            if let Some(body) = &mut self.body {
                body.waiting = None;
            }
        }
    }

    /// Since when a byte of the body is waited for.
    pub(crate) fn waiting_since(&self) -> Option<MonoTime> {
        self.body.as_ref().and_then(|body| body.waiting)
    }

    /// The body cannot be read any further, and so the connection not be kept.
    pub(crate) fn fail_body(&mut self, error: BodyError) {
        if let Some(body) = &mut self.body {
            body.waiting = None;
            body.control.end(Err(error));
            self.lost = true;
        }
    }

    /// The answer begins: a body that was never asked for will not be asked for any more. Says whether the connection can
    /// be kept, as far as is known before the rest of the body has come.
    pub(crate) fn answer_begins(&mut self, ignored_limit: u64) -> Rest {
        if self.body.as_ref().is_some_and(|body| body.owes_continue) {
            self.fail_body(BodyError::NotAsked);
        }
        let Some(body) = &self.body else {
            return if self.lost { Rest::Lost } else { Rest::Done };
        };
        let too_long = body.decoder.remaining().is_some_and(|left| left > ignored_limit);
        if self.lost || too_long || body.control.failure().is_some() {
            Rest::Lost
        } else {
            Rest::Done
        }
    }

    /// The answer is complete: take off what the handler left of the body, so that it is never read as a head.
    pub(crate) fn poll_rest(
        &mut self,
        io: &mut Stream,
        context: &mut Context<'_>,
        ignored_limit: u64,
        now: impl Fn() -> MonoTime,
    ) -> Poll<Rest> {
        loop {
            if self.lost {
                return Poll::Ready(Rest::Lost);
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Rest::Done);
            };
            match body.decoder.decode(&mut self.buf) {
                Ok(Decoded::Data(data)) => {
                    body.ignored += data.len() as u64;
                    body.waiting = None;
                    if body.ignored > ignored_limit {
                        self.fail_body(BodyError::NotAsked);
                    }
                    continue;
                }
                Ok(Decoded::End) => {
                    body.control.end(Ok(()));
                    self.body = None;
                    continue;
                }
                Ok(Decoded::More) if self.ended => self.fail_body(BodyError::ClientGone),
                Ok(Decoded::More) => {
                    body.waiting.get_or_insert_with(&now);
                    ready!(self.fill(io, context));
                }
                Err(error) => self.fail_body(error.into()),
            }
        }
    }

    /// What came behind the last request; nothing more is read here.
    pub(crate) fn leave(&mut self) -> Bytes {
        self.ended = true;
        self.body = None;
        std::mem::take(&mut self.buf).freeze()
    }

    /// After the last answer: throw away what comes, until the client has closed its side.
    pub(crate) fn poll_discard(&mut self, io: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            self.buf.clear();
            ready!(self.fill(io, context));
        }
        Poll::Ready(())
    }

    /// One read. An error of the connection is its end: there is nobody left to tell.
    fn fill(&mut self, io: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        thread_local! {
            // One for all connections of a thread: clearing a fresh one took longer than reading into it.
            static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into_boxed_slice());
        }
        CHUNK.with_borrow_mut(|chunk| {
            let got = ready!(Pin::new(io).poll_read(context, chunk)).unwrap_or(0);
            match chunk.get(..got) {
                Some(bytes) if got > 0 => self.buf.extend_from_slice(bytes),
                _ => self.ended = true,
            }
            Poll::Ready(())
        })
    }
}
