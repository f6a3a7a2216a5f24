//! The context: how code sleeps, spawns, blocks, and learns that it should stop.
//!
//! Every function that can wait takes one. There is no ambient context.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Cancelled, MonoTime, Outcome, PanicMsg, TaskError, UnixMs};

use crate::backend::BoxFuture;
use crate::blocking::{BlockingCx, Serial};
use crate::budget::{Budget, Ledger, tighter};
use crate::net::Net;
use crate::region::{Finalizer, Live, Policy, Region, RegionInner, RegionOutcome, RegionSpec};
use crate::registry::RegionKind;
use crate::runtime::Inner;
use crate::shutdown::{ShutdownSignal, Stage};
use crate::task::{Driver, Owner, Slot, SpawnError, TaskHandle, TaskKind, TaskRecord};
use crate::time::{Interval, MissedTick};
use crate::token::{Raised, Token, lock};

/// A mask never hides a cancellation for longer.
const LONGEST_MASK: Duration = Duration::from_secs(30);

/// The capability to wait, spawn and observe cancellation. Cheap to clone.
#[derive(Clone)]
pub struct Cx(Arc<CxInner>);

struct CxInner {
    region: Arc<RegionInner>,
    token: Arc<Token>,
    budget: Budget,
    /// The record's count of polls at which the poll quota is used up.
    last_poll: Option<u64>,
    ledger: Option<Arc<Ledger>>,
    /// Set inside a mask: when it ends.
    mask: Option<MonoTime>,
    record: Arc<TaskRecord>,
    rng: Mutex<fastrand::Rng>,
}

/// Proof that a unit of work (a page, a batch, an entity) may begin. Functions that begin one take
/// it by value, and only [`Cx::may_start`] makes it.
#[derive(Debug)]
#[must_use]
pub struct Started(());

/// Why no new unit may begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The process is draining: what runs may finish, nothing new begins.
    #[error("the process is shutting down")]
    Draining(CancelReason),
    /// This task was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
}

impl Stop {
    /// The reason, whichever it was.
    #[must_use]
    pub fn reason(&self) -> &CancelReason {
        match self {
            Self::Draining(reason) | Self::Cancelled(reason) => reason,
        }
    }
}

impl TaskError for Stop {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        Some(self.reason())
    }
}

/// Why a time-bounded wait ended without its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeoutError {
    /// The time is up.
    #[error("timed out")]
    Elapsed,
    /// The waiting task was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
}

/// A masked section took longer than it was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cleanup took longer than {limit:?}")]
pub struct BudgetExceeded {
    /// The limit.
    pub limit: Duration,
}

impl Cx {
    /// The first context of a region: its own token, and a record of a task that is not counted.
    pub(crate) fn root(region: Arc<RegionInner>, name: &'static str) -> Self {
        let record = Arc::new(TaskRecord::new(
            0,
            0,
            name,
            TaskKind::Async,
            Owner::Caller,
            region.opened,
        ));
        let token = region.token.clone();
        let budget = region.spec.budget;
        let ledger = region.ledger.clone();
        let rng = Mutex::new(region.rt.split_rng(0));
        Self(Arc::new(CxInner {
            region,
            token,
            budget,
            last_poll: budget.polls,
            ledger,
            mask: None,
            record,
            rng,
        }))
    }

    /// The context of a task that has been counted.
    pub(crate) fn of_task(&self, live: &Live, token: Arc<Token>) -> Self {
        let region = &self.0.region;
        let budget = self.0.budget.meet(region.spec.budget);
        Self(Arc::new(CxInner {
            region: region.clone(),
            token,
            budget,
            last_poll: budget.polls,
            ledger: self.0.ledger.clone().or_else(|| region.ledger.clone()),
            mask: None,
            record: live.record.clone(),
            rng: Mutex::new(region.rt.split_rng(live.record.id)),
        }))
    }

    /// Starts a task in this context's region. The child gets a context of its own.
    ///
    /// # Errors
    /// [`SpawnError`] when the region is closing or the process has too many tasks.
    pub fn spawn<F, Fut, T, E>(&self, name: &'static str, f: F) -> Result<TaskHandle<T, E>, SpawnError>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: TaskError,
    {
        let region = &self.0.region;
        let live = region.begin(name, TaskKind::Async, Owner::Region)?;
        // A task stops with its region, not with whoever started it; a mask ends with its section, and the task may not.
        let token = region.token.child();
        let cx = self.of_task(&live, token.clone());
        #[cfg(feature = "lab")]
        if let Some(lab) = region.rt.lab() {
            lab.spawned(&live.record);
        }
        let slot = Arc::new(Slot::new());
        let child = cx.clone();
        let record = live.record.clone();
        let future = Box::pin(async move { f(child).await });
        region.rt.backend().spawn(Driver::boxed(future, cx, slot.clone(), live));
        Ok(TaskHandle { slot, token, record })
    }

    /// Runs `f` as the body of a new region and closes it: waits for its tasks, runs its
    /// finalizers. The body runs inside the calling task.
    ///
    /// # Errors
    /// None of its own; a region that could not be opened is a cancelled body.
    ///
    /// # Cancel safety
    /// Cancelling the caller cancels body and tasks, which have the region's cleanup time to end.
    /// If the future is dropped, the parent region waits for the tasks instead.
    pub async fn region<F, Fut, T, E>(&self, spec: RegionSpec, f: F) -> RegionOutcome<T, E>
    where
        F: FnOnce(Cx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: TaskError,
    {
        let policy = spec.policy;
        let name = spec.name;
        let region = match self.open_region(spec) {
            Ok(region) => region,
            Err(error) => {
                let reason = CancelReason {
                    note: Some(error.to_string()),
                    ..CancelReason::new(CancelKind::Shutdown, name, self.now())
                };
                let report = crate::region::RegionReport {
                    overall: annals_core::OutcomeKind::Cancelled,
                    tasks: Vec::new(),
                    drain: crate::region::DrainReport {
                        quiescent: true,
                        ..Default::default()
                    },
                };
                return RegionOutcome {
                    body: Outcome::Cancelled(reason),
                    report,
                };
            }
        };
        let cx = region.cx().clone();
        let driven = cx.clone();
        let body = driven.counted(settle(name, async move { f(cx).await })).await;
        let failed = matches!(body, Outcome::Err(_) | Outcome::Panicked(_));
        if failed && policy == Policy::FailFast {
            region.cancel(CancelReason::new(CancelKind::FailFast, name, self.now()));
        }
        let report = region.close(self).await;
        RegionOutcome { body, report }
    }

    /// Opens a region under this context's and returns its guard.
    ///
    /// # Errors
    /// [`SpawnError`] when this region is closing.
    pub fn open_region(&self, spec: RegionSpec) -> Result<Region, SpawnError> {
        self.open_region_of(RegionKind::Scope, spec)
    }

    pub(crate) fn open_region_of(&self, kind: RegionKind, mut spec: RegionSpec) -> Result<Region, SpawnError> {
        let token = self.0.token.child();
        let ledger = Ledger::under(self.0.ledger.as_ref(), spec.budget, &token);
        spec.budget = spec.budget.meet(self.0.budget);
        let name = spec.name;
        let inner = self.0.region.open_child(kind, token, spec, ledger)?;
        let mut cx = Self::root(inner.clone(), name);
        if let Some(fresh) = Arc::get_mut(&mut cx.0) {
            fresh.mask = self.0.mask;
        }
        Ok(Region::guard(inner, cx))
    }

    /// Registers work to be done when this context's region closes, however it ends: in reverse
    /// order, once, masked, each at most for `limit`.
    ///
    /// # Errors
    /// [`SpawnError`] when the region is closing already.
    pub fn defer<F, Fut>(&self, name: &'static str, limit: Duration, f: F) -> Result<(), SpawnError>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let run = Box::new(move |cx: Cx| -> BoxFuture<'static, ()> { Box::pin(f(cx)) });
        self.0.region.add_finalizer(Finalizer { name, limit, run })
    }

    /// Fails if this task was asked to stop. Call it at the head of every loop.
    ///
    /// # Errors
    /// [`Cancelled`] with the first reason.
    pub fn checkpoint(&self) -> Result<(), Cancelled> {
        match self.cancel_reason() {
            Some(reason) => Err(Cancelled(reason)),
            None => Ok(()),
        }
    }

    /// Asks whether a new unit of work may begin.
    ///
    /// # Errors
    /// [`Stop`] when the process is draining or this task was cancelled.
    pub fn may_start(&self) -> Result<Started, Stop> {
        if let Some(reason) = self.cancel_reason() {
            return Err(Stop::Cancelled(reason));
        }
        match self.drain_reason() {
            Some(reason) => Err(Stop::Draining(reason)),
            None => Ok(Started(())),
        }
    }

    fn drain_reason(&self) -> Option<CancelReason> {
        let shutdown = self.shutdown();
        if self.0.mask.is_some() || shutdown.stage() == Stage::Running {
            None
        } else {
            shutdown.reason()
        }
    }

    /// Whether this task was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel_reason().is_some()
    }

    /// Why this task was asked to stop.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        if !self.0.token.is_raised() {
            if self.0.budget.deadline.is_some_and(|deadline| self.now() >= deadline) {
                self.deadline_passed();
            }
            self.count_polls();
        }
        self.0.token.reason()
    }

    /// Cancels the task if it has been polled more often than it may.
    pub(crate) fn count_polls(&self) {
        if let Some(last) = self.0.last_poll
            && self.0.record.polls.load(Ordering::Relaxed) > last
        {
            self.0.token.raise(self.cancelled_for(CancelKind::PollQuota));
        }
    }

    /// Counts the polls of a body that somebody else's task drives.
    pub(crate) async fn counted<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.0.record.polls.fetch_add(1, Ordering::Relaxed);
            future.as_mut().poll(context)
        })
        .await
    }

    fn cancelled_for(&self, kind: CancelKind) -> CancelReason {
        CancelReason::new(kind, self.0.record.name, self.now())
    }

    /// Charges a cost against the quota of this context and of everything around it. Without a quota everything is
    /// free, and a mask hides those outside it.
    ///
    /// # Errors
    /// [`Cancelled`], of kind [`CancelKind::CostQuota`] if this charge was too much, or by an earlier reason.
    pub fn charge(&self, cost: u64) -> Result<(), Cancelled> {
        if let Some(ledger) = &self.0.ledger
            && !ledger.charge(cost, || self.cancelled_for(CancelKind::CostQuota))
        {
            // The holder may be a context beside this one, from which the task was started.
            self.0.token.raise(self.cancelled_for(CancelKind::CostQuota));
        }
        self.checkpoint()
    }

    fn deadline_passed(&self) {
        self.0.token.raise(self.cancelled_for(CancelKind::Deadline));
    }

    /// Waits until this task is asked to stop.
    ///
    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// It only observes; dropping it has no effect.
    pub async fn cancelled(&self) -> CancelReason {
        self.cancel_wait().await
    }

    fn cancel_wait(&self) -> CancelWait<'_> {
        CancelWait {
            cx: self,
            raised: self.0.token.raised(),
            timer: None,
        }
    }

    /// Awaits a future that knows nothing of contexts. Every such await goes through this.
    ///
    /// # Errors
    /// [`Cancelled`]; the future is then dropped where it stood.
    ///
    /// # Cancel safety
    /// As safe as `f` is to drop at any of its awaits.
    pub async fn or_cancel<F: Future>(&self, f: F) -> Result<F::Output, Cancelled> {
        let mut future = pin!(f);
        let mut cancel = pin!(self.cancel_wait());
        poll_fn(|context| {
            // A future that is always ready must not outrun its deadline.
            if let Some(reason) = self.cancel_reason() {
                return Poll::Ready(Err(Cancelled(reason)));
            }
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            cancel.as_mut().poll(context).map(|reason| Err(Cancelled(reason)))
        })
        .await
    }

    /// Runs `f` with a context that hides cancellation, for at most `limit` (30 s at the most): for
    /// cleanup that has to finish. Outside the mask the cancellation is still there. A budget that is
    /// given inside it holds inside it.
    ///
    /// # Errors
    /// [`BudgetExceeded`]; `f` is then dropped where it stood.
    ///
    /// # Cancel safety
    /// Cancellation does not reach `f`; dropping the future drops `f`.
    pub async fn masked<F, Fut>(&self, limit: Duration, f: F) -> Result<Fut::Output, BudgetExceeded>
    where
        F: FnOnce(Cx) -> Fut,
        Fut: Future,
    {
        let now = self.now();
        let outer = self.0.mask.map_or(LONGEST_MASK, |end| end.since(now));
        let limit = limit.min(LONGEST_MASK).min(outer);
        let end = now.after(limit);
        let cx = Self(Arc::new(CxInner {
            token: Token::root(),
            budget: Budget::default(),
            last_poll: None,
            ledger: None,
            mask: Some(end),
            ..self.twin()
        }));
        let mut cut_short = CutShort(Some(cx.clone()));
        let mut future = pin!(f(cx));
        let mut timer = self.backend().sleep_until(end);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                cut_short.0 = None;
                return Poll::Ready(Ok(output));
            }
            timer.as_mut().poll(context).map(|()| Err(BudgetExceeded { limit }))
        })
        .await
    }

    /// A context with tighter limits; cancelling the original cancels it too.
    #[must_use]
    pub fn with_budget(&self, budget: Budget) -> Self {
        let token = self.0.token.child();
        let polled = self.0.record.polls.load(Ordering::Relaxed);
        let last_poll = budget.polls.map(|polls| polled.saturating_add(polls));
        Self(Arc::new(CxInner {
            ledger: Ledger::under(self.0.ledger.as_ref(), budget, &token),
            token,
            budget: self.0.budget.meet(budget),
            last_poll: tighter(self.0.last_poll, last_poll),
            ..self.twin()
        }))
    }

    /// What a context derived from this one starts from.
    fn twin(&self) -> CxInner {
        let inner = &self.0;
        CxInner {
            region: inner.region.clone(),
            token: inner.token.clone(),
            budget: inner.budget,
            last_poll: inner.last_poll,
            ledger: inner.ledger.clone(),
            mask: inner.mask,
            record: inner.record.clone(),
            rng: Mutex::new(lock(&inner.rng).fork()),
        }
    }

    /// The limits of this context.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.0.budget
    }

    /// Time since the process started; virtual in the lab.
    #[must_use]
    pub fn now(&self) -> MonoTime {
        self.backend().now()
    }

    /// Wall clock time; virtual in the lab.
    #[must_use]
    pub fn unix_ms(&self) -> UnixMs {
        self.backend().unix_ms()
    }

    /// Sleeps for `d`.
    ///
    /// # Errors
    /// [`Cancelled`], before the time is up.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn sleep(&self, d: Duration) -> Result<(), Cancelled> {
        self.sleep_until(self.now().after(d)).await
    }

    /// Sleeps until `t`.
    ///
    /// # Errors
    /// [`Cancelled`], before the time is up.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn sleep_until(&self, t: MonoTime) -> Result<(), Cancelled> {
        self.or_cancel(self.timer(t)).await
    }

    /// Sleeps for `d`, cancelled or not.
    ///
    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// Cancellation does not end it; dropping it has no effect.
    pub async fn sleep_full(&self, d: Duration) {
        self.timer(self.now().after(d)).await;
    }

    /// Sleeps for `d`, or less if the process begins to drain: for waits between units of work.
    ///
    /// # Errors
    /// [`Stop`], before the time is up.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn pause(&self, d: Duration) -> Result<(), Stop> {
        self.or_stop(self.timer(self.now().after(d))).await
    }

    /// Awaits a future that must not hold up a drain: waiting for a slot, a lock, a turn.
    ///
    /// # Errors
    /// [`Stop`]; the future is then dropped where it stood.
    ///
    /// # Cancel safety
    /// As safe as `f` is to drop at any of its awaits.
    pub async fn or_stop<F: Future>(&self, f: F) -> Result<F::Output, Stop> {
        let stopped = |Cancelled(reason)| Stop::Cancelled(reason);
        if self.0.mask.is_some() {
            return self.or_cancel(f).await.map_err(stopped);
        }
        let mut future = pin!(f);
        let mut draining = pin!(self.shutdown().begun());
        let either = poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            draining
                .as_mut()
                .poll(context)
                .map(|reason| Err(Stop::Draining(reason)))
        });
        self.or_cancel(either).await.map_err(stopped)?
    }

    /// Awaits `f` for at most `d`; then `f` is dropped.
    ///
    /// # Errors
    /// [`TimeoutError`] when the time is up or this task was cancelled.
    ///
    /// # Cancel safety
    /// As safe as `f` is to drop at any of its awaits.
    pub async fn timeout<F: Future>(&self, d: Duration, f: F) -> Result<F::Output, TimeoutError> {
        let mut future = pin!(f);
        let mut timer = self.backend().sleep_until(self.now().after(d));
        let timed = poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            timer.as_mut().poll(context).map(|()| Err(TimeoutError::Elapsed))
        });
        match self.or_cancel(timed).await {
            Ok(result) => result,
            Err(Cancelled(reason)) => Err(TimeoutError::Cancelled(reason)),
        }
    }

    /// A rhythm of ticks; the first comes after one period.
    #[must_use]
    pub fn interval(&self, every: Duration, missed: MissedTick) -> Interval {
        Interval::new(every, missed, self.now().after(every))
    }

    /// Lets other tasks run.
    ///
    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A random number generator of this task's own; in the lab it comes from the seed.
    #[must_use]
    pub fn rng(&self) -> fastrand::Rng {
        lock(&self.0.rng).fork()
    }

    /// An environment variable, from the snapshot the process took when it started.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<&str> {
        self.rt().env().get(key)
    }

    /// Runs `f` on a blocking thread. It is not started if this task is cancelled while it queues;
    /// once started, its value is delivered, cancelled or not.
    ///
    /// # Errors
    /// In the [`Outcome`]: `f`'s own error, a cancellation before the start, or a caught panic.
    ///
    /// # Cancel safety
    /// A closure that has begun runs to its end and its region waits for it, even if this future is
    /// dropped.
    pub async fn blocking<F, T, E>(&self, name: &'static str, f: F) -> Outcome<T, E>
    where
        F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: TaskError,
    {
        crate::blocking::run(self, name, f).await
    }

    /// As [`Self::blocking`], but neither a cancelled caller nor the region waits for it: only for
    /// calls without effect that cannot be interrupted, such as name resolution.
    pub(crate) async fn abandonable<T: Send + 'static>(
        &self,
        name: &'static str,
        f: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Outcome<T, std::io::Error> {
        crate::blocking::run_abandonable(self, name, f).await
    }

    /// One thread that runs closures in order: the home of a connection that must not be shared.
    ///
    /// # Errors
    /// [`SpawnError`] if the thread cannot be started.
    pub fn serial(&self, name: &'static str, queue: NonZeroUsize) -> Result<Serial, SpawnError> {
        Serial::start(self, name, queue)
    }

    /// Starts a task on a thread of its own, for a reader that lives long and blocks. The region waits for it as for
    /// any task: `f` has to look at [`BlockingCx::is_cancelled`] every half second at least, or have a
    /// [hook](BlockingCx::on_cancel) that wakes it.
    ///
    /// # Errors
    /// [`SpawnError`] when the region is closing or no thread can be had; `Denied` in the lab.
    pub fn spawn_thread<F, T, E>(&self, name: &'static str, f: F) -> Result<TaskHandle<T, E>, SpawnError>
    where
        F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: TaskError,
    {
        crate::blocking::spawn_thread(self, name, f)
    }

    /// The network this context reaches.
    #[must_use]
    pub fn net(&self) -> &Arc<dyn Net> {
        self.rt().net()
    }

    /// The process's shutdown, to observe or to begin.
    #[must_use]
    pub fn shutdown(&self) -> &ShutdownSignal {
        self.rt().shutdown_signal()
    }

    pub(crate) fn region_inner(&self) -> &Arc<RegionInner> {
        &self.0.region
    }

    pub(crate) fn begin_blocking(&self, name: &'static str) -> Result<Live, SpawnError> {
        self.0.region.begin(name, TaskKind::Blocking, Owner::Caller)
    }

    pub(crate) fn token(&self) -> &Arc<Token> {
        &self.0.token
    }

    pub(crate) fn record(&self) -> &Arc<TaskRecord> {
        &self.0.record
    }

    pub(crate) fn rt(&self) -> &Arc<Inner> {
        &self.0.region.rt
    }

    pub(crate) fn backend(&self) -> &Arc<dyn crate::backend::Backend> {
        self.rt().backend()
    }

    #[cfg(feature = "lab")]
    pub(crate) fn lab(&self) -> Option<&Arc<crate::lab::LabState>> {
        self.rt().lab()
    }

    /// Adds to the trace of a lab run.
    #[cfg(feature = "lab")]
    pub(crate) fn trace(&self, event: crate::lab::Event, argument: u64) {
        if let Some(lab) = self.lab() {
            lab.noted(self, event, argument);
        }
    }

    /// A timer of the backend's; in a lab run it is part of the trace.
    fn timer(&self, at: MonoTime) -> BoxFuture<'static, ()> {
        #[cfg(feature = "lab")]
        self.trace(crate::lab::Event::Timer, at.0);
        self.backend().sleep_until(at)
    }
}

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx")
            .field("task", &self.0.record.name)
            .field("region", &self.0.region.path())
            .finish()
    }
}

/// Resolves with the reason once the context is cancelled or its deadline has passed.
struct CancelWait<'a> {
    cx: &'a Cx,
    raised: Raised,
    timer: Option<BoxFuture<'static, ()>>,
}

impl Future for CancelWait<'_> {
    type Output = CancelReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CancelReason> {
        let this = &mut *self;
        this.cx.count_polls();
        if let Poll::Ready(reason) = Pin::new(&mut this.raised).poll(context) {
            return Poll::Ready(reason);
        }
        if let Some(deadline) = this.cx.0.budget.deadline {
            let timer = this
                .timer
                .get_or_insert_with(|| this.cx.backend().sleep_until(deadline));
            if timer.as_mut().poll(context).is_ready() {
                this.cx.deadline_passed();
                return Pin::new(&mut this.raised).poll(context);
            }
        }
        Poll::Pending
    }
}

/// Awaits a future, turning its panic into a value.
pub(crate) async fn caught<F: Future>(task: &str, future: F) -> Result<F::Output, PanicMsg> {
    let mut future = Box::pin(future);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(PanicMsg::from_payload(task, &*payload))),
        },
    )
    .await
}

/// Awaits a fallible future to an outcome: an error that reports a cancellation counts as one.
pub(crate) async fn settle<T, E: TaskError>(task: &str, future: impl Future<Output = Result<T, E>>) -> Outcome<T, E> {
    match caught(task, future).await {
        Ok(Ok(value)) => Outcome::Ok(value),
        Ok(Err(error)) => match error.cancel_reason() {
            Some(reason) => Outcome::Cancelled(reason.clone()),
            None => Outcome::Err(error),
        },
        Err(panic) => Outcome::Panicked(panic),
    }
}

/// What a mask that was cut short has begun, a blocking call for one, hears of its end.
struct CutShort(Option<Cx>);

impl Drop for CutShort {
    fn drop(&mut self) {
        if let Some(cx) = self.0.take() {
            cx.0.token
                .raise(CancelReason::new(CancelKind::Deadline, cx.0.record.name, cx.now()));
        }
    }
}
