//! One request from the caller's words to the answer: check, wait for a connection, ask, follow.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use annals_core::{Cancelled, MonoTime, NetworkErrorKind};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use super::address::{self, FinalUrl, Origin, Scheme};
use super::body::{Body, Reading, too_large};
use super::connect::Connector;
use super::decode::Gunzip;
use super::error::{HttpError, Phase};
use super::pool::{Lease, Pool};
use super::proxy::Proxies;
use super::redirect::{Crossing, KeepBody, Redirects, strip};
use super::request::{HttpConfig, ReqBody, ReqOpts, Request};
use super::server::framing::BodyLength;
use super::validators::CrossedOrigins;
use super::wire::{Outgoing, ResponseBody, ResponseHead, Wire};
use crate::backend::BoxFuture;
use crate::{Cx, TimeoutError};

/// The answer to a request; its extensions hold the [`FinalUrl`].
pub type Response = http::Response<Body>;

/// Sends requests. Fakes for tests implement it too.
pub trait HttpClient: Send + Sync {
    /// Sends `r`, follows redirects, and returns when the head of the answer is here. A status is
    /// never an error.
    ///
    /// # Errors
    /// [`HttpError`]; its kind says whether an idempotent request may be sent again.
    ///
    /// # Cancel safety
    /// Cancelled or dropped, it closes the connection it was using; the server may have acted on
    /// the request.
    fn send<'a>(&'a self, cx: &'a Cx, r: Request, o: &'a ReqOpts) -> BoxFuture<'a, Result<Response, HttpError>>;
}

/// A client with a connection pool of its own, over the network of `cx`.
///
/// # Errors
/// Kind `Proxy` when the environment names a proxy that is not supported, `BadUrl` when a setting
/// cannot be sent.
pub fn http_client(cx: &Cx, cfg: HttpConfig) -> Result<Arc<dyn HttpClient>, HttpError> {
    let proxies = Proxies::from_config(&cfg.proxy, cx)
        .map_err(|error| HttpError::new(NetworkErrorKind::Proxy, "", Phase::Prepare, error))?;
    let user_agent = HeaderValue::from_str(&cfg.user_agent)
        .map_err(|error| HttpError::new(NetworkErrorKind::BadUrl, "", Phase::Prepare, error))?;
    Ok(Arc::new(Client {
        pool: Pool::new(cfg.per_host, cfg.pool_idle),
        pool_wait: cfg.pool_wait,
        user_agent,
        connector: Connector {
            limit: cfg.connect,
            tls: Some(cfg.tls),
            admission: cfg.admission,
            proxies,
        },
    }))
}

struct Client {
    pool: Pool,
    pool_wait: Duration,
    user_agent: HeaderValue,
    connector: Connector,
}

impl HttpClient for Client {
    fn send<'a>(&'a self, cx: &'a Cx, r: Request, o: &'a ReqOpts) -> BoxFuture<'a, Result<Response, HttpError>> {
        Box::pin(self.exchange(cx, r, o))
    }
}

/// What is asked of whom, at one hop.
struct Ask {
    url: Url,
    origin: Origin,
    /// The origin in words, for errors.
    name: String,
    method: Method,
    /// The caller's fields, as far as this origin may see them.
    headers: HeaderMap,
}

/// One answer, its body not read yet.
struct Answer {
    lease: Lease,
    head: ResponseHead,
}

impl Client {
    async fn exchange(&self, cx: &Cx, r: Request, o: &ReqOpts) -> Result<Response, HttpError> {
        let total = o.total.map(|total| cx.now().after(total));
        let (mut ask, mut body) = self.prepare(r, o)?;
        let mut redirects = Redirects::new(o.redirects);
        let mut crossed = Crossing::SameOrigin;
        loop {
            let carries = body.carries();
            let replay = body.replay();
            let answer = self.ask(cx, &ask, body, o, total).await?;
            let (status, headers) = (answer.head.status, &answer.head.headers);
            let hop = match redirects.next(&ask.method, &ask.url, carries, status, headers) {
                Ok(None) => return deliver(ask, answer, crossed, o, total, cx.now()),
                Ok(Some(hop)) => Ok(hop),
                Err(refusal) => Err(HttpError::new(refusal.kind(), &ask.name, Phase::Redirect, refusal)),
            };
            // Given back before the next one is asked for: with one connection it is the same one.
            answer.lease.discard(cx.now());
            let hop = hop?;
            strip(&mut ask.headers, &hop);
            body = match hop.body {
                KeepBody::Yes => replay.unwrap_or_default(),
                KeepBody::No => ReqBody::Empty,
            };
            if hop.crossing == Crossing::OtherOrigin {
                crossed = Crossing::OtherOrigin;
            }
            let name = hop.origin.to_string();
            ask = Ask {
                url: hop.url,
                origin: hop.origin,
                name,
                method: hop.method,
                headers: ask.headers,
            };
        }
    }

    /// Checks the request before anything is sent.
    fn prepare(&self, r: Request, o: &ReqOpts) -> Result<(Ask, ReqBody), HttpError> {
        let (parts, body) = r.into_parts();
        let refused = |origin: &str, what| HttpError::new(NetworkErrorKind::BadUrl, origin, Phase::Prepare, what);
        let (url, origin) = address::parse(&parts.uri)
            .map_err(|error| HttpError::new(NetworkErrorKind::BadUrl, "", Phase::Prepare, error))?;
        let name = origin.to_string();
        if parts.method == Method::CONNECT {
            return Err(refused(&name, "CONNECT is not a request of its own"));
        }
        let mut headers = parts.headers;
        if RESERVED.iter().any(|reserved| headers.contains_key(reserved)) {
            return Err(refused(&name, "a header field that is the client's own to set"));
        }
        if headers
            .values()
            .any(|value| value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
        {
            return Err(refused(&name, "a line end in a header field"));
        }
        headers.remove(CONTENT_LENGTH); // follows from the body
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        if o.gzip {
            headers
                .entry(ACCEPT_ENCODING)
                .or_insert(HeaderValue::from_static("gzip"));
        }
        Ok((
            Ask {
                url,
                origin,
                name,
                method: parts.method,
                headers,
            },
            body,
        ))
    }

    /// Asks once; twice if a connection that was used before turns out to be dead.
    async fn ask(
        &self,
        cx: &Cx,
        ask: &Ask,
        body: ReqBody,
        o: &ReqOpts,
        total: Option<MonoTime>,
    ) -> Result<Answer, HttpError> {
        let bound = Bound {
            cx,
            total,
            origin: &ask.name,
        };
        let host = self.pool.host(&ask.origin, cx.now());
        let permit = bound
            .wait(Phase::Pool, self.pool_wait, NetworkErrorKind::PoolBusy, host.permit(cx))
            .await?
            .map_err(|cancelled| HttpError::cancelled(&ask.name, Phase::Pool, cancelled))?;
        let mut body = body;
        if let Some(mut wire) = permit.take_idle(cx.now()) {
            let again = if ask.method.is_idempotent() {
                body.replay()
            } else {
                None
            };
            match self.attempt(&bound, &mut *wire, ask, body, o).await {
                Ok(head) => {
                    return Ok(Answer {
                        lease: permit.lease(wire),
                        head,
                    });
                }
                Err(error) => {
                    let dead = matches!(error.kind, NetworkErrorKind::Reset | NetworkErrorKind::ClosedEarly);
                    match again {
                        Some(again) if dead && !wire.was_answered() => body = again,
                        _ => return Err(error),
                    }
                }
            }
        }
        let dial = self.connector.connect(cx, &ask.origin);
        let mut wire = bound
            .wait(
                Phase::Connect,
                self.connector.limit,
                NetworkErrorKind::ConnectTimeout,
                dial,
            )
            .await??;
        let head = self.attempt(&bound, &mut *wire, ask, body, o).await?;
        Ok(Answer {
            lease: permit.lease(wire),
            head,
        })
    }

    async fn attempt(
        &self,
        bound: &Bound<'_>,
        wire: &mut dyn Wire,
        ask: &Ask,
        body: ReqBody,
        o: &ReqOpts,
    ) -> Result<ResponseHead, HttpError> {
        wire.start(self.outgoing(ask, body));
        let head = poll_fn(|context| wire.poll_head(context));
        bound
            .wait(Phase::Head, o.head, NetworkErrorKind::ReadTimeout, head)
            .await?
            .map_err(|fault| HttpError::wire(&ask.name, Phase::Head, fault))
    }

    /// The request as it goes over the wire. All of its fields are set here, so that both kinds of
    /// connection send the same.
    fn outgoing(&self, ask: &Ask, body: ReqBody) -> Outgoing {
        let mut headers = HeaderMap::with_capacity(ask.headers.len() + 3);
        if let Ok(host) = HeaderValue::try_from(ask.origin.authority()) {
            headers.insert(HOST, host);
        }
        headers.extend(ask.headers.clone());
        match &body {
            ReqBody::Empty if matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            ReqBody::Empty => {}
            ReqBody::Bytes(bytes) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            }
            ReqBody::Stream(_) => {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        let target = match (self.connector.proxies.of(&ask.origin), ask.origin.scheme) {
            (Some(proxy), Scheme::Http) => {
                if let Some(authorization) = &proxy.authorization {
                    headers.insert(PROXY_AUTHORIZATION, authorization.clone());
                }
                format!("http://{}{}", ask.origin.authority(), address::origin_form(&ask.url))
            }
            _ => address::origin_form(&ask.url),
        };
        Outgoing {
            method: ask.method.clone(),
            target,
            headers,
            body,
        }
    }
}

/// Fields that belong to the connection, to its framing or to the client itself.
const RESERVED: [HeaderName; 10] = [
    HOST,
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    TRAILER,
    EXPECT,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

fn deliver(
    ask: Ask,
    answer: Answer,
    crossed: Crossing,
    o: &ReqOpts,
    total: Option<MonoTime>,
    now: MonoTime,
) -> Result<Response, HttpError> {
    let Answer { lease, mut head } = answer;
    let promised = match head.body {
        ResponseBody::Framed(BodyLength::Known(length)) => length,
        ResponseBody::Framed(BodyLength::Chunked) | ResponseBody::UntilClose => 0,
    };
    if promised > o.max_body {
        return Err(too_large(&ask.name, o.max_body));
    }
    let body = if head.body.is_empty() {
        lease.finish(now);
        Body::empty()
    } else {
        let gunzip = (o.gzip && is_gzip(&head.headers)).then(Gunzip::new);
        if gunzip.is_some() {
            // They describe what was on the wire, not what the caller reads.
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
        }
        let (idle_read, limit, origin) = (o.idle_read, o.max_body, ask.name);
        Body::reading(Reading {
            lease,
            origin,
            idle_read,
            total,
            limit,
            gunzip,
            taken: 0,
            promised,
        })
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    response.extensions_mut().insert(FinalUrl(ask.url));
    if crossed == Crossing::OtherOrigin {
        response.extensions_mut().insert(CrossedOrigins);
    }
    Ok(response)
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) => [b"gzip".as_slice(), b"x-gzip"]
            .iter()
            .any(|name| coding.as_bytes().eq_ignore_ascii_case(name)),
        _ => false,
    }
}

/// The limits that hold for every step of one exchange.
struct Bound<'a> {
    cx: &'a Cx,
    total: Option<MonoTime>,
    origin: &'a str,
}

impl Bound<'_> {
    /// Waits for one step; `late` is the kind of error when the step's own limit ends it.
    async fn wait<F: Future>(
        &self,
        phase: Phase,
        limit: Duration,
        late: NetworkErrorKind,
        step: F,
    ) -> Result<F::Output, HttpError> {
        let (limit, late) = match self.total.map(|total| total.since(self.cx.now())) {
            Some(rest) if rest < limit => (rest, NetworkErrorKind::TotalTimeout),
            _ => (limit, late),
        };
        match self.cx.timeout(limit, step).await {
            Ok(done) => Ok(done),
            Err(TimeoutError::Elapsed) => Err(HttpError::new(
                late,
                self.origin,
                phase,
                format!("not done within {limit:?}"),
            )),
            Err(TimeoutError::Cancelled(reason)) => Err(HttpError::cancelled(self.origin, phase, Cancelled(reason))),
        }
    }
}
