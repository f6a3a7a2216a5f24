//! Sockets: names become addresses, addresses become streams.
//!
//! A [`Cx`] carries its network: the backend's sockets, or the lab's `VirtualNet`. Every stream
//! has nodelay set; every address a client dials has passed the caller's [`Admission`].

mod addr;
mod error;
mod real;
mod stream;
mod tls;
#[cfg(feature = "lab")]
pub(crate) mod virtual_net;

use std::net::SocketAddr;
use std::time::Duration;

use crate::Cx;
use crate::backend::BoxFuture;

pub use addr::HostPort;
pub use error::{NetError, NotAdmitted, kind_of_io};
pub(crate) use real::RealNet;
pub(crate) use stream::Io;
#[cfg(feature = "tokio")]
pub(crate) use stream::zero_linger;
pub use stream::{Listener, Stream};
pub(crate) use tls::tls_fault;
pub use tls::{TlsClient, TlsError, TlsRoots};
#[cfg(feature = "lab")]
pub use virtual_net::{LinkFaults, VirtualNet};

/// The network a [`Cx`] can reach.
pub trait Net: Send + Sync {
    /// The addresses of a name, in the system's order.
    fn resolve<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, NetError>>;

    /// Connects to the first address that answers within `limit`; a slow one has 250 ms before the
    /// next is tried beside it. Every address must pass `gate` before any is dialled.
    fn connect<'a>(
        &'a self,
        cx: &'a Cx,
        to: &'a HostPort,
        limit: Duration,
        gate: Option<&'a dyn Admission>,
    ) -> BoxFuture<'a, Result<Stream, NetError>>;

    /// Listens at an address; port 0 picks a free one.
    fn listen<'a>(&'a self, cx: &'a Cx, at: SocketAddr) -> BoxFuture<'a, Result<Listener, NetError>>;
}

/// A rule about which addresses may be dialled.
pub trait Admission: Send + Sync {
    /// Judges a name together with everything it resolved to.
    ///
    /// # Errors
    /// [`NotAdmitted`] if even one of the addresses is not allowed.
    fn admit(&self, host: &str, port: u16, addresses: &[SocketAddr]) -> Result<(), NotAdmitted>;
}
