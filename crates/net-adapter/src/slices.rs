//! Which runtime runs which part of the process: one line of configuration each.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, MonoTime};

use crate::backend::BackendKind;
use crate::region::{DrainReport, RegionInner};
use crate::runtime::{BuildError, Environment, Inner, Runtime, RuntimeConfig};
use crate::shutdown::{ShutdownSignal, Stage};
use crate::signal::{self, Foreground, ShutdownBudget};
use crate::time::process_now;

/// A part of the process whose runtime can be chosen on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// Every listener and the requests on it.
    Server,
    /// Sync runs, documents and what follows from them.
    Ingest,
    /// Socket Mode connections.
    Slack,
    /// Workers of the execution queue.
    Queue,
}

impl Slice {
    /// Every slice, in the order they drain.
    pub const ALL: [Self; 4] = [Self::Server, Self::Slack, Self::Queue, Self::Ingest];

    /// The configuration key under `[runtime.slices]`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Ingest => "ingest",
            Self::Slack => "slack",
            Self::Queue => "queue",
        }
    }
}

/// The `[runtime]` section.
#[derive(Debug, Clone)]
pub struct RuntimeSection {
    /// The runtime of everything that is not a slice, and of slices without a line of their own.
    pub default: BackendKind,
    /// `[runtime.slices]`.
    pub slices: Vec<(Slice, BackendKind)>,
    /// Worker threads per runtime; 0 is one per core.
    pub workers: usize,
    /// Blocking threads per runtime at most.
    pub max_blocking: usize,
    /// Tasks alive per runtime at most.
    pub max_tasks: usize,
    /// Stages of a shutdown.
    pub shutdown: ShutdownBudget,
    /// The process environment.
    pub env: Environment,
}

impl Default for RuntimeSection {
    fn default() -> Self {
        let config = RuntimeConfig::default();
        Self {
            default: BackendKind::compiled()[0],
            slices: Vec::new(),
            workers: config.workers,
            max_blocking: config.max_blocking,
            max_tasks: config.max_tasks,
            shutdown: ShutdownBudget::default(),
            env: config.env,
        }
    }
}

/// The runtimes of a process: each one that is asked for, once.
#[derive(Debug)]
pub struct Runtimes {
    default: Runtime,
    others: Vec<Runtime>,
    slices: Vec<(Slice, BackendKind)>,
    shutdown: ShutdownSignal,
    budget: ShutdownBudget,
    foreground: Foreground,
}

impl Runtimes {
    /// Builds every runtime that the section names.
    ///
    /// # Errors
    /// [`BuildError`] if one is not compiled in or cannot start.
    pub fn start(section: &RuntimeSection) -> Result<Self, BuildError> {
        let shutdown = ShutdownSignal::default();
        let config = |kind: BackendKind| RuntimeConfig {
            name: match kind {
                BackendKind::Tokio => "annals-tokio",
                BackendKind::Asupersync => "annals-asup",
            },
            workers: section.workers,
            max_blocking: section.max_blocking,
            max_tasks: section.max_tasks,
            env: section.env.clone(),
            shutdown: shutdown.clone(),
        };
        let build = |kind| Runtime::build(kind, &config(kind));
        let default = build(section.default)?;
        let mut others: Vec<Runtime> = Vec::new();
        for &(_, kind) in &section.slices {
            if kind != section.default && others.iter().all(|r| r.kind() != kind) {
                others.push(build(kind)?);
            }
        }
        Ok(Self {
            default,
            others,
            slices: section.slices.clone(),
            shutdown,
            budget: section.shutdown,
            foreground: Foreground::default(),
        })
    }

    /// Lets SIGINT, SIGTERM and SIGHUP end the process in stages: drain, cancel, end. Once per
    /// process.
    ///
    /// # Errors
    /// [`BuildError::Os`] if the handler cannot be installed.
    pub fn handle_signals(&self) -> Result<(), BuildError> {
        signal::install(
            self.shutdown.clone(),
            self.drain_order(),
            self.budget,
            self.foreground.clone(),
        )
        .map_err(BuildError::Os)
    }

    /// The work is over, and the terminal belongs to another program that this process only waits for: from now on SIGINT
    /// is for that one, and any other signal ends the process at once.
    pub fn leave_foreground(&self) {
        self.foreground.leave();
    }

    /// Ends everything: the slices one after the other, then what else runs. `bound` is for all of it together. For the
    /// main thread, once its own work is done; a second call returns the first report.
    pub fn shutdown(&self, bound: Duration) -> DrainReport {
        let begun = process_now();
        let end = begun.after(bound);
        let reason = CancelReason::new(CancelKind::Shutdown, "runtimes", begun);
        self.shutdown.begin(reason.clone());
        self.shutdown.advance(Stage::Cancelling, Some(end));
        self.drain_order().cancel(&reason, end);
        let mut total = DrainReport {
            quiescent: true,
            ..DrainReport::default()
        };
        for runtime in self.others.iter().chain([&self.default]) {
            let report = runtime.shutdown(end.since(process_now()));
            total.quiescent &= report.quiescent;
            total.completed += report.completed;
            total.failed += report.failed;
            total.cancelled += report.cancelled;
            total.panicked += report.panicked;
            total.open_permits += report.open_permits;
            total.stragglers.extend(report.stragglers);
        }
        total.elapsed = process_now().since(begun);
        self.shutdown.advance(Stage::Done, None);
        total
    }

    fn drain_order(&self) -> DrainOrder {
        let slices = Slice::ALL.map(|slice| (slice, self.of(slice).inner().clone()));
        let runtimes = self.others.iter().chain([&self.default]);
        DrainOrder {
            slices: slices.to_vec(),
            runtimes: runtimes.map(|runtime| runtime.inner().clone()).collect(),
        }
    }

    /// The runtime of a slice.
    #[must_use]
    pub fn of(&self, slice: Slice) -> &Runtime {
        let kind = self.kind_of(slice);
        std::iter::once(&self.default)
            .chain(&self.others)
            .find(|r| r.kind() == kind)
            .unwrap_or(&self.default)
    }

    /// The runtime of everything that is not a slice.
    #[must_use]
    pub fn default(&self) -> &Runtime {
        &self.default
    }

    /// The shutdown that all of them take part in.
    #[must_use]
    pub fn shutdown_signal(&self) -> &ShutdownSignal {
        &self.shutdown
    }

    /// Which runtime each slice is on.
    #[must_use]
    pub fn describe(&self) -> Vec<(Slice, BackendKind)> {
        Slice::ALL.into_iter().map(|s| (s, self.kind_of(s))).collect()
    }

    fn kind_of(&self, slice: Slice) -> BackendKind {
        self.slices
            .iter()
            .find(|(s, _)| *s == slice)
            .map_or(self.default.kind(), |(_, kind)| *kind)
    }
}

/// Who ends before whom: what others still use ends after them.
pub(crate) struct DrainOrder {
    slices: Vec<(Slice, Arc<Inner>)>,
    runtimes: Vec<Arc<Inner>>,
}

impl DrainOrder {
    /// Cancels slice after slice, each when the one before it has ended, then everything. A slice that does not end
    /// holds up the others for its share of the time only.
    pub(crate) fn cancel(&self, reason: &CancelReason, end: MonoTime) {
        let mut waiting = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
        for (slice, runtime) in &self.slices {
            let regions = runtime.slices(slice.as_str());
            for region in &regions {
                region.token.raise(reason.clone());
            }
            let now = process_now();
            wait_for(runtime, &regions, now.after(end.since(now) / (waiting + 1)));
            waiting -= 1;
        }
        for runtime in &self.runtimes {
            runtime.cancel_root(reason.clone());
        }
    }
}

/// Waits until nothing runs in these regions. Looking takes a tenth of the time at most.
fn wait_for(runtime: &Inner, regions: &[Arc<RegionInner>], end: MonoTime) {
    loop {
        let begun = process_now();
        if regions.iter().all(|region| runtime.is_quiet(region)) {
            return;
        }
        let now = process_now();
        if now >= end {
            return;
        }
        let pause = (now.since(begun) * 9).max(Duration::from_millis(1));
        thread::sleep(pause.min(end.since(now)));
    }
}
