//! Running a scenario once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime, Outcome, UnixMs};

use super::{Injection, LabFailure, LabReport, LabState};
use crate::Cx;
use crate::backend::{self, BackendKind};
use crate::net::Net;
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
            let net: Arc<dyn Net> = state.net();
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
                replay: super::replay::line(&config),
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
            lost_panics: lab.lost_panics(),
            observed_panics: lab.observed_panics(),
            violations: end.violations,
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

/// Runs a scenario on the first compiled backend.
pub fn run<F, Fut, T>(seed: u64, scenario: F) -> LabReport<T>
where
    F: FnOnce(Cx) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    LabConfig::new(seed).run(scenario)
}
