//! The codes of this crate's own error types.

use super::Code;
use crate::net::NetworkErrorKind;
use crate::outcome::{CancelKind, CancelReason, Cancelled, Outcome, PanicMsg, Signal};
use crate::report::{Coded, Report};

impl NetworkErrorKind {
    /// The code of a request that failed this way; whether to repeat it is
    /// [`is_transient`](Self::is_transient).
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Cancelled => Code::Cancelled,
            Self::BadUrl => Code::ConfigInvalid,
            Self::Dns
            | Self::Refused
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::ReadTimeout
            | Self::TotalTimeout
            | Self::Tls
            | Self::Reset
            | Self::ClosedEarly
            | Self::BodyTooLarge
            | Self::Protocol
            | Self::TooManyRedirects
            | Self::RedirectRefused
            | Self::Proxy
            | Self::PoolBusy
            | Self::NotAdmitted
            | Self::Other => Code::Network,
        }
    }

    /// The report of a request that failed this way: code, whether to repeat, kind in the details.
    #[must_use]
    pub fn report(self, message: impl Into<String>) -> Report {
        let mut report = Report::new(self.code(), message);
        if report.code == Code::Network {
            report.retryable = self.is_transient();
            report = report.with_detail("kind", self.as_str());
        }
        report
    }
}

impl CancelKind {
    /// The code of work that was cancelled for this reason.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Deadline | Self::PollQuota | Self::CostQuota => Code::Deadline,
            Self::User
            | Self::Signal(_)
            | Self::FailFast
            | Self::Shutdown
            | Self::GuardDropped
            | Self::ClientGone
            | Self::Straggler
            | Self::Lab => Code::Cancelled,
        }
    }

    /// The signal behind it, if there was one: it decides the exit code.
    #[must_use]
    pub const fn signal(self) -> Option<Signal> {
        match self {
            Self::Signal(signal) => Some(signal),
            Self::User
            | Self::Deadline
            | Self::FailFast
            | Self::Shutdown
            | Self::GuardDropped
            | Self::PollQuota
            | Self::CostQuota
            | Self::ClientGone
            | Self::Straggler
            | Self::Lab => None,
        }
    }
}

impl CancelReason {
    /// The code of work that was cancelled for this reason.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.kind.code()
    }
}

impl Coded for Cancelled {
    fn code(&self) -> Code {
        self.0.code()
    }
}

impl Coded for PanicMsg {
    fn code(&self) -> Code {
        Code::Internal
    }

    /// What a panic said belongs into the log only.
    fn report(&self) -> Report {
        Report::new(Code::Internal, format!("task {} panicked", self.task))
    }
}

impl<T, E: Coded> Outcome<T, E> {
    /// The code of an ending without a value.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Ok(_) => None,
            Self::Err(error) => Some(error.code()),
            Self::Cancelled(reason) => Some(reason.code()),
            Self::Panicked(message) => Some(message.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MonoTime;

    #[test]
    fn every_network_kind_has_its_code() {
        for kind in NetworkErrorKind::ALL {
            let report = kind.report("failed");
            match kind {
                NetworkErrorKind::Cancelled => assert_eq!(report.code, Code::Cancelled),
                NetworkErrorKind::BadUrl => assert_eq!(report.code, Code::ConfigInvalid),
                _ => {
                    assert_eq!(report.code, Code::Network);
                    assert_eq!(report.retryable, kind.is_transient(), "{kind}");
                    assert_eq!(report.details["kind"], kind.as_str());
                }
            }
        }
    }

    #[test]
    fn quotas_are_deadlines_and_the_rest_is_cancelled() {
        let deadline = [CancelKind::Deadline, CancelKind::PollQuota, CancelKind::CostQuota];
        assert!(deadline.iter().all(|kind| kind.code() == Code::Deadline));
        for kind in [
            CancelKind::User,
            CancelKind::Signal(Signal::Hup),
            CancelKind::ClientGone,
        ] {
            assert_eq!(kind.code(), Code::Cancelled);
        }
        assert_eq!(CancelKind::Signal(Signal::Term).signal(), Some(Signal::Term));
        assert_eq!(CancelKind::Shutdown.signal(), None);
    }

    #[test]
    fn a_panic_is_internal_and_its_message_stays_in_the_log() {
        let panic = PanicMsg {
            task: "writer".to_owned(),
            message: "glpat-secret".to_owned(),
        };
        let report = panic.report();
        assert_eq!(report.code, Code::Internal);
        assert!(!report.message.contains("glpat"));
        let outcome: Outcome<(), Cancelled> = Outcome::Panicked(panic);
        assert_eq!(outcome.code(), Some(Code::Internal));
        let reason = CancelReason::new(CancelKind::Deadline, "request", MonoTime(0));
        assert_eq!(Outcome::<(), Cancelled>::Cancelled(reason).code(), Some(Code::Deadline));
    }
}
