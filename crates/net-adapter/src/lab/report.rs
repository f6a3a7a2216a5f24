//! What a lab run was like, and what is wrong with it.

use std::time::Duration;

use annals_core::{Outcome, TaskError};

use super::{Injection, LabConfig};
use crate::backend::BackendKind;
use crate::region::DrainReport;
use crate::task::TaskInfo;

/// What is wrong with a lab run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LabFailure {
    /// It ran out of things to do, of steps or of virtual time before the scenario ended.
    #[error("seed {seed}: the scenario never ended; replay: {replay}")]
    Stuck {
        /// The seed.
        seed: u64,
        /// What replays it.
        replay: String,
    },
    /// It ended, but left something behind.
    #[error("seed {seed}: {what}; replay: {replay}")]
    Unclean {
        /// The seed.
        seed: u64,
        /// What was left.
        what: String,
        /// What replays it.
        replay: String,
    },
    /// The same seed did not give the same run.
    #[error("seed {seed}: two runs gave different traces; replay: {replay}")]
    Nondeterministic {
        /// The seed.
        seed: u64,
        /// What replays it.
        replay: String,
    },
    /// A cancellation at every await needs awaits.
    #[error("there is nothing to cancel: only {points} points")]
    NothingToCancel {
        /// Points there were.
        points: u64,
    },
    /// Many seeds gave one and the same run: nothing was tried.
    #[error("every seed gave the same trace although there were choices: the check is vacuous")]
    Vacuous,
    /// The run to replay is one of a lab that this binary does not have.
    #[error("the {asked} lab is not compiled in: build with `--features {asked}`")]
    NotCompiled {
        /// The lab that was asked for.
        asked: BackendKind,
    },
    /// What was asked to be replayed names no run.
    #[error("{words:?} is not \"backend=… seed=… [cancel=task:poll:request|drop]\"")]
    BadReplay {
        /// What was asked.
        words: String,
    },
}

impl TaskError for LabFailure {}

/// How a lab run ended.
#[derive(Debug)]
pub struct LabReport<T> {
    /// How the scenario ended.
    pub outcome: Outcome<T, LabFailure>,
    /// FNV-1a over every event of the run; comparable within one backend only.
    pub trace_hash: u64,
    /// Events in the trace.
    pub events: u64,
    /// Decisions the seed took.
    pub choices: u64,
    /// Polls.
    pub steps: u64,
    /// Virtual time the run took.
    pub virtual_elapsed: Duration,
    /// What was left when it ended.
    pub drain: DrainReport,
    /// Tasks by number, and how often each was polled.
    pub polls: Vec<(u64, u64)>,
    /// Tasks that panicked and whose outcome nobody took.
    pub lost_panics: Vec<TaskInfo>,
    pub(super) observed_panics: u64,
    /// What the backend's own checks found left over.
    pub violations: Vec<String>,
    pub(super) config: LabConfig,
}

impl<T> LabReport<T> {
    /// Fails if anything was left behind: a task, a permit, a panic.
    ///
    /// # Errors
    /// [`LabFailure`] with the line that replays the run.
    pub fn clean(&self) -> Result<(), LabFailure> {
        let what = match &self.outcome {
            Outcome::Err(failure) => return Err(failure.clone()),
            Outcome::Panicked(message) => Some(message.to_string()),
            Outcome::Cancelled(reason) if self.config.cancel_at.is_none() => Some(reason.to_string()),
            Outcome::Ok(_) | Outcome::Cancelled(_) => None,
        };
        let out_of_steps = self.steps >= self.config.max_steps;
        let what = what.or_else(|| out_of_steps.then(|| format!("gave up after {} steps", self.steps)));
        let too_long = self.virtual_elapsed > self.config.max_virtual;
        let what = what.or_else(|| too_long.then(|| format!("it took {:?} of virtual time", self.virtual_elapsed)));
        let drain = &self.drain;
        let what = what
            .or_else(|| {
                let lost: Vec<_> = self.lost_panics.iter().map(|task| task.name).collect();
                (!lost.is_empty()).then(|| format!("panics nobody observed: {lost:?}"))
            })
            .or_else(|| (drain.panicked > self.observed_panics).then(|| "a finalizer panicked".to_owned()))
            .or_else(|| {
                (!drain.quiescent || !drain.stragglers.is_empty())
                    .then(|| format!("left behind: {:?}", drain.stragglers))
            })
            .or_else(|| (drain.open_permits > 0).then(|| format!("{} permits were not given back", drain.open_permits)))
            .or_else(|| (!self.violations.is_empty()).then(|| format!("the backend found: {:?}", self.violations)));
        match what {
            None => Ok(()),
            Some(what) => Err(LabFailure::Unclean {
                seed: self.config.seed,
                what,
                replay: self.replay_line(),
            }),
        }
    }

    /// The injection this run was asked for.
    #[must_use]
    pub fn injected(&self) -> Option<Injection> {
        self.config.cancel_at.map(|point| point.injection)
    }

    /// The command that replays this run.
    #[must_use]
    pub fn replay_line(&self) -> String {
        super::replay::line(&self.config)
    }
}
