//! Which runtime runs which part of the process: one line of configuration each.

use crate::backend::BackendKind;
use crate::runtime::{BuildError, Environment, Runtime, RuntimeConfig};
use crate::shutdown::ShutdownSignal;
use crate::signal::{self, ShutdownBudget};

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
        })
    }

    /// Lets SIGINT, SIGTERM and SIGHUP end the process in stages: drain, cancel, end. Once per
    /// process.
    ///
    /// # Errors
    /// [`BuildError::Os`] if the handler cannot be installed.
    pub fn handle_signals(&self) -> Result<(), BuildError> {
        let runtimes = std::iter::once(&self.default)
            .chain(&self.others)
            .map(|r| r.inner().clone())
            .collect();
        signal::install(self.shutdown.clone(), runtimes, self.budget).map_err(BuildError::Os)
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
