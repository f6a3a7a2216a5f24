//! asupersync: a multi-thread runtime per [`Runtime`](crate::Runtime).
//!
//! Only executor, clock and sockets are used; regions, cancellation and channels are the adapter's.
//! Its own cancellation flag is never raised while work runs: once raised, its sleeps end early and
//! returned values are thrown away.

#[cfg(test)]
mod traps;

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use annals_core::{MonoTime, UnixMs};
use asupersync::Cx as Ambient;
use asupersync::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use asupersync::net::{TcpListener, TcpStream};
use asupersync::runtime::{Runtime, RuntimeBuilder, RuntimeHandle};
use asupersync::time::{timeout, wall_now as backend_now};
use futures_io::{AsyncRead, AsyncWrite};

use super::{Backend, BoxFuture, RawListener};
use crate::net::{Io, Stream};
use crate::runtime::{BuildError, RuntimeConfig};
use crate::task::Slot;
use crate::time::{process_now, wall_now};
use crate::token::lock;

pub(super) fn build(config: &RuntimeConfig) -> Result<Arc<dyn Backend>, BuildError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = if config.workers == 0 { cores } else { config.workers };
    let runtime = RuntimeBuilder::multi_thread()
        // A leaked obligation takes its worker down; two workers keep the process alive.
        .worker_threads(workers.max(2))
        .blocking_threads(0, config.max_blocking)
        .obligation_leak_response(asupersync::runtime::config::ObligationLeakResponse::Recover)
        .thread_name_prefix(config.name)
        .build()
        .map_err(|e| BuildError::Config(e.to_string()))?;
    Ok(Arc::new(Asupersync {
        handle: Door::new(runtime.handle()),
        runtime: Mutex::new(Some(runtime)),
    }))
}

struct Asupersync {
    handle: Door,
    runtime: Mutex<Option<Runtime>>,
}

/// The way onto the runtime's workers. A handle keeps the runtime alive and its shutdown waiting,
/// so this one is taken away when it ends.
#[derive(Clone)]
struct Door(Arc<RwLock<Option<RuntimeHandle>>>);

impl Door {
    fn new(handle: RuntimeHandle) -> Self {
        Self(Arc::new(RwLock::new(Some(handle))))
    }

    /// Starts a future; says whether the runtime took it.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> bool {
        let handle = self.0.read().unwrap_or_else(PoisonError::into_inner);
        handle.as_ref().is_some_and(|h| h.try_spawn(future).is_ok())
    }

    fn shut(&self) {
        let handle = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(handle);
    }
}

impl Backend for Asupersync {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if !self.handle.spawn(task) {
            // The task was dropped, and its driver has reported it as cancelled.
            tracing::debug!("the runtime refused a task");
        }
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        let runtime = lock(&self.runtime).clone();
        if let Some(runtime) = runtime {
            runtime.block_on(future);
        }
    }

    fn now(&self) -> MonoTime {
        process_now()
    }

    fn unix_ms(&self) -> UnixMs {
        wall_now()
    }

    fn sleep_until(&self, at: MonoTime) -> BoxFuture<'static, ()> {
        let handle = self.handle.clone();
        Box::pin(async move {
            if Ambient::current().is_some() {
                local_sleep(at).await;
            } else {
                on_runtime(&handle, local_sleep(at)).await;
            }
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Stream>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let dial = async move { stream(TcpStream::connect(to).await?) };
            if Ambient::current().is_some() {
                return dial.await;
            }
            let gone = || Err(io::Error::other("the runtime has ended"));
            on_runtime(&handle, dial).await.unwrap_or_else(gone)
        })
    }

    fn listen(&self, socket: std::net::TcpListener) -> io::Result<Box<dyn RawListener>> {
        Ok(Box::new(Listening(TcpListener::from_std(socket)?)))
    }

    fn shutdown(&self, bound: Duration) {
        self.handle.shut();
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime
            && !runtime.shutdown_timeout(bound)
        {
            tracing::debug!("the runtime was still stopping at its bound");
        }
    }
}

/// Its timers belong to the runtime whose thread first polls them. `timeout` over a future that
/// never ends keeps full length where `sleep` would end early.
async fn local_sleep(at: MonoTime) {
    loop {
        let left = at.since(process_now());
        if left.is_zero() {
            return;
        }
        let (Ok(()) | Err(_)) = timeout(backend_now(), left, pending::<()>()).await;
    }
}

/// Runs a future on a task of the runtime, for a caller on a foreign thread.
async fn on_runtime<T: Send + 'static>(handle: &Door, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let slot = Arc::new(Slot::<T, std::convert::Infallible>::new());
    let filled = slot.clone();
    if !handle.spawn(async move { filled.put(annals_core::Outcome::Ok(future.await)) }) {
        return None;
    }
    poll_fn(|context| slot.poll(context)).await?.ok()
}

struct Listening(TcpListener);

impl RawListener for Listening {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let (tcp, _) = ready!(self.0.poll_accept(context))?;
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
        // Through its own method: it then leaves out the orderly shutdown that would come first.
        self.0.set_zero_linger()
    }
}
