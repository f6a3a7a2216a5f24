//! From a listener to a drained server.

use std::net::SocketAddr;
use std::time::Duration;

use annals_core::{CancelReason, Code, Coded, NetworkErrorKind, Report, TaskError};
use annals_net_adapter::http::server::{HttpServer, ServeReport, ServerLimits};
use annals_net_adapter::{Cx, Listener, NetError};

use crate::app::{AppState, router};

/// How to stop.
#[derive(Debug, Clone, Copy)]
pub struct DrainOptions {
    /// How long new connections are still accepted after the process was asked to stop.
    pub notice: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
}

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens at the address.
    #[error("listen at {address}: the address is in use")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: NetError,
    },
    /// The network failed.
    #[error("serve: {0}")]
    Net(#[source] NetError),
}

impl Coded for Error {
    fn code(&self) -> Code {
        match self {
            Self::AddressInUse { .. } => Code::AddressInUse,
            Self::Net(error) if error.kind == NetworkErrorKind::Cancelled => Code::Cancelled,
            Self::Net(_) => Code::Io,
        }
    }

    fn report(&self) -> Report {
        let report = Report::new(self.code(), self.to_string());
        match self {
            Self::AddressInUse { .. } => report.with_action("annals serve --bind 127.0.0.1:0"),
            Self::Net(_) => report,
        }
    }
}

impl TaskError for Error {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        match self {
            Self::AddressInUse { source, .. } | Self::Net(source) => source.cancel_reason(),
        }
    }
}

/// Listens at a loopback address; port 0 picks a free one.
///
/// # Errors
/// [`Error::AddressInUse`], or what else the system says.
///
/// # Cancel safety
/// Dropped early, the socket is closed.
pub async fn listen(cx: &Cx, address: SocketAddr) -> Result<Listener, Error> {
    cx.net().listen(cx, address).await.map_err(|source| {
        let in_use = |e: &std::io::Error| e.kind() == std::io::ErrorKind::AddrInUse;
        if source.source.downcast_ref::<std::io::Error>().is_some_and(in_use) {
            Error::AddressInUse { address, source }
        } else {
            Error::Net(source)
        }
    })
}

/// Serves until the process drains or `cx` is cancelled; what is in flight then may finish.
///
/// # Errors
/// [`Error::Net`] if the listener fails for good.
///
/// # Cancel safety
/// Every connection is a task of a region that is closed before this returns.
pub async fn serve(cx: &Cx, state: AppState, listener: Listener, stop: DrainOptions) -> Result<ServeReport, Error> {
    let limits = ServerLimits {
        notice: stop.notice,
        drain: stop.drain,
        ..ServerLimits::default()
    };
    HttpServer::new(router(state), limits)
        .serve(cx, listener)
        .await
        .map_err(Error::Net)
}
