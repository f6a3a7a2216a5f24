//! What to run, and how it ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use annals_core::{CancelReason, TaskError};
use bytes::Bytes;

/// A child process to be started.
#[derive(Clone)]
pub struct CommandSpec {
    /// The program: a path, or a name that is looked up in the `PATH` of [`Self::env`].
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where it runs; by default where Annals does.
    pub cwd: Option<PathBuf>,
    /// What it reads first.
    pub stdin: Bytes,
    /// It is killed when it writes more than this.
    pub max_stdout: u64,
    /// So many of the last bytes of its error output are kept.
    pub stderr_tail: usize,
    /// It is killed when it takes longer.
    pub timeout: Duration,
    /// How long it has to end when it is asked to.
    pub grace: Duration,
}

impl CommandSpec {
    /// A program without arguments, environment or input, for ten minutes and 64 MiB at most.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Bytes::new(),
            max_stdout: 64 << 20,
            stderr_tail: 64 << 10,
            timeout: Duration::from_secs(600),
            grace: Duration::from_secs(2),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl std::fmt::Debug for CommandSpec {
    /// Without arguments, input and values: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandSpec")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcStatus {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What a process left.
#[derive(Debug, Clone)]
pub struct ProcOutput {
    /// How it ended.
    pub status: ProcStatus,
    /// What it wrote and nobody has read yet.
    pub stdout: Bytes,
    /// The end of its error output.
    pub stderr: Bytes,
    /// Time it took.
    pub elapsed: Duration,
}

/// Why there is no output of a process.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// There is no such program.
    #[error("start {0}: there is no such program")]
    NotFound(String),
    /// It could not be started.
    #[error("start a process: {0}")]
    Spawn(#[source] std::io::Error),
    /// It was killed because it took too long.
    #[error("the process was ended after {0:?}")]
    Timeout(Duration),
    /// It was killed because the caller was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
    /// It was killed because it wrote too much.
    #[error("the process was ended after it had written more than {limit} bytes")]
    OutputTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Talking to it failed.
    #[error("talk to the process: {0}")]
    Io(#[source] std::io::Error),
    /// This host starts no processes.
    #[error("start a process: not available on this host")]
    Denied,
}

impl TaskError for ProcError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Cancelled(reason) => Some(reason),
            Self::NotFound(_)
            | Self::Spawn(_)
            | Self::Timeout(_)
            | Self::OutputTooLarge { .. }
            | Self::Io(_)
            | Self::Denied => None,
        }
    }
}
