//! A fair counting semaphore; channels and locks are made of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use annals_core::Cancelled;

use crate::Cx;
use crate::region::RegionInner;
use crate::token::lock;

struct State {
    free: usize,
    waiting: VecDeque<Waiter>,
    next: u64,
    closed: bool,
}

struct Waiter {
    ticket: u64,
    need: usize,
    granted: bool,
    waker: Waker,
}

impl State {
    /// Whether somebody waits who has not been served: a newcomer then has to queue behind them.
    fn has_queue(&self) -> bool {
        self.waiting.back().is_some_and(|w| !w.granted)
    }

    /// Serves waiters first come, first served; returns whom to wake.
    fn grant(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        for waiter in &mut self.waiting {
            if waiter.granted {
                continue;
            }
            if self.free < waiter.need {
                break;
            }
            self.free -= waiter.need;
            waiter.granted = true;
            woken.push(waiter.waker.clone());
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
            waiting: VecDeque::new(),
            next: 0,
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

    /// Adds a permit unless one is already free.
    pub(crate) fn release_up_to_one(&self) {
        let woken = {
            let mut state = lock(&self.0);
            if state.free == 0 {
                state.free = 1;
            }
            state.grant()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Refuses everybody who waits or will wait.
    pub(crate) fn close(&self) {
        let woken: Vec<_> = {
            let mut state = lock(&self.0);
            state.closed = true;
            state.waiting.iter().map(|w| w.waker.clone()).collect()
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
    ticket: Option<u64>,
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
            let ticket = state.next;
            state.next += 1;
            let waker = context.waker().clone();
            state.waiting.push_back(Waiter {
                ticket,
                need: this.n,
                granted: false,
                waker,
            });
            this.ticket = Some(ticket);
            return Poll::Pending;
        };
        let Some(at) = state.waiting.iter().position(|w| w.ticket == ticket) else {
            return Poll::Ready(Err(Closed));
        };
        let granted = state.waiting.get(at).is_some_and(|w| w.granted);
        if granted || state.closed {
            state.waiting.remove(at);
            this.ticket = None;
            return Poll::Ready(if granted { Ok(permit()) } else { Err(Closed) });
        }
        if let Some(waiter) = state.waiting.get_mut(at) {
            waiter.waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let woken = {
            let mut state = lock(&self.of.0);
            let Some(at) = state.waiting.iter().position(|w| w.ticket == ticket) else {
                return;
            };
            if let Some(waiter) = state.waiting.remove(at)
                && waiter.granted
            {
                state.free += waiter.need;
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
struct RegionPermit(Arc<RegionInner>);

impl RegionPermit {
    fn new(cx: &Cx) -> Self {
        let region = cx.region_inner().clone();
        region.permits.fetch_add(1, Ordering::AcqRel);
        Self(region)
    }
}

impl Drop for RegionPermit {
    fn drop(&mut self) {
        self.0.permits.fetch_sub(1, Ordering::AcqRel);
    }
}
