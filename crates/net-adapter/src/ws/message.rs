//! What is said over a WebSocket, how it ends, and the settings of one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use annals_core::{CancelReason, Code, Coded, NetworkErrorKind, TaskError};
use bytes::Bytes;
use http::HeaderMap;

use crate::http::ProxyConfig;
use crate::net::{Admission, TlsClient};

/// A message, or a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WsMsg {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// The peer asks whether this end lives; the answer is sent without the receiver's doing.
    Ping(Bytes),
    /// The peer answers.
    Pong(Bytes),
}

impl From<&str> for WsMsg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for WsMsg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// How a WebSocket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WsEnd {
    /// Both sides said goodbye.
    Clean {
        /// The peer's code; 1005 if it gave none.
        code: u16,
        /// The peer's reason.
        reason: String,
    },
    /// The connection was lost or given up. Whether the last messages arrived is unknown.
    Abnormal(NetworkErrorKind),
}

/// Why a WebSocket gives or takes no message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WsError {
    /// It has ended.
    #[error("the WebSocket has ended: {0}")]
    Ended(WsEnd),
    /// The server does not want to speak WebSocket, or does it wrong.
    #[error("the WebSocket handshake failed{}", Status(*status))]
    Handshake {
        /// The status it answered with.
        status: Option<u16>,
    },
    /// A message was larger than allowed; the peer was told with 1009. Or one to be sent does not fit in its frame.
    #[error("a WebSocket message larger than {limit} bytes")]
    TooBig {
        /// The limit.
        limit: usize,
    },
    /// The connection failed, or the peer broke the protocol.
    #[error("{0}")]
    Net(NetworkErrorKind),
    /// The caller was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
}

struct Status(Option<u16>);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => write!(f, ": status {status}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for WsEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The reason is the peer's text: it may hold anything.
            Self::Clean { code, .. } => write!(f, "closed with code {code}"),
            Self::Abnormal(kind) => write!(f, "{kind}"),
        }
    }
}

impl TaskError for WsError {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::Cancelled(reason) => Some(reason),
            Self::Ended(_) | Self::Handshake { .. } | Self::TooBig { .. } | Self::Net(_) => None,
        }
    }
}

impl Coded for WsError {
    fn code(&self) -> Code {
        match self {
            Self::Cancelled(reason) => reason.kind.code(),
            Self::Ended(WsEnd::Abnormal(kind)) | Self::Net(kind) => kind.code(),
            Self::Ended(WsEnd::Clean { .. }) => NetworkErrorKind::ClosedEarly.code(),
            Self::Handshake { .. } => NetworkErrorKind::Protocol.code(),
            Self::TooBig { .. } => NetworkErrorKind::BodyTooLarge.code(),
        }
    }
}

/// The settings of a WebSocket. A server uses the first five.
#[derive(Clone)]
pub struct WsOpts {
    /// Bytes of a message that is received (1 MiB).
    pub max_message: usize,
    /// Silence after which a ping is sent, while somebody receives (never).
    pub ping_every: Option<Duration>,
    /// How long its answer, or anything else, may take (10 s).
    pub pong_within: Duration,
    /// How long this end waits for the peer's goodbye (5 s).
    pub close_wait: Duration,
    /// A subprotocol the server speaks: it is granted if the client offers it (none).
    pub protocol: Option<&'static str>,
    /// As a client: resolving, dialling, TLS and the handshake together (10 s).
    pub handshake: Duration,
    /// As a client: further fields of the request, such as `Authorization`.
    pub headers: HeaderMap,
    /// As a client: whom to trust; without it a `wss` URL is verified by the system's roots.
    pub tls: Option<TlsClient>,
    /// As a client: which way to go (what the environment says).
    pub proxy: ProxyConfig,
    /// As a client: which addresses may be dialled (all).
    pub admission: Option<Arc<dyn Admission>>,
}

impl Default for WsOpts {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            ping_every: None,
            pong_within: Duration::from_secs(10),
            close_wait: Duration::from_secs(5),
            protocol: None,
            handshake: Duration::from_secs(10),
            headers: HeaderMap::new(),
            tls: None,
            proxy: ProxyConfig::default(),
            admission: None,
        }
    }
}

impl fmt::Debug for WsOpts {
    /// Fields of the request may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsOpts")
            .field("max_message", &self.max_message)
            .field("ping_every", &self.ping_every)
            .field("pong_within", &self.pong_within)
            .field("close_wait", &self.close_wait)
            .field("protocol", &self.protocol)
            .field("handshake", &self.handshake)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
