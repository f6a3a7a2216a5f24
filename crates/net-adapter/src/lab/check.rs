//! A scenario over many seeds, and with a cancellation at every point where it can be suspended.

use std::collections::BTreeSet;
use std::ops::Range;

use super::replay::Replay;
use super::{CancelPoint, Injection, LabConfig, LabFailure, LabReport};
use crate::Cx;
use crate::backend::BackendKind;

/// Fewer points than this are no test of cancellation.
const FEWEST_POINTS: u64 = 5;

/// Runs of a scenario over seeds.
#[derive(Debug, Clone)]
pub struct Check {
    seeds: Range<u64>,
    backends: Vec<BackendKind>,
    yield_pct: u8,
    schedules: Schedules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schedules {
    Many,
    One,
}

/// How a check that found nothing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckReport {
    /// Runs: two per seed and backend.
    pub runs: u64,
    /// Fewest different traces of a backend.
    pub traces: usize,
    /// Decisions that seeds took.
    pub choices: u64,
}

impl Check {
    /// Over these seeds, on every compiled backend.
    #[must_use]
    pub fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            backends: BackendKind::compiled().to_vec(),
            yield_pct: LabConfig::new(0).yield_pct,
            schedules: Schedules::Many,
        }
    }

    /// On this backend only.
    #[must_use]
    pub fn on(mut self, backend: BackendKind) -> Self {
        self.backends = vec![backend];
        self
    }

    /// With another [`LabConfig::yield_pct`].
    #[must_use]
    pub fn yield_pct(mut self, percent: u8) -> Self {
        self.yield_pct = percent;
        self
    }

    /// For a scenario that goes the same way whatever the schedule.
    #[must_use]
    pub fn single_schedule(mut self) -> Self {
        self.schedules = Schedules::One;
        self
    }

    /// Runs the scenario twice per seed: every run must be clean, both runs of a seed equal, and of 32 seeds or more
    /// not all alike. With `ANNALS_LAB` set, only the run it names.
    ///
    /// # Errors
    /// The first [`LabFailure`]; [`LabFailure::NotCompiled`] when `ANNALS_LAB` names a lab that is not there.
    pub fn run<F, Fut, T>(&self, scenario: F) -> Result<CheckReport, LabFailure>
    where
        F: Fn(Cx) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let replay = Replay::asked()?;
        let mut report = CheckReport {
            runs: 0,
            traces: usize::MAX,
            choices: 0,
        };
        for &backend in self.backends.iter().filter(|b| replay.is_none_or(|r| r.backend == **b)) {
            let mut traces = BTreeSet::new();
            let mut choices = 0;
            let seeds = replay.map_or(self.seeds.clone(), |r| r.seed..r.seed.saturating_add(1));
            for seed in seeds.clone() {
                let config = LabConfig {
                    yield_pct: self.yield_pct,
                    cancel_at: replay.and_then(|r| r.cancel_at),
                    ..LabConfig::new(seed).on(backend)
                };
                let first = config.clone().run(scenario.clone());
                first.clean()?;
                if config.run(scenario.clone()).trace_hash != first.trace_hash {
                    return Err(LabFailure::Nondeterministic {
                        seed,
                        replay: first.replay_line(),
                    });
                }
                traces.insert(first.trace_hash);
                choices += first.choices;
                report.runs += 2;
            }
            let many = seeds.end.saturating_sub(seeds.start) >= 32 && self.schedules == Schedules::Many;
            if many && choices > 0 && traces.len() < 2 {
                return Err(LabFailure::Vacuous);
            }
            report.traces = report.traces.min(traces.len());
            report.choices += choices;
        }
        Ok(report)
    }
}

/// [`Check::run`] over these seeds on every compiled backend. Returns the number of runs.
///
/// # Errors
/// The first [`LabFailure`].
pub fn check<F, Fut, T>(seeds: Range<u64>, scenario: F) -> Result<u64, LabFailure>
where
    F: Fn(Cx) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    Check::new(seeds).run(scenario).map(|report| report.runs)
}

/// Runs a scenario once to count the polls of each task, then again for every poll of every task
/// and both injections; `verify` sees each report. Returns the number of points tried. With `ANNALS_LAB` set, only the
/// run it names.
///
/// # Panics
/// [`LabFailure::NothingToCancel`] when there are fewer than five points, [`LabFailure::NotCompiled`] when `ANNALS_LAB`
/// names a lab that is not there.
#[expect(clippy::panic, reason = "a failed test")]
pub fn cancel_everywhere<F, Fut, T>(config: &LabConfig, scenario: F, mut verify: impl FnMut(&LabReport<T>)) -> u64
where
    F: Fn(Cx) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let replay = Replay::asked().unwrap_or_else(|failure| panic!("{failure}"));
    let seed = replay.map_or(config.seed, |replay| replay.seed);
    let mut run_at = |cancel_at| {
        let config = LabConfig {
            cancel_at,
            seed,
            ..config.clone()
        };
        let report = config.run(scenario.clone());
        verify(&report);
        report
    };
    if let Some(replay) = replay {
        if replay.backend == config.backend {
            run_at(replay.cancel_at);
        }
        return 1;
    }
    let counted = run_at(None);
    let mut tried = 0;
    for (task, polls) in counted.polls {
        for poll in 1..=polls {
            for injection in [Injection::Request, Injection::Drop] {
                run_at(Some(CancelPoint { task, poll, injection }));
                tried += 1;
            }
        }
    }
    if tried < FEWEST_POINTS {
        panic!("{}", LabFailure::NothingToCancel { points: tried });
    }
    tried
}
