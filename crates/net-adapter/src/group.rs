//! Groups: bounded fan-out that loses nothing.
//!
//! Four things differ from joining a list of futures: results come in spawn order; with
//! [`Policy::CollectAll`] every input has its outcome; no more than `max_in_flight` tasks have
//! started and not ended; a task that finished before a cancellation keeps its result.

use std::num::NonZeroUsize;

use annals_core::{CancelKind, CancelReason, Cancelled, Outcome, TaskError};

use crate::Cx;
use crate::region::Policy;
use crate::sync::Semaphore;
use crate::task::{SpawnError, TaskHandle};

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
}

impl Cx {
    /// Starts an empty group in this context's region.
    #[must_use]
    pub fn group<T, E>(&self, spec: GroupSpec) -> Group<T, E> {
        Group {
            spec,
            room: Semaphore::new(spec.max_in_flight.get()),
            tasks: Vec::new(),
        }
    }
}

impl<T: Send + 'static, E: TaskError> Group<T, E> {
    /// Waits for room and starts a task.
    ///
    /// # Errors
    /// [`SpawnOrCancelled`]; the task was then not started.
    ///
    /// # Cancel safety
    /// Either the task runs and is joined by [`Self::join_all`], or it was never started.
    pub async fn spawn<F, Fut>(&mut self, cx: &Cx, f: F) -> Result<(), SpawnOrCancelled>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.room.acquire_uncounted(cx, 1).await?;
        let task = cx.spawn(self.spec.name, |cx| async move {
            let result = f(cx).await;
            drop(permit);
            result
        })?;
        self.tasks.push(task);
        Ok(())
    }

    /// Waits for every task. If the caller is cancelled, or a task fails under
    /// [`Policy::FailFast`], the others are cancelled, and waited for all the same.
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
            let outcome = loop {
                match task.join(cx).await {
                    Ok(outcome) => break outcome,
                    Err(Cancelled(reason)) => {
                        task.cancel(reason.clone());
                        tasks.as_slice().iter().for_each(|t| t.cancel(reason.clone()));
                        break std::future::poll_fn(|context| task.slot.poll(context))
                            .await
                            .unwrap_or(Outcome::Cancelled(reason));
                    }
                }
            };
            if self.spec.policy == Policy::FailFast && matches!(outcome, Outcome::Err(_) | Outcome::Panicked(_)) {
                let reason = CancelReason::new(CancelKind::FailFast, task.name(), cx.now());
                tasks.as_slice().iter().for_each(|t| t.cancel(reason.clone()));
            }
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
    let mut refused = Vec::new();
    for input in inputs {
        let f = f.clone();
        match group.spawn(cx, move |cx| f(cx, input)).await {
            Ok(()) => {}
            Err(SpawnOrCancelled::Cancelled(cancelled)) => refused.push(cancelled.0),
            Err(SpawnOrCancelled::Spawn(error)) => refused.push(CancelReason {
                note: Some(error.to_string()),
                ..CancelReason::new(CancelKind::Shutdown, "map_bounded", cx.now())
            }),
        }
    }
    let mut outcomes = group.join_all(cx).await;
    // Once refused, always refused: what could not start comes last in input order too.
    outcomes.extend(refused.into_iter().map(Outcome::Cancelled));
    outcomes
}
