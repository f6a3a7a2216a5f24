//! The network of the lab: in memory, with seeded latency.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::{Cancelled, NetworkErrorKind};
use futures_io::{AsyncRead, AsyncWrite};

use super::{Admission, HostPort, Io, Listener, Net, NetError, Stream};
use crate::Cx;
use crate::backend::{BoxFuture, RawListener};
use crate::token::lock;

/// Bytes in flight per direction before a writer has to wait.
const WINDOW: usize = 64 * 1024;

/// An in-memory network. IP literals name themselves, `localhost` is 127.0.0.1; no other name
/// resolves.
pub struct VirtualNet {
    state: Mutex<State>,
}

struct State {
    rng: fastrand::Rng,
    listening: BTreeMap<SocketAddr, Arc<Mutex<Backlog>>>,
    next_port: u16,
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<Stream>,
    waker: Option<Waker>,
    closed: bool,
}

impl VirtualNet {
    /// An empty network whose latencies come from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ 0x6e65_7400);
        Self {
            state: Mutex::new(State {
                rng,
                listening: BTreeMap::new(),
                next_port: 40_000,
            }),
        }
    }

    fn port(&self) -> u16 {
        let mut state = lock(&self.state);
        state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
        state.next_port
    }

    async fn dial(&self, cx: &Cx, to: &HostPort, addresses: &[SocketAddr]) -> Result<Stream, NetError> {
        let latency = Duration::from_millis(lock(&self.state).rng.u64(1..20));
        cx.sleep(latency).await.map_err(|c| NetError::cancelled(to, c))?;
        for address in addresses {
            let backlog = lock(&self.state).listening.get(address).cloned();
            let Some(backlog) = backlog else { continue };
            let local = SocketAddr::new(address.ip(), self.port());
            let (near, far) = pipe(local, *address);
            let waker = {
                let mut backlog = lock(&backlog);
                if backlog.closed {
                    continue;
                }
                backlog.waiting.push_back(far);
                backlog.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            return Ok(near);
        }
        Err(NetError::io(to, io::ErrorKind::ConnectionRefused.into()))
    }
}

impl Net for VirtualNet {
    fn resolve<'a>(&'a self, _: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, NetError>> {
        Box::pin(async move {
            let to = HostPort::new(host, port);
            match to
                .ip()
                .or((host == "localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
            {
                Some(ip) => Ok(vec![SocketAddr::new(ip, port)]),
                None => Err(NetError::new(NetworkErrorKind::Dns, to, "no such name in the lab")),
            }
        })
    }

    fn connect<'a>(
        &'a self,
        cx: &'a Cx,
        to: &'a HostPort,
        limit: Duration,
        gate: Option<&'a dyn Admission>,
    ) -> BoxFuture<'a, Result<Stream, NetError>> {
        Box::pin(async move {
            let addresses = self.resolve(cx, &to.host, to.port).await?;
            if let Some(gate) = gate {
                gate.admit(&to.host, to.port, &addresses)
                    .map_err(|e| NetError::new(NetworkErrorKind::NotAdmitted, to, e))?;
            }
            match cx.timeout(limit, self.dial(cx, to, &addresses)).await {
                Ok(result) => result,
                Err(crate::TimeoutError::Elapsed) => {
                    Err(NetError::new(NetworkErrorKind::ConnectTimeout, to, "no answer"))
                }
                Err(crate::TimeoutError::Cancelled(reason)) => Err(NetError::cancelled(to, Cancelled(reason))),
            }
        })
    }

    fn listen<'a>(&'a self, _: &'a Cx, at: SocketAddr) -> BoxFuture<'a, Result<Listener, NetError>> {
        Box::pin(async move {
            let at = if at.port() == 0 {
                SocketAddr::new(at.ip(), self.port())
            } else {
                at
            };
            let mut state = lock(&self.state);
            let taken = state.listening.get(&at).is_some_and(|b| !lock(b).closed);
            if taken {
                return Err(NetError::io(at, io::ErrorKind::AddrInUse.into()));
            }
            let backlog = Arc::<Mutex<Backlog>>::default();
            state.listening.insert(at, backlog.clone());
            Ok(Listener::new(Box::new(Listening(backlog)), at))
        })
    }
}

struct Listening(Arc<Mutex<Backlog>>);

impl RawListener for Listening {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut backlog = lock(&self.0);
        if let Some(stream) = backlog.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        backlog.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let waiting = {
            let mut backlog = lock(&self.0);
            backlog.closed = true;
            std::mem::take(&mut backlog.waiting)
        };
        drop(waiting);
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Half {
    bytes: VecDeque<u8>,
    /// The writer has finished.
    ended: bool,
    /// The connection was reset.
    reset: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Arc<Mutex<Half>>;

struct Pipe {
    incoming: Shared,
    outgoing: Shared,
}

fn pipe(near: SocketAddr, far: SocketAddr) -> (Stream, Stream) {
    let (up, down) = (Shared::default(), Shared::default());
    let client = Pipe {
        incoming: down.clone(),
        outgoing: up.clone(),
    };
    let server = Pipe {
        incoming: up,
        outgoing: down,
    };
    (Stream::new(client, far, near), Stream::new(server, near, far))
}

fn change(half: &Shared, f: impl FnOnce(&mut Half)) {
    let wakers = {
        let mut half = lock(half);
        f(&mut half);
        [half.reader.take(), half.writer.take()]
    };
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.incoming);
        if half.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if half.bytes.is_empty() {
            if half.ended {
                return Poll::Ready(Ok(0));
            }
            half.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n = buffer.len().min(half.bytes.len());
        for (slot, byte) in buffer.iter_mut().zip(half.bytes.drain(..n)) {
            *slot = byte;
        }
        let writer = half.writer.take();
        drop(half);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.outgoing);
        if half.reset || half.abandoned {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if half.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(half.bytes.len());
        if room == 0 {
            half.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let n = room.min(bytes.len());
        half.bytes.extend(bytes.iter().take(n));
        let reader = half.reader.take();
        drop(half);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        change(&self.outgoing, |half| half.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Io for Pipe {
    fn reset_on_close(&mut self) -> io::Result<()> {
        for half in [&self.incoming, &self.outgoing] {
            change(half, |half| half.reset = true);
        }
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        change(&self.outgoing, |half| half.ended = true);
        change(&self.incoming, |half| half.abandoned = true);
    }
}
