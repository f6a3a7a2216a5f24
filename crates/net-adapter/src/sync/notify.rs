//! A wake-up that can be sent before anybody waits for it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use annals_core::Cancelled;

use super::prim::{Arc, Mutex, lock};
use super::wait_queue::{Ticket, WaitQueue};
use crate::Cx;

/// Wakes tasks; one wake-up is stored while nobody waits. Clones share it.
#[derive(Clone)]
pub struct Notify(Arc<Mutex<State>>);

struct State {
    stored: bool,
    waiting: WaitQueue<Woken>,
}

/// What a waiter has been told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    No,
    /// Alone: if it leaves without taking the wake-up, somebody else gets it.
    Alone,
    /// With everybody else.
    WithAll,
}

impl State {
    /// Gives a wake-up to the first who has none, or stores it.
    fn wake_one(&mut self) -> Option<Waker> {
        match self.waiting.iter_mut().find(|w| w.data == Woken::No) {
            Some(waiter) => {
                waiter.data = Woken::Alone;
                Some(waiter.waker())
            }
            None => {
                self.stored = true;
                None
            }
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            stored: false,
            waiting: WaitQueue::new(),
        })))
    }
}

impl Notify {
    /// Wakes the first waiter, or the next one to come. Several calls before that are one.
    pub fn notify_one(&self) {
        let woken = lock(&self.0).wake_one();
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// Wakes everybody who waits now; nothing is stored for those who come later.
    pub fn notify_all(&self) {
        let woken: Vec<_> = {
            let mut state = lock(&self.0);
            let asleep = state.waiting.iter_mut().filter(|w| w.data == Woken::No);
            asleep
                .map(|waiter| {
                    waiter.data = Woken::WithAll;
                    waiter.waker()
                })
                .collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Waits for a wake-up.
    ///
    /// # Errors
    /// [`Cancelled`]; a wake-up meant for this waiter alone goes to the next.
    ///
    /// # Cancel safety
    /// No wake-up is lost.
    pub async fn notified(&self, cx: &Cx) -> Result<(), Cancelled> {
        cx.or_cancel(self.woken()).await
    }

    pub(crate) fn woken(&self) -> Notified {
        Notified {
            of: self.clone(),
            ticket: None,
        }
    }
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify").field("stored", &lock(&self.0).stored).finish()
    }
}

/// Future of [`Notify::notified`].
pub(crate) struct Notified {
    of: Notify,
    ticket: Option<Ticket>,
}

impl Future for Notified {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = lock(&this.of.0);
        let Some(ticket) = this.ticket else {
            if std::mem::take(&mut state.stored) {
                return Poll::Ready(());
            }
            this.ticket = Some(state.waiting.join(context.waker(), Woken::No));
            return Poll::Pending;
        };
        if state.waiting.get(ticket).is_some_and(|w| w.data == Woken::No) {
            state.waiting.stay(ticket, context.waker());
            return Poll::Pending;
        }
        state.waiting.leave(ticket);
        this.ticket = None;
        Poll::Ready(())
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let woken = {
            let mut state = lock(&self.of.0);
            match state.waiting.leave(ticket) {
                Some(waiter) if waiter.data == Woken::Alone => state.wake_one(),
                _ => None,
            }
        };
        if let Some(waker) = woken {
            waker.wake();
        }
    }
}
