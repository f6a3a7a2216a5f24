//! One host, politely: bounded concurrency that gives way (`pace`), the sliding window, waits the host asks for, tries
//! again where trying helps, and never a request more in a run to which it has said no.
//!
//! Every request of every forge client goes through [`Host::ask`].

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annals_core::backoff::Backoff;
use annals_core::{MonoTime, NetworkErrorKind, UnixMs};
use annals_net_adapter::http::{FinalUrl, HttpClient, ReqBody, ReqOpts, Request, Response, Validators};
use annals_net_adapter::sync::Semaphore;
use annals_net_adapter::{Cx, Stop};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use super::budget::{Flight, FlightStage};
use super::error::ForgeError;
use super::meter::Meter;
use super::pace::Pace;
use super::rate::{self, RateHeaders};
use super::retry::{Class, MAX_TRIES, classify};
use super::sliding_window::SlidingWindow;

/// How a host is to be treated.
#[derive(Debug, Clone, Copy)]
pub struct HostPolicy {
    /// Requests under way at once.
    pub concurrency: NonZeroUsize,
    /// Requests per [`Self::per`].
    pub requests: NonZeroU32,
    /// The length of the sliding window.
    pub per: Duration,
    /// The longest wait that a host may ask for; a longer one ends the stream.
    pub max_wait: Duration,
}

impl Default for HostPolicy {
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
            requests: NonZeroU32::new(600).unwrap_or(NonZeroU32::MIN),
            per: Duration::from_secs(60),
            max_wait: Duration::from_secs(60),
        }
    }
}

/// A host and what it allows. One per host and process, shared by all tasks.
pub struct Host {
    name: String,
    policy: HostPolicy,
    client: Arc<dyn HttpClient>,
    slots: Semaphore,
    pace: Pace,
    window: SlidingWindow,
    closed_until: Mutex<MonoTime>,
}

/// One request that only reads.
pub struct Ask<'a> {
    /// What.
    pub url: &'a Url,
    /// A GraphQL query, which is posted; without one it is a GET.
    pub query: Option<&'a Bytes>,
    /// The credential as a header, marked sensitive.
    pub auth: Option<&'a (HeaderName, HeaderValue)>,
    /// What a missing credential could have been named; for the error only.
    pub token_variables: &'a [String],
    /// Ask only for news since these.
    pub validators: Option<&'a Validators>,
    /// Where the bytes of the answer are counted.
    pub flight: &'a Flight,
    /// Where the request is counted.
    pub meter: &'a Meter,
}

/// What a host answered.
#[derive(Debug)]
pub enum Reply {
    /// A JSON body.
    Fresh(Box<Fresh>),
    /// Nothing new.
    NotModified,
    /// 404.
    Missing,
    /// 410.
    Deleted,
    /// 404, 410, 403 or 451 from where a redirect within the origin led.
    Elsewhere(Url),
    /// 403 or 451.
    Forbidden,
    /// 400, 405, 416 or 422.
    Refused(u16),
}

/// A complete answer.
#[derive(Debug)]
pub struct Fresh {
    /// The decoded body.
    pub body: Bytes,
    /// The address that answered, after redirects within the origin.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// What makes the next request for it conditional.
    pub validators: Validators,
    /// The server's own time.
    pub date: Option<UnixMs>,
}

/// The end of one try.
enum Try {
    Done(Reply),
    /// Wait as the host asks, then try again.
    Limited(Duration),
    /// Back off, then try again.
    Failed(ForgeError),
}

impl Host {
    /// A host by the name that errors and events show.
    #[must_use]
    pub fn new(name: impl Into<String>, client: Arc<dyn HttpClient>, policy: HostPolicy) -> Self {
        let pace = Pace::new(policy.concurrency.get());
        Self {
            name: name.into(),
            policy,
            client,
            slots: Semaphore::new(pace.shares()),
            pace,
            window: SlidingWindow::new(policy.requests, policy.per),
            closed_until: Mutex::new(MonoTime(0)),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends one request and reads its whole answer, waiting and trying again as far as the policy
    /// goes.
    ///
    /// # Errors
    /// [`ForgeError`]; `Stopped` when the process drains during a wait or `cx` is cancelled.
    ///
    /// # Cancel safety
    /// A dropped or cancelled call has sent at most GETs and queries; nothing is held afterwards.
    pub async fn ask(&self, cx: &Cx, ask: &Ask<'_>) -> Result<Reply, ForgeError> {
        let (mut failures, mut waits) = (0, 0);
        let held = ask.flight.held();
        loop {
            self.may_ask(cx, ask.meter)?;
            match self.attempt(cx, ask).await? {
                Try::Done(reply) => return Ok(reply),
                Try::Limited(wait) => {
                    waits += 1;
                    if wait > self.policy.max_wait || waits > MAX_TRIES {
                        self.close_until(cx.now().after(wait));
                        return Err(ForgeError::RateLimited {
                            host: self.name.clone(),
                            retry_after: wait,
                        });
                    }
                    // Everybody else on this host waits too.
                    self.window.pause_until(cx.now().after(wait));
                    self.wait(cx, ask.meter, wait, "rate limit").await?;
                }
                Try::Failed(error) => {
                    failures += 1;
                    if failures >= MAX_TRIES {
                        return Err(error);
                    }
                    let wait = Backoff::FORGE.delay(failures - 1, cx.rng().u64(..));
                    self.wait(cx, ask.meter, wait, "trying again").await?;
                }
            }
            ask.flight.give_back_to(held);
        }
    }

    fn may_ask(&self, cx: &Cx, meter: &Meter) -> Result<(), ForgeError> {
        if meter.is_refused(&self.name) {
            return Err(ForgeError::AuthRejected {
                host: self.name.clone(),
            });
        }
        let until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.since(cx.now());
        if left.is_zero() {
            Ok(())
        } else {
            Err(ForgeError::RateLimited {
                host: self.name.clone(),
                retry_after: left,
            })
        }
    }

    fn close_until(&self, t: MonoTime) {
        let mut until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(t);
    }

    async fn wait(&self, cx: &Cx, meter: &Meter, wait: Duration, why: &'static str) -> Result<(), Stop> {
        meter.waiting(cx, &self.name, wait, why);
        let began = cx.now();
        let result = cx.pause(wait).await;
        meter.waited(cx.now().since(began));
        result
    }

    async fn attempt(&self, cx: &Cx, ask: &Ask<'_>) -> Result<Try, ForgeError> {
        let stage = StageGuard::enter(ask.flight, FlightStage::Queueing);
        let mut share = self.pace.share();
        let slot = loop {
            let slot = cx
                .or_stop(self.slots.acquire(cx, share))
                .await?
                .map_err(ForgeError::from)?;
            // While this one queued, the pace may have been lowered: then it queues for as much as the others do.
            let larger = self.pace.share();
            if larger <= share {
                break slot;
            }
            share = larger;
        };
        ask.flight.enter(FlightStage::Reading);
        let waited = self.window.acquire(cx).await?;
        ask.meter.waited(waited);
        ask.meter.request();
        let request = self.request(ask)?;
        let opts = ReqOpts::default();
        let began = cx.now();
        let response = match self.client.send(cx, request, &opts).await {
            Ok(response) => response,
            Err(error) => return self.failed(error),
        };
        let (answered, status) = (cx.now(), response.status());
        let reply = self.read(cx, ask, response).await;
        match &reply {
            Ok(Try::Limited(_)) => self.pace.refused(began, cx.now()),
            _ if status == http::StatusCode::SERVICE_UNAVAILABLE => self.pace.refused(began, cx.now()),
            Ok(Try::Done(Reply::Fresh(_))) => self.pace.answered(began, answered),
            // An answer without a body says that the host keeps up, but its time is not that of a list.
            Ok(Try::Done(_)) => self.pace.kept_up(),
            Ok(Try::Failed(_)) | Err(_) => {}
        }
        drop(slot);
        drop(stage);
        reply
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request, ForgeError> {
        let (method, body) = match ask.query {
            None => (http::Method::GET, ReqBody::Empty),
            Some(query) => (http::Method::POST, ReqBody::Bytes(query.clone())),
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(ask.url.as_str())
            .header(header::ACCEPT, "application/json");
        if ask.query.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some((name, value)) = ask.auth {
            request = request.header(name, value);
        }
        if let Some(validators) = ask.validators {
            request = match (&validators.etag, &validators.last_modified) {
                (Some(etag), _) => request.header(header::IF_NONE_MATCH, etag),
                (None, Some(since)) => request.header(header::IF_MODIFIED_SINCE, since),
                (None, None) => request,
            };
        }
        request.body(body).map_err(|_| ForgeError::Network {
            host: self.name.clone(),
            kind: NetworkErrorKind::BadUrl,
            source: None,
        })
    }

    fn failed(&self, error: annals_net_adapter::http::HttpError) -> Result<Try, ForgeError> {
        let transient = error.kind.is_transient();
        let error = ForgeError::http(&self.name, error);
        if transient { Ok(Try::Failed(error)) } else { Err(error) }
    }

    async fn read(&self, cx: &Cx, ask: &Ask<'_>, response: Response) -> Result<Try, ForgeError> {
        let final_url = response
            .extensions()
            .get::<FinalUrl>()
            .map_or_else(|| ask.url.clone(), |f| f.0.clone());
        if final_url.origin() != ask.url.origin() {
            // Whoever answered is not the forge we asked; the body is not read.
            return Err(ForgeError::Network {
                host: self.name.clone(),
                kind: NetworkErrorKind::RedirectRefused,
                source: None,
            });
        }
        let (parts, body) = response.into_parts();
        let now = cx.unix_ms();
        let date = rate::date(&parts.headers);
        if let Some(spread) = RateHeaders::read(&parts.headers, now).spread() {
            self.window
                .pause_until(cx.now().after(spread.min(self.policy.max_wait)));
        }
        let conditional = ask
            .validators
            .is_some_and(|v| v.etag.is_some() || v.last_modified.is_some());
        Ok(Try::Done(match classify(parts.status, &parts.headers, now) {
            Class::Success => {
                self.expect_json(&parts.headers)?;
                let validators = Validators {
                    etag: text(&parts.headers, &header::ETAG),
                    last_modified: text(&parts.headers, &header::LAST_MODIFIED),
                };
                match self.body(cx, ask, body).await? {
                    Ok(body) => Reply::Fresh(Box::new(Fresh {
                        body,
                        url: final_url,
                        headers: parts.headers,
                        validators,
                        date,
                    })),
                    Err(failed) => return Ok(failed),
                }
            }
            Class::NotModified if conditional => {
                ask.meter.not_modified();
                Reply::NotModified
            }
            Class::NotModified => {
                return Err(ForgeError::protocol(&self.name, "304 to a request without a condition"));
            }
            Class::Unauthorised => return Err(self.unauthorised(ask)),
            Class::RateLimited(wait) => return Ok(Try::Limited(wait)),
            Class::Forbidden | Class::Missing | Class::Deleted if final_url.path() != ask.url.path() => {
                Reply::Elsewhere(final_url)
            }
            Class::Forbidden => Reply::Forbidden,
            Class::Missing => Reply::Missing,
            Class::Deleted => Reply::Deleted,
            Class::Refused => Reply::Refused(parts.status.as_u16()),
            Class::ServerError => {
                let status = parts.status.as_u16();
                return Ok(Try::Failed(ForgeError::Server {
                    host: self.name.clone(),
                    status,
                }));
            }
            Class::Unexpected => {
                return Err(ForgeError::protocol(
                    &self.name,
                    format!("status {}", parts.status.as_u16()),
                ));
            }
        }))
    }

    fn unauthorised(&self, ask: &Ask<'_>) -> ForgeError {
        if ask.auth.is_some() {
            ask.meter.refused(&self.name);
            ForgeError::AuthRejected {
                host: self.name.clone(),
            }
        } else {
            ForgeError::TokenMissing {
                host: self.name.clone(),
                variables: ask.token_variables.to_vec(),
            }
        }
    }

    fn expect_json(&self, headers: &HeaderMap) -> Result<(), ForgeError> {
        match headers.get(header::CONTENT_TYPE) {
            // Some proxies leave it out; the body is judged anyway.
            None => Ok(()),
            Some(value)
                if String::from_utf8_lossy(value.as_bytes())
                    .to_ascii_lowercase()
                    .contains("json") =>
            {
                Ok(())
            }
            Some(_) => Err(ForgeError::protocol(&self.name, "something that is not JSON")),
        }
    }

    async fn body(
        &self,
        cx: &Cx,
        ask: &Ask<'_>,
        mut body: annals_net_adapter::http::Body,
    ) -> Result<Result<Bytes, Try>, ForgeError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.chunk(cx).await {
            match chunk {
                Ok(chunk) => {
                    ask.flight
                        .take(cx, u64::try_from(chunk.len()).unwrap_or(u64::MAX))
                        .await?;
                    whole.extend_from_slice(&chunk);
                }
                Err(error) => return self.failed(error).map(Err),
            }
        }
        Ok(Ok(whole.freeze()))
    }
}

/// Puts the stage of a flight back, however the try ends.
struct StageGuard<'a>(&'a Flight);

impl<'a> StageGuard<'a> {
    fn enter(flight: &'a Flight, stage: FlightStage) -> Self {
        flight.enter(stage);
        Self(flight)
    }
}

impl Drop for StageGuard<'_> {
    fn drop(&mut self) {
        self.0.enter(FlightStage::Elsewhere);
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
