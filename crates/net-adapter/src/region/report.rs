//! What a region is asked to be, and what it says when it has closed.

use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Outcome, OutcomeKind, PanicMsg, TaskError};

use crate::budget::Budget;
use crate::task::TaskInfo;

/// What a region does when one of its tasks fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The first error or panic cancels the siblings.
    FailFast,
    /// Nobody is cancelled; every outcome is kept.
    CollectAll,
}

/// How a region is to behave.
#[derive(Debug, Clone)]
pub struct RegionSpec {
    /// Name in snapshots and reports.
    pub name: &'static str,
    /// What a failed task does to its siblings.
    pub policy: Policy,
    /// How long tasks may take to end once they are cancelled.
    pub cleanup: Duration,
    /// Limits that every task of the region inherits.
    pub budget: Budget,
    /// Task reports kept in full; beyond, successes are only counted.
    pub keep_reports: usize,
}

impl RegionSpec {
    /// A region that stops at the first failure.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            policy: Policy::FailFast,
            cleanup: Duration::from_secs(5),
            budget: Budget::default(),
            keep_reports: 1024,
        }
    }

    /// A region whose tasks do not affect each other.
    #[must_use]
    pub fn collect_all(name: &'static str) -> Self {
        Self {
            policy: Policy::CollectAll,
            ..Self::new(name)
        }
    }
}

/// Where a region is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegionState {
    /// Tasks may be started.
    Open,
    /// No new tasks; those that run may end by themselves.
    Closing,
    /// Tasks were asked to end.
    Draining,
    /// Finalizers run.
    Finalizing,
    /// Nothing is left.
    Closed,
}

/// How one task ended.
#[derive(Debug, Clone)]
pub struct TaskReport {
    /// Name given at spawn.
    pub name: &'static str,
    /// Position among the region's spawns.
    pub index: u64,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// The error, panic or reason in words.
    pub message: Option<String>,
    /// The request it obeyed, when it was cancelled.
    pub cancelled: Option<CancelReason>,
}

/// What was left when a region or a runtime had closed.
#[derive(Debug, Clone, Default)]
pub struct DrainReport {
    /// Nothing was left behind.
    pub quiescent: bool,
    /// Tasks that returned a value.
    pub completed: u64,
    /// Tasks that returned an error.
    pub failed: u64,
    /// Tasks that ended because they were asked to.
    pub cancelled: u64,
    /// Tasks that panicked.
    pub panicked: u64,
    /// Tasks still alive when the bound was spent.
    pub stragglers: Vec<TaskInfo>,
    /// Permits nobody gave back.
    pub open_permits: u64,
    /// Time the close took.
    pub elapsed: Duration,
}

/// How a region ended.
#[derive(Debug, Clone)]
pub struct RegionReport {
    /// The worst outcome among its tasks, victims of fail-fast left out.
    pub overall: OutcomeKind,
    /// Its tasks in spawn order.
    pub tasks: Vec<TaskReport>,
    /// Counts and leftovers.
    pub drain: DrainReport,
}

impl RegionReport {
    /// The task whose failure explains the region's: the worst, and the first among equals.
    #[must_use]
    pub fn cause(&self) -> Option<&TaskReport> {
        self.tasks
            .iter()
            .filter(|t| t.counts() && t.outcome == self.overall && self.overall != OutcomeKind::Ok)
            .min_by_key(|t| t.index)
    }
}

impl TaskReport {
    /// Whether this outcome is the task's own, not a sibling's failure passed on.
    pub(super) fn counts(&self) -> bool {
        self.cancelled.as_ref().is_none_or(|r| r.kind != CancelKind::FailFast)
    }
}

/// What `Cx::region` returns: how its body ended and how its tasks did.
#[derive(Debug)]
#[must_use]
pub struct RegionOutcome<T, E> {
    /// The body's own outcome.
    pub body: Outcome<T, E>,
    /// The tasks' outcomes.
    pub report: RegionReport,
}

/// Why a region as a whole did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RegionFailure<E> {
    /// Its body failed.
    #[error(transparent)]
    Body(E),
    /// Its body was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
    /// Its body panicked.
    #[error("{0}")]
    Panicked(PanicMsg),
    /// A task or a finalizer ended worse than the body.
    #[error("{}", words(.outcome, .cause.as_ref()))]
    Task {
        /// How the worst of them ended.
        outcome: OutcomeKind,
        /// The first that ended so, if its report was kept.
        cause: Option<TaskReport>,
    },
}

fn words(outcome: &OutcomeKind, cause: Option<&TaskReport>) -> String {
    let name = cause.map_or("(unnamed)", |task| task.name);
    match cause.and_then(|task| task.message.as_deref()) {
        Some(message) => format!("task {name}: {message}"),
        None => format!("task {name}: {outcome:?}"),
    }
}

impl<E: TaskError> TaskError for RegionFailure<E> {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Body(error) => error.cancel_reason(),
            Self::Cancelled(reason) => Some(reason),
            Self::Panicked(_) => None,
            Self::Task { outcome, cause } => match outcome {
                OutcomeKind::Cancelled => cause.as_ref()?.cancelled.as_ref(),
                OutcomeKind::Ok | OutcomeKind::Err | OutcomeKind::Panicked => None,
            },
        }
    }
}

impl<T, E> RegionOutcome<T, E> {
    /// The region as one result: the worst outcome of body and tasks counts, and the body's among equals. Whoever was
    /// only stopped by another's failure does not count.
    ///
    /// # Errors
    /// [`RegionFailure`].
    pub fn into_result(self) -> Result<T, RegionFailure<E>> {
        let body = match &self.body {
            Outcome::Cancelled(reason) if reason.kind == CancelKind::FailFast => OutcomeKind::Ok,
            Outcome::Ok(_) | Outcome::Err(_) | Outcome::Cancelled(_) | Outcome::Panicked(_) => self.body.kind(),
        };
        let outcome = self.report.overall;
        if outcome > body {
            let cause = self.report.cause().cloned();
            return Err(RegionFailure::Task { outcome, cause });
        }
        match self.body {
            Outcome::Ok(value) => Ok(value),
            Outcome::Err(error) => Err(RegionFailure::Body(error)),
            Outcome::Cancelled(reason) => Err(RegionFailure::Cancelled(reason)),
            Outcome::Panicked(message) => Err(RegionFailure::Panicked(message)),
        }
    }
}
