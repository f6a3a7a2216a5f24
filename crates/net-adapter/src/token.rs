//! The tree of cancellation requests.
//!
//! A token is raised once and stays raised; the first reason wins. Raising one raises every
//! descendant, never an ancestor. Nothing user-supplied runs while the token's lock is held.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use annals_core::CancelReason;

/// Locks a mutex, ignoring poison: every critical section here leaves its data consistent.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

#[derive(Default)]
struct State {
    reason: Option<CancelReason>,
    wakers: BTreeMap<u64, Waker>,
    hooks: BTreeMap<u64, Hook>,
    children: Vec<Weak<Token>>,
    next: u64,
}

/// One node of the tree.
#[derive(Default)]
pub(crate) struct Token {
    raised: AtomicBool,
    state: Mutex<State>,
}

impl Token {
    /// A token without a parent.
    pub(crate) fn root() -> Arc<Self> {
        Arc::default()
    }

    /// A token that is raised when this one is.
    pub(crate) fn child(self: &Arc<Self>) -> Arc<Self> {
        let child = Arc::new(Self::default());
        let mut state = lock(&self.state);
        if let Some(reason) = state.reason.clone() {
            drop(state);
            child.raise(reason);
        } else {
            // Amortised: dead children are swept when the vector would grow.
            if state.children.len() == state.children.capacity() {
                state.children.retain(|c| c.strong_count() > 0);
            }
            state.children.push(Arc::downgrade(&child));
        }
        child
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        if self.is_raised() {
            lock(&self.state).reason.clone()
        } else {
            None
        }
    }

    /// Raises this token and its descendants. Later reasons are ignored.
    pub(crate) fn raise(&self, reason: CancelReason) {
        let (wakers, hooks, children) = {
            let mut state = lock(&self.state);
            if state.reason.is_some() {
                return;
            }
            state.reason = Some(reason.clone());
            self.raised.store(true, Ordering::Release);
            (
                std::mem::take(&mut state.wakers),
                std::mem::take(&mut state.hooks),
                std::mem::take(&mut state.children),
            )
        };
        for hook in hooks.into_values() {
            run_hook(&hook);
        }
        for child in children {
            if let Some(child) = child.upgrade() {
                child.raise(reason.clone());
            }
        }
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Registers `f` to run when the token is raised, at once if it already is.
    pub(crate) fn on_raise(self: &Arc<Self>, f: impl FnOnce() + Send + 'static) -> CancelHook {
        let hook: Hook = Arc::new(Mutex::new(Some(Box::new(f))));
        let mut state = lock(&self.state);
        if state.reason.is_some() {
            drop(state);
            run_hook(&hook);
            return CancelHook {
                token: Weak::new(),
                key: 0,
                hook,
            };
        }
        let key = state.next;
        state.next += 1;
        state.hooks.insert(key, hook.clone());
        CancelHook {
            token: Arc::downgrade(self),
            key,
            hook,
        }
    }

    /// Resolves when the token is raised.
    pub(crate) fn raised(self: &Arc<Self>) -> Raised {
        Raised {
            token: self.clone(),
            key: None,
        }
    }
}

/// Runs a hook under its own lock, so that dropping its [`CancelHook`] waits for a run in progress.
fn run_hook(hook: &Hook) {
    let mut slot = lock(hook);
    if let Some(f) = slot.take()
        && catch_unwind(AssertUnwindSafe(f)).is_err()
    {
        tracing::error!("a cancellation callback panicked");
    }
}

/// Keeps a cancellation callback registered. After it is dropped the callback has either run to its
/// end or will never run.
#[must_use = "dropping the hook unregisters it"]
pub struct CancelHook {
    token: Weak<Token>,
    key: u64,
    hook: Hook,
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        if let Some(token) = self.token.upgrade() {
            lock(&token.state).hooks.remove(&self.key);
        }
        drop(lock(&self.hook).take());
    }
}

/// Future of [`Token::raised`].
pub(crate) struct Raised {
    token: Arc<Token>,
    key: Option<u64>,
}

impl Future for Raised {
    type Output = CancelReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CancelReason> {
        let this = &mut *self;
        let mut state = lock(&this.token.state);
        if let Some(reason) = &state.reason {
            return Poll::Ready(reason.clone());
        }
        let key = match this.key {
            Some(key) => key,
            None => {
                state.next += 1;
                *this.key.insert(state.next)
            }
        };
        state.wakers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.token.state).wakers.remove(&key);
        }
    }
}
