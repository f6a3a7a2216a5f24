//! Every value to every receiver; one that is too slow loses the oldest, and is told how many.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::task::{Context, Poll, Waker};

use annals_core::{CancelReason, Cancelled, TaskError};

use crate::Cx;
use crate::sync::prim::{Arc, AtomicUsize, Mutex, Ordering, lock};
use crate::sync::wait_queue::{Ticket, WaitQueue};

/// A channel whose last `cap` values are kept for receivers that lag. Sending never waits.
#[must_use]
pub fn broadcast<T: Clone + Send>(cap: NonZeroUsize) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    let sender = BroadcastSender::new(cap);
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T> {
    cap: usize,
    /// Beside the lock, so that a send nobody would hear costs next to nothing.
    receivers: AtomicUsize,
    state: Mutex<State<T>>,
}

struct State<T> {
    kept: VecDeque<T>,
    /// Number of the oldest kept value, counted from the first send.
    oldest: u64,
    senders: usize,
    waiting: WaitQueue<()>,
}

impl<T> State<T> {
    fn next(&self) -> u64 {
        self.oldest + self.kept.len() as u64
    }
}

/// The sending side. Clones send to the same receivers.
pub struct BroadcastSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> BroadcastSender<T> {
    pub(crate) fn new(cap: NonZeroUsize) -> Self {
        Self {
            shared: Arc::new(Shared {
                cap: cap.get(),
                receivers: AtomicUsize::new(0),
                state: Mutex::new(State {
                    kept: VecDeque::new(),
                    oldest: 0,
                    senders: 1,
                    waiting: WaitQueue::new(),
                }),
            }),
        }
    }

    /// Sends to everybody who receives now. With nobody there, the value is dropped.
    pub fn send(&self, value: T) {
        if !self.has_receivers() {
            return;
        }
        let (lost, woken) = {
            let mut state = lock(&self.shared.state);
            let lost = if state.kept.len() == self.shared.cap {
                state.oldest += 1;
                state.kept.pop_front()
            } else {
                None
            };
            state.kept.push_back(value);
            (lost, state.waiting.wakers())
        };
        woken.into_iter().for_each(Waker::wake);
        drop(lost);
    }

    /// Whether anybody would hear a send.
    #[must_use]
    pub fn has_receivers(&self) -> bool {
        self.shared.receivers.load(Ordering::Acquire) > 0
    }

    /// A receiver of everything sent from now on.
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        // Under the lock: a send that has not seen this receiver lies before its first value.
        let state = lock(&self.shared.state);
        self.shared.receivers.fetch_add(1, Ordering::AcqRel);
        BroadcastReceiver {
            shared: self.shared.clone(),
            next: state.next(),
        }
    }
}

impl<T> Clone for BroadcastSender<T> {
    fn clone(&self) -> Self {
        lock(&self.shared.state).senders += 1;
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        let woken = {
            let mut state = lock(&self.shared.state);
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.waiting.wakers()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<T> std::fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let receivers = self.shared.receivers.load(Ordering::Acquire);
        f.debug_struct("BroadcastSender")
            .field("receivers", &receivers)
            .finish()
    }
}

/// Why a broadcast receiver has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastRecvError {
    /// So many values were lost since the last receive; the next call returns the oldest that was kept.
    #[error("{0} values were lost")]
    Lagged(u64),
    /// Every sender is gone and everything kept was received.
    #[error("the channel is closed")]
    Closed,
    /// The caller was cancelled; nothing was taken.
    #[error("{0}")]
    Cancelled(CancelReason),
}

impl TaskError for BroadcastRecvError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Lagged(_) | Self::Closed => None,
            Self::Cancelled(reason) => Some(reason),
        }
    }
}

/// One receiving side. A clone goes on from the same place.
pub struct BroadcastReceiver<T> {
    shared: Arc<Shared<T>>,
    /// Number of the value to be received next.
    next: u64,
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::AcqRel);
        Self {
            shared: self.shared.clone(),
            next: self.next,
        }
    }
}

impl<T: Clone + Send> BroadcastReceiver<T> {
    /// Waits for the next value.
    ///
    /// # Errors
    /// [`BroadcastRecvError`]; after `Lagged` the receiver goes on with the oldest value kept.
    ///
    /// # Cancel safety
    /// A value that was not returned is returned by the next call.
    pub async fn recv(&mut self, cx: &Cx) -> Result<T, BroadcastRecvError> {
        let received = {
            let Self { shared, next } = self;
            let mut waits = Waits { shared, ticket: None };
            cx.or_cancel(poll_fn(|context| waits.poll(context, next))).await
        };
        match received {
            Ok(result) => result,
            Err(Cancelled(reason)) => Err(BroadcastRecvError::Cancelled(reason)),
        }
    }

    /// The next value, if it is there: `None` when there is nothing to receive yet.
    pub fn try_recv(&mut self) -> Option<Result<T, BroadcastRecvError>> {
        take(&lock(&self.shared.state), &mut self.next)
    }
}

fn take<T: Clone>(state: &State<T>, next: &mut u64) -> Option<Result<T, BroadcastRecvError>> {
    if *next < state.oldest {
        let lost = state.oldest - *next;
        *next = state.oldest;
        return Some(Err(BroadcastRecvError::Lagged(lost)));
    }
    let kept = usize::try_from(*next - state.oldest)
        .ok()
        .and_then(|at| state.kept.get(at));
    match kept {
        Some(value) => {
            let value = value.clone();
            *next += 1;
            Some(Ok(value))
        }
        None => (state.senders == 0).then_some(Err(BroadcastRecvError::Closed)),
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        let unheard = {
            let mut state = lock(&self.shared.state);
            if self.shared.receivers.fetch_sub(1, Ordering::AcqRel) > 1 {
                return;
            }
            state.oldest = state.next();
            std::mem::take(&mut state.kept)
        };
        drop(unheard);
    }
}

impl<T> std::fmt::Debug for BroadcastReceiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BroadcastReceiver").field("next", &self.next).finish()
    }
}

/// One wait for a value; leaves the queue when dropped.
struct Waits<'a, T> {
    shared: &'a Shared<T>,
    ticket: Option<Ticket>,
}

impl<T: Clone> Waits<'_, T> {
    fn poll(&mut self, context: &Context<'_>, next: &mut u64) -> Poll<Result<T, BroadcastRecvError>> {
        let mut state = lock(&self.shared.state);
        if let Some(taken) = take(&state, next) {
            return Poll::Ready(taken);
        }
        state.waiting.enter(&mut self.ticket, context.waker());
        Poll::Pending
    }
}

impl<T> Drop for Waits<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.shared.state).waiting.leave(ticket);
        }
    }
}
