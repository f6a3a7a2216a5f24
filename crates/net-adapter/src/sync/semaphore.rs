//! A fair counting semaphore; channels and locks are made of it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use annals_core::Cancelled;

use super::prim::{Arc, Mutex, lock};
use super::wait_queue::{Ticket, WaitQueue};
use crate::Cx;
use crate::region::RegionInner;

struct State {
    free: usize,
    waiting: WaitQueue<Request>,
    closed: bool,
}

struct Request {
    need: usize,
    granted: bool,
}

impl State {
    /// Whether somebody waits who has not been served: a newcomer then has to queue behind them.
    fn has_queue(&self) -> bool {
        self.waiting.last().is_some_and(|w| !w.data.granted)
    }

    /// Serves waiters first come, first served; returns whom to wake.
    fn grant(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        for waiter in self.waiting.iter_mut() {
            if waiter.data.granted {
                continue;
            }
            if self.free < waiter.data.need {
                break;
            }
            self.free -= waiter.data.need;
            waiter.data.granted = true;
            woken.push(waiter.waker());
        }
        woken
    }
}

/// Permits that are given out first come, first served.
#[derive(Clone)]
pub struct Semaphore(Arc<Mutex<State>>);

/// The semaphore was closed while permits were waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

impl Semaphore {
    /// A semaphore with `n` permits.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: n,
            waiting: WaitQueue::new(),
            closed: false,
        })))
    }

    /// Waits for `n` permits.
    ///
    /// # Errors
    /// [`Cancelled`]; nothing is then held.
    ///
    /// # Cancel safety
    /// A grant that arrives too late is passed on to the next waiter.
    pub async fn acquire(&self, cx: &Cx, n: usize) -> Result<SemPermit, Cancelled> {
        let mut permit = self.acquire_uncounted(cx, n).await?;
        permit.region = Some(RegionPermit::new(cx));
        Ok(permit)
    }

    /// For permits that may outlive the region that took them.
    pub(crate) async fn acquire_uncounted(&self, cx: &Cx, n: usize) -> Result<SemPermit, Cancelled> {
        match cx.or_cancel(self.slots(n)).await? {
            Ok(permit) => Ok(permit),
            // Only channels close their semaphore, and they do not come this way.
            Err(Closed) => Ok(SemPermit {
                of: self.clone(),
                n: 0,
                region: None,
            }),
        }
    }

    /// Takes `n` permits if they are free and nobody waits for them.
    #[must_use]
    pub fn try_acquire(&self, n: usize) -> Option<SemPermit> {
        let mut state = lock(&self.0);
        if state.closed || state.has_queue() || state.free < n {
            return None;
        }
        state.free -= n;
        Some(SemPermit {
            of: self.clone(),
            n,
            region: None,
        })
    }

    /// Permits that nobody holds.
    #[must_use]
    pub fn available(&self) -> usize {
        lock(&self.0).free
    }

    pub(crate) fn slots(&self, n: usize) -> Acquire {
        Acquire {
            of: self.clone(),
            n,
            ticket: None,
        }
    }

    pub(crate) fn release(&self, n: usize) {
        let woken = {
            let mut state = lock(&self.0);
            state.free += n;
            state.grant()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Refuses everybody who waits or will wait.
    pub(crate) fn close(&self) {
        let woken = {
            let mut state = lock(&self.0);
            state.closed = true;
            state.waiting.wakers()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }
}

impl std::fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish()
    }
}

/// Future of [`Semaphore::slots`].
pub(crate) struct Acquire {
    of: Semaphore,
    n: usize,
    ticket: Option<Ticket>,
}

impl Future for Acquire {
    type Output = Result<SemPermit, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = lock(&this.of.0);
        let permit = || SemPermit {
            of: this.of.clone(),
            n: this.n,
            region: None,
        };
        let Some(ticket) = this.ticket else {
            if state.closed {
                return Poll::Ready(Err(Closed));
            }
            if !state.has_queue() && state.free >= this.n {
                state.free -= this.n;
                return Poll::Ready(Ok(permit()));
            }
            let request = Request {
                need: this.n,
                granted: false,
            };
            this.ticket = Some(state.waiting.join(context.waker(), request));
            return Poll::Pending;
        };
        let granted = state.waiting.get(ticket).is_some_and(|w| w.data.granted);
        if granted || state.closed {
            state.waiting.leave(ticket);
            this.ticket = None;
            return Poll::Ready(if granted { Ok(permit()) } else { Err(Closed) });
        }
        state.waiting.stay(ticket, context.waker());
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let woken = {
            let mut state = lock(&self.of.0);
            if let Some(waiter) = state.waiting.leave(ticket)
                && waiter.data.granted
            {
                state.free += waiter.data.need;
            }
            state.grant()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Permits held; dropping gives them back.
#[must_use = "dropping the permit gives it back"]
pub struct SemPermit {
    of: Semaphore,
    n: usize,
    region: Option<RegionPermit>,
}

impl SemPermit {
    /// Counts the permit in the region of `cx` until it is dropped.
    pub(crate) fn counted(mut self, cx: &Cx) -> Self {
        self.region = Some(RegionPermit::new(cx));
        self
    }

    /// Ends the hold without giving the slot back: whoever empties it does.
    pub(crate) fn keep_slot(mut self) {
        self.n = 0;
    }
}

impl Drop for SemPermit {
    fn drop(&mut self) {
        if self.n > 0 {
            self.of.release(self.n);
        }
    }
}

impl std::fmt::Debug for SemPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SemPermit").field("n", &self.n).finish()
    }
}

/// Counts one permit in the region of the context that took it, wherever it moves.
struct RegionPermit(std::sync::Arc<RegionInner>);

impl RegionPermit {
    fn new(cx: &Cx) -> Self {
        let region = cx.region_inner().clone();
        region.permits.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        #[cfg(feature = "lab")]
        cx.trace(crate::lab::Event::Permit, region.id);
        Self(region)
    }
}

impl Drop for RegionPermit {
    fn drop(&mut self) {
        self.0.permits.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }
}
