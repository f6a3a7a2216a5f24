//! Blocking calls, on threads that are bounded, counted and never lose a value.
//!
//! The pool is the adapter's own, so that both runtimes give the same promise: a call that has not
//! begun is cancelled with its caller, a call that has begun ends and delivers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Outcome, PanicMsg, TaskError};

use crate::Cx;
use crate::region::Live;
use crate::sync::{SemPermit, Semaphore};
use crate::task::{Owner, Slot, SpawnError, TaskHandle, TaskKind, describe};
pub use crate::token::CancelHook;
use crate::token::{Token, lock};

type Job = Box<dyn FnOnce() + Send>;

/// An idle thread ends after this long.
const IDLE: Duration = Duration::from_secs(30);

/// What a blocking closure knows of its caller.
pub struct BlockingCx {
    cx: Cx,
}

impl BlockingCx {
    /// Whether the caller was asked to stop. The closure may end early, or not.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cx.is_cancelled()
    }

    /// Why the caller was asked to stop.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.cx.cancel_reason()
    }

    /// Runs `f` when the caller is asked to stop: to interrupt what the closure waits for. After
    /// the hook is dropped, `f` has either run to its end or never will.
    pub fn on_cancel(&self, f: impl FnOnce() + Send + 'static) -> CancelHook {
        self.cx.token().on_raise(f)
    }
}

/// A bounded pool of threads with one queue.
pub(crate) struct Pool {
    state: Mutex<PoolState>,
    wake: Condvar,
    max: usize,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Pool {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            max: max.max(1),
        })
    }

    fn submit(self: &Arc<Self>, job: Job) {
        let mut state = lock(&self.state);
        state.queue.push_back(job);
        if state.idle >= state.queue.len() || state.threads >= self.max {
            drop(state);
            self.wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let pool = self.clone();
        if thread::Builder::new()
            .name("annals-blocking".into())
            .spawn(move || pool.work())
            .is_err()
        {
            // Without a new thread the job waits for one that exists; with none it runs here.
            let mut state = lock(&self.state);
            state.threads -= 1;
            let job = if state.threads == 0 {
                state.queue.pop_back()
            } else {
                None
            };
            drop(state);
            if let Some(job) = job {
                job();
            }
        }
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // A value nobody waits for may panic when it is dropped; the thread must survive that.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a blocking call panicked outside its own code");
                }
                state = lock(&self.state);
                continue;
            }
            state.idle += 1;
            let (next, timeout) = self
                .wake
                .wait_timeout_while(state, IDLE, |s| s.queue.is_empty())
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// One blocking call between its caller and its thread.
struct Call<T, E>(Mutex<CallState<T, E>>);

struct CallState<T, E> {
    phase: Phase<T, E>,
    /// Nobody waits for the value any more.
    abandoned: bool,
    waker: Option<Waker>,
}

enum Phase<T, E> {
    Queued(Work<T, E>),
    Running,
    Done(Outcome<T, E>),
    Taken,
}

struct Work<T, E> {
    closure: Box<dyn FnOnce(&BlockingCx) -> Result<T, E> + Send>,
    cx: BlockingCx,
    live: Live,
}

impl<T: Send + 'static, E: TaskError> Call<T, E> {
    fn new(work: Work<T, E>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(CallState {
            phase: Phase::Queued(work),
            abandoned: false,
            waker: None,
        })))
    }

    /// Runs the closure, unless its caller gave up while it queued.
    fn run(&self) {
        let work = {
            let mut state = lock(&self.0);
            match std::mem::replace(&mut state.phase, Phase::Running) {
                Phase::Queued(work) => work,
                other => {
                    state.phase = other;
                    return;
                }
            }
        };
        let name = work.live.record.name;
        let outcome = outcome_of(name, || (work.closure)(&work.cx));
        let (kind, verdict) = describe(&outcome);
        let (waker, unwanted) = {
            let mut state = lock(&self.0);
            if state.abandoned {
                (None, Some(outcome))
            } else {
                state.phase = Phase::Done(outcome);
                (state.waker.take(), None)
            }
        };
        // An unwanted value is gone before the region hears that the call is over.
        if catch_unwind(AssertUnwindSafe(|| drop(unwanted))).is_err() {
            tracing::error!(
                task = name,
                "the value of an abandoned blocking call panicked when dropped"
            );
        }
        work.live.finish(kind, verdict);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the work back if it has not begun.
    fn give_up(&self) -> bool {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut state.phase, Phase::Taken) {
            Phase::Queued(work) => {
                drop(state);
                drop(work);
                true
            }
            other => {
                state.phase = other;
                false
            }
        }
    }

    async fn outcome(self: Arc<Self>, cx: &Cx) -> Outcome<T, E> {
        let waiting = Waiting(self);
        let mut cancel = Some(Box::pin(cx.cancelled()));
        poll_fn(|context| {
            {
                let mut state = lock(&waiting.0.0);
                match std::mem::replace(&mut state.phase, Phase::Taken) {
                    Phase::Done(outcome) => return Poll::Ready(outcome),
                    other => state.phase = other,
                }
                state.waker = Some(context.waker().clone());
            }
            // Keep watching: a deadline only raises the token while somebody waits for it.
            if let Some(waiting_for_cancel) = &mut cancel
                && let Poll::Ready(reason) = waiting_for_cancel.as_mut().poll(context)
            {
                cancel = None;
                if waiting.0.give_up() {
                    return Poll::Ready(Outcome::Cancelled(reason));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A caller that waits; dropped early, it takes unstarted work back.
struct Waiting<T: Send + 'static, E: TaskError>(Arc<Call<T, E>>);

impl<T: Send + 'static, E: TaskError> Drop for Waiting<T, E> {
    fn drop(&mut self) {
        if !self.0.give_up() {
            lock(&self.0.0).abandoned = true;
        }
    }
}

/// Runs a closure to its outcome.
fn outcome_of<T, E: TaskError>(name: &str, f: impl FnOnce() -> Result<T, E>) -> Outcome<T, E> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Outcome::Ok(value),
        Ok(Err(error)) => match error.cancel_reason() {
            Some(reason) => Outcome::Cancelled(reason.clone()),
            None => Outcome::Err(error),
        },
        Err(payload) => Outcome::Panicked(PanicMsg::from_payload(name, &*payload)),
    }
}

fn prepare<F, T, E>(cx: &Cx, name: &'static str, f: F) -> Result<Arc<Call<T, E>>, CancelReason>
where
    F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: TaskError,
{
    if let Some(reason) = cx.cancel_reason() {
        return Err(reason);
    }
    let live = cx.begin_blocking(name).map_err(|error| refused(cx, name, &error))?;
    let blocking = BlockingCx { cx: cx.clone() };
    Ok(Call::new(Work {
        closure: Box::new(f),
        cx: blocking,
        live,
    }))
}

fn refused(cx: &Cx, name: &'static str, error: &SpawnError) -> CancelReason {
    CancelReason {
        note: Some(error.to_string()),
        ..CancelReason::new(CancelKind::Shutdown, name, cx.now())
    }
}

pub(crate) async fn run<F, T, E>(cx: &Cx, name: &'static str, f: F) -> Outcome<T, E>
where
    F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: TaskError,
{
    let call = match prepare(cx, name, f) {
        Ok(call) => call,
        Err(reason) => return Outcome::Cancelled(reason),
    };
    match cx.rt().pool() {
        Some(pool) => {
            let job = call.clone();
            pool.submit(Box::new(move || job.run()));
        }
        None => call.run(),
    }
    call.outcome(cx).await
}

pub(crate) async fn run_abandonable<T: Send + 'static>(
    cx: &Cx,
    name: &'static str,
    f: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Outcome<T, std::io::Error> {
    let Some(pool) = cx.rt().pool() else {
        return Outcome::Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "not available in the lab",
        ));
    };
    // Lookups that nobody waits for any more keep their threads; the database must not run out of them.
    let turn = match cx.rt().lookups().acquire_uncounted(cx, 1).await {
        Ok(turn) => turn,
        Err(cancelled) => return Outcome::Cancelled(cancelled.0),
    };
    let slot = Arc::new(crate::task::Slot::new());
    let filled = slot.clone();
    pool.submit(Box::new(move || {
        let _turn = turn;
        if Arc::strong_count(&filled) == 1 {
            return;
        }
        filled.put(match catch_unwind(AssertUnwindSafe(f)) {
            Ok(Ok(value)) => Outcome::Ok(value),
            Ok(Err(error)) => Outcome::Err(error),
            Err(payload) => Outcome::Panicked(PanicMsg::from_payload(name, &*payload)),
        });
    }));
    match cx.or_cancel(poll_fn(|context| slot.poll(context))).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Outcome::Err(std::io::ErrorKind::Other.into()),
        Err(cancelled) => Outcome::Cancelled(cancelled.0),
    }
}

/// A thread of its own that lives as long as its closure, as a task of the region.
pub(crate) fn spawn_thread<F, T, E>(cx: &Cx, name: &'static str, f: F) -> Result<TaskHandle<T, E>, SpawnError>
where
    F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: TaskError,
{
    if cx.rt().pool().is_none() {
        return Err(SpawnError::Denied);
    }
    let live = cx.region_inner().begin(name, TaskKind::Blocking, Owner::Region)?;
    let token = cx.region_inner().token.child();
    let blocking = BlockingCx {
        cx: cx.of_task(&live, token.clone()),
    };
    let slot = Arc::new(Slot::new());
    let handle = TaskHandle {
        slot: slot.clone(),
        token,
        record: live.record.clone(),
    };
    let watched = blocking.cx.clone();
    let over = Token::root();
    let ended = over.clone();
    // A thread that does not start drops `live`, and with it the region's wait.
    let thread = thread::Builder::new().name(name.into());
    let started = thread.spawn(move || {
        let outcome = outcome_of(name, || f(&blocking));
        let (kind, verdict) = describe(&outcome);
        ended.raise(CancelReason::new(CancelKind::User, name, blocking.cx.now()));
        slot.put(outcome);
        live.finish(kind, verdict);
    });
    started.map_err(|_| SpawnError::RuntimeGone)?;
    watch_deadline(watched, over);
    Ok(handle)
}

/// A deadline is raised by whoever waits, and a thread that blocks does not: this waits in its place, until it is `over`.
/// Not a task of any region, for it ends with the thread.
fn watch_deadline(cx: Cx, over: Arc<Token>) {
    if cx.budget().deadline.is_some() {
        let backend = cx.backend().clone();
        backend.spawn(Box::pin(async move {
            let (Ok(_) | Err(_)) = cx.or_cancel(over.raised()).await;
        }));
    }
}

/// One thread that runs closures in the order they were queued.
#[derive(Clone)]
pub struct Serial {
    room: Semaphore,
    /// `None` in the lab, where closures run inline.
    thread: Option<Arc<Mutex<std::sync::mpsc::Sender<Job>>>>,
    name: &'static str,
}

impl Serial {
    pub(crate) fn start(cx: &Cx, name: &'static str, queue: NonZeroUsize) -> Result<Self, SpawnError> {
        let room = Semaphore::new(queue.get());
        if cx.rt().pool().is_none() {
            return Ok(Self {
                room,
                thread: None,
                name,
            });
        }
        let (sender, receiver) = std::sync::mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                for job in receiver {
                    job();
                }
            })
            .map_err(|_| SpawnError::RuntimeGone)?;
        Ok(Self {
            room,
            thread: Some(Arc::new(Mutex::new(sender))),
            name,
        })
    }

    /// Runs `f` after everything that was queued before it. Not started if the caller is cancelled
    /// while it queues; once started, it ends and its value is delivered.
    ///
    /// # Errors
    /// In the [`Outcome`]: `f`'s own error, a cancellation before the start, or a caught panic.
    ///
    /// # Cancel safety
    /// As [`Cx::blocking`].
    pub async fn run<F, T, E>(&self, cx: &Cx, f: F) -> Outcome<T, E>
    where
        F: FnOnce(&BlockingCx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: TaskError,
    {
        // Not counted in the caller's region: the thread gives it back a moment after the value.
        let permit: SemPermit = match self.room.acquire_uncounted(cx, 1).await {
            Ok(permit) => permit,
            Err(cancelled) => return Outcome::Cancelled(cancelled.0),
        };
        let call = match prepare(cx, self.name, f) {
            Ok(call) => call,
            Err(reason) => return Outcome::Cancelled(reason),
        };
        match &self.thread {
            Some(sender) => {
                let job = call.clone();
                // The thread lives as long as the sender, so this cannot fail; if it did, the work
                // would be dropped and reported as cancelled.
                let sent = lock(sender).send(Box::new(move || {
                    job.run();
                    drop(permit);
                }));
                if sent.is_err() {
                    call.give_up();
                    return Outcome::Cancelled(refused(cx, self.name, &SpawnError::RuntimeGone));
                }
            }
            None => {
                call.run();
                drop(permit);
            }
        }
        call.outcome(cx).await
    }
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serial")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
