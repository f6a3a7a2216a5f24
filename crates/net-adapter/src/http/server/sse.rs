//! Server-sent events: an answer that goes on until its producer, its client or its server ends it.

use std::fmt::Write as _;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use http_body::Frame;

use super::timer::{Timer, Watch};
use crate::backend::BoxFuture;
use crate::channel::Receiver;
use crate::token::Token;
use crate::{CancelReason, Cx, MonoTime};

/// Proxies that collect answers before they pass them on are told not to.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    event: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: String,
}

impl SseEvent {
    /// An event with this text; every line of it arrives as a line.
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// Its kind, by which a page listens for it. Line ends in it become spaces.
    #[must_use]
    pub fn event(mut self, kind: &str) -> Self {
        self.event = Some(one_line(kind));
        self
    }

    /// What a client that connects again sends as `Last-Event-ID`. Line ends and NULs in it become spaces.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(one_line(id));
        self
    }

    /// How long a client waits before it connects again.
    #[must_use]
    pub fn retry(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    fn encode(&self) -> Bytes {
        let mut out = String::with_capacity(self.data.len() + 32);
        let mut field = |name: &str, value: &str| {
            // A String takes everything.
            writeln!(out, "{name}: {value}").unwrap_or_default();
        };
        if let Some(event) = &self.event {
            field("event", event);
        }
        if let Some(id) = &self.id {
            field("id", id);
        }
        if let Some(retry) = self.retry {
            field("retry", &retry.as_millis().to_string());
        }
        // The three line ends of the format; each would otherwise end the field.
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            field("data", line);
        }
        out.push('\n');
        out.into()
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

/// An answer that sends what `rx` receives, as it comes, and a comment after each `heartbeat` of silence, so that neither a
/// proxy nor the client takes it for dead.
///
/// It ends when every sender is gone, when `cx` is cancelled or its deadline has passed, and when the server drains; what was sent to the channel by
/// then still arrives, and the answer ends as a whole one. When the client leaves, senders learn it by
/// [`Disconnected`](crate::channel::ReserveError::Disconnected).
#[must_use]
pub fn sse(cx: &Cx, rx: Receiver<SseEvent>, heartbeat: Duration) -> Response {
    let drain = Arc::new(OnceLock::new());
    let body = Events {
        rx: Some(rx),
        cancelled: Some(Box::pin({
            let cx = cx.clone();
            async move { cx.cancelled().await }
        })),
        drain: drain.clone(),
        draining: None,
        heartbeat,
        quiet_since: cx.now(),
        timer: Timer::default(),
        cx: cx.clone(),
    };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response.extensions_mut().insert(EndsWithDrain(drain));
    response
}

/// In an endless answer: the server that sends it says here how it will ask for its end.
#[derive(Clone)]
pub(super) struct EndsWithDrain(Arc<OnceLock<Arc<Token>>>);

impl EndsWithDrain {
    pub(super) fn tell(response: &mut Response, drain: &Arc<Token>) {
        if let Some(answer) = response.extensions_mut().remove::<Self>() {
            // Told once; a copy of the answer would be sent by the same server.
            answer.0.get_or_init(|| drain.clone());
        }
    }
}

struct Events {
    /// `None` once the stream has ended.
    rx: Option<Receiver<SseEvent>>,
    /// Sees the deadline, too. `None` once it was cancelled.
    cancelled: Option<BoxFuture<'static, CancelReason>>,
    drain: Arc<OnceLock<Arc<Token>>>,
    draining: Option<Watch>,
    heartbeat: Duration,
    quiet_since: MonoTime,
    timer: Timer,
    cx: Cx,
}

impl Events {
    fn is_cancelled(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(cancelled) = &mut self.cancelled
            // Asked for as well: whoever always has an event must not outrun its deadline.
            && (self.cx.is_cancelled() || cancelled.as_mut().poll(context).is_ready())
        {
            self.cancelled = None;
        }
        self.cancelled.is_none()
    }

    fn is_draining(&mut self, context: &mut Context<'_>) -> bool {
        if self.draining.is_none() {
            self.draining = self.drain.get().map(Watch::new);
        }
        self.draining.as_mut().is_some_and(|drain| drain.poll(context))
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let (cancelled, draining) = (this.is_cancelled(context), this.is_draining(context));
        let Some(rx) = &mut this.rx else {
            return Poll::Ready(None);
        };
        if cancelled || draining {
            // Nothing new; what is in the channel goes out before the end.
            rx.close();
        }
        let event = if cancelled {
            Poll::Ready(rx.try_recv().ok())
        } else {
            // A wait takes nothing before it is over, so it may begin anew with every poll.
            pin!(rx.next()).poll(context)
        };
        match event {
            Poll::Ready(Some(event)) => {
                this.quiet_since = this.cx.now();
                return Poll::Ready(Some(Ok(Frame::data(event.encode()))));
            }
            Poll::Ready(None) => {
                this.rx = None;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        let due = this.quiet_since.after(this.heartbeat);
        if this.timer.poll(&this.cx, context, Some(due)).is_pending() {
            return Poll::Pending;
        }
        this.quiet_since = this.cx.now();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
    }

    fn is_end_stream(&self) -> bool {
        self.rx.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &SseEvent) -> String {
        String::from_utf8(event.encode().to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_its_fields_and_an_empty_line() {
        let whole = SseEvent::new("one\ntwo")
            .event("progress")
            .id("7")
            .retry(Duration::from_secs(3));
        assert_eq!(
            text(&whole),
            "event: progress\nid: 7\nretry: 3000\ndata: one\ndata: two\n\n"
        );
        assert_eq!(text(&SseEvent::new("")), "data: \n\n");
    }

    #[test]
    fn no_text_can_make_a_field_of_its_own() {
        let sly = SseEvent::new("a\r\nevent: b\rid: c\n\ndata: d")
            .event("x\nid: y")
            .id("1\r\n\0data: z");
        assert_eq!(
            text(&sly),
            "event: x id: y\nid: 1   data: z\ndata: a\ndata: event: b\ndata: id: c\ndata: \ndata: data: d\n\n"
        );
    }
}
