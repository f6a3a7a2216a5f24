//! The body of an answer on its way out: held to its length, and unable to take the connection down with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;

use super::framing::Encoder;

/// The body ended with an error, a panic, or not where it said. The answer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response body could not be completed")]
pub(crate) struct BodyFailed;

pub(crate) struct Outgoing {
    body: Option<Body>,
    /// Bytes still owed, when the length was declared.
    owed: Option<u64>,
}

impl Outgoing {
    pub(crate) fn new(body: Body, encoder: Encoder) -> Self {
        let owed = match encoder {
            Encoder::Nothing => Some(0),
            Encoder::Length(bytes) => Some(bytes),
            Encoder::Chunked | Encoder::UntilClose => None,
        };
        Self { body: Some(body), owed }
    }

    /// True once the body is whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.owed == Some(0) || (self.owed.is_none() && self.body.as_ref().is_none_or(|body| body.is_end_stream()))
    }

    pub(crate) fn owed(&self) -> Option<u64> {
        self.owed
    }

    /// The next piece, never empty; `None` once the body is whole.
    pub(crate) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailed>>> {
        loop {
            let Some(body) = self.body.as_mut().filter(|_| self.owed != Some(0)) else {
                return Poll::Ready(None);
            };
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
            let frame = match polled {
                Ok(polled) => ready!(polled),
                Err(_) => {
                    tracing::error!("a response body panicked");
                    return Poll::Ready(Some(Err(self.fail())));
                }
            };
            match frame.map(|result| result.map(http_body::Frame::into_data)) {
                None if self.owed.is_none() => {
                    self.discard();
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(Some(Err(self.fail()))),
                Some(Err(error)) => {
                    tracing::warn!(%error, "a response body failed");
                    return Poll::Ready(Some(Err(self.fail())));
                }
                // Trailers are not sent; an empty piece would end a chunked body.
                Some(Ok(Err(_))) => {}
                Some(Ok(Ok(data))) if data.is_empty() => {}
                Some(Ok(Ok(data))) => {
                    if let Some(owed) = self.owed {
                        let Some(left) = owed.checked_sub(data.len() as u64) else {
                            return Poll::Ready(Some(Err(self.fail())));
                        };
                        self.owed = Some(left);
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }

    /// A failed body is never whole and gives nothing more.
    fn fail(&mut self) -> BodyFailed {
        self.discard();
        self.owed = Some(u64::MAX);
        BodyFailed
    }

    /// What panicked while it was polled may panic again while it is dropped.
    pub(crate) fn discard(&mut self) {
        let body = self.body.take();
        if catch_unwind(AssertUnwindSafe(|| drop(body))).is_err() {
            tracing::error!("a response body panicked while it was dropped");
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use futures_util::stream;

    use super::*;

    fn collect(body: Body, encoder: Encoder) -> (Vec<u8>, Result<(), BodyFailed>, bool) {
        let mut outgoing = Outgoing::new(body, encoder);
        let (mut got, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
        loop {
            match outgoing.poll_chunk(&mut context) {
                Poll::Ready(Some(Ok(data))) => got.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => return (got, Err(error), outgoing.is_whole()),
                Poll::Ready(None) => return (got, Ok(()), outgoing.is_whole()),
                Poll::Pending => panic!("nothing to wait for"),
            }
        }
    }

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces.iter().map(|piece| Ok::<_, Infallible>(*piece))))
    }

    #[test]
    fn a_body_is_held_to_its_length() {
        let abc = || pieces(&["a", "", "bc"]);
        assert_eq!(collect(abc(), Encoder::Length(3)), (b"abc".to_vec(), Ok(()), true));
        assert_eq!(collect(abc(), Encoder::Chunked), (b"abc".to_vec(), Ok(()), true));
        assert_eq!(
            collect(abc(), Encoder::Length(4)),
            (b"abc".to_vec(), Err(BodyFailed), false)
        );
        assert_eq!(
            collect(abc(), Encoder::Length(2)),
            (b"a".to_vec(), Err(BodyFailed), false)
        );
        assert_eq!(collect(abc(), Encoder::Nothing), (vec![], Ok(()), true));
    }

    #[test]
    fn a_panic_in_a_body_is_its_failure_only() {
        let body = Body::from_stream(stream::iter(0..3).map_panics());
        assert_eq!(collect(body, Encoder::Chunked), (b"x".to_vec(), Err(BodyFailed), false));
    }

    trait MapPanics {
        fn map_panics(self) -> impl futures_util::Stream<Item = Result<&'static str, Infallible>> + Send + 'static;
    }

    impl<S: futures_util::Stream<Item = i32> + Send + 'static> MapPanics for S {
        fn map_panics(self) -> impl futures_util::Stream<Item = Result<&'static str, Infallible>> + Send + 'static {
            futures_util::StreamExt::map(self, |number| {
                assert!(number == 0, "the stream breaks");
                Ok("x")
            })
        }
    }
}
