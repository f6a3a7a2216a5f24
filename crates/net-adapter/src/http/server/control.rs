//! What a handler and its connection tell each other about one request: the body, piece by piece, and the route's limits.
//!
//! The handler pulls: bytes leave the socket only when it asks for them. Limits of the route are known when the route was
//! found, which is after the connection handed the request over; therefore they are looked up when they are needed.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, Limited};

use super::framing::{BodyLength, FramingError};
use super::limits::{RouteLimits, ServerLimits};
use crate::token::lock;

/// Why a request body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body does not follow its framing.
    #[error("malformed request body: {0}")]
    Framing(#[from] FramingError),
    /// No byte arrived for too long. The answer is 408, whatever the handler says.
    #[error("the request body did not arrive in time")]
    Idle,
    /// The client left.
    #[error("the client is gone")]
    ClientGone,
    /// The answer began before the handler asked for the body, so the client was never told to send it.
    #[error("the client was not asked for the request body")]
    NotAsked,
    /// More bytes than the route takes. A reader sees it as [`http_body_util::LengthLimitError`], which extractors know.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// One request's body and limits, shared by the handler's side and the connection's.
#[derive(Debug)]
pub(crate) struct Control(Mutex<State>);

#[derive(Debug)]
struct State {
    declared: Option<u64>,
    received: u64,
    ready: Option<Bytes>,
    end: Option<Result<(), BodyError>>,
    told: bool,
    wanted: bool,
    reader: Option<Waker>,
    pump: Option<Waker>,
    body_bytes: u64,
    body_idle: Duration,
    handler: Duration,
}

impl Control {
    pub(crate) fn new(length: BodyLength, limits: &ServerLimits) -> Arc<Self> {
        let declared = match length {
            BodyLength::Known(bytes) => Some(bytes),
            BodyLength::Chunked => None,
        };
        Arc::new(Self(Mutex::new(State {
            declared,
            received: 0,
            ready: None,
            end: (declared == Some(0)).then_some(Ok(())),
            told: false,
            wanted: false,
            reader: None,
            pump: None,
            body_bytes: limits.body_bytes,
            body_idle: limits.body_idle,
            handler: limits.handler,
        })))
    }

    /// Take over what the route says. False if the declared body is larger than the route takes.
    pub(crate) fn apply(&self, route: &RouteLimits) -> bool {
        let mut state = lock(&self.0);
        state.body_bytes = route.body_bytes.unwrap_or(state.body_bytes);
        state.body_idle = route.body_idle.unwrap_or(state.body_idle);
        state.handler = route.handler.unwrap_or(state.handler);
        state.declared.is_none_or(|declared| declared <= state.body_bytes)
    }

    pub(crate) fn handler_time(&self) -> Duration {
        lock(&self.0).handler
    }

    pub(crate) fn body_idle(&self) -> Duration {
        lock(&self.0).body_idle
    }

    /// Whether the handler waits for bytes; if not, `waker` is woken when it does.
    pub(crate) fn wants(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.0);
        if state.wanted {
            return true;
        }
        if state.end.is_none() && !state.pump.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.pump = Some(waker.clone());
        }
        false
    }

    /// Bytes for the handler, which asked for them.
    pub(crate) fn push(&self, data: Bytes) {
        let reader = {
            let mut state = lock(&self.0);
            state.received += data.len() as u64;
            state.wanted = false;
            if state.received > state.body_bytes {
                state.end = Some(Err(BodyError::TooLarge {
                    limit: state.body_bytes,
                }));
            } else {
                state.ready = Some(data);
            }
            state.reader.take()
        };
        wake(reader);
    }

    /// The body is over. The first end stays.
    pub(crate) fn end(&self, result: Result<(), BodyError>) {
        let reader = {
            let mut state = lock(&self.0);
            state.wanted = false;
            state.end = state.end.or(Some(result));
            state.reader.take()
        };
        wake(reader);
    }

    pub(crate) fn failure(&self) -> Option<BodyError> {
        lock(&self.0).end.and_then(Result::err)
    }

    fn poll_data(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let pump = {
            let mut state = lock(&self.0);
            if let Some(data) = state.ready.take() {
                return Poll::Ready(Some(Ok(data)));
            }
            // A declared length over the limit is refused before any byte of the body is read.
            if state.end.is_none() && state.declared.is_some_and(|declared| declared > state.body_bytes) {
                state.end = Some(Err(BodyError::TooLarge {
                    limit: state.body_bytes,
                }));
            }
            match state.end {
                Some(Err(error)) if !state.told => {
                    state.told = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(_) => return Poll::Ready(None),
                None => {}
            }
            state.wanted = true;
            state.reader = Some(context.waker().clone());
            state.pump.take()
        };
        wake(pump);
        Poll::Pending
    }

    fn abandon(&self) {
        let mut state = lock(&self.0);
        state.wanted = false;
        state.ready = None;
        state.reader = None;
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The body a handler gets.
#[derive(Debug)]
pub(crate) struct RequestBody(pub(crate) Arc<Control>);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_data(context).map(|item| {
            item.map(|result| match result {
                Ok(data) => Ok(Frame::data(data)),
                Err(BodyError::TooLarge { limit }) => Err(length_limit_error(limit)),
                Err(other) => Err(other.into()),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.0.0);
        state.ready.is_none() && state.end == Some(Ok(()))
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.0.0);
        let waiting = state.ready.as_ref().map_or(0, |data| data.len() as u64);
        match (state.declared, state.end) {
            (Some(declared), None | Some(Ok(()))) => {
                SizeHint::with_exact(declared.saturating_sub(state.received) + waiting)
            }
            _ => SizeHint::new(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The error by which axum's extractors know that the answer is 413. It has no constructor, so a full `Limited` makes one.
fn length_limit_error(limit: u64) -> BoxError {
    let mut over = Limited::new(Full::new(Bytes::from_static(b"x")), 0);
    match Pin::new(&mut over).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Err(error))) => error,
        _ => BodyError::TooLarge { limit }.into(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, LengthLimitError};

    use super::*;

    fn poll(body: &mut RequestBody) -> Poll<Option<Result<Bytes, BoxError>>> {
        let polled = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        polled.map(|item| item.map(|result| result.map(|frame| frame.into_data().unwrap())))
    }

    fn control(length: BodyLength) -> (Arc<Control>, RequestBody) {
        let control = Control::new(
            length,
            &ServerLimits {
                body_bytes: 4,
                ..ServerLimits::default()
            },
        );
        (control.clone(), RequestBody(control))
    }

    #[test]
    fn nothing_is_pumped_before_the_handler_asks() {
        let (control, mut body) = control(BodyLength::Known(3));
        assert!(!control.wants(Waker::noop()));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(poll(&mut body).is_pending());
        assert!(control.wants(Waker::noop()));
        control.push(Bytes::from_static(b"abc"));
        control.end(Ok(()));
        assert!(!control.wants(Waker::noop()) && !body.is_end_stream());
        assert_eq!(body.collect().now_or_never_bytes(), b"abc");
    }

    #[test]
    fn a_declared_length_over_the_limit_fails_before_a_byte_is_wanted() {
        let (control, mut body) = control(BodyLength::Known(5));
        let Poll::Ready(Some(Err(error))) = poll(&mut body) else {
            panic!("must fail")
        };
        assert!(error.is::<LengthLimitError>());
        assert!(!control.wants(Waker::noop()));
        assert_eq!(control.failure(), Some(BodyError::TooLarge { limit: 4 }));
        assert!(matches!(poll(&mut body), Poll::Ready(None)), "told once");
    }

    #[test]
    fn chunks_over_the_limit_fail_and_the_limit_itself_passes() {
        let (control, mut body) = control(BodyLength::Chunked);
        assert!(poll(&mut body).is_pending());
        control.push(Bytes::from_static(b"abcd"));
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(poll(&mut body).is_pending());
        control.push(Bytes::from_static(b"e"));
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(error))) if error.is::<LengthLimitError>()));
    }

    #[test]
    fn a_route_may_take_more_or_less() {
        let (control, mut body) = control(BodyLength::Known(5));
        assert!(!control.apply(&RouteLimits::new().handler(Duration::from_secs(1))));
        assert!(control.apply(&RouteLimits::new().body_bytes(5)));
        assert_eq!(control.handler_time(), Duration::from_secs(1));
        assert!(poll(&mut body).is_pending());
    }

    trait NowOrNever {
        fn now_or_never_bytes(self) -> Vec<u8>;
    }

    impl<F: Future<Output = Result<http_body_util::Collected<Bytes>, BoxError>>> NowOrNever for F {
        fn now_or_never_bytes(self) -> Vec<u8> {
            futures_util::FutureExt::now_or_never(self)
                .unwrap()
                .unwrap()
                .to_bytes()
                .to_vec()
        }
    }
}
