//! How an HTTP exchange fails: one class, one origin, one phase, and the cause below.
//!
//! An error never shows a path, a query, a header or a byte of a body: any of them can hold a
//! secret. The class comes from the causes themselves, not from their texts.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use annals_core::{CancelReason, Cancelled, Code, Coded, NetworkErrorKind, Report, TaskError, TlsFault};

use crate::net::{NetError, kind_of_io, tls_fault};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// A failed HTTP exchange.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {kind} {phase}: {source}")]
pub struct HttpError {
    /// The class of the failure; [`NetworkErrorKind::is_transient`] says whether an idempotent
    /// request may be sent again.
    pub kind: NetworkErrorKind,
    /// What was wrong with TLS, for the kind `Tls`.
    pub tls: Option<TlsFault>,
    /// `scheme://host:port` of the server that was being talked to; empty if the URL has none.
    pub origin: String,
    /// How far the exchange had come.
    pub phase: Phase,
    source: BoxError,
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing was sent: the request or the client's settings are refused.
    Prepare,
    /// Waiting for one of the host's connections.
    Pool,
    /// Resolving, dialling, proxy CONNECT, TLS.
    Connect,
    /// Sending the request and waiting for the head of the response.
    Head,
    /// Deciding about a redirect.
    Redirect,
    /// Reading the response's body.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "before sending",
            Self::Pool => "waiting for a connection",
            Self::Connect => "while connecting",
            Self::Head => "before the response",
            Self::Redirect => "at a redirect",
            Self::Body => "in the response body",
        })
    }
}

impl HttpError {
    pub(crate) fn new(kind: NetworkErrorKind, origin: &str, phase: Phase, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        let tls = (kind == NetworkErrorKind::Tls).then(|| tls_fault(&*source).unwrap_or(TlsFault::Other));
        Self {
            kind,
            tls,
            origin: origin.to_owned(),
            phase,
            source,
        }
    }

    pub(crate) fn cancelled(origin: &str, phase: Phase, cancelled: Cancelled) -> Self {
        Self::new(NetworkErrorKind::Cancelled, origin, phase, cancelled)
    }

    pub(crate) fn wire(origin: &str, phase: Phase, fault: WireFault) -> Self {
        Self::new(fault.kind, origin, phase, fault.source)
    }

    pub(crate) fn net(origin: &str, phase: Phase, error: NetError) -> Self {
        match error.source.downcast::<Cancelled>() {
            // Kept bare, so that `cancel_reason` finds it.
            Ok(cancelled) => Self::cancelled(origin, phase, *cancelled),
            Err(source) => Self::new(error.kind, origin, phase, source),
        }
    }
}

impl HttpError {
    /// The reason of a cancelled exchange; the kind of any other failure.
    pub(crate) fn into_cancelled(self) -> Result<CancelReason, NetworkErrorKind> {
        match self.source.downcast::<Cancelled>() {
            Ok(cancelled) => Ok(cancelled.0),
            Err(_) => Err(self.kind),
        }
    }
}

impl TaskError for HttpError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.source.downcast_ref::<Cancelled>().map(|c| &c.0)
    }
}

impl Coded for HttpError {
    fn code(&self) -> Code {
        self.cancel_reason()
            .map_or(self.kind.code(), |reason| reason.kind.code())
    }

    fn report(&self) -> Report {
        if self.kind == NetworkErrorKind::Cancelled {
            return Report::new(self.code(), self.to_string());
        }
        let report = self
            .kind
            .report(self.to_string())
            .with_detail("origin", self.origin.as_str());
        match self.tls {
            Some(fault) => report.with_detail("tls", format!("{fault:?}")),
            None => report,
        }
    }
}

/// A failure on an established connection, before it is known whose exchange it ends.
#[derive(Debug)]
pub(crate) struct WireFault {
    pub(crate) kind: NetworkErrorKind,
    pub(crate) source: BoxError,
}

impl WireFault {
    pub(crate) fn new(kind: NetworkErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    pub(crate) fn protocol(what: impl Into<BoxError>) -> Self {
        Self::new(NetworkErrorKind::Protocol, what)
    }

    /// A failure of the caller's own request body.
    pub(crate) fn caller(error: impl Into<BoxError>) -> Self {
        Self::new(NetworkErrorKind::Other, error)
    }

    pub(crate) fn closed_early(what: &'static str) -> Self {
        Self::new(NetworkErrorKind::ClosedEarly, what)
    }

    /// The class of an error from the stream, TLS included.
    pub(crate) fn io(error: io::Error) -> Self {
        Self::new(kind_of_stream_error(&error), error)
    }
}

/// The class of an error that reading from or writing to an established stream gave.
pub(crate) fn kind_of_stream_error(error: &io::Error) -> NetworkErrorKind {
    if tls_fault(error).is_some() {
        return NetworkErrorKind::Tls;
    }
    match (error.kind(), kind_of_io(error)) {
        // The operating system gave the peer up: to the caller, it did not answer.
        (io::ErrorKind::TimedOut, _) => NetworkErrorKind::ReadTimeout,
        (io::ErrorKind::NotConnected, _) => NetworkErrorKind::Reset,
        (io::ErrorKind::WriteZero, _) => NetworkErrorKind::ClosedEarly,
        (_, kind) => kind,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use annals_core::{CancelKind, MonoTime};

    use super::*;

    #[test]
    fn a_cancelled_exchange_counts_as_cancelled() {
        let reason = CancelReason::new(CancelKind::User, "test", MonoTime(1));
        let error = NetError::cancelled("h:1", Cancelled(reason.clone()));
        let error = HttpError::net("http://h:1", Phase::Connect, error);
        assert_eq!(error.cancel_reason(), Some(&reason));
        assert_eq!(
            (error.kind, error.code()),
            (NetworkErrorKind::Cancelled, Code::Cancelled)
        );
        let late = CancelReason::new(CancelKind::Deadline, "test", MonoTime(1));
        assert_eq!(
            HttpError::cancelled("http://h:1", Phase::Body, Cancelled(late)).code(),
            Code::Deadline
        );
    }

    #[test]
    fn a_tls_error_keeps_its_fault_through_io_wrappers() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let fault = WireFault::io(io::Error::new(io::ErrorKind::InvalidData, inner));
        let error = HttpError::wire("https://h:443", Phase::Connect, fault);
        assert_eq!(
            (error.kind, error.tls),
            (NetworkErrorKind::Tls, Some(TlsFault::UnknownIssuer))
        );
    }

    #[test]
    fn errors_of_a_stream_have_a_class() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionReset, NetworkErrorKind::Reset),
            (io::ErrorKind::BrokenPipe, NetworkErrorKind::Reset),
            (io::ErrorKind::ConnectionAborted, NetworkErrorKind::Reset),
            (io::ErrorKind::NotConnected, NetworkErrorKind::Reset),
            (io::ErrorKind::UnexpectedEof, NetworkErrorKind::ClosedEarly),
            (io::ErrorKind::TimedOut, NetworkErrorKind::ReadTimeout),
            (io::ErrorKind::HostUnreachable, NetworkErrorKind::Unreachable),
        ] {
            assert_eq!(kind_of_stream_error(&kind.into()), expected, "{kind:?}");
        }
    }
}
