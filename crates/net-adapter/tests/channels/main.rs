//! Channels and locks keep what they promise, on every host and when cancelled at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod models;
mod observers;
mod two_phase;

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use annals_net_adapter::{CancelKind, CancelReason, Cx};

fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

/// Polls once, for a caller that does not wait.
fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls once and drops what did not end.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    poll_once(Box::pin(future).as_mut())
}
