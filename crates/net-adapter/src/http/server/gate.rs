//! The gate before a foreign HTTP/1 server (hyper).
//!
//! Everything a client sends is read here, by the same code as in our own loop. What the foreign server gets to read is a
//! fixed, harmless head per request: its version, whether it is `HEAD`, whether the connection is kept. The service then
//! answers with what the gate has read: the real request, or the recorded refusal. So answers keep their order, and no byte of
//! a client is ever parsed twice, by two parsers that might disagree.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_io::AsyncWrite;
use http::{Response, Version};
use http_body::{Frame, SizeHint};

use super::control::Control;
use super::exchange::{Answer, Exchange, RequestRegion};
pub(crate) use super::farewell::End;
use super::farewell::part;
use super::framing::Encoder;
use super::head::{Persistence, RequestHead};
use super::leftovers::Leftovers;
use super::link::{During, Flush, Link, Next};
use super::outgoing::{BodyFailed, Outgoing};
use super::refusal::Refusal;
use super::response::{Asked, Prepared, prepare};
use super::seats::Seat;
use super::shared::Connection;
use super::upgrade;
use crate::token::lock;

/// The side of the gate that the foreign server and the driver hold.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    link: Link,
    phase: Phase,
    /// What the foreign server has still to read of a fixed head.
    unread: &'static [u8],
    asked: Option<Question>,
    expired: bool,
    /// A read that was put off can go on.
    readable: bool,
    /// How to end when the answer in flight cannot be completed.
    cut: End,
    /// What goes on when the foreign server is done with the connection.
    switch: Option<(upgrade::Run, Option<RequestRegion>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is waited for.
    Heads,
    /// A head was handed over, its answer is not complete.
    Exchange,
    /// A fixed head stands for a refusal, which is not sent yet.
    Refusal,
    /// The answer is complete; the rest of the request's body goes.
    Rest,
    /// The answer was the last word of HTTP; what comes next is for another protocol.
    Switch,
    /// Nothing more will be read.
    Ended,
}

/// What a fixed head stands for.
enum Question {
    Request {
        head: Box<RequestHead>,
        asked: Asked,
        control: Arc<Control>,
    },
    Refused(Refusal),
}

impl Gate {
    pub(crate) fn new(connection: Connection) -> (Self, Seat) {
        let (link, seat) = Link::new(connection);
        let state = State {
            link,
            phase: Phase::Heads,
            unread: b"",
            asked: None,
            expired: false,
            readable: false,
            cut: End::Cut,
            switch: None,
        };
        (Self(Arc::new(Mutex::new(state))), seat)
    }

    pub(crate) fn leftovers(&self) -> Leftovers {
        lock(&self.0).link.connected.leftovers.clone()
    }

    /// What the foreign server reads, at most `room` bytes; nothing = the end.
    pub(crate) fn poll_read(&self, context: &mut Context<'_>, room: usize) -> Poll<&'static [u8]> {
        let mut state = lock(&self.0);
        let state = &mut *state;
        loop {
            if !state.unread.is_empty() {
                let (now, later) = state.unread.split_at(room.min(state.unread.len()));
                state.unread = later;
                return Poll::Ready(now);
            }
            match state.phase {
                // `poll_beside` looks after the client meanwhile.
                Phase::Exchange | Phase::Refusal | Phase::Switch => return Poll::Pending,
                Phase::Ended => return Poll::Ready(b""),
                Phase::Rest => {
                    let clean = ready!(state.link.poll_rest(context));
                    state.phase = if clean { Phase::Heads } else { Phase::Ended };
                }
                Phase::Heads => match ready!(state.link.poll_next(context)) {
                    Next::End => state.phase = Phase::Ended,
                    Next::Refused(refusal) => {
                        state.link.connected.shared.counters.refused.add();
                        state.unread = fixed_head(Asked::NOTHING);
                        state.asked = Some(Question::Refused(refusal));
                        state.phase = Phase::Refusal;
                    }
                    Next::Request(head) => {
                        let (asked, control) = state.link.begin(&head);
                        state.unread = fixed_head(asked);
                        state.asked = Some(Question::Request { head, asked, control });
                        state.phase = Phase::Exchange;
                    }
                },
            }
        }
    }

    pub(crate) fn poll_write(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        lock(&self.0).link.poll_write(context, slices)
    }

    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(lock(&self.0).link.poll_flush(context)) {
            Flush::Done => Poll::Ready(Ok(())),
            Flush::Broken => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    pub(crate) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        let mut state = lock(&self.0);
        if state.phase == Phase::Switch {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut state.link.io).poll_close(context)
    }

    /// Beside the foreign server: move the request's body, watch the client and the clock. Ready when all of it must end.
    pub(crate) fn poll_beside(&self, context: &mut Context<'_>) -> Poll<End> {
        let mut state = lock(&self.0);
        if state.phase != Phase::Exchange {
            return state.link.poll_stall(context).map(|during| match during {
                During::Gone | During::HandlerTime => End::Close,
                During::Stalled => End::Reset,
            });
        }
        match ready!(state.link.poll_during(context)) {
            During::HandlerTime => {
                state.expired = true;
                // The service learns of it in the next round.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            During::Gone => Poll::Ready(state.cut),
            During::Stalled => Poll::Ready(End::Reset),
        }
    }

    /// The answer to the head that was read last.
    pub(crate) fn answer(&self) -> Answering {
        let mut state = lock(&self.0);
        let work = match state.asked.take() {
            Some(Question::Request { head, asked, control }) => {
                Work::Handler(Box::new(Exchange::start(&state.link.connected, *head, control)), asked)
            }
            Some(Question::Refused(refusal)) => Work::Refusal(refusal),
            // The foreign server asks once for each fixed head.
            None => Work::Refusal(Refusal::BadRequest("no request was read")),
        };
        Answering {
            gate: self.clone(),
            work,
        }
    }

    /// The body of an answer is over.
    fn ended(&self, whole: bool) {
        let mut state = lock(&self.0);
        state.readable = true;
        match state.phase {
            Phase::Exchange if whole => {
                state.link.answer_ended();
                state.phase = Phase::Rest;
            }
            Phase::Refusal => state.phase = Phase::Ended,
            Phase::Exchange | Phase::Heads | Phase::Rest | Phase::Switch | Phase::Ended => {}
        }
    }

    /// True, once, if an answer ended and the foreign server should be polled again: it found nothing to read before, and
    /// relies on being told.
    pub(crate) fn take_readable(&self) -> bool {
        std::mem::take(&mut lock(&self.0).readable)
    }

    /// End the connection after the foreign server, and what it held of the gate, is gone.
    pub(crate) async fn part(self, seat: Seat, end: End) {
        match Arc::try_unwrap(self.0) {
            Ok(state) => {
                let mut state = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
                let end = match state.switch.take() {
                    Some((run, region)) if end == End::Close => upgrade::speak(&mut state.link, run, region).await,
                    _ => end,
                };
                part(state.link, seat, end).await;
            }
            Err(_) => tracing::error!("an HTTP connection is held beyond its end"),
        }
    }

    /// How to end when the foreign server gave up.
    pub(crate) fn cut(&self) -> End {
        lock(&self.0).cut
    }
}

/// The head that stands for a request.
fn fixed_head(asked: Asked) -> &'static [u8] {
    let kept = asked.persistence == Persistence::Keep;
    match (asked.version == Version::HTTP_10, asked.head_only, kept) {
        (false, false, true) => b"GET / HTTP/1.1\r\n\r\n",
        (false, false, false) => b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        (false, true, true) => b"HEAD / HTTP/1.1\r\n\r\n",
        (false, true, false) => b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n",
        (true, false, true) => b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        (true, false, false) => b"GET / HTTP/1.0\r\n\r\n",
        (true, true, true) => b"HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        (true, true, false) => b"HEAD / HTTP/1.0\r\n\r\n",
    }
}

/// An answer in the making.
pub(crate) struct Answering {
    gate: Gate,
    work: Work,
}

enum Work {
    Handler(Box<Exchange>, Asked),
    Refusal(Refusal),
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (mut answer, asked) = match &mut this.work {
            Work::Refusal(refusal) => {
                let response = refusal.response().map(Body::from);
                (
                    Answer {
                        response,
                        persistence: Persistence::Close,
                        region: None,
                    },
                    Asked::NOTHING,
                )
            }
            // The handler runs outside the gate's lock.
            Work::Handler(exchange, asked) => match exchange.poll(context) {
                Poll::Ready(answer) => (answer, *asked),
                Poll::Pending if std::mem::take(&mut lock(&this.gate.0).expired) => (exchange.expire(), *asked),
                Poll::Pending => return Poll::Pending,
            },
        };
        let mut state = lock(&this.gate.0);
        let mut wished = answer.persistence.and(asked.persistence);
        if state.phase == Phase::Exchange {
            wished = state.link.answer_begins().and(wished);
        }
        let date = state.link.date();
        if let Some(run) = upgrade::take(&mut answer.response) {
            state.phase = Phase::Switch;
            state.switch = Some((run, answer.region));
            let body = AnswerBody {
                body: Outgoing::new(Body::empty(), Encoder::Nothing),
                region: None,
                gate: this.gate.clone(),
            };
            return Poll::Ready(Ok(Response::from_parts(upgrade::head(answer.response, date), body)));
        }
        let Prepared {
            parts, body, encoder, ..
        } = prepare(answer.response, asked, wished, date);
        // Only the end of the connection ends such a body: an orderly one would make it look whole.
        state.cut = if encoder == Encoder::UntilClose {
            End::Reset
        } else {
            End::Cut
        };
        let body = AnswerBody {
            body,
            region: answer.region,
            gate: this.gate.clone(),
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}

/// The body that the foreign server sends; the gate learns when it is over.
pub(crate) struct AnswerBody {
    body: Outgoing,
    region: Option<RequestRegion>,
    gate: Gate,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        self.body
            .poll_chunk(context)
            .map(|item| item.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.owed().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let whole = self.body.is_whole();
        // What it holds of its region, a permit for one, goes before the region does.
        self.body.discard();
        // Otherwise it is cancelled as it is dropped.
        if let (true, Some(region)) = (whole, self.region.take()) {
            region.finish();
        }
        self.gate.ended(whole);
    }
}
