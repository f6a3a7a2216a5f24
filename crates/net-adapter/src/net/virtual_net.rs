//! The network of the lab: in memory, with seeded latency, and with the faults a test asks for.

mod link;
mod pipe;

use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals_core::{Cancelled, NetworkErrorKind};

pub use self::link::LinkFaults;
use self::link::{Dial, Link, Links};
use self::pipe::{Path, pick, pipe};
use super::{Admission, HostPort, Listener, Net, NetError, Stream};
use crate::Cx;
use crate::backend::{BoxFuture, RawListener};
use crate::lab::Event;
use crate::token::lock;

/// An in-memory network. IP literals name themselves, `localhost` is 127.0.0.1; no other name
/// resolves.
pub struct VirtualNet {
    state: Mutex<State>,
}

struct State {
    rng: fastrand::Rng,
    listening: BTreeMap<SocketAddr, Arc<Mutex<Backlog>>>,
    links: Links,
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
                links: Links::default(),
                next_port: 40_000,
            }),
        }
    }

    fn port(&self) -> u16 {
        let mut state = lock(&self.state);
        state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
        state.next_port
    }

    /// The network of a lab run; `None` outside the lab.
    #[must_use]
    pub fn of(cx: &Cx) -> Option<Arc<Self>> {
        cx.lab().map(|lab| lab.net())
    }

    /// The link from a task, by its name, to a host; `*` stands for any. Of several that fit, the host says more.
    pub fn link(&self, from: &str, to: &str) -> LinkFaults {
        LinkFaults(lock(&self.state).links.entry(from, to))
    }

    fn link_of(&self, cx: &Cx, host: &str) -> Option<Arc<Link>> {
        lock(&self.state).links.of(cx.record().name, host)
    }

    async fn dial(&self, cx: &Cx, to: &HostPort, addresses: &[SocketAddr]) -> Result<Stream, NetError> {
        let link = self.link_of(cx, &to.host);
        let path = link.map(|link| Path {
            faults: link.faults(),
            link,
            backend: cx.backend().clone(),
            rng: Mutex::new(lock(&self.state).rng.fork()),
        });
        let mut latency = Duration::from_millis(lock(&self.state).rng.u64(1..20));
        if let Some(path) = &path {
            if let Some(range) = &path.faults.latency {
                latency = pick(&path.rng, range);
            }
            if path.faults.reorder {
                latency += pick(&path.rng, &(Duration::ZERO..Duration::from_millis(50)));
            }
        }
        let cancelled = |cancelled| NetError::cancelled(to, cancelled);
        cx.sleep(latency).await.map_err(cancelled)?;
        if let Some(path) = &path {
            open(cx, path).await.map_err(cancelled)?;
            match path.faults.dial {
                Dial::Answered => {}
                Dial::Refused => return Err(NetError::io(to, io::ErrorKind::ConnectionRefused.into())),
                Dial::Unanswered => cx.or_cancel(pending()).await.map_err(cancelled)?,
            }
        }
        let path = path.map(Arc::new);
        for address in addresses {
            let backlog = lock(&self.state).listening.get(address).cloned();
            let Some(backlog) = backlog else { continue };
            let local = SocketAddr::new(address.ip(), self.port());
            let (near, far) = pipe(local, *address, path.clone());
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
            cx.trace(Event::Connected, address.port().into());
            return Ok(near);
        }
        Err(NetError::io(to, io::ErrorKind::ConnectionRefused.into()))
    }
}

/// Waits while the link is partitioned.
async fn open(cx: &Cx, path: &Path) -> Result<(), Cancelled> {
    let mut timer = None;
    cx.or_cancel(poll_fn(|context| {
        loop {
            let Some(until) = path.link.closed_until(path.backend.now(), context.waker()) else {
                return Poll::Ready(());
            };
            let timer = timer.get_or_insert_with(|| path.backend.sleep_until(until));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }))
    .await
}

impl Net for VirtualNet {
    fn resolve<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, NetError>> {
        Box::pin(async move {
            let to = HostPort::new(host, port);
            if self.link_of(cx, host).is_some_and(|link| link.faults().no_dns) {
                return Err(NetError::new(NetworkErrorKind::Dns, to, "no such name on this link"));
            }
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
