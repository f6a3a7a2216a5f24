//! Running a scenario, over seeds, and with a cancellation at every suspension point.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime, Outcome, TaskError, UnixMs};

use super::{Injection, LabState};
use crate::Cx;
use crate::backend::{self, BackendKind};
use crate::net::VirtualNet;
use crate::region::DrainReport;
use crate::runtime::Inner;
use crate::token::lock;

/// How a lab run is set up.
#[derive(Debug, Clone)]
pub struct LabConfig {
    /// Decides every choice of the run.
    pub seed: u64,
    /// The host.
    pub backend: BackendKind,
    /// How often, in percent, a ready task is passed over once; 50 at most.
    pub yield_pct: u8,
    /// Polls after which the run is given up.
    pub max_steps: u64,
    /// Virtual time after which the run is given up.
    pub max_virtual: Duration,
    /// What the wall clock says at virtual time zero.
    pub epoch: UnixMs,
    /// A cancellation to inject.
    pub cancel_at: Option<CancelPoint>,
}

/// One place to end a task at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelPoint {
    /// The task's number within the run.
    pub task: u64,
    /// Which of its polls, from one.
    pub poll: u64,
    /// How it ends.
    pub injection: Injection,
}

impl LabConfig {
    /// The defaults, on the first compiled backend.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            backend: BackendKind::compiled()[0],
            yield_pct: 25,
            max_steps: 1_000_000,
            max_virtual: Duration::from_secs(30 * 86_400),
            // 2026-01-01T00:00:00Z
            epoch: UnixMs(1_767_225_600_000),
            cancel_at: None,
        }
    }

    /// The same run on another host.
    #[must_use]
    pub fn on(mut self, backend: BackendKind) -> Self {
        self.backend = backend;
        self
    }

    /// Runs a scenario to its end and judges what is left.
    pub fn run<F, Fut, T>(self, scenario: F) -> LabReport<T>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let config = self;
        let kind = config.backend;
        let lab = Arc::new(LabState::new(config.clone()));
        let ended = Arc::new(Mutex::new(None));
        let (result, state) = (ended.clone(), lab.clone());
        let root = Box::new(move |backend| -> backend::BoxFuture<'static, ()> {
            let net = Arc::new(VirtualNet::new(state.seed()));
            let inner = Inner::start_lab(kind, backend, net, state);
            Box::pin(async move {
                let outcome = inner.run_scenario(scenario).await;
                let drain = inner.drain(Duration::from_secs(5)).await;
                let now = inner.backend().now();
                *lock(&result) = Some((outcome, drain, now));
                inner.stop(Duration::ZERO);
            })
        });
        let end = backend::run_lab(kind, &lab, root);
        let stuck = || {
            Outcome::Err(LabFailure::Stuck {
                seed: config.seed,
                replay: replay_line(&config),
            })
        };
        let (outcome, drain, now) = match lock(&ended).take() {
            Some((outcome, drain, now)) if end.finished => (outcome, drain, now),
            _ => (stuck(), DrainReport::default(), MonoTime(0)),
        };
        LabReport {
            outcome,
            trace_hash: lab.hash(),
            events: lab.events(),
            choices: lab.choices(),
            steps: lab.steps(),
            virtual_elapsed: now.since(MonoTime(0)),
            drain,
            polls: lab.polls().into_iter().collect(),
            config,
        }
    }
}

impl Inner {
    /// The scenario is a task like any other, so that it can be passed over and cancelled.
    async fn run_scenario<F, Fut, T>(self: &Arc<Self>, scenario: F) -> Outcome<T, LabFailure>
    where
        F: FnOnce(Cx) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let gone = || CancelReason::new(CancelKind::Shutdown, "lab", self.backend().now());
        let Some(root) = self.root() else {
            return Outcome::Cancelled(gone());
        };
        let cx = Cx::root(root, "lab");
        match cx.spawn("scenario", |cx| async move { Ok::<T, LabFailure>(scenario(cx).await) }) {
            Ok(mut task) => match task.join(&cx).await {
                Ok(outcome) => outcome,
                Err(cancelled) => Outcome::Cancelled(cancelled.0),
            },
            Err(_) => Outcome::Cancelled(gone()),
        }
    }
}

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
    /// Many seeds gave one and the same run: nothing was tried.
    #[error("every seed gave the same trace although there were choices: the check is vacuous")]
    Vacuous,
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
    config: LabConfig,
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
        let drain = &self.drain;
        let what = what
            .or_else(|| (drain.panicked > 0).then(|| format!("{} tasks panicked", drain.panicked)))
            .or_else(|| {
                (!drain.quiescent || !drain.stragglers.is_empty())
                    .then(|| format!("left behind: {:?}", drain.stragglers))
            })
            .or_else(|| {
                (drain.open_permits > 0).then(|| format!("{} permits were not given back", drain.open_permits))
            });
        match what {
            None => Ok(()),
            Some(what) => Err(LabFailure::Unclean {
                seed: self.config.seed,
                what,
                replay: self.replay_line(),
            }),
        }
    }

    /// The environment variable that replays this run.
    #[must_use]
    pub fn replay_line(&self) -> String {
        replay_line(&self.config)
    }
}

fn replay_line(config: &LabConfig) -> String {
    let cancel = config
        .cancel_at
        .map(|p| format!(" cancel={}:{}:{:?}", p.task, p.poll, p.injection))
        .unwrap_or_default();
    let test = std::thread::current().name().unwrap_or("<test>").to_owned();
    format!(
        "ANNALS_LAB=\"backend={} seed={}{cancel}\" cargo test -- {test} --exact",
        config.backend, config.seed
    )
}

/// Runs a scenario on the first compiled backend.
pub fn run<F, Fut, T>(seed: u64, scenario: F) -> LabReport<T>
where
    F: FnOnce(Cx) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    LabConfig::new(seed).run(scenario)
}

/// Runs a scenario twice per seed on every compiled backend; every run must be clean, both runs of
/// a seed equal, and not all seeds alike. Returns the number of runs.
///
/// # Errors
/// The first [`LabFailure`].
pub fn check<F, Fut, T>(seeds: Range<u64>, scenario: F) -> Result<u64, LabFailure>
where
    F: Fn(Cx) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut runs = 0;
    for &backend in BackendKind::compiled() {
        let mut hashes = BTreeSet::new();
        let mut choices = 0;
        let count = seeds.end.saturating_sub(seeds.start);
        for seed in seeds.clone() {
            let first = LabConfig::new(seed).on(backend).run(scenario.clone());
            first.clean()?;
            let second = LabConfig::new(seed).on(backend).run(scenario.clone());
            if first.trace_hash != second.trace_hash {
                return Err(LabFailure::Nondeterministic {
                    seed,
                    replay: first.replay_line(),
                });
            }
            hashes.insert(first.trace_hash);
            choices += first.choices;
            runs += 2;
        }
        if count >= 32 && choices > 0 && hashes.len() < 2 {
            return Err(LabFailure::Vacuous);
        }
    }
    Ok(runs)
}

/// Runs a scenario once to count the polls of each task, then again for every poll of every task
/// and both injections; `verify` sees each report. Returns the number of points tried.
pub fn cancel_everywhere<F, Fut, T>(config: &LabConfig, scenario: F, mut verify: impl FnMut(&LabReport<T>)) -> u64
where
    F: Fn(Cx) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let counted = config.clone().run(scenario.clone());
    verify(&counted);
    let mut tried = 0;
    for (task, polls) in counted.polls {
        for poll in 1..=polls {
            for injection in [Injection::Request, Injection::Drop] {
                let point = CancelPoint { task, poll, injection };
                let report = LabConfig {
                    cancel_at: Some(point),
                    ..config.clone()
                }
                .run(scenario.clone());
                verify(&report);
                tried += 1;
            }
        }
    }
    tried
}
