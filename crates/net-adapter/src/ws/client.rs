//! A client's side of the handshake.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use annals_core::{Cancelled, NetworkErrorKind, Outcome};
use bytes::{Buf, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tungstenite::protocol::Role;
use url::Url;

use super::handshake::{VERSION, WEBSOCKET, accept, items, speaks_websocket};
use super::message::{WsError, WsOpts};
use super::socket::WebSocket;
use crate::http::address::{Origin, Scheme, origin_form};
use crate::http::base64;
use crate::http::connect::{Connector, Way};
use crate::http::kind_of_stream_error;
use crate::http::proxy::Proxies;
use crate::http::wire::{HeadReader, write_head};
use crate::net::{TlsClient, TlsError, TlsRoots};
use crate::{Cx, Stream, TimeoutError};

/// Fields that are the handshake's own.
const RESERVED: [HeaderName; 9] = [
    HOST,
    CONNECTION,
    UPGRADE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
];

pub(super) async fn connect(cx: &Cx, url: &str, o: WsOpts) -> Result<WebSocket, WsError> {
    let bad = WsError::Net(NetworkErrorKind::BadUrl);
    let (url, origin) = address(url).ok_or(bad.clone())?;
    if RESERVED.iter().any(|name| o.headers.contains_key(name)) {
        return Err(bad);
    }
    let limit = o.handshake;
    match cx.timeout(limit, open(cx, &url, &origin, o, limit)).await {
        Ok(opened) => opened,
        Err(TimeoutError::Elapsed) => Err(WsError::Net(NetworkErrorKind::ConnectTimeout)),
        Err(TimeoutError::Cancelled(reason)) => Err(WsError::Cancelled(reason)),
    }
}

/// A WebSocket URL is an HTTP URL under another scheme, without a fragment.
fn address(text: &str) -> Option<(Url, Origin)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" => "http",
        "wss" => "https",
        _ => return None,
    };
    let url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
    let origin = Origin::of(&url).ok()?;
    url.fragment().is_none().then_some((url, origin))
}

async fn open(cx: &Cx, url: &Url, origin: &Origin, o: WsOpts, limit: Duration) -> Result<WebSocket, WsError> {
    let proxies = Proxies::from_config(&o.proxy, cx).map_err(|_| WsError::Net(NetworkErrorKind::Proxy))?;
    let tls = match (o.tls.clone(), origin.scheme) {
        (Some(tls), _) => Some(tls),
        (None, Scheme::Http) => None,
        (None, Scheme::Https) => Some(system_roots(cx).await?),
    };
    let connector = Connector {
        limit,
        tls,
        admission: o.admission.clone(),
        proxies,
    };
    let dialled = connector.stream(cx, origin, Way::Tunnel).await;
    let mut stream = dialled.map_err(|error| match error.into_cancelled() {
        Ok(reason) => WsError::Cancelled(reason),
        Err(kind) => WsError::Net(kind),
    })?;
    let shaken = cx.or_cancel(shake_hands(cx, &mut stream, url, origin, &o)).await;
    let early = shaken.map_err(|Cancelled(reason)| WsError::Cancelled(reason))??;
    Ok(WebSocket::new(cx, stream, &early, Role::Client, &o))
}

/// Reads files, and so not on a worker.
async fn system_roots(cx: &Cx) -> Result<TlsClient, WsError> {
    let built = cx.blocking("tls-roots", |_| {
        Ok::<_, NoRoots>(TlsClient::new(TlsRoots::System, &[])?)
    });
    match built.await {
        Outcome::Ok(tls) => Ok(tls),
        Outcome::Cancelled(reason) => Err(WsError::Cancelled(reason)),
        Outcome::Err(_) | Outcome::Panicked(_) => Err(WsError::Net(NetworkErrorKind::Tls)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NoRoots(#[from] TlsError);

impl annals_core::TaskError for NoRoots {}

/// Asks, and judges the answer; what came behind it.
async fn shake_hands(
    cx: &Cx,
    stream: &mut Stream,
    url: &Url,
    origin: &Origin,
    o: &WsOpts,
) -> Result<BytesMut, WsError> {
    let mut nonce = [0_u8; 16];
    cx.rng().fill(&mut nonce);
    let key = base64(&nonce);
    let mut out = BytesMut::new();
    write_head(&Method::GET, &origin_form(url), &request(origin, &key, o)?, &mut out);
    poll_fn(|context| {
        while !out.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(context, &out))?;
            if sent == 0 {
                return std::task::Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            out.advance(sent);
        }
        Pin::new(&mut *stream).poll_flush(context)
    })
    .await
    .map_err(lost)?;

    let mut reader = HeadReader::for_upgrade();
    let mut input = BytesMut::new();
    let head = loop {
        let mut piece = [0; 1024];
        let count = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut piece))
            .await
            .map_err(lost)?;
        if count == 0 {
            return Err(WsError::Net(NetworkErrorKind::ClosedEarly));
        }
        input.extend_from_slice(piece.get(..count).unwrap_or_default());
        match reader.read(&mut input) {
            Ok(Some(found)) => break found.head,
            Ok(None) => {}
            Err(_) => return Err(WsError::Net(NetworkErrorKind::Protocol)),
        }
    };
    let agreed = head.status == StatusCode::SWITCHING_PROTOCOLS
        && speaks_websocket(&head.headers)
        && is_only(&head.headers, &SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()).as_bytes())
        && !head.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
        && protocol_was_offered(&head.headers, &o.headers);
    if agreed {
        Ok(input)
    } else {
        Err(WsError::Handshake {
            status: Some(head.status.as_u16()),
        })
    }
}

fn lost(error: std::io::Error) -> WsError {
    WsError::Net(kind_of_stream_error(&error))
}

fn request(origin: &Origin, key: &str, o: &WsOpts) -> Result<HeaderMap, WsError> {
    let value = |text: &str| HeaderValue::try_from(text).map_err(|_| WsError::Net(NetworkErrorKind::BadUrl));
    let mut headers = HeaderMap::with_capacity(o.headers.len() + 5);
    headers.insert(HOST, value(&origin.authority())?);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(SEC_WEBSOCKET_KEY, value(key)?);
    headers.extend(o.headers.clone());
    Ok(headers)
}

fn is_only(headers: &HeaderMap, name: &HeaderName, expected: &[u8]) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|value| value.as_bytes() == expected) && values.next().is_none()
}

/// A server may pick one of the subprotocols that were offered, and no other.
fn protocol_was_offered(answer: &HeaderMap, asked: &HeaderMap) -> bool {
    let mut picked = items(answer, &SEC_WEBSOCKET_PROTOCOL);
    match (picked.next(), picked.next()) {
        (None, _) => true,
        (Some(name), None) => items(asked, &SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == name),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_urls_have_an_address() {
        let shown = |text: &str| address(text).map(|(url, origin)| format!("{origin} {}", origin_form(&url)));
        assert_eq!(shown("ws://h/a?b").as_deref(), Some("http://h:80 /a?b"));
        assert_eq!(shown("WSS://h:8443").as_deref(), Some("https://h:8443 /"));
        for text in ["http://h/", "h/", "ws://u:p@h/", "ws://", "ws://h/#f", "ws://h:0/", ""] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
