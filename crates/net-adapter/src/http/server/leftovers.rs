//! What still has to end when its answer is gone: handlers that were asked to stop, regions that close.

use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use crate::backend::BoxFuture;
use crate::token::lock;

/// Futures that a connection polls beside its work, and that it waits for before it ends.
#[derive(Clone, Default)]
pub(crate) struct Leftovers(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

/// What is left may itself leave something; it must not keep its own list alive.
pub(crate) struct WeakLeftovers(Weak<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl WeakLeftovers {
    /// The list, unless its connection is gone.
    pub(crate) fn upgrade(&self) -> Option<Leftovers> {
        self.0.upgrade().map(Leftovers)
    }
}

impl Leftovers {
    pub(crate) fn push(&self, future: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0).push(Box::pin(future));
    }

    /// Poll them beside other work.
    pub(crate) fn tend(&self, context: &mut Context<'_>) {
        if self.poll(context).is_ready() {
            // Nothing is left, and nothing has to be told about it.
        }
    }

    pub(crate) fn downgrade(&self) -> WeakLeftovers {
        WeakLeftovers(Arc::downgrade(&self.0))
    }

    /// Ready when nothing is left.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Polled outside the lock: what is polled may leave something itself.
            let mut polled = std::mem::take(&mut *lock(&self.0));
            if polled.is_empty() {
                return Poll::Ready(());
            }
            polled.retain_mut(|future| Pin::new(future).poll(context).is_pending());
            let mut added = lock(&self.0);
            let more = !added.is_empty();
            polled.append(&mut added);
            let left = !polled.is_empty();
            *added = polled;
            if !more {
                return if left { Poll::Pending } else { Poll::Ready(()) };
            }
        }
    }
}
