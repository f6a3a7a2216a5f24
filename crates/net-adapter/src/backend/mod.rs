//! What a runtime has to supply, and nothing more: an executor, a clock, sockets.
//!
//! Everything with a meaning of its own (regions, cancellation, channels, blocking calls, HTTP) is
//! written once, above this trait, and so also runs in the lab.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use annals_core::{MonoTime, UnixMs};

use crate::http::WireFault;
use crate::http::server::shared::Connection;
use crate::http::wire::{OwnWire, Wire};
use crate::net::Stream;
use crate::runtime::{BuildError, RuntimeConfig};

#[cfg(feature = "asupersync")]
mod asupersync;
#[cfg(all(feature = "asupersync", feature = "lab"))]
mod asupersync_lab;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tokio")]
mod tokio_client;
#[cfg(all(feature = "tokio", feature = "lab"))]
mod tokio_lab;
#[cfg(feature = "tokio")]
mod tokio_server;

#[cfg(not(any(feature = "tokio", feature = "asupersync", loom)))]
compile_error!("annals-net-adapter needs a runtime: enable the feature `tokio` or `asupersync`");

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One runtime, behind which the adapter does not look.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Runs a future to its end, on any worker. The future never panics and never needs aborting:
    /// the adapter's task driver sees to both.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Polls a future on the calling thread until it ends.
    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>);
    fn now(&self) -> MonoTime;
    fn unix_ms(&self) -> UnixMs;
    /// Ends at `at`, never earlier. May be created and polled on any thread.
    fn sleep_until(&self, at: MonoTime) -> BoxFuture<'static, ()>;
    /// Dials one address. Nodelay is set on the result.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Stream>>;
    /// Takes over a listening socket that is already non-blocking.
    fn listen(&self, socket: std::net::TcpListener) -> io::Result<Box<dyn RawListener>>;
    /// A client's HTTP/1.1 connection over a stream that has just been opened: the adapter's own,
    /// unless the backend has a better one.
    fn http_wire(&self, stream: Stream) -> Result<Box<dyn Wire>, WireFault> {
        Ok(Box::new(OwnWire::new(stream)))
    }
    /// Serves one HTTP connection to its end: with the adapter's own loop, unless the backend has a
    /// server that is better at it.
    fn serve_conn(&self, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(crate::http::server::own::serve(connection))
    }
    /// Stops the workers; waits for them no longer than `bound`.
    fn shutdown(&self, bound: Duration);
}

/// A listening socket of a backend.
pub(crate) trait RawListener: Send {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>>;
}

/// The runtimes this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKind {
    /// tokio, the default.
    Tokio,
    /// asupersync; off by default, see docs/licensing.md.
    Asupersync,
}

impl BackendKind {
    /// The runtimes compiled into this binary.
    #[must_use]
    pub const fn compiled() -> &'static [Self] {
        #[cfg(all(feature = "tokio", feature = "asupersync"))]
        return &[Self::Tokio, Self::Asupersync];
        #[cfg(all(feature = "tokio", not(feature = "asupersync")))]
        return &[Self::Tokio];
        #[cfg(all(feature = "asupersync", not(feature = "tokio")))]
        return &[Self::Asupersync];
        // Models of channels run without any.
        #[cfg(not(any(feature = "asupersync", feature = "tokio")))]
        return &[];
    }

    /// The name used in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Asupersync => "asupersync",
        }
    }
}

impl std::fmt::Display for BackendKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for BackendKind {
    type Err = UnknownRuntime;

    fn from_str(s: &str) -> Result<Self, UnknownRuntime> {
        match s {
            "tokio" => Ok(Self::Tokio),
            "asupersync" => Ok(Self::Asupersync),
            _ => Err(UnknownRuntime(s.to_owned())),
        }
    }
}

/// A name that is no runtime's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown runtime {0:?}: it must be \"tokio\" or \"asupersync\"")]
pub struct UnknownRuntime(pub String);

pub(crate) fn build(kind: BackendKind, config: &RuntimeConfig) -> Result<Arc<dyn Backend>, BuildError> {
    match kind {
        #[cfg(feature = "tokio")]
        BackendKind::Tokio => tokio::build(config),
        #[cfg(feature = "asupersync")]
        BackendKind::Asupersync => asupersync::build(config),
        #[cfg(not(all(feature = "tokio", feature = "asupersync")))]
        asked => {
            let _ = config;
            Err(BuildError::NotCompiled {
                asked,
                compiled: BackendKind::compiled().to_vec(),
            })
        }
    }
}

/// Runs `root` on a deterministic host until nothing is left to do.
#[cfg(feature = "lab")]
pub(crate) fn run_lab(kind: BackendKind, lab: &Arc<crate::lab::LabState>, root: crate::lab::LabRoot) -> LabEnd {
    match kind {
        #[cfg(feature = "tokio")]
        BackendKind::Tokio => tokio_lab::run(lab, root),
        #[cfg(feature = "asupersync")]
        BackendKind::Asupersync => asupersync_lab::run(lab, root),
        #[cfg(not(all(feature = "tokio", feature = "asupersync")))]
        _ => LabEnd::unfinished(),
    }
}

/// How a lab host stopped.
#[cfg(feature = "lab")]
pub(crate) struct LabEnd {
    /// The root future ended; otherwise the host ran out of things to do, or of steps.
    pub(crate) finished: bool,
    /// What the backend's own checks found when it had.
    pub(crate) violations: Vec<String>,
}

#[cfg(feature = "lab")]
impl LabEnd {
    fn unfinished() -> Self {
        Self {
            finished: false,
            violations: Vec::new(),
        }
    }
}
