//! Why a sync did not do all it set out to do.

use annals_core::{CancelReason, Code, Coded, PanicMsg, Report, RunId, TaskError};
use annals_db::control::Holder;
use annals_net_adapter::BudgetExceeded;

use crate::engine::SyncResult;
use crate::forge::ForgeError;
use crate::surgical::{PreflightFailed, RequestError};
use crate::target::TargetError;
use crate::verify::VerifyResult;

/// A failure of the sync engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is not the address of a project.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The file has no project of this name.
    #[error("no project {path} is mirrored here")]
    UnknownProject {
        /// The name that was given.
        path: String,
    },
    /// Several forges of the file have a project of this name.
    #[error("several projects are called {path}")]
    AmbiguousProject {
        /// The name that was given.
        path: String,
        /// Their addresses.
        candidates: Vec<String>,
    },
    /// The forge is switched off in the configuration.
    #[error("the forge {name} is switched off")]
    ForgeDisabled {
        /// Its name.
        name: String,
    },
    /// The file holds a forge that this version cannot read.
    #[error("the forge {name} is of a kind that this version does not read")]
    ForgeUnsupported {
        /// Its name.
        name: String,
    },
    /// The HTTPS settings of a forge cannot be used.
    #[error("cannot set up a connection to {host}: {why}")]
    Client {
        /// Host and port.
        host: String,
        /// What is wrong.
        why: String,
        /// The row of the table.
        code: Code,
    },
    /// Another run is at this project.
    #[error("another sync of {project} is under way: {}", who(holder))]
    InProgress {
        /// The project's path.
        project: String,
        /// Who holds its lock.
        holder: Box<Holder>,
    },
    /// The entities that were named cannot be synced together.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The ledger has no such run.
    #[error("there is no sync run {run_id}")]
    UnknownRun {
        /// What was asked for.
        run_id: RunId,
    },
    /// The run is not over.
    #[error("sync run {run_id} is still under way")]
    RunActive {
        /// Which.
        run_id: RunId,
    },
    /// Something that was named could not be fetched, and nothing was changed.
    #[error("{0}")]
    Preflight(Box<PreflightFailed>),
    /// The forge, or the way to it.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// The file.
    #[error(transparent)]
    Db(#[from] annals_db::Error),
    /// Documents could not be made.
    #[error(transparent)]
    Search(#[from] annals_search::Error),
    /// The run ended, and not everything in it went well.
    #[error("{}", incomplete_message(.0))]
    Incomplete(Box<Incomplete>),
    /// A verification found what is wrong and was not mended.
    #[error("{} of {} findings are left", .0.left(), .0.findings.len())]
    Findings(Box<VerifyResult>),
    /// A verification could not go on, and had found something by then.
    #[error("{cause}; before that {} findings were made", .result.findings.len())]
    Unverified {
        /// Why it could not go on.
        cause: Box<Self>,
        /// What it had found.
        result: Box<VerifyResult>,
    },
    /// The run was asked to stop. What it had stored stays; the next run goes on from there.
    #[error("the sync was cancelled: {reason}")]
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// What it had done by then, if it had begun.
        result: Option<Box<SyncResult>>,
    },
    /// The end of a run, or of a part of it, could not be recorded in time.
    #[error("the end of the sync could not be recorded: {0}")]
    Unfinished(#[source] BudgetExceeded),
    /// A bug.
    #[error(transparent)]
    Panicked(#[from] PanicMsg),
}

/// A run that ended with failures.
#[derive(Debug)]
pub struct Incomplete {
    /// `partial`, or the one code of all failures where nothing was stored.
    pub code: Code,
    /// What was done all the same.
    pub result: SyncResult,
    /// Everything that failed, in order of projects and streams; never empty.
    pub failures: Vec<Failure>,
}

/// One thing that failed in a run.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The project's path, or what was given for one.
    pub project: Option<String>,
    /// The stream or set.
    pub part: Option<String>,
    /// What happened.
    pub report: Report,
}

impl Failure {
    /// As a member of `details.failures`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "project": self.project,
            "part": self.part,
            "code": self.report.code.as_str(),
            "message": self.report.message,
            "retryable": self.report.retryable,
        })
    }
}

/// The holder of a lock, so that a person can find it.
fn who(holder: &Holder) -> String {
    let run = holder.run_id.as_ref().map_or_else(String::new, |run| {
        let begin: String = run.as_str().chars().take(8).collect();
        format!(", run {begin}…")
    });
    format!(
        "{} (process {} on {}{run}) since {} s",
        holder.holder,
        holder.process.pid,
        holder.process.host,
        holder.age_ms / 1000
    )
}

fn incomplete_message(incomplete: &Incomplete) -> String {
    let first = incomplete.failures.first().map(|failure| {
        let place = [failure.project.as_deref(), failure.part.as_deref()]
            .into_iter()
            .flatten();
        let place: Vec<_> = place.collect();
        if place.is_empty() {
            failure.report.message.clone()
        } else {
            format!("{}: {}", place.join(" "), failure.report.message)
        }
    });
    let first = first.unwrap_or_default();
    match incomplete.failures.len() {
        0 | 1 => first,
        n => format!("{first} (and {} more)", n - 1),
    }
}

impl Error {
    /// The row of the table of codes.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Target(_) => Code::Usage,
            Self::UnknownProject { .. } => Code::NotFound,
            Self::AmbiguousProject { .. } => Code::Ambiguous,
            Self::ForgeDisabled { .. } | Self::ForgeUnsupported { .. } => Code::OptionOff,
            Self::Client { code, .. } => *code,
            Self::InProgress { .. } => Code::SyncInProgress,
            Self::Request(_) => Code::Usage,
            Self::UnknownRun { .. } => Code::NotFound,
            Self::RunActive { .. } => Code::RunActive,
            Self::Preflight(failed) => failed.code(),
            Self::Forge(error) => error.code(),
            Self::Db(error) => error.code(),
            Self::Search(error) => Coded::code(error),
            Self::Incomplete(incomplete) => incomplete.code,
            Self::Findings(_) => Code::CheckFailed,
            Self::Unverified { cause, .. } => cause.code(),
            Self::Cancelled { reason, .. } => reason.code(),
            Self::Unfinished(_) => Code::Deadline,
            Self::Panicked(message) => message.code(),
        }
    }

    /// What is told about it.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Target(error) => {
                let report = Report::new(Code::Usage, error.to_string());
                match error.hint() {
                    Some(hint) => report.with_suggestion(hint.clone()).with_action(hint),
                    None => report,
                }
            }
            Self::AmbiguousProject { candidates, .. } => {
                Report::new(Code::Ambiguous, self.to_string()).with_detail("candidates", candidates.clone())
            }
            Self::InProgress { holder, .. } => holder.describe(Report::new(Code::SyncInProgress, self.to_string())),
            Self::UnknownRun { .. } => Report::new(Code::NotFound, self.to_string()).with_action("annals sync-runs"),
            Self::RunActive { run_id } => Report::new(Code::RunActive, self.to_string())
                .with_values(&[("R", run_id.as_str())])
                .with_detail("run_id", run_id.as_str()),
            Self::Preflight(failed) => failed.report(),
            Self::Forge(error) => error.report(),
            Self::Db(error) => error.report(),
            Self::Search(error) => error.report(),
            Self::Incomplete(incomplete) => self.describe(incomplete),
            Self::Findings(result) => result.describe(Report::new(self.code(), self.to_string())),
            Self::Unverified { cause, result } => result.describe(cause.report()),
            Self::Cancelled { result, .. } => {
                let report = Report::new(self.code(), self.to_string());
                match result {
                    Some(result) => result.describe(report),
                    None => report,
                }
            }
            Self::Panicked(message) => message.report(),
            Self::UnknownProject { .. }
            | Self::ForgeDisabled { .. }
            | Self::ForgeUnsupported { .. }
            | Self::Client { .. }
            | Self::Request(_)
            | Self::Unfinished(_) => Report::new(self.code(), self.to_string()),
        }
    }

    fn describe(&self, incomplete: &Incomplete) -> Report {
        let run = run_values(&incomplete.result.run_id);
        let first = incomplete.failures.first().map(|failure| &failure.report);
        let report = match first {
            Some(first) if incomplete.code != Code::Partial => Report {
                message: self.to_string(),
                ..first.clone()
            },
            _ => Report::new(incomplete.code, self.to_string()).with_values(&[("R", &run)]),
        };
        let wait = incomplete
            .failures
            .iter()
            .filter_map(|failure| failure.report.retry_after_ms)
            .max();
        let report = wait.map_or(report.clone(), |ms| report.with_retry_after_ms(ms));
        let failures: Vec<_> = incomplete.failures.iter().map(Failure::to_json).collect();
        incomplete.result.describe(report).with_detail("failures", failures)
    }
}

fn run_values(run_id: &RunId) -> String {
    run_id.as_str().to_owned()
}

impl Coded for Error {
    fn code(&self) -> Code {
        Self::code(self)
    }

    fn report(&self) -> Report {
        Self::report(self)
    }
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Cancelled { reason, .. } => Some(reason),
            Self::Forge(error) => TaskError::cancel_reason(error),
            Self::Db(error) => error.cancel_reason(),
            Self::Search(error) => error.cancel_reason(),
            _ => None,
        }
    }
}

impl From<annals_core::Cancelled> for Error {
    fn from(cancelled: annals_core::Cancelled) -> Self {
        Self::Cancelled {
            reason: cancelled.0,
            result: None,
        }
    }
}

impl From<annals_net_adapter::Stop> for Error {
    fn from(stop: annals_net_adapter::Stop) -> Self {
        Self::Cancelled {
            reason: stop.reason().clone(),
            result: None,
        }
    }
}
