//! Which operation fails, and how.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What SQLite asks of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Opening or creating a file.
    Open,
    /// Removing one.
    Delete,
    /// Asking whether one is there.
    Access,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Cutting a file short.
    Truncate,
    /// Forcing what was written to the medium.
    Sync,
    /// Asking how long a file is.
    Size,
    /// Locking the file.
    Lock,
    /// Sharing memory with other connections.
    ShareMap,
    /// Locking a part of that memory.
    ShareLock,
}

/// Which file of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The database itself.
    Main,
    /// Its write-ahead log.
    Log,
    /// Its rollback journal.
    Journal,
}

impl Part {
    pub(super) fn of_suffix(suffix: &[u8]) -> Option<Self> {
        match suffix {
            b"" => Some(Self::Main),
            b"-wal" => Some(Self::Log),
            b"-journal" => Some(Self::Journal),
            _ => None,
        }
    }
}

/// One operation on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// What was done.
    pub operation: Operation,
    /// To which file.
    pub part: Part,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.operation, self.part)
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The medium does not obey. Of a write the first half is done.
    Io,
    /// There is no room: writes fail, everything else works.
    Full,
    /// Somebody else has locked the file: locks fail, everything else works.
    Busy,
}

impl Failure {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Io, Self::Full, Self::Busy];

    /// Its name in a line that replays a test.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Full => "full",
            Self::Busy => "busy",
        }
    }

    /// Whether an operation can fail like this.
    #[must_use]
    pub const fn befalls(self, operation: Operation) -> bool {
        match self {
            Self::Io => true,
            Self::Full => matches!(operation, Operation::Write),
            Self::Busy => matches!(operation, Operation::Lock | Operation::ShareLock),
        }
    }
}

/// For how long it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lasting {
    /// Once; then it works again.
    Once,
    /// From then on. With [`Failure::Io`] nothing reaches the files any more, as if the process had been killed there.
    Ever,
}

/// A planned failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Which step it hits, from one.
    pub at: usize,
    /// How that fails.
    pub failure: Failure,
    /// And for how long.
    pub lasting: Lasting,
}

/// What was done to one database, and what is to fail.
#[derive(Debug, Default)]
pub struct Plan(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    steps: Vec<Step>,
    blow: Option<Blow>,
    struck: Option<Step>,
    failed: usize,
}

impl Plan {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn strike(&self, blow: Blow) {
        self.state().blow = Some(blow);
    }

    pub(super) fn heal(&self) {
        self.state().blow = None;
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    pub(super) fn struck(&self) -> Option<Step> {
        self.state().struck
    }

    /// How many steps failed so far.
    pub(super) fn failed(&self) -> usize {
        self.state().failed
    }

    /// Counts a step. Returns how it fails, if it does.
    pub(super) fn take(&self, step: Step) -> Option<Failure> {
        let mut state = self.state();
        state.steps.push(step);
        let number = state.steps.len();
        let blow = state.blow?;
        let is_hit = match blow.lasting {
            Lasting::Once => number == blow.at,
            Lasting::Ever => number >= blow.at,
        };
        let fails = is_hit && blow.failure.befalls(step.operation);
        if fails {
            state.failed += 1;
            state.struck.get_or_insert(step);
        }
        fails.then_some(blow.failure)
    }
}
