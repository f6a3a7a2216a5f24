//! tokio: a multi-thread runtime per [`Runtime`](crate::Runtime).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use annals_core::{MonoTime, UnixMs};
use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{Backend, BoxFuture, RawListener};
use crate::http::WireFault;
use crate::http::server::shared::Connection;
use crate::http::wire::Wire;
use crate::net::{Io, Stream};
use crate::runtime::{BuildError, RuntimeConfig};
use crate::time::{instant_of, process_now, wall_now};
use crate::token::lock;

pub(super) fn build(config: &RuntimeConfig) -> Result<Arc<dyn Backend>, BuildError> {
    let mut builder = Builder::new_multi_thread();
    if config.workers > 0 {
        builder.worker_threads(config.workers);
    }
    let runtime = builder
        .thread_name(config.name)
        .enable_io()
        .enable_time()
        .build()
        .map_err(BuildError::Os)?;
    Ok(Arc::new(Tokio {
        handle: runtime.handle().clone(),
        runtime: Mutex::new(Some(runtime)),
    }))
}

struct Tokio {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl Backend for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(task));
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.handle.block_on(future);
    }

    fn now(&self) -> MonoTime {
        process_now()
    }

    fn unix_ms(&self) -> UnixMs {
        wall_now()
    }

    fn sleep_until(&self, at: MonoTime) -> BoxFuture<'static, ()> {
        // Timers and sockets bind to the runtime that is entered when they are made.
        let _entered = self.handle.enter();
        Box::pin(tokio::time::sleep_until(instant_of(at).into()))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        let handle = self.handle.clone();
        let mut connecting = Box::pin(TcpStream::connect(to));
        Box::pin(async move {
            let tcp = poll_fn(|context| {
                let _entered = handle.enter();
                connecting.as_mut().poll(context)
            })
            .await?;
            stream(tcp)
        })
    }

    fn listen(&self, socket: std::net::TcpListener) -> io::Result<Box<dyn RawListener>> {
        let _entered = self.handle.enter();
        Ok(Box::new(Listening {
            socket: TcpListener::from_std(socket)?,
            handle: self.handle.clone(),
        }))
    }

    fn http_wire(&self, stream: Stream) -> Result<Box<dyn Wire>, WireFault> {
        super::tokio_client::wire(stream)
    }

    fn serve_conn(&self, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(super::tokio_server::serve(connection))
    }

    fn shutdown(&self, bound: Duration) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_timeout(bound);
        }
    }
}

impl Drop for Tokio {
    fn drop(&mut self) {
        // A plain drop waits for every worker; one stuck in a poll would hang the process, and a
        // drop on a worker thread would panic.
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

struct Listening {
    socket: TcpListener,
    handle: Handle,
}

impl RawListener for Listening {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let _entered = self.handle.enter();
        let (tcp, _) = ready!(self.socket.poll_accept(context))?;
        Poll::Ready(stream(tcp))
    }
}

fn stream(tcp: TcpStream) -> io::Result<Stream> {
    tcp.set_nodelay(true)?;
    let (peer, local) = (tcp.peer_addr()?, tcp.local_addr()?);
    Ok(Stream::new(Tcp(tcp), peer, local))
}

struct Tcp(TcpStream);

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.get_mut().0).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

impl Io for Tcp {
    fn reset_on_close(&mut self) -> io::Result<()> {
        crate::net::zero_linger(&self.0)
    }
}

#[cfg(test)]
mod traps;
