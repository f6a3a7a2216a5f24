//! What a caller asks for, and the settings of clients and requests.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use super::error::BoxError;
use super::proxy::ProxyConfig;
use super::redirect::Carries;
use crate::net::{Admission, TlsClient};

/// A request to an absolute `http` or `https` URL.
pub type Request = http::Request<ReqBody>;

/// A body that is produced while it is sent.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// What follows the head of a request.
#[derive(Default)]
pub enum ReqBody {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes, which a redirect or a lost connection may make the client send again.
    Bytes(Bytes),
    /// A stream, sent in chunks, once.
    Stream(BodyStream),
}

impl ReqBody {
    /// A second copy to send, unless it is a stream.
    pub(crate) fn replay(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Stream(_) => None,
        }
    }

    pub(crate) fn carries(&self) -> Carries {
        match self {
            Self::Empty => Carries::Nothing,
            Self::Bytes(_) => Carries::Replayable,
            Self::Stream(_) => Carries::Stream,
        }
    }
}

impl fmt::Debug for ReqBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            // The bytes may hold a secret.
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Bytes> for ReqBody {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for ReqBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for ReqBody {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

/// The settings of one request.
#[derive(Debug, Clone)]
pub struct ReqOpts {
    /// From the begin of sending to the head of the answer, for each hop (30 s).
    pub head: Duration,
    /// Between two pieces of the answer's body (30 s).
    pub idle_read: Duration,
    /// The whole exchange, body included (120 s).
    pub total: Option<Duration>,
    /// Decoded bytes of the body (64 MiB).
    pub max_body: u64,
    /// Redirects to follow (10); with 0 a redirect is an answer like any other.
    pub redirects: u8,
    /// Whether to ask for gzip and decode it (yes).
    pub gzip: bool,
}

impl Default for ReqOpts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            idle_read: Duration::from_secs(30),
            total: Some(Duration::from_secs(120)),
            max_body: 64 * 1024 * 1024,
            redirects: 10,
            gzip: true,
        }
    }
}

/// The settings of a client.
#[derive(Clone)]
pub struct HttpConfig {
    /// Resolving, dialling, proxy CONNECT and TLS together (10 s).
    pub connect: Duration,
    /// Connections to one origin (6).
    pub per_host: usize,
    /// How long a request waits for one of them (10 s).
    pub pool_wait: Duration,
    /// How long an unused connection may be used again (55 s).
    pub pool_idle: Duration,
    /// Whom to trust.
    pub tls: TlsClient,
    /// Which way to go (what the environment says).
    pub proxy: ProxyConfig,
    /// Which addresses may be dialled (all).
    pub admission: Option<Arc<dyn Admission>>,
    /// The `User-Agent` of requests that have none.
    pub user_agent: String,
}

impl HttpConfig {
    /// The defaults, trusting what `tls` trusts.
    #[must_use]
    pub fn new(tls: TlsClient) -> Self {
        Self {
            connect: Duration::from_secs(10),
            per_host: 6,
            pool_wait: Duration::from_secs(10),
            pool_idle: Duration::from_secs(55),
            tls,
            proxy: ProxyConfig::default(),
            admission: None,
            user_agent: concat!("annals/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("connect", &self.connect)
            .field("per_host", &self.per_host)
            .field("pool_wait", &self.pool_wait)
            .field("pool_idle", &self.pool_idle)
            .field("proxy", &self.proxy)
            .field("admission", &self.admission.is_some())
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
