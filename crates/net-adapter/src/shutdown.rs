//! The end of the process, in stages: running, draining, cancelling, done.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Cancelled, MonoTime, Signal};

use crate::Cx;
use crate::backend::BoxFuture;
use crate::token::lock;

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody asked.
    Running,
    /// Nothing new begins; what runs may finish.
    Draining,
    /// What still runs is cancelled.
    Cancelling,
    /// Everything has ended.
    Done,
}

struct State {
    stage: Stage,
    reason: Option<CancelReason>,
    /// When the cancelling stage has to be over.
    cancel_by: Option<MonoTime>,
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// The shutdown of the process; one per process, shared by all its runtimes.
#[derive(Clone)]
pub struct ShutdownSignal(Arc<Mutex<State>>);

impl Default for ShutdownSignal {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            stage: Stage::Running,
            reason: None,
            cancel_by: None,
            wakers: BTreeMap::new(),
            next: 0,
        })))
    }
}

impl ShutdownSignal {
    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        lock(&self.0).stage
    }

    /// Why it began, if it has.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        lock(&self.0).reason.clone()
    }

    /// The signal that began it, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match self.reason()?.kind {
            CancelKind::Signal(signal) => Some(signal),
            CancelKind::User
            | CancelKind::Deadline
            | CancelKind::FailFast
            | CancelKind::Shutdown
            | CancelKind::GuardDropped
            | CancelKind::PollQuota
            | CancelKind::CostQuota
            | CancelKind::ClientGone
            | CancelKind::Straggler
            | CancelKind::Lab => None,
        }
    }

    /// Begins to drain. The first reason stays.
    pub fn begin(&self, reason: CancelReason) {
        let wakers = {
            let mut state = lock(&self.0);
            if state.stage != Stage::Running {
                return;
            }
            state.stage = Stage::Draining;
            state.reason = Some(reason);
            std::mem::take(&mut state.wakers)
        };
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Waits until the process begins to drain.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller is cancelled first.
    ///
    /// # Cancel safety
    /// It only observes; dropping it has no effect.
    pub async fn draining(&self, cx: &Cx) -> Result<CancelReason, Cancelled> {
        cx.or_cancel(self.begun()).await
    }

    pub(crate) async fn begun(&self) -> CancelReason {
        let mut registered = Registered {
            signal: self,
            key: None,
        };
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if let (Some(reason), true) = (&state.reason, state.stage > Stage::Running) {
                return Poll::Ready(reason.clone());
            }
            let key = match registered.key {
                Some(key) => key,
                None => {
                    state.next += 1;
                    *registered.key.insert(state.next)
                }
            };
            state.wakers.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub(crate) fn advance(&self, to: Stage, cancel_by: Option<MonoTime>) {
        let mut state = lock(&self.0);
        state.stage = state.stage.max(to);
        state.cancel_by = state.cancel_by.or(cancel_by);
    }

    /// How long tasks may take to end, shortened so that a quarter of the cancelling stage is left for finalizers.
    pub(crate) fn clamp_drain(&self, limit: Duration, now: MonoTime) -> Duration {
        lock(&self.0)
            .cancel_by
            .map_or(limit, |by| limit.min(by.since(now) * 3 / 4))
    }

    /// A cleanup limit, shortened to what is left of the cancelling stage.
    pub(crate) fn clamp(&self, limit: Duration, now: MonoTime) -> Duration {
        lock(&self.0).cancel_by.map_or(limit, |by| limit.min(by.since(now)))
    }
}

impl std::fmt::Debug for ShutdownSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownSignal").field("stage", &self.stage()).finish()
    }
}

/// Takes the waker out again when a wait is dropped.
struct Registered<'a> {
    signal: &'a ShutdownSignal,
    key: Option<u64>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.signal.0).wakers.remove(&key);
        }
    }
}

/// How long a worker may take to answer before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// A watch over a drain, on a thread of its own: the runtime's clock stands still when all of its workers are stuck.
pub(crate) struct Rescue(Arc<Watched>);

#[derive(Default)]
struct Watched {
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchState {
    is_over: bool,
    has_answered: bool,
    /// The bound is spent.
    is_late: bool,
    /// No worker answers.
    is_stuck: bool,
    waker: Option<Waker>,
}

impl Rescue {
    /// Once `bound` has passed, `spawn` is asked every now and then to run a task on any worker.
    pub(crate) fn after(bound: Duration, spawn: impl Fn(BoxFuture<'static, ()>) + Send + 'static) -> Self {
        let watched = Arc::new(Watched::default());
        let watching = watched.clone();
        let named = thread::Builder::new().name("annals-rescue".into());
        if named.spawn(move || watching.watch(bound, &spawn)).is_err() {
            // The drain then ends as the workers let it.
            tracing::debug!("no thread to watch over the drain");
        }
        Self(watched)
    }

    /// Ready when the bound is spent.
    pub(crate) fn poll_late(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(context, |state| state.is_late)
    }

    /// Ready when, after that, no worker answers.
    pub(crate) fn poll_stuck(&self, context: &Context<'_>) -> Poll<()> {
        self.poll(context, |state| state.is_stuck)
    }

    fn poll(&self, context: &Context<'_>, holds: impl Fn(&WatchState) -> bool) -> Poll<()> {
        let mut state = lock(&self.0.state);
        if holds(&state) {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Rescue {
    fn drop(&mut self) {
        lock(&self.0.state).is_over = true;
        self.0.changed.notify_all();
    }
}

impl Watched {
    fn watch(self: &Arc<Self>, bound: Duration, spawn: &impl Fn(BoxFuture<'static, ()>)) {
        let mut state = self.wait(lock(&self.state), bound, |_| false);
        state.is_late = true;
        while !state.is_over {
            state.has_answered = false;
            let waker = state.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            let asked = self.clone();
            spawn(Box::pin(async move {
                lock(&asked.state).has_answered = true;
                asked.changed.notify_all();
            }));
            state = self.wait(lock(&self.state), PATIENCE, |state| state.has_answered);
            if !state.is_over && !state.has_answered {
                state.is_stuck = true;
                let waker = state.waker.take();
                drop(state);
                waker.into_iter().for_each(Waker::wake);
                return;
            }
            state = self.wait(state, PATIENCE, |_| false);
        }
    }

    /// Until it is over, `enough`, or late.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, WatchState>,
        limit: Duration,
        enough: impl Fn(&WatchState) -> bool,
    ) -> MutexGuard<'a, WatchState> {
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| !state.is_over && !enough(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
