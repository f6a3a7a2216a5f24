//! How a network operation can fail, without naming a client library.

use std::fmt;

/// The class of a network failure. Matches on it are exhaustive, without a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkErrorKind {
    /// The name did not resolve.
    Dns,
    /// Nobody listens at the address.
    Refused,
    /// No route to the network or host.
    Unreachable,
    /// Dial, proxy CONNECT and TLS together took too long.
    ConnectTimeout,
    /// No response head, or no next piece of the body, in time.
    ReadTimeout,
    /// The whole exchange took too long.
    TotalTimeout,
    /// The TLS handshake or record layer failed.
    Tls,
    /// The peer reset the connection.
    Reset,
    /// The connection ended before the message did.
    ClosedEarly,
    /// The decoded body is larger than the caller's limit.
    BodyTooLarge,
    /// The peer did not speak HTTP/1.1.
    Protocol,
    /// A redirect loop, or more redirects than allowed.
    TooManyRedirects,
    /// A redirect that must not be followed, such as https to http.
    RedirectRefused,
    /// The proxy refused, failed or is of a kind that is not supported.
    Proxy,
    /// No connection slot for this host became free in time.
    PoolBusy,
    /// The URL cannot be requested.
    BadUrl,
    /// A rule forbids the address.
    NotAdmitted,
    /// The caller was cancelled.
    Cancelled,
    /// Anything else; no tested fault maps to it.
    Other,
}

impl NetworkErrorKind {
    /// Every kind, in the order of the table in the documentation.
    pub const ALL: [Self; 19] = [
        Self::Dns,
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::ReadTimeout,
        Self::TotalTimeout,
        Self::Tls,
        Self::Reset,
        Self::ClosedEarly,
        Self::BodyTooLarge,
        Self::Protocol,
        Self::TooManyRedirects,
        Self::RedirectRefused,
        Self::Proxy,
        Self::PoolBusy,
        Self::BadUrl,
        Self::NotAdmitted,
        Self::Cancelled,
        Self::Other,
    ];

    /// Whether the same idempotent request may succeed when sent again.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Refused
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::ReadTimeout
            | Self::TotalTimeout
            | Self::Reset
            | Self::ClosedEarly
            | Self::PoolBusy => true,
            Self::Dns
            | Self::Tls
            | Self::BodyTooLarge
            | Self::Protocol
            | Self::TooManyRedirects
            | Self::RedirectRefused
            | Self::Proxy
            | Self::BadUrl
            | Self::NotAdmitted
            | Self::Cancelled
            | Self::Other => false,
        }
    }

    /// The stable name used in details and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "Dns",
            Self::Refused => "Refused",
            Self::Unreachable => "Unreachable",
            Self::ConnectTimeout => "ConnectTimeout",
            Self::ReadTimeout => "ReadTimeout",
            Self::TotalTimeout => "TotalTimeout",
            Self::Tls => "Tls",
            Self::Reset => "Reset",
            Self::ClosedEarly => "ClosedEarly",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::Protocol => "Protocol",
            Self::TooManyRedirects => "TooManyRedirects",
            Self::RedirectRefused => "RedirectRefused",
            Self::Proxy => "Proxy",
            Self::PoolBusy => "PoolBusy",
            Self::BadUrl => "BadUrl",
            Self::NotAdmitted => "NotAdmitted",
            Self::Cancelled => "Cancelled",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for NetworkErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What exactly was wrong with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// No trusted root vouches for the certificate.
    UnknownIssuer,
    /// The certificate is for another name.
    WrongName,
    /// The certificate is not valid now.
    Expired,
    /// The peer does not speak TLS.
    Plaintext,
    /// Anything else.
    Other,
}
