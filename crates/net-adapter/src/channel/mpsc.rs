//! Many senders, one receiver, bounded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::task::{Poll, Waker};

use annals_core::{CancelReason, Cancelled, TaskError};
use futures_util::TryFutureExt;

use crate::Cx;
use crate::sync::prim::{Arc, AtomicUsize, Mutex, Ordering, lock};
use crate::sync::{Closed, SemPermit, Semaphore};

/// A bounded channel of capacity `cap`; capacity is taken when a place is reserved.
#[must_use]
pub fn mpsc<T: Send>(cap: NonZeroUsize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        room: Semaphore::new(cap.get()),
        queue: Mutex::new(Queue {
            items: VecDeque::new(),
            receiver: None,
            receiver_gone: false,
        }),
        senders: AtomicUsize::new(1),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    room: Semaphore,
    queue: Mutex<Queue<T>>,
    /// Senders and permits: whoever may still send.
    senders: AtomicUsize,
}

struct Queue<T> {
    items: VecDeque<T>,
    receiver: Option<Waker>,
    receiver_gone: bool,
}

impl<T> Shared<T> {
    fn wake_receiver(&self) {
        let waker = lock(&self.queue).receiver.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn leave(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake_receiver();
        }
    }
}

/// The sending side.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::AcqRel);
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

/// Why no place could be reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// The receiver is gone or closed.
    #[error("the receiver is gone")]
    Disconnected,
    /// The caller was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
}

impl TaskError for ReserveError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Disconnected => None,
            Self::Cancelled(reason) => Some(reason),
        }
    }
}

/// Why no place could be reserved at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryReserveError {
    /// Every place is taken.
    #[error("the channel is full")]
    Full,
    /// The receiver is gone or closed.
    #[error("the receiver is gone")]
    Disconnected,
}

/// A send that did not happen; the value comes back.
#[derive(Debug, thiserror::Error)]
#[error("send: {why}")]
pub struct SendError<T> {
    /// The value.
    pub value: T,
    /// Why.
    pub why: ReserveError,
}

impl<T: std::fmt::Debug + Send + 'static> TaskError for SendError<T> {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.why.cancel_reason()
    }
}

impl<T: Send> Sender<T> {
    /// Waits for a place.
    ///
    /// # Errors
    /// [`ReserveError`]; no place is then held.
    ///
    /// # Cancel safety
    /// A cancelled or dropped wait leaks no place.
    pub async fn reserve(&self, cx: &Cx) -> Result<Permit<T>, ReserveError> {
        match cx.or_cancel(self.place()).await {
            Ok(Ok(permit)) => Ok(permit.counted(cx)),
            Ok(Err(Closed)) => Err(ReserveError::Disconnected),
            Err(Cancelled(reason)) => Err(ReserveError::Cancelled(reason)),
        }
    }

    /// Takes a place if one is free.
    ///
    /// # Errors
    /// [`TryReserveError`].
    pub fn try_reserve(&self, cx: &Cx) -> Result<Permit<T>, TryReserveError> {
        match self.shared.room.try_acquire(1) {
            Some(slot) => Ok(self.permit(slot).counted(cx)),
            None if self.shared.room.is_closed() => Err(TryReserveError::Disconnected),
            None => Err(TryReserveError::Full),
        }
    }

    /// A place that no region counts yet.
    pub(crate) fn place(&self) -> impl Future<Output = Result<Permit<T>, Closed>> {
        self.shared.room.slots(1).map_ok(|slot| self.permit(slot))
    }

    fn permit(&self, slot: SemPermit) -> Permit<T> {
        let sender = self.clone();
        Permit { sender, slot }
    }

    /// Waits for a place and sends.
    ///
    /// # Errors
    /// [`SendError`] with the value.
    ///
    /// # Cancel safety
    /// If cancelled, nothing was sent. If dropped, the value is dropped unsent.
    pub async fn send(&self, cx: &Cx, value: T) -> Result<(), SendError<T>> {
        match self.reserve(cx).await {
            Ok(permit) => permit.send(value).map_err(|value| SendError {
                value,
                why: ReserveError::Disconnected,
            }),
            Err(why) => Err(SendError { value, why }),
        }
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("room", &self.shared.room.available())
            .finish()
    }
}

/// A reserved place. Dropping it gives the place back; the receiver sees nothing.
#[must_use = "dropping the permit gives the place back"]
pub struct Permit<T> {
    sender: Sender<T>,
    slot: SemPermit,
}

impl<T> Permit<T> {
    fn counted(self, cx: &Cx) -> Self {
        let Self { sender, slot } = self;
        let slot = slot.counted(cx);
        Self { sender, slot }
    }

    /// Sends. Order of delivery is the order of these calls.
    ///
    /// # Errors
    /// The value, when the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        let waker = {
            let mut queue = lock(&self.sender.shared.queue);
            if queue.receiver_gone {
                return Err(value);
            }
            queue.items.push_back(value);
            queue.receiver.take()
        };
        // The receiver gives the place back when it takes the item.
        self.slot.keep_slot();
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> std::fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

/// Why nothing was received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// Nobody can send any more and everything sent was received.
    #[error("the channel is closed")]
    Closed,
    /// The caller was cancelled; the message stays queued.
    #[error("{0}")]
    Cancelled(CancelReason),
}

impl TaskError for RecvError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Closed => None,
            Self::Cancelled(reason) => Some(reason),
        }
    }
}

/// Why nothing was received at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// Nothing is queued.
    #[error("the channel is empty")]
    Empty,
    /// Nobody can send any more and everything sent was received.
    #[error("the channel is closed")]
    Closed,
}

/// The receiving side.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the next message.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// # Cancel safety
    /// A message that was not returned stays queued.
    pub async fn recv(&mut self, cx: &Cx) -> Result<T, RecvError> {
        match cx.or_cancel(self.next()).await {
            Ok(Some(item)) => {
                #[cfg(feature = "lab")]
                cx.trace(crate::lab::Event::Received, 0);
                Ok(item)
            }
            Ok(None) => Err(RecvError::Closed),
            Err(Cancelled(reason)) => Err(RecvError::Cancelled(reason)),
        }
    }

    /// The next message, or `None` when there will be no more. Dropped, it has taken nothing.
    pub(crate) fn next(&mut self) -> impl Future<Output = Option<T>> {
        poll_fn(|context| {
            // Counted before the queue is looked at: a last sender that sends and leaves in
            // between is seen with its message.
            let senders = self.shared.senders.load(Ordering::Acquire);
            let mut queue = lock(&self.shared.queue);
            if let Some(item) = queue.items.pop_front() {
                drop(queue);
                self.shared.room.release(1);
                return Poll::Ready(Some(item));
            }
            if senders == 0 || queue.receiver_gone {
                return Poll::Ready(None);
            }
            queue.receiver = Some(context.waker().clone());
            drop(queue);
            // The last sender may have left before the waker was in place.
            if self.shared.senders.load(Ordering::Acquire) == 0 {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
    }

    /// Takes the next message if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let senders = self.shared.senders.load(Ordering::Acquire);
        let (item, closed) = {
            let mut queue = lock(&self.shared.queue);
            (queue.items.pop_front(), queue.receiver_gone)
        };
        match item {
            Some(item) => {
                self.shared.room.release(1);
                Ok(item)
            }
            None if senders == 0 || closed => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Refuses new messages; what was sent can still be received.
    pub fn close(&mut self) {
        lock(&self.shared.queue).receiver_gone = true;
        self.shared.room.close();
    }

    /// Takes everything that was sent.
    pub fn drain(&mut self) -> Vec<T> {
        let items: Vec<T> = lock(&self.shared.queue).items.drain(..).collect();
        self.shared.room.release(items.len());
        items
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        let items = std::mem::take(&mut lock(&self.shared.queue).items);
        drop(items);
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("queued", &lock(&self.shared.queue).items.len())
            .finish()
    }
}
