//! What a forge, or the way to it, can fail with.

use std::time::Duration;

use annals_core::{CancelReason, Cancelled, Code, Coded, NetworkErrorKind, Report, TaskError};
use annals_net_adapter::Stop;
use annals_net_adapter::http::HttpError;

use super::budget::NoRoom;
use super::paging::PagingFault;
use super::raw::BadBody;

/// Why a fetch ended without an answer. None of these holds a token, a query or a body.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// 401 although a token was sent.
    #[error("{host} rejected the token")]
    AuthRejected {
        /// Host and port.
        host: String,
    },
    /// 401 and there is no token.
    #[error("{host} wants a token and none is set")]
    TokenMissing {
        /// Host and port.
        host: String,
        /// The environment variables that were looked at.
        variables: Vec<String>,
    },
    /// The token cannot be a header.
    #[error("the token for {host} cannot be used: {why}")]
    TokenUnusable {
        /// Host and port.
        host: String,
        /// Why.
        why: &'static str,
    },
    /// The forge asks for more patience than this run has.
    #[error("{host} asks to wait {}", seconds(*.retry_after))]
    RateLimited {
        /// Host and port.
        host: String,
        /// How long.
        retry_after: Duration,
    },
    /// 403 or 451: it exists, but not for us. Nothing is marked as deleted.
    #[error("{host} forbids reading {what}")]
    Forbidden {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// 404 or 410 where something had to be.
    #[error("{host} has no {what}")]
    NotFound {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The request did not get an answer.
    #[error("the request to {host} failed: {kind}")]
    Network {
        /// Host and port.
        host: String,
        /// The class.
        kind: NetworkErrorKind,
        /// What the client said; for the log.
        #[source]
        source: Option<Box<HttpError>>,
    },
    /// 5xx through all tries.
    #[error("{host} answered {status}")]
    Server {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
    },
    /// An answer that cannot be trusted.
    #[error("{host} answered {what}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What was wrong with it.
        what: String,
    },
    /// A way of asking that the forge refuses (400, 405, 416, 422).
    #[error("{host} refused the request with {status}")]
    Refused {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
    },
    /// A list that cannot be walked further.
    #[error("{host}: {fault}")]
    Paging {
        /// Host and port.
        host: String,
        /// Why.
        fault: PagingFault,
    },
    /// A list that kept moving while it was read.
    #[error("{host}: a list kept moving while it was read")]
    WindowUnstable {
        /// Host and port.
        host: String,
    },
    /// A set over the limit.
    #[error("a set of {host} is over {limit} bytes")]
    SetTooLarge {
        /// Host and port.
        host: String,
        /// The limit in decoded bytes.
        limit: u64,
    },
    /// Everything that was asked for together is over the limit.
    #[error("what was asked for is over {limit} bytes together")]
    TooMuch {
        /// The limit in decoded bytes.
        limit: u64,
    },
    /// The process drains, or this task was cancelled.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

fn seconds(d: Duration) -> String {
    format!("{} s", d.as_secs_f64().ceil())
}

impl ForgeError {
    /// A page or item that is not what it should be.
    pub(crate) fn protocol(host: &str, what: impl Into<String>) -> Self {
        Self::Protocol {
            host: host.to_owned(),
            what: what.into(),
        }
    }

    /// A body that is not the JSON it should be.
    pub(crate) fn body(host: &str, bad: BadBody) -> Self {
        Self::protocol(host, bad.to_string())
    }

    /// A client error; a cancellation among them keeps its reason.
    pub(crate) fn http(host: &str, error: HttpError) -> Self {
        match error.cancel_reason() {
            Some(reason) => Self::Stopped(Stop::Cancelled(reason.clone())),
            None => Self::Network {
                host: host.to_owned(),
                kind: error.kind,
                source: Some(Box::new(error)),
            },
        }
    }

    /// Whether the process drains or this task was cancelled, and why.
    #[must_use]
    pub fn stop(&self) -> Option<&Stop> {
        match self {
            Self::Stopped(stop) => Some(stop),
            _ => None,
        }
    }

    /// Whether nothing else of this host can succeed in this run.
    #[must_use]
    pub fn ends_host(&self) -> bool {
        matches!(
            self,
            Self::AuthRejected { .. } | Self::TokenMissing { .. } | Self::TokenUnusable { .. }
        )
    }

    /// Whether the host, not the item, is what failed: the items behind it will fail alike.
    #[must_use]
    pub fn blames_host(&self) -> bool {
        self.ends_host() || matches!(self, Self::RateLimited { .. })
    }

    /// Whether it says nothing about what was asked for: the forge, or the way to it, was away, and
    /// every other request would have met the same.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Network { kind, .. } => kind.is_transient(),
            Self::Server { .. } => true,
            _ => self.blames_host(),
        }
    }

    /// How long the forge wants us away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The status of the answer behind it, where one answer is and its status is known.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::AuthRejected { .. } | Self::TokenMissing { .. } => Some(401),
            Self::Forbidden { .. } => Some(403),
            Self::NotFound { .. } => Some(404),
            Self::Server { status, .. } | Self::Refused { status, .. } => Some(*status),
            Self::TokenUnusable { .. }
            | Self::RateLimited { .. }
            | Self::Network { .. }
            | Self::Protocol { .. }
            | Self::Paging { .. }
            | Self::WindowUnstable { .. }
            | Self::SetTooLarge { .. }
            | Self::TooMuch { .. }
            | Self::Stopped(_) => None,
        }
    }
}

impl From<NoRoom> for ForgeError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Cancelled(cancelled) => cancelled.into(),
            NoRoom::Refused { limit } => Self::TooMuch { limit },
        }
    }
}

impl From<Cancelled> for ForgeError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Stopped(Stop::Cancelled(cancelled.0))
    }
}

impl Coded for ForgeError {
    fn code(&self) -> Code {
        match self {
            Self::AuthRejected { .. } => Code::AuthRejected,
            Self::TokenMissing { .. } => Code::TokenMissing,
            Self::TokenUnusable { .. } => Code::ConfigInvalid,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::NotFound { .. } => Code::NotFoundRemote,
            Self::Network { kind, .. } => kind.code(),
            Self::Server { .. } => Code::Network,
            Self::Protocol { .. } | Self::Refused { .. } => Code::Protocol,
            Self::Paging {
                fault: PagingFault::Loop { .. },
                ..
            } => Code::PageLoop,
            Self::Paging {
                fault: PagingFault::ForeignLink { .. },
                ..
            } => Code::PageLinkForeign,
            Self::Paging {
                fault: PagingFault::Header { .. },
                ..
            } => Code::Protocol,
            Self::WindowUnstable { .. } => Code::WindowUnstable,
            Self::SetTooLarge { .. } => Code::SetTooLarge,
            Self::TooMuch { .. } => Code::PreflightTooLarge,
            Self::Stopped(stop) => stop.reason().code(),
        }
    }

    fn report(&self) -> Report {
        match self {
            Self::Network { kind, host, .. } => kind.report(self.to_string()).with_detail("host", host.as_str()),
            Self::Server { host, status } => {
                let mut report = Report::new(Code::Network, self.to_string());
                report.retryable = true;
                report.with_detail("host", host.as_str()).with_detail("status", *status)
            }
            Self::RateLimited { host, retry_after } => Report::new(Code::RateLimited, self.to_string())
                .with_detail("host", host.as_str())
                .with_retry_after_ms(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX)),
            Self::TokenMissing { host, variables } => {
                let report = Report::new(Code::TokenMissing, self.to_string()).with_detail("host", host.as_str());
                if variables.is_empty() {
                    return report;
                }
                report.with_suggestion(format!("set {} to a token with read_api", variables.join(" or ")))
            }
            _ => Report::new(self.code(), self.to_string()),
        }
    }
}

impl TaskError for ForgeError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.stop().map(Stop::reason)
    }
}
