//! Groups: bounded fan-out that loses nothing.
//!
//! Four things differ from joining a list of futures: results come in spawn order; with
//! [`Policy::CollectAll`] every input has its outcome; no more than `max_in_flight` tasks have
//! started and not ended; a task that finished before a cancellation keeps its result.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use annals_core::{CancelKind, CancelReason, Cancelled, Outcome, TaskError};

use crate::Cx;
use crate::region::Policy;
use crate::sync::Semaphore;
use crate::task::{SpawnError, TaskHandle};
use crate::token::{Token, lock};

/// How a group is to behave.
#[derive(Debug, Clone, Copy)]
pub struct GroupSpec {
    /// Name of its tasks.
    pub name: &'static str,
    /// What a failed task does to the others.
    pub policy: Policy,
    /// Tasks that may run at once.
    pub max_in_flight: NonZeroUsize,
}

/// Why a group did not take a task.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpawnOrCancelled {
    /// The region takes no more tasks.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The caller was cancelled while it waited for room.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A bounded, ordered set of tasks in the region of the context that made it.
#[derive(Debug)]
pub struct Group<T, E> {
    spec: GroupSpec,
    room: Semaphore,
    tasks: Vec<TaskHandle<T, E>>,
    failure: Arc<Failure>,
}

/// The first failure of a fail-fast group, and whom it stops.
#[derive(Default)]
struct Failure(Mutex<FailureState>);

#[derive(Default)]
struct FailureState {
    reason: Option<CancelReason>,
    members: Vec<Arc<Token>>,
}

impl Failure {
    fn reason(&self) -> Option<CancelReason> {
        lock(&self.0).reason.clone()
    }

    fn stops(&self, member: &Arc<Token>) {
        let mut state = lock(&self.0);
        match state.reason.clone() {
            Some(reason) => {
                drop(state);
                member.raise(reason);
            }
            None => state.members.push(member.clone()),
        }
    }

    fn happened(&self, reason: CancelReason) {
        let members = {
            let mut state = lock(&self.0);
            if state.reason.is_some() {
                return;
            }
            state.reason = Some(reason.clone());
            std::mem::take(&mut state.members)
        };
        members.iter().for_each(|member| member.raise(reason.clone()));
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Failure").field(&self.reason()).finish()
    }
}

impl Cx {
    /// Starts an empty group in this context's region.
    #[must_use]
    pub fn group<T, E>(&self, spec: GroupSpec) -> Group<T, E> {
        let room = Semaphore::new(spec.max_in_flight.get());
        Group {
            spec,
            room,
            tasks: Vec::new(),
            failure: Arc::default(),
        }
    }
}

impl<T: Send + 'static, E: TaskError> Group<T, E> {
    /// Waits for room and starts a task.
    ///
    /// # Errors
    /// [`SpawnOrCancelled`]; the task was then not started. Under [`Policy::FailFast`] that is so once a task has failed.
    ///
    /// # Cancel safety
    /// Either the task runs and is joined by [`Self::join_all`], or it was never started.
    pub async fn spawn<F, Fut>(&mut self, cx: &Cx, f: F) -> Result<(), SpawnOrCancelled>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.room.acquire_uncounted(cx, 1).await?;
        if let Some(reason) = self.failure.reason() {
            return Err(Cancelled(reason).into());
        }
        let fail_fast = self.spec.policy == Policy::FailFast;
        let (name, failure) = (self.spec.name, self.failure.clone());
        let task = cx.spawn(name, move |cx| async move {
            let ended = crate::cx::caught(name, f(cx.clone())).await;
            let failed = match &ended {
                Ok(Ok(_)) => false,
                Ok(Err(error)) => error.cancel_reason().is_none(),
                Err(_) => true,
            };
            if failed && fail_fast {
                failure.happened(CancelReason::new(CancelKind::FailFast, name, cx.now()));
            }
            drop(permit);
            match ended {
                Ok(result) => result,
                // The driver catches it again and gives it the task's name.
                Err(panic) => std::panic::resume_unwind(Box::new(panic.message)),
            }
        })?;
        if fail_fast {
            self.failure.stops(&task.token);
        }
        self.tasks.push(task);
        Ok(())
    }

    /// Waits for every task. If the caller is cancelled, so are they, and they are waited for all the same.
    ///
    /// # Errors
    /// None: one outcome per task, in spawn order.
    ///
    /// # Cancel safety
    /// Dropped early, the tasks stay with their region.
    pub async fn join_all(mut self, cx: &Cx) -> Vec<Outcome<T, E>> {
        let mut outcomes = Vec::with_capacity(self.tasks.len());
        let mut tasks = std::mem::take(&mut self.tasks).into_iter();
        while let Some(mut task) = tasks.next() {
            let outcome = match task.join(cx).await {
                Ok(outcome) => outcome,
                Err(Cancelled(reason)) => {
                    task.cancel(reason.clone());
                    tasks.as_slice().iter().for_each(|t| t.cancel(reason.clone()));
                    task.taken(cx).await.unwrap_or(Outcome::Cancelled(reason))
                }
            };
            outcomes.push(outcome);
        }
        outcomes
    }
}

/// Runs `f` over every input, at most `limit` at a time; outcomes come in input order, one each.
///
/// # Errors
/// None: an input that could not be started has a cancelled outcome.
///
/// # Cancel safety
/// Dropped early, the tasks that run stay with their region.
pub async fn map_bounded<I, F, Fut, T, E>(cx: &Cx, limit: NonZeroUsize, inputs: I, f: F) -> Vec<Outcome<T, E>>
where
    I: IntoIterator,
    F: Fn(Cx, I::Item) -> Fut + Clone + Send + 'static,
    I::Item: Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: TaskError,
{
    let mut group = cx.group(GroupSpec {
        name: "map_bounded",
        policy: Policy::CollectAll,
        max_in_flight: limit,
    });
    // `None` where a task was started.
    let mut refusals = Vec::new();
    for input in inputs {
        let f = f.clone();
        refusals.push(match group.spawn(cx, move |cx| f(cx, input)).await {
            Ok(()) => None,
            Err(SpawnOrCancelled::Cancelled(cancelled)) => Some(cancelled.0),
            Err(SpawnOrCancelled::Spawn(error)) => Some(CancelReason {
                note: Some(error.to_string()),
                ..CancelReason::new(CancelKind::Shutdown, "map_bounded", cx.now())
            }),
        });
    }
    let mut outcomes = group.join_all(cx).await.into_iter();
    let lost = || CancelReason::new(CancelKind::Shutdown, "map_bounded", cx.now());
    refusals
        .into_iter()
        .map(|refusal| match refusal {
            Some(reason) => Outcome::Cancelled(reason),
            None => outcomes.next().unwrap_or_else(|| Outcome::Cancelled(lost())),
        })
        .collect()
}
