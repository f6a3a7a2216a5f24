//! How a command ends without its answer.

use annals_core::{CancelReason, Cancelled, Code, Coded, Report, TaskError};

/// The end of a command that did not go well, or that nobody wanted to see to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It failed; this is what is told.
    #[error("{}", .0.message)]
    Told(Box<Report>),
    /// It was asked to end.
    #[error("{reason}")]
    Cancelled {
        /// By what.
        reason: CancelReason,
        /// What is told beside that.
        details: Option<Box<serde_json::Value>>,
    },
    /// Nobody reads the answer any more: not a failure.
    #[error("nobody reads the answer")]
    ClosedPipe,
}

impl Error {
    /// From the error of a library: its report, or the cancellation it stands for. The causes go to the log, because
    /// only the log should have them.
    pub fn of<E: Coded + TaskError>(error: &E) -> Self {
        if let Some(reason) = error.cancel_reason() {
            return Cancelled(reason.clone()).into();
        }
        let mut cause = std::error::Error::source(error);
        while let Some(known) = cause {
            tracing::info!(code = error.code().as_str(), "caused by: {known}");
            cause = known.source();
        }
        error.report().into()
    }

    /// What is told.
    pub fn report(&self) -> Report {
        match self {
            Self::Told(report) => (**report).clone(),
            Self::Cancelled { reason, details } => {
                let mut report = stopped(reason);
                if let Some(details) = details {
                    report.details = (**details).clone();
                    report.suggestion =
                        Some("what was stored stays, and the same command goes on from there".to_owned());
                }
                report
            }
            Self::ClosedPipe => Report::new(Code::Internal, self.to_string()),
        }
    }
}

/// The report of a command that was asked to end.
pub fn stopped(reason: &CancelReason) -> Report {
    let message = match reason.kind.signal() {
        Some(_) => format!("stopped by {}", reason.kind),
        None => reason.to_string(),
    };
    Report::new(reason.code(), message)
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            // One with details keeps them: it is told as it is.
            Self::Cancelled { reason, details: None } => Some(reason),
            Self::Cancelled { .. } | Self::Told(_) | Self::ClosedPipe => None,
        }
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Self::Told(Box::new(report))
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled {
            reason: cancelled.0,
            details: None,
        }
    }
}
