//! The latest value, for any number of observers who may miss those in between.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use annals_core::Cancelled;

use super::RecvError;
use crate::Cx;
use crate::sync::prim::{Arc, Mutex, lock};
use crate::sync::wait_queue::{Ticket, WaitQueue};

/// A channel that holds one value: the latest. The receiver has seen `init`.
#[must_use]
pub fn watch<T: Clone + Send>(init: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let shared = Arc::new(Mutex::new(State {
        value: init,
        version: 0,
        senders: 1,
        waiting: WaitQueue::new(),
    }));
    let sender = WatchSender { shared: shared.clone() };
    (sender, WatchReceiver { shared, seen: 0 })
}

struct State<T> {
    value: T,
    /// Counts the sends.
    version: u64,
    senders: usize,
    waiting: WaitQueue<()>,
}

/// The side that changes the value.
pub struct WatchSender<T> {
    shared: Arc<Mutex<State<T>>>,
}

impl<T> WatchSender<T> {
    /// Replaces the value and wakes everybody who waits for a change.
    pub fn send(&self, value: T) {
        let (old, woken) = {
            let mut state = lock(&self.shared);
            state.version += 1;
            (std::mem::replace(&mut state.value, value), state.waiting.wakers())
        };
        woken.into_iter().for_each(Waker::wake);
        drop(old);
    }

    /// Another observer, who has seen the value as it is now.
    pub fn subscribe(&self) -> WatchReceiver<T> {
        let seen = lock(&self.shared).version;
        WatchReceiver {
            shared: self.shared.clone(),
            seen,
        }
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> Self {
        lock(&self.shared).senders += 1;
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        let woken = {
            let mut state = lock(&self.shared);
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.waiting.wakers()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<T> std::fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchSender")
            .field("version", &lock(&self.shared).version)
            .finish()
    }
}

/// The side that observes. A clone has seen what the original has.
pub struct WatchReceiver<T> {
    shared: Arc<Mutex<State<T>>>,
    seen: u64,
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            seen: self.seen,
        }
    }
}

impl<T: Clone + Send> WatchReceiver<T> {
    /// Waits for a value this receiver has not seen and marks it seen. However many were sent meanwhile, it is one change.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when every sender is gone and there is no such value, or a cancellation.
    ///
    /// # Cancel safety
    /// A change that was not reported is reported by the next call.
    pub async fn changed(&mut self, cx: &Cx) -> Result<(), RecvError> {
        match cx.or_cancel(self.change()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RecvError::Closed),
            Err(Cancelled(reason)) => Err(RecvError::Cancelled(reason)),
        }
    }

    /// The value as it is now; seen or not stays as it was.
    #[must_use]
    pub fn get(&self) -> T {
        lock(&self.shared).value.clone()
    }

    /// The value as it is now, which is thereby seen.
    pub fn get_and_mark(&mut self) -> T {
        let state = lock(&self.shared);
        self.seen = state.version;
        state.value.clone()
    }

    /// True on a change, false when there will be no more.
    pub(crate) fn change(&mut self) -> impl Future<Output = bool> {
        let Self { shared, seen } = self;
        let mut waits = Waits { shared, ticket: None };
        poll_fn(move |context| waits.poll(context, seen))
    }
}

impl<T> std::fmt::Debug for WatchReceiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchReceiver").field("seen", &self.seen).finish()
    }
}

/// One wait for a change; leaves the queue when dropped.
struct Waits<'a, T> {
    shared: &'a Mutex<State<T>>,
    ticket: Option<Ticket>,
}

impl<T> Waits<'_, T> {
    fn poll(&mut self, context: &Context<'_>, seen: &mut u64) -> Poll<bool> {
        let mut state = lock(self.shared);
        if state.version != *seen {
            *seen = state.version;
            return Poll::Ready(true);
        }
        if state.senders == 0 {
            return Poll::Ready(false);
        }
        state.waiting.enter(&mut self.ticket, context.waker());
        Poll::Pending
    }
}

impl<T> Drop for Waits<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(self.shared).waiting.leave(ticket);
        }
    }
}
