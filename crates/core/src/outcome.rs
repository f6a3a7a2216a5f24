//! How a piece of work ended, and why somebody asked it to end.
//!
//! These are plain values so that every layer, the command line included, can speak of them
//! without knowing a runtime.

use std::fmt;

use crate::time::MonoTime;

/// How a task, a region or a blocking call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T, E> {
    /// It returned a value.
    Ok(T),
    /// It returned an error of its own.
    Err(E),
    /// It ended because it was asked to.
    Cancelled(CancelReason),
    /// It panicked; the panic was caught.
    Panicked(PanicMsg),
}

impl<T, E> Outcome<T, E> {
    /// The outcome without its payload, for counting and comparing.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Ok(_) => OutcomeKind::Ok,
            Self::Err(_) => OutcomeKind::Err,
            Self::Cancelled(_) => OutcomeKind::Cancelled,
            Self::Panicked(_) => OutcomeKind::Panicked,
        }
    }

    /// The value, if there is one.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Ok(value) => Some(value),
            Self::Err(_) | Self::Cancelled(_) | Self::Panicked(_) => None,
        }
    }

    /// Whether a value was returned.
    pub fn is_ok(&self) -> bool {
        self.kind() == OutcomeKind::Ok
    }

    /// Turns the value, keeping every other ending as it is.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U, E> {
        match self {
            Self::Ok(value) => Outcome::Ok(f(value)),
            Self::Err(error) => Outcome::Err(error),
            Self::Cancelled(reason) => Outcome::Cancelled(reason),
            Self::Panicked(message) => Outcome::Panicked(message),
        }
    }
}

impl<T, E: From<Cancelled> + From<PanicMsg>> Outcome<T, E> {
    /// Folds cancellation and panic into the caller's error type.
    ///
    /// # Errors
    /// The task's own error, or the caller's conversion of [`Cancelled`] or [`PanicMsg`].
    pub fn into_result(self) -> Result<T, E> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Err(error) => Err(error),
            Self::Cancelled(reason) => Err(Cancelled(reason).into()),
            Self::Panicked(message) => Err(message.into()),
        }
    }
}

/// The kind of an [`Outcome`], ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// A value.
    Ok,
    /// An error.
    Err,
    /// A cancellation.
    Cancelled,
    /// A panic.
    Panicked,
}

/// The message of a caught panic, at most 4 KiB, and the task it happened in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {task} panicked: {message}")]
pub struct PanicMsg {
    /// Name of the task.
    pub task: String,
    /// What the panic said.
    pub message: String,
}

impl PanicMsg {
    const LIMIT: usize = 4096;

    /// Reads the payload that `catch_unwind` returned.
    #[must_use]
    pub fn from_payload(task: &str, payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(a panic without a message)");
        let end = text.floor_char_boundary(Self::LIMIT);
        Self {
            task: task.to_owned(),
            message: text.get(..end).unwrap_or_default().to_owned(),
        }
    }
}

/// Why a cancellation was requested, by whom, and when. The first reason wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelReason {
    /// What sort of request it was.
    pub kind: CancelKind,
    /// Region or task it came from.
    pub origin: String,
    /// When it was requested.
    pub at: MonoTime,
    /// More, for a log line.
    pub note: Option<String>,
}

impl CancelReason {
    /// A reason without a note.
    #[must_use]
    pub fn new(kind: CancelKind, origin: impl Into<String>, at: MonoTime) -> Self {
        Self {
            kind,
            origin: origin.into(),
            at,
            note: None,
        }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled ({}) by {}", self.kind, self.origin)?;
        self.note.as_ref().map_or(Ok(()), |note| write!(f, ": {note}"))
    }
}

/// What sort of request a cancellation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelKind {
    /// Code asked for it.
    User,
    /// The process got a signal.
    Signal(Signal),
    /// A deadline passed.
    Deadline,
    /// A sibling failed and the region's policy is to stop at the first failure.
    FailFast,
    /// The runtime is shutting down.
    Shutdown,
    /// The owner of a region let go of it.
    GuardDropped,
    /// More polls than the budget allows.
    PollQuota,
    /// More cost than the budget allows.
    CostQuota,
    /// The client of a request left.
    ClientGone,
    /// It outlived the bound of its region.
    Straggler,
    /// The lab injected it.
    Lab,
}

impl fmt::Display for CancelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Signal(Signal::Int) => "SIGINT",
            Self::Signal(Signal::Term) => "SIGTERM",
            Self::Signal(Signal::Hup) => "SIGHUP",
            Self::Deadline => "deadline",
            Self::FailFast => "fail fast",
            Self::Shutdown => "shutdown",
            Self::GuardDropped => "guard dropped",
            Self::PollQuota => "poll quota",
            Self::CostQuota => "cost quota",
            Self::ClientGone => "client gone",
            Self::Straggler => "straggler",
            Self::Lab => "lab",
        })
    }
}

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT, usually Ctrl-C.
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP.
    Hup,
}

impl Signal {
    /// The exit code of a process that this signal ended: 128 plus its number.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Int => 130,
            Self::Term => 143,
            Self::Hup => 129,
        }
    }
}

/// The error of an operation that was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cancelled(pub CancelReason);

/// An error a task may end with. An error that only reports a cancellation says so, and the task
/// then counts as cancelled, not as failed.
pub trait TaskError: std::error::Error + Send + 'static {
    /// The cancellation this error reports, if it is one.
    fn cancel_reason(&self) -> Option<&CancelReason> {
        None
    }
}

impl TaskError for Cancelled {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        Some(&self.0)
    }
}

impl TaskError for std::convert::Infallible {}
impl TaskError for std::io::Error {}
impl TaskError for PanicMsg {}
