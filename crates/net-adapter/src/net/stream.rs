//! A connected byte stream and a listening socket, whatever is underneath.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "tokio")]
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
#[cfg(feature = "tokio")]
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::NetError;
use crate::Cx;
use crate::backend::RawListener;

/// What a stream is made of: a socket, a TLS session over one, an in-memory pipe.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes the coming close a reset (RST) instead of an orderly end.
    fn reset_on_close(&mut self) -> io::Result<()>;
}

/// A connected, bidirectional byte stream. Dropping it closes the connection.
pub struct Stream {
    io: Box<dyn Io>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream {
    pub(crate) fn new(io: impl Io + 'static, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            io: Box::new(io),
            peer,
            local,
        }
    }

    /// The other end's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// This end's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Drops the connection with a reset, as a crashed peer would.
    ///
    /// # Errors
    /// The operating system's refusal to set the option; the connection is closed all the same.
    pub fn reset(mut self) -> io::Result<()> {
        self.io.reset_on_close()
    }

    #[cfg_attr(
        not(feature = "tokio"),
        allow(dead_code, reason = "TLS streams use it on every backend")
    )]
    pub(crate) fn reset_on_close(&mut self) -> io::Result<()> {
        self.io.reset_on_close()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer)
            .field("local", &self.local)
            .finish()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_close(context)
    }
}

/// A listening socket.
pub struct Listener {
    raw: Box<dyn RawListener>,
    local: SocketAddr,
}

impl Listener {
    pub(crate) fn new(raw: Box<dyn RawListener>, local: SocketAddr) -> Self {
        Self { raw, local }
    }

    /// The address it listens at, with the port the system picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// [`NetError`] of kind `Cancelled`, or with the system's error; the listener stays usable.
    ///
    /// # Cancel safety
    /// No connection is lost: one that was not returned stays in the backlog.
    pub async fn accept(&mut self, cx: &Cx) -> Result<(Stream, SocketAddr), NetError> {
        let local = self.local;
        let stream = cx
            .or_cancel(poll_fn(|context| self.raw.poll_accept(context)))
            .await
            .map_err(|c| NetError::cancelled(local, c))?
            .map_err(|e| NetError::io(local, e))?;
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

/// Makes closing the socket send a reset.
#[cfg(feature = "tokio")]
pub(crate) fn zero_linger(socket: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}
