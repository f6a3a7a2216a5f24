//! One value, once.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use annals_core::Cancelled;

use super::RecvError;
use crate::Cx;
use crate::sync::prim::{Arc, Mutex, lock};

struct State<T> {
    value: Option<T>,
    sender_gone: bool,
    receiver_gone: bool,
    waker: Option<Waker>,
}

/// A channel for a single value.
#[must_use]
pub fn oneshot<T: Send>() -> (OneSender<T>, OneReceiver<T>) {
    let state = Arc::new(Mutex::new(State {
        value: None,
        sender_gone: false,
        receiver_gone: false,
        waker: None,
    }));
    (OneSender(state.clone()), OneReceiver(state))
}

/// The side that sends the value.
pub struct OneSender<T>(Arc<Mutex<State<T>>>);

impl<T> OneSender<T> {
    /// Sends the value.
    ///
    /// # Errors
    /// The value, when the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut state = lock(&self.0);
        if state.receiver_gone {
            return Err(value);
        }
        state.value = Some(value);
        Ok(())
    }
}

impl<T> Drop for OneSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.0);
            state.sender_gone = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> std::fmt::Debug for OneSender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneSender")
    }
}

/// The side that waits for the value.
pub struct OneReceiver<T>(Arc<Mutex<State<T>>>);

impl<T> OneReceiver<T> {
    /// Waits for the value.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if the sender left without sending, or a cancellation.
    ///
    /// # Cancel safety
    /// Dropped early, the value is dropped with it.
    pub async fn recv(self, cx: &Cx) -> Result<T, RecvError> {
        match cx.or_cancel(self.value()).await {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(RecvError::Closed),
            Err(Cancelled(reason)) => Err(RecvError::Cancelled(reason)),
        }
    }

    /// The value, or `None` when it will never come.
    pub(crate) fn value(&self) -> impl Future<Output = Option<T>> {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if let Some(value) = state.value.take() {
                return Poll::Ready(Some(value));
            }
            if state.sender_gone {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl<T> Drop for OneReceiver<T> {
    fn drop(&mut self) {
        let value = {
            let mut state = lock(&self.0);
            state.receiver_gone = true;
            state.value.take()
        };
        drop(value);
    }
}

impl<T> std::fmt::Debug for OneReceiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneReceiver")
    }
}
