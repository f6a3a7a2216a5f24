//! What can go wrong below HTTP.

use std::io;
use std::net::SocketAddr;

use annals_core::{CancelReason, Cancelled, NetworkErrorKind, TaskError};

/// A failure to resolve, dial, listen, accept or shake hands.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {kind}: {source}")]
pub struct NetError {
    /// The class of the failure.
    pub kind: NetworkErrorKind,
    /// `host:port`.
    pub at: String,
    /// What the system said.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl NetError {
    pub(crate) fn new(
        kind: NetworkErrorKind,
        at: impl ToString,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            at: at.to_string(),
            source: source.into(),
        }
    }

    pub(crate) fn io(at: impl ToString, source: io::Error) -> Self {
        Self::new(kind_of_io(&source), at, source)
    }

    pub(crate) fn cancelled(at: impl ToString, cancelled: Cancelled) -> Self {
        Self::new(NetworkErrorKind::Cancelled, at, cancelled)
    }
}

impl TaskError for NetError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.source.downcast_ref::<Cancelled>().map(|c| &c.0)
    }
}

/// The class of an operating system error on a socket.
#[must_use]
pub fn kind_of_io(error: &io::Error) -> NetworkErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NetworkErrorKind::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => NetworkErrorKind::Unreachable,
        io::ErrorKind::TimedOut => NetworkErrorKind::ConnectTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            NetworkErrorKind::Reset
        }
        io::ErrorKind::UnexpectedEof => NetworkErrorKind::ClosedEarly,
        _ => NetworkErrorKind::Other,
    }
}

/// An address that a rule forbids.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{address} is not allowed: {rule}")]
pub struct NotAdmitted {
    /// The address that was refused.
    pub address: SocketAddr,
    /// The rule that refused it.
    pub rule: String,
}
