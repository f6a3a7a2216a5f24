//! One connection below the service: reading, limits, timers, drain. Our own loop and the gate before hyper both stand on it,
//! so that a client meets the same server whichever it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http::{HeaderValue, Method};

use super::control::{BodyError, Control};
use super::head::{Persistence, RequestHead};
use super::intake::{Arrival, Intake, Interrupt, Rest};
use super::leftovers::Leftovers;
use super::outbox::Outbox;
use super::refusal::Refusal;
use super::response::{Asked, DateClock};
use super::shared::{Connected, Connection};
use super::timer::{Timer, Watch};
use super::upgrade::Upgraded;
use crate::net::Io;
use crate::{CancelReason, MonoTime, Stream};

/// From here on, what is written has to reach the system before more is made.
pub(crate) const WRITE_AHEAD: usize = 64 * 1024;

/// A client that was refused may still be sending. Closing under it would reset the connection and take the answer with it
/// (RFC 9112 §9.6); so the server closes its own side and reads on for a while.
const LINGER: Duration = Duration::from_secs(2);
/// The same for peers that have too many connections: they do not get many longer ones.
const SHORT_LINGER: Duration = Duration::from_millis(200);

/// What to do between two answers.
pub(crate) enum Next {
    Request(Box<RequestHead>),
    Refused(Refusal),
    /// Nothing more comes, or is waited for.
    End,
}

/// What can happen while a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    /// The handler's time is up; said once.
    HandlerTime,
    /// The client is gone, or the server's patience with the answer: nothing more can be sent.
    Gone,
    /// The client does not take the answer.
    Stalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between requests, since then.
    Between(MonoTime),
    /// A head has begun, then.
    Head(MonoTime),
    /// The handler works, since then.
    Answering(MonoTime),
    /// The handler's time was used up; it does not count again.
    Writing,
    /// The answer is complete; the rest of the body is taken off.
    Rest,
}

pub(crate) struct Link {
    pub(crate) io: Stream,
    pub(crate) out: Outbox,
    pub(crate) connected: Arc<Connected>,
    intake: Intake,
    stage: Stage,
    control: Option<Arc<Control>>,
    requests: u64,
    /// Since when the client takes nothing.
    stalled: Option<MonoTime>,
    timer: Timer,
    drain: Watch,
    cancel: Watch,
    date: DateClock,
    linger: Duration,
}

impl Link {
    pub(crate) fn new(connection: Connection) -> (Self, super::seats::Seat) {
        let Connection {
            stream,
            shared,
            cx,
            seat,
        } = connection;
        let intake = Intake::new(shared.limits.head, shared.limits.pipelined_bytes);
        let (drain, cancel) = (Watch::new(&shared.drain), Watch::new(cx.token()));
        let now = cx.now();
        let linger = LINGER.min(shared.limits.body_idle);
        let peer = stream.peer_addr();
        let connected = Arc::new(Connected {
            shared,
            cx,
            peer,
            leftovers: Leftovers::default(),
        });
        let link = Self {
            io: stream,
            out: Outbox::default(),
            connected,
            intake,
            stage: Stage::Between(now),
            control: None,
            requests: 0,
            stalled: None,
            timer: Timer::default(),
            drain,
            cancel,
            date: DateClock::new(),
            linger,
        };
        (link, seat)
    }

    fn now(&self) -> MonoTime {
        self.connected.cx.now()
    }

    pub(crate) fn date(&mut self) -> HeaderValue {
        self.date.at(self.connected.cx.unix_ms())
    }

    /// Between two answers: wait for the next head.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if self.out.len() >= WRITE_AHEAD && self.poll_flush(context).is_pending() {
            return self.poll_stall(context).map(|_| Next::End);
        }
        match self.intake.poll_head(&mut self.io, context) {
            Poll::Ready(Arrival::Head(head)) => return Poll::Ready(Next::Request(head)),
            Poll::Ready(Arrival::Refused(refusal)) => return Poll::Ready(Next::Refused(refusal)),
            Poll::Ready(Arrival::End) => return Poll::Ready(Next::End),
            Poll::Pending => {}
        }
        if self.poll_flush(context) == Poll::Ready(Flush::Broken) || self.cancel.poll(context) {
            return Poll::Ready(Next::End);
        }
        let counters = &self.connected.shared.counters;
        let limits = &self.connected.shared.limits;
        let between = self.intake.is_between();
        if between && self.out.is_empty() && self.drain.poll(context) {
            counters.idle_closed.add();
            return Poll::Ready(Next::End);
        }
        let limit = match self.stage {
            Stage::Between(since) if between => since.after(limits.keep_alive),
            Stage::Head(since) => since.after(limits.head_time),
            Stage::Between(_) | Stage::Answering(_) | Stage::Writing | Stage::Rest => {
                let now = self.connected.cx.now();
                self.stage = if between { Stage::Between(now) } else { Stage::Head(now) };
                now.after(if between { limits.keep_alive } else { limits.head_time })
            }
        };
        let stall = self.stalled.map(|since| since.after(limits.write_idle));
        let first = stall.map_or(limit, |stall| stall.min(limit));
        if self.timer.poll(&self.connected.cx, context, Some(first)).is_pending() {
            return Poll::Pending;
        }
        if stall == Some(first) {
            return Poll::Ready(Next::End);
        }
        if between {
            counters.idle_closed.add();
            return Poll::Ready(Next::End);
        }
        Poll::Ready(Next::Refused(Refusal::Timeout))
    }

    /// A head was taken; its request is answered next.
    pub(crate) fn begin(&mut self, head: &RequestHead) -> (Asked, Arc<Control>) {
        let control = Control::new(head.body, &self.connected.shared.limits);
        self.intake.begin(head.body, head.expects_continue, &control);
        self.requests += 1;
        self.control = Some(control.clone());
        self.stage = Stage::Answering(self.now());
        let last = self.requests >= self.connected.shared.limits.requests_per_connection;
        let asked = Asked {
            head_only: head.method == Method::HEAD,
            version: head.version,
            persistence: if last { Persistence::Close } else { head.persistence },
        };
        (asked, control)
    }

    /// While the handler works and while its answer is written: move the body, watch the client and the clock.
    pub(crate) fn poll_during(&mut self, context: &mut Context<'_>) -> Poll<During> {
        loop {
            if self.poll_flush(context) == Poll::Ready(Flush::Broken) {
                return Poll::Ready(During::Gone);
            }
            let cx = &self.connected.cx;
            match self.intake.poll_during(&mut self.io, context, || cx.now()) {
                Poll::Ready(Interrupt::Continue) => {
                    self.out.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    continue;
                }
                Poll::Ready(Interrupt::Gone) => return Poll::Ready(During::Gone),
                Poll::Pending => {}
            }
            // A cancelled handler ends in its own way; a body that is being sent has no way to know.
            if self.stage == Stage::Writing && self.cancel.poll(context) {
                return Poll::Ready(During::Gone);
            }
            let control = self.control.as_ref();
            let handler = match (self.stage, control) {
                (Stage::Answering(since), Some(control)) => Some(since.after(control.handler_time())),
                _ => None,
            };
            let body = match (self.intake.waiting_since(), control) {
                (Some(since), Some(control)) => Some(since.after(control.body_idle())),
                _ => None,
            };
            let stall = self
                .stalled
                .map(|since| since.after(self.connected.shared.limits.write_idle));
            let first = [handler, body, stall].into_iter().flatten().min();
            if self.timer.poll(cx, context, first).is_pending() {
                return Poll::Pending;
            }
            if stall == first {
                return Poll::Ready(During::Stalled);
            }
            if handler == first {
                self.stage = Stage::Writing;
                return Poll::Ready(During::HandlerTime);
            }
            self.intake.fail_body(BodyError::Idle);
        }
    }

    /// The handler has answered: whether another request may follow, as far as the connection is concerned.
    pub(crate) fn answer_begins(&mut self) -> Persistence {
        self.stage = Stage::Writing;
        let rest = self
            .intake
            .answer_begins(self.connected.shared.limits.ignored_body_bytes);
        if rest == Rest::Done && !self.drain.is_raised() {
            Persistence::Keep
        } else {
            Persistence::Close
        }
    }

    /// The answer is complete.
    pub(crate) fn answer_ended(&mut self) {
        let counters = &self.connected.shared.counters;
        if self.cancel.is_raised() {
            counters.cancelled.add();
        } else {
            counters.served.add();
            if self.drain.is_raised() {
                counters.finished_in_drain.add();
            }
        }
        self.stage = Stage::Rest;
    }

    /// After an answer: take off what is left of the request's body. False if the connection cannot go on.
    pub(crate) fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            let cx = &self.connected.cx;
            let limits = &self.connected.shared.limits;
            let rest = self
                .intake
                .poll_rest(&mut self.io, context, limits.ignored_body_bytes, || cx.now());
            if let Poll::Ready(rest) = rest {
                self.control = None;
                return Poll::Ready(rest == Rest::Done);
            }
            if self.poll_flush(context) == Poll::Ready(Flush::Broken) || self.cancel.poll(context) {
                return Poll::Ready(false);
            }
            let idle = self
                .control
                .as_ref()
                .map_or(self.connected.shared.limits.body_idle, |control| control.body_idle());
            let body = self.intake.waiting_since().map(|since| since.after(idle));
            let stall = self
                .stalled
                .map(|since| since.after(self.connected.shared.limits.write_idle));
            let first = [body, stall].into_iter().flatten().min();
            if self.timer.poll(&self.connected.cx, context, first).is_pending() {
                return Poll::Pending;
            }
            self.intake.fail_body(BodyError::Idle);
        }
    }

    /// Ready when the client has not taken a byte for too long, or the server gave the connection up.
    pub(crate) fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<During> {
        if self.cancel.poll(context) {
            return Poll::Ready(During::Gone);
        }
        let limit = self
            .stalled
            .map(|since| since.after(self.connected.shared.limits.write_idle));
        self.timer
            .poll(&self.connected.cx, context, limit)
            .map(|()| During::Stalled)
    }

    /// Write what is queued.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Flush> {
        if self.out.is_empty() {
            return Poll::Ready(Flush::Done);
        }
        let mut written = 0;
        let polled = self.out.poll_flush(&mut self.io, context, &mut written);
        self.note_write(written, polled.is_pending());
        polled.map(|result| if result.is_ok() { Flush::Done } else { Flush::Broken })
    }

    /// Write bytes of a server that has its own buffer, behind what is queued.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.poll_flush(context) {
            Poll::Ready(Flush::Done) => {}
            Poll::Ready(Flush::Broken) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Pending => return Poll::Pending,
        }
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        let written = if let Poll::Ready(Ok(written)) = polled {
            written
        } else {
            0
        };
        self.note_write(written, polled.is_pending());
        polled
    }

    fn note_write(&mut self, written: usize, waits: bool) {
        self.stalled = match (waits, self.stalled) {
            (false, _) => None,
            (true, Some(since)) if written == 0 => Some(since),
            (true, _) => Some(self.now()),
        };
    }

    /// Why the server drains, if it does; the task of `context` is told when it begins to.
    pub(crate) fn poll_drain(&mut self, context: &mut Context<'_>) -> Option<CancelReason> {
        if self.drain.poll(context) {
            self.connected.shared.drain.reason()
        } else {
            None
        }
    }

    /// Whether the server gave the connection up.
    pub(crate) fn poll_cancel(&mut self, context: &mut Context<'_>) -> bool {
        self.cancel.poll(context)
    }

    /// Give the stream away, with what was read of it and belongs to nobody.
    pub(crate) fn leave(&mut self) -> Upgraded {
        let gone = Stream::new(Gone, self.io.peer_addr(), self.io.local_addr());
        Upgraded {
            stream: std::mem::replace(&mut self.io, gone),
            early: self.intake.leave(),
        }
    }

    /// True if closing at once would reset the connection, and the client perhaps lose the answer.
    pub(crate) fn has_unread(&self) -> bool {
        self.intake.has_unread()
    }

    /// How long to read on after the last answer, to no end but that the client gets it.
    pub(crate) fn linger(&self) -> Duration {
        self.linger
    }

    /// Nothing was read, and there is little to lose.
    pub(crate) fn turn_away(&mut self) {
        self.intake.lose();
        self.linger = self.linger.min(SHORT_LINGER);
    }

    /// Throw away what comes until the client closes its side or the time is up.
    pub(crate) fn poll_discard(&mut self, context: &mut Context<'_>, until: MonoTime) -> Poll<()> {
        if self.intake.poll_discard(&mut self.io, context).is_ready() || self.cancel.poll(context) {
            return Poll::Ready(());
        }
        self.timer.poll(&self.connected.cx, context, Some(until))
    }
}

impl Drop for Link {
    /// A request in flight that the server gave up is counted, however its connection ended.
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Answering(_) | Stage::Writing) && self.cancel.is_raised() {
            self.connected.shared.counters.cancelled.add();
        }
    }
}

/// How writing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Done,
    Broken,
}

/// What stands where the stream was.
struct Gone;

impl AsyncRead for Gone {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Io for Gone {
    fn reset_on_close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
