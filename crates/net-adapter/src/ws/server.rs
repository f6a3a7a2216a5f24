//! A server's side of the handshake, and the life of what it grants.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{
    CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};
use tungstenite::protocol::Role;

use super::handshake::{VERSION, WEBSOCKET, accept, is_key, items, speaks_websocket};
use super::link::Leaving;
use super::message::{WsError, WsOpts};
use super::socket::{WebSocket, farewell};
use crate::Cx;
use crate::http::server::refusal::plain;
use crate::http::server::upgrade::{self, Upgraded};

/// Goodbye of a handler that has returned.
const NORMAL: u16 = 1000;
/// Goodbye of a server that ends.
const GOING_AWAY: u16 = 1001;
/// Goodbye of a handler that panicked.
const INTERNAL: u16 = 1011;

/// An axum extractor: the request asks for a WebSocket, and asks rightly. Otherwise the answer is a [`WsRefusal`].
pub struct WsUpgrade {
    accept: String,
    offered: Vec<Vec<u8>>,
}

/// Why a request is not granted a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsRefusal {
    /// It does not ask for one: 426, with what is spoken here.
    NotAsked,
    /// Another version of the protocol: 426, with the version that is spoken here.
    Version,
    /// It breaks the rules of the handshake: 400.
    Malformed(&'static str),
}

impl IntoResponse for WsRefusal {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::NotAsked => (StatusCode::UPGRADE_REQUIRED, "this resource speaks WebSocket"),
            Self::Version => (StatusCode::UPGRADE_REQUIRED, "WebSocket is spoken in version 13 here"),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why),
        };
        let mut response = plain(status, why).into_response();
        if status == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        response
    }
}

impl<S: Sync> FromRequestParts<S> for WsUpgrade {
    type Rejection = WsRefusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, WsRefusal> {
        judge(parts)
    }
}

fn judge(parts: &Parts) -> Result<WsUpgrade, WsRefusal> {
    let headers = &parts.headers;
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if parts.version != Version::HTTP_11 {
        // RFC 9110 §7.8: 1.0 knows no upgrade.
        return Err(WsRefusal::Malformed("WebSocket needs HTTP/1.1"));
    }
    if !speaks_websocket(headers) {
        return Err(WsRefusal::NotAsked);
    }
    if parts.method != Method::GET {
        return Err(WsRefusal::Malformed("a WebSocket begins with GET"));
    }
    if headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        return Err(WsRefusal::Malformed("a WebSocket request has no body"));
    }
    if one(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(WsRefusal::Version);
    }
    let key = one(SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes)
        .filter(|key| is_key(key))
        .ok_or(WsRefusal::Malformed("a malformed Sec-WebSocket-Key"))?;
    Ok(WsUpgrade {
        accept: accept(key),
        offered: items(headers, &SEC_WEBSOCKET_PROTOCOL).map(<[u8]>::to_vec).collect(),
    })
}

impl WsUpgrade {
    /// Grants it: the answer is 101, and `f` gets the WebSocket.
    ///
    /// Its context is that of the request. It is cancelled as soon as the server drains; `f` then has as long as a request in
    /// flight has, and the client gets the goodbye 1001. When `f` returns and has not said goodbye itself, the server does;
    /// when it panics, with 1011.
    #[must_use]
    pub fn on_upgrade<F, Fut>(self, opts: WsOpts, f: F) -> Response
    where
        F: FnOnce(Cx, WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), WsError>> + Send + 'static,
    {
        let Ok(accept) = HeaderValue::try_from(self.accept) else {
            // Base64 always fits.
            return WsRefusal::Malformed("a malformed Sec-WebSocket-Key").into_response();
        };
        let granted = opts
            .protocol
            .filter(|name| self.offered.iter().any(|offered| offered == name.as_bytes()));
        let run = move |cx: Cx, upgraded: Upgraded| -> crate::backend::BoxFuture<'static, _> {
            Box::pin(async move {
                let socket = WebSocket::new(&cx, upgraded.stream, &upgraded.early, Role::Server, &opts);
                let link = socket.link();
                // The connection is this server's: it does not outlive its say, whoever still holds a half.
                let _leaving = Leaving(&link);
                let done = crate::cx::caught("websocket", f(cx.clone(), socket)).await;
                let code = match &done {
                    Err(_) => INTERNAL,
                    Ok(_) if cx.is_cancelled() => GOING_AWAY,
                    Ok(_) => NORMAL,
                };
                let wait = opts.close_wait;
                let said = cx
                    .masked(wait, async |cx| farewell(&cx, &link, wait, code, "").await)
                    .await;
                match (done, said) {
                    (Err(panic), _) => return Err(panic),
                    (Ok(Err(error)), _) => tracing::debug!(%error, "a WebSocket ended"),
                    (Ok(Ok(())), Err(error)) => tracing::debug!(%error, "a WebSocket was not closed in time"),
                    (Ok(Ok(())), Ok(_)) => {}
                }
                Ok(())
            })
        };
        let mut response = upgrade::switching(WEBSOCKET, Box::new(run));
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(name) = granted.and_then(|name| HeaderValue::from_str(name).ok()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        response
    }
}

impl fmt::Debug for WsUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsUpgrade").finish_non_exhaustive()
    }
}
