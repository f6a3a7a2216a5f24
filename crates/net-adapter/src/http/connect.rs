//! From an origin to a connection: admission, the way there, the tunnel, TLS.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use annals_core::NetworkErrorKind;
use bytes::{Buf, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method};

use super::address::{Origin, Scheme};
use super::error::{HttpError, Phase, WireFault};
use super::proxy::{Proxies, Proxy};
use super::wire::{HeadReader, Wire, write_head};
use crate::Cx;
use crate::net::{Admission, HostPort, Stream, TlsClient};

/// The caller's own timer ends a dial; the network's must not be earlier.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Opens connections. The caller bounds the time with `limit`.
pub(crate) struct Connector {
    pub(crate) limit: Duration,
    /// `None` where no TLS is needed.
    pub(crate) tls: Option<TlsClient>,
    pub(crate) admission: Option<Arc<dyn Admission>>,
    pub(crate) proxies: Proxies,
}

/// What a proxy is asked for where the scheme is plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To pass requests on.
    Forward,
    /// To open a tunnel, because what follows is not HTTP.
    Tunnel,
}

impl Connector {
    pub(crate) async fn connect(&self, cx: &Cx, origin: &Origin) -> Result<Box<dyn Wire>, HttpError> {
        let stream = self.stream(cx, origin, Way::Forward).await?;
        cx.backend()
            .http_wire(stream)
            .map_err(|fault| HttpError::wire(&origin.to_string(), Phase::Connect, fault))
    }

    /// A stream to the origin, in TLS where its scheme wants it.
    pub(crate) async fn stream(&self, cx: &Cx, origin: &Origin, way: Way) -> Result<Stream, HttpError> {
        let name = origin.to_string();
        let stream = match self.proxies.of(origin) {
            None => cx
                .net()
                .connect(cx, &origin.at, LONG, self.admission.as_deref())
                .await
                .map_err(|error| HttpError::net(&name, Phase::Connect, error))?,
            Some(proxy) => self.through(cx, proxy, origin, &name, way).await?,
        };
        match (origin.scheme, &self.tls) {
            (Scheme::Http, _) => Ok(stream),
            (Scheme::Https, Some(tls)) => tls
                .connect(cx, stream, &origin.at.host)
                .await
                .map_err(|error| HttpError::net(&name, Phase::Connect, error)),
            (Scheme::Https, None) => Err(HttpError::new(
                NetworkErrorKind::Tls,
                &name,
                Phase::Connect,
                "no certificates to trust",
            )),
        }
    }

    async fn through(
        &self,
        cx: &Cx,
        proxy: &Proxy,
        origin: &Origin,
        name: &str,
        way: Way,
    ) -> Result<Stream, HttpError> {
        if let Some(admission) = &self.admission {
            // The proxy resolves the name; here only an IP literal has an address.
            let literal: Vec<_> = origin
                .at
                .ip()
                .map(|ip| (ip, origin.at.port).into())
                .into_iter()
                .collect();
            admission
                .admit(&origin.at.host, origin.at.port, &literal)
                .map_err(|error| HttpError::new(NetworkErrorKind::NotAdmitted, name, Phase::Connect, error))?;
        }
        let dialled = cx.net().connect(cx, &proxy.at, LONG, None).await;
        let mut stream = dialled.map_err(|error| as_proxy(HttpError::net(name, Phase::Connect, error)))?;
        if origin.scheme == Scheme::Https || way == Way::Tunnel {
            let opened = cx.or_cancel(tunnel(&mut stream, proxy, &origin.at)).await;
            opened
                .map_err(|cancelled| HttpError::cancelled(name, Phase::Connect, cancelled))?
                .map_err(|fault| as_proxy(HttpError::wire(name, Phase::Connect, fault)))?;
        }
        Ok(stream)
    }
}

/// While a proxy is in the way, whatever fails up to the tunnel is the proxy's failure.
fn as_proxy(mut error: HttpError) -> HttpError {
    match error.kind {
        NetworkErrorKind::Cancelled | NetworkErrorKind::ConnectTimeout => {}
        _ => error.kind = NetworkErrorKind::Proxy,
    }
    error
}

/// Asks the proxy for a tunnel and reads its consent, and not a byte more.
async fn tunnel(stream: &mut Stream, proxy: &Proxy, to: &HostPort) -> Result<(), WireFault> {
    let target = to.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::try_from(&target).map_err(WireFault::caller)?);
    if let Some(authorization) = &proxy.authorization {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let mut out = BytesMut::new();
    write_head(&Method::CONNECT, &target, &headers, &mut out);
    poll_fn(|context| {
        while !out.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(context, &out))?;
            out.advance(sent);
        }
        Pin::new(&mut *stream).poll_flush(context)
    })
    .await
    .map_err(WireFault::io)?;

    // The answer to CONNECT has no body, as the answer to HEAD has none.
    let mut reader = HeadReader::new(&Method::HEAD);
    let mut input = BytesMut::new();
    loop {
        let mut piece = [0; 1024];
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut piece))
            .await
            .map_err(WireFault::io)?;
        if count == 0 {
            return Err(WireFault::closed_early("the proxy closed the connection"));
        }
        input.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(found) = reader.read(&mut input).map_err(WireFault::protocol)? {
            if !found.head.status.is_success() {
                return Err(WireFault::protocol(format!(
                    "the proxy answered {}",
                    found.head.status.as_u16()
                )));
            }
            // In TLS the client speaks first.
            return if input.is_empty() {
                Ok(())
            } else {
                Err(WireFault::protocol("the proxy speaks out of turn"))
            };
        }
    }
}
