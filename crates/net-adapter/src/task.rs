//! Tasks: a driven future with a name, whose result is always accounted for.
//!
//! One driver future wraps every task. It counts polls, catches the panic, keeps the result in a
//! slot of the adapter's own (so that a value returned after a cancellation is not lost) and tells
//! the region. No backend ever sees a panic, and none has to abort anything.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Cancelled, MonoTime, Outcome, PanicMsg, TaskError};

use crate::Cx;
use crate::backend::BoxFuture;
use crate::region::Live;
use crate::token::{Token, lock};

/// What a task is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// A future.
    Async,
    /// A closure on a blocking thread.
    Blocking,
    /// A child process.
    Process,
}

/// Who hears how a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The region: it is one of its tasks, and its failure the region's.
    Region,
    /// Whoever called and waits.
    Caller,
}

/// A task as reports and snapshots show it.
#[derive(Debug, Clone)]
pub struct TaskInfo {
    /// Name given at spawn.
    pub name: &'static str,
    /// Path of its region.
    pub region: String,
    /// What it is made of.
    pub kind: TaskKind,
    /// Time since it started.
    pub age: Duration,
    /// How often it was polled.
    pub polls: u64,
}

/// Why a task could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// The region has begun to close.
    #[error("start a task: region {region} is closing")]
    RegionClosing {
        /// Path of the region.
        region: String,
    },
    /// The region is closed.
    #[error("start a task: region {region} is closed")]
    RegionClosed {
        /// Path of the region.
        region: String,
    },
    /// The runtime has ended.
    #[error("start a task: the runtime has ended")]
    RuntimeGone,
    /// The process has as many tasks as it may have.
    #[error("start a task: {limit} tasks are alive, the limit (`runtime.max_tasks`)")]
    TaskLimit {
        /// The limit.
        limit: usize,
    },
    /// This host does not offer what was asked for.
    #[error("start a task: not available on this host")]
    Denied,
}

impl TaskError for SpawnError {}

/// What the region and the driver know of one task.
pub(crate) struct TaskRecord {
    pub(crate) id: u64,
    pub(crate) index: u64,
    pub(crate) name: &'static str,
    pub(crate) kind: TaskKind,
    pub(crate) owner: Owner,
    pub(crate) started: MonoTime,
    pub(crate) polls: AtomicU64,
    killed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl TaskRecord {
    pub(crate) fn new(
        id: u64,
        index: u64,
        name: &'static str,
        kind: TaskKind,
        owner: Owner,
        started: MonoTime,
    ) -> Self {
        Self {
            id,
            index,
            name,
            kind,
            owner,
            started,
            polls: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    pub(crate) fn info(&self, region: String, now: MonoTime) -> TaskInfo {
        TaskInfo {
            name: self.name,
            region,
            kind: self.kind,
            age: now.since(self.started),
            polls: self.polls.load(Ordering::Relaxed),
        }
    }

    /// Has the driver drop the task's future at its next poll, or whoever asked to be woken end it.
    pub(crate) fn kill(&self) {
        self.mark_killed();
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// As [`Self::kill`], for a caller who has a lock; who has to wake it afterwards.
    pub(crate) fn mark_killed(&self) {
        self.killed.store(true, Ordering::Release);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// For what no driver polls: wakes `waker` when the task is killed, at once if it was.
    pub(crate) fn wake_on_kill(&self, waker: Waker) {
        *lock(&self.waker) = Some(waker);
        if self.is_killed() {
            self.kill();
        }
    }

    fn keep_waker(&self, context: &Context<'_>) {
        let mut slot = lock(&self.waker);
        match &mut *slot {
            Some(waker) => waker.clone_from(context.waker()),
            None => *slot = Some(context.waker().clone()),
        }
    }
}

/// Where a task's outcome waits to be joined.
pub(crate) struct Slot<T, E>(Mutex<SlotState<T, E>>);

struct SlotState<T, E> {
    outcome: Option<Outcome<T, E>>,
    done: bool,
    waker: Option<Waker>,
}

impl<T, E> Slot<T, E> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(SlotState {
            outcome: None,
            done: false,
            waker: None,
        }))
    }

    pub(crate) fn put(&self, outcome: Outcome<T, E>) {
        let mut state = lock(&self.0);
        if state.done {
            return;
        }
        state.outcome = Some(outcome);
        state.done = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        lock(&self.0).done
    }

    /// Ready with `None` if the outcome has been taken before.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<Outcome<T, E>>> {
        let mut state = lock(&self.0);
        if state.done {
            return Poll::Ready(state.outcome.take());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A handle on a running task. Dropping it changes nothing: the region owns the task.
pub struct TaskHandle<T, E> {
    pub(crate) slot: Arc<Slot<T, E>>,
    pub(crate) token: Arc<Token>,
    pub(crate) record: Arc<TaskRecord>,
}

impl<T, E> TaskHandle<T, E> {
    /// Waits for the task to end and takes its outcome. A second join after a success reports a
    /// cancellation by `join`: there is one outcome, and it was given away.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller was cancelled; the task runs on and can be joined again.
    ///
    /// # Cancel safety
    /// The outcome stays in its slot until a join returns it.
    pub async fn join(&mut self, cx: &Cx) -> Result<Outcome<T, E>, Cancelled> {
        let taken = cx.or_cancel(self.taken(cx)).await?;
        Ok(taken.unwrap_or_else(|| Outcome::Cancelled(CancelReason::new(CancelKind::User, "join", cx.now()))))
    }

    /// The outcome, whether or not the caller is cancelled; `None` if it has been taken before.
    pub(crate) async fn taken(&self, cx: &Cx) -> Option<Outcome<T, E>> {
        let outcome = poll_fn(|context| self.slot.poll(context)).await;
        #[cfg(feature = "lab")]
        if let (Some(lab), Some(Outcome::Panicked(_))) = (cx.lab(), &outcome) {
            lab.observed(self.record.id);
        }
        #[cfg(not(feature = "lab"))]
        let _ = cx;
        outcome
    }

    /// Asks the task to end.
    pub fn cancel(&self, reason: CancelReason) {
        self.token.raise(reason);
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.slot.is_done()
    }

    /// The name given at spawn.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.record.name
    }
}

impl<T, E> std::fmt::Debug for TaskHandle<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskHandle")
            .field("name", &self.record.name)
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// The future a backend runs.
pub(crate) struct Driver<T, E> {
    future: Option<BoxFuture<'static, Result<T, E>>>,
    cx: Cx,
    slot: Arc<Slot<T, E>>,
    live: Option<Live>,
}

impl<T: Send + 'static, E: TaskError> Driver<T, E> {
    pub(crate) fn boxed(
        future: BoxFuture<'static, Result<T, E>>,
        cx: Cx,
        slot: Arc<Slot<T, E>>,
        live: Live,
    ) -> BoxFuture<'static, ()> {
        Box::pin(Self {
            future: Some(future),
            cx,
            slot,
            live: Some(live),
        })
    }

    fn finish(&mut self, outcome: Outcome<T, E>) {
        // The future's own destructor runs before anybody hears that the task is over.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(self.future.take())));
        let outcome = match dropped {
            Ok(()) => outcome,
            Err(payload) => Outcome::Panicked(self.panic_message(&*payload)),
        };
        let Some(live) = self.live.take() else { return };
        let (kind, message) = describe(&outcome);
        #[cfg(feature = "lab")]
        if let Some(lab) = self.cx.lab() {
            lab.ended(self.cx.record(), self.cx.region_inner().path(), self.cx.now(), kind);
        }
        self.slot.put(outcome);
        live.finish(kind, message);
    }

    fn panic_message(&self, payload: &(dyn std::any::Any + Send)) -> PanicMsg {
        PanicMsg::from_payload(self.cx.record().name, payload)
    }

    fn cancelled(&self, kind: CancelKind) -> Outcome<T, E> {
        let record = self.cx.record();
        Outcome::Cancelled(CancelReason::new(kind, record.name, self.cx.now()))
    }
}

/// What an outcome says in a report.
pub(crate) fn describe<T, E: std::error::Error>(
    outcome: &Outcome<T, E>,
) -> (annals_core::OutcomeKind, Option<Verdict>) {
    let verdict = match outcome {
        Outcome::Ok(_) => None,
        Outcome::Err(error) => Some(Verdict::Message(words_of(error))),
        Outcome::Cancelled(reason) => Some(Verdict::Cancelled(reason.clone())),
        Outcome::Panicked(message) => Some(Verdict::Message(message.to_string())),
    };
    (outcome.kind(), verdict)
}

/// An error's message; writing it is its author's code, and must not cost the task its outcome.
fn words_of(error: &impl std::error::Error) -> String {
    catch_unwind(AssertUnwindSafe(|| error.to_string())).unwrap_or_else(|_| "(its message panicked)".to_owned())
}

/// Why a task did not end well.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Message(String),
    Cancelled(CancelReason),
}

impl<T: Send + 'static, E: TaskError> Future for Driver<T, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let record = this.cx.record();
        if record.is_killed() {
            let outcome = this.cancelled(CancelKind::Straggler);
            this.finish(outcome);
            return Poll::Ready(());
        }
        record.keep_waker(context);
        #[cfg(feature = "lab")]
        let poll = record.polls.load(Ordering::Relaxed) + 1;
        #[cfg(feature = "lab")]
        if let Some(lab) = this.cx.lab() {
            match lab.before_poll(record, this.cx.now(), poll, this.cx.token()) {
                crate::lab::Step::Poll => {}
                crate::lab::Step::Yield => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                crate::lab::Step::Drop => {
                    let outcome = this.cancelled(CancelKind::Lab);
                    this.finish(outcome);
                    return Poll::Ready(());
                }
            }
        }
        // A poll that the lab left out is none.
        record.polls.fetch_add(1, Ordering::Relaxed);
        this.cx.count_polls();
        let Some(future) = &mut this.future else {
            return Poll::Ready(());
        };
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => {
                // A kill that came while we were polling found no waker to wake.
                if record.is_killed() {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(value))) => Outcome::Ok(value),
            Ok(Poll::Ready(Err(error))) => match error.cancel_reason() {
                Some(reason) => Outcome::Cancelled(reason.clone()),
                None => Outcome::Err(error),
            },
            Err(payload) => Outcome::Panicked(this.panic_message(&*payload)),
        };
        this.finish(outcome);
        Poll::Ready(())
    }
}

impl<T, E> Drop for Driver<T, E> {
    fn drop(&mut self) {
        // The backend let go of the task before it ended: the runtime is going away.
        if let Some(live) = self.live.take() {
            drop(self.future.take());
            let reason = CancelReason::new(CancelKind::Shutdown, self.cx.record().name, self.cx.now());
            self.slot.put(Outcome::Cancelled(reason.clone()));
            live.finish(annals_core::OutcomeKind::Cancelled, Some(Verdict::Cancelled(reason)));
        }
    }
}
