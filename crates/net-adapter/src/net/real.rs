//! The network of the machine.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::time::Duration;

use annals_core::{NetworkErrorKind, Outcome};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Admission, HostPort, Listener, Net, NetError, Stream};
use crate::Cx;
use crate::backend::BoxFuture;

/// How long one address is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

pub(crate) struct RealNet;

impl Net for RealNet {
    fn resolve<'a>(&'a self, cx: &'a Cx, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, NetError>> {
        Box::pin(resolve(cx, HostPort::new(host, port)))
    }

    fn connect<'a>(
        &'a self,
        cx: &'a Cx,
        to: &'a HostPort,
        limit: Duration,
        gate: Option<&'a dyn Admission>,
    ) -> BoxFuture<'a, Result<Stream, NetError>> {
        Box::pin(async move {
            let dialled = cx.timeout(limit, async {
                let addresses = resolve(cx, to.clone()).await?;
                if let Some(gate) = gate {
                    gate.admit(&to.host, to.port, &addresses)
                        .map_err(|e| NetError::new(NetworkErrorKind::NotAdmitted, to, e))?;
                }
                dial(cx, to, addresses).await
            });
            match dialled.await {
                Ok(result) => result,
                Err(crate::TimeoutError::Elapsed) => Err(NetError::new(
                    NetworkErrorKind::ConnectTimeout,
                    to,
                    format!("no answer within {limit:?}"),
                )),
                Err(crate::TimeoutError::Cancelled(reason)) => {
                    Err(NetError::cancelled(to, annals_core::Cancelled(reason)))
                }
            }
        })
    }

    fn listen<'a>(&'a self, cx: &'a Cx, at: SocketAddr) -> BoxFuture<'a, Result<Listener, NetError>> {
        Box::pin(async move {
            // bind(2) and listen(2) on an address do not block.
            let open = || {
                let socket = std::net::TcpListener::bind(at)?;
                socket.set_nonblocking(true)?;
                let local = socket.local_addr()?;
                Ok(Listener::new(cx.backend().listen(socket)?, local))
            };
            open().map_err(|e| NetError::io(at, e))
        })
    }
}

/// `getaddrinfo` on a blocking thread; an IP literal is its own answer.
async fn resolve(cx: &Cx, to: HostPort) -> Result<Vec<SocketAddr>, NetError> {
    if let Some(ip) = to.ip() {
        return Ok(vec![SocketAddr::new(ip, to.port)]);
    }
    let at = to.to_string();
    let looked_up = cx
        .abandonable("resolve", move || (to.host.as_str(), to.port).to_socket_addrs())
        .await;
    let addresses: Vec<_> = match looked_up {
        Outcome::Ok(addresses) => addresses.collect(),
        Outcome::Err(error) => return Err(NetError::new(NetworkErrorKind::Dns, at, error)),
        Outcome::Cancelled(reason) => return Err(NetError::cancelled(at, annals_core::Cancelled(reason))),
        Outcome::Panicked(message) => return Err(NetError::new(NetworkErrorKind::Dns, at, message)),
    };
    if addresses.is_empty() {
        return Err(NetError::new(NetworkErrorKind::Dns, at, "the name has no address"));
    }
    Ok(addresses)
}

/// Dials the addresses in order, each next one when the last failed or is slow; first answer wins.
async fn dial(cx: &Cx, to: &HostPort, addresses: Vec<SocketAddr>) -> Result<Stream, NetError> {
    let mut waiting = addresses.into_iter();
    let mut dialling = FuturesUnordered::new();
    let mut last: Option<io::Error> = None;
    loop {
        if let Some(address) = waiting.next() {
            dialling.push(cx.backend().connect(address));
        }
        let finished = if waiting.len() == 0 {
            dialling.next().await
        } else {
            let pause = pin!(cx.backend().sleep_until(cx.now().after(STAGGER)));
            match select(dialling.next(), pause).await {
                Either::Left((finished, _)) => finished,
                Either::Right(((), _)) => continue,
            }
        };
        match finished {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = Some(error),
            None if waiting.len() == 0 => {
                let error = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
                return Err(NetError::io(to, error));
            }
            None => {}
        }
    }
}
