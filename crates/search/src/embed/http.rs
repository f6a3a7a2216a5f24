//! An embedder behind HTTP: one POST, with the patience its caller has.
//!
//! What is sent and what comes back holds texts, so neither reaches an error or the log; nor does the key, which travels
//! in one header, marked sensitive, to one origin: redirects are not followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use annals_core::backoff::Backoff;
use annals_core::config::{BaseUrl, EmbedSettings};
use annals_core::time::retry_after::{BLIND_WAIT, parse_http_date, retry_after};
use annals_core::{NetworkErrorKind, Secret, TaskError};
use annals_net_adapter::http::{HttpClient, HttpConfig, HttpError, ReqBody, ReqOpts, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::{Cx, Stop};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::EmbedError;

/// How often one request is sent at most, and how often a wait that the server asks for is waited.
const MAX_TRIES: u32 = 3;

/// The longest wait that a server may ask for.
const LONGEST: Duration = Duration::from_secs(60);

/// The most of a refusal that is looked at.
const REFUSAL: usize = 16 * 1024;

/// How long the caller of an embedder is willing to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody looks at an empty screen: one try.
    Interactive,
    /// Work that should get done: waits that are asked for, and tries again.
    Work,
}

/// An address that takes POSTs.
pub(super) struct Service {
    client: Arc<dyn HttpClient>,
    url: String,
    /// Host and port, for errors.
    at: String,
    key: Option<HeaderValue>,
    /// Where the key comes from.
    variable: String,
    timeout: Duration,
    patience: Patience,
}

/// How one try ended.
enum Try {
    Answer(StatusCode, Vec<u8>),
    Wait(Duration),
    Failed(EmbedError),
}

impl Service {
    /// The address `path` below `base`.
    pub fn new(
        cx: &Cx,
        settings: &EmbedSettings,
        base: &BaseUrl,
        path: &str,
        key: (Option<Secret>, String),
        patience: Patience,
    ) -> Result<Self, EmbedError> {
        let (secret, variable) = key;
        let key = secret.map(|secret| bearer(&secret, &variable)).transpose()?;
        Ok(Self {
            client: client(cx, settings, base)?,
            url: format!("{}{path}", base.as_str()),
            at: base.authority().to_owned(),
            key,
            variable,
            timeout: settings.timeout,
            patience,
        })
    }

    /// Sends `body`, which holds so many `texts`; the bytes of a good answer. What was not answered in time is sent again
    /// only where it cannot be sent in smaller parts.
    ///
    /// # Errors
    /// [`EmbedError`]; the server was then asked as often as patience goes.
    ///
    /// # Cancel safety
    /// It has no effect but requests that were sent.
    pub async fn post(&self, cx: &Cx, model: &str, texts: usize, body: &Value) -> Result<Vec<u8>, EmbedError> {
        let bytes = body.to_string();
        let (mut failures, mut waits) = (0, 0);
        loop {
            match self.attempt(cx, bytes.clone()).await? {
                Try::Answer(StatusCode::OK, body) => return Ok(body),
                Try::Answer(status, body) => return Err(self.refusal(model, status, &body)),
                Try::Wait(retry_after) => {
                    waits += 1;
                    if self.patience == Patience::Interactive || retry_after > LONGEST || waits > MAX_TRIES {
                        return Err(EmbedError::RateLimited {
                            at: self.at.clone(),
                            retry_after,
                        });
                    }
                    tracing::info!(host = %self.at, seconds = retry_after.as_secs(), "the embedder asks to wait");
                    cx.pause(retry_after).await?;
                }
                Try::Failed(error) => {
                    failures += 1;
                    let divisible = texts > 1 && matches!(error, EmbedError::TimedOut { .. });
                    if self.patience == Patience::Interactive || divisible || failures >= MAX_TRIES {
                        return Err(error);
                    }
                    tracing::info!(%error, "trying again");
                    cx.pause(Backoff::FORGE.delay(failures - 1, cx.rng().u64(..))).await?;
                }
            }
        }
    }

    async fn attempt(&self, cx: &Cx, bytes: String) -> Result<Try, EmbedError> {
        let mut request = http::Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let request = request.body(ReqBody::from(bytes)).map_err(|_| EmbedError::Unusable {
            key: "embed.base_url".to_owned(),
            why: "it cannot be requested".to_owned(),
        })?;
        let options = ReqOpts {
            head: self.timeout,
            idle_read: self.timeout,
            total: Some(self.timeout),
            redirects: 0,
            ..ReqOpts::default()
        };
        let response = match self.client.send(cx, request, &options).await {
            Ok(response) => response,
            Err(error) => return self.failed(&error),
        };
        let (parts, body) = response.into_parts();
        let now = cx.unix_ms();
        let asks = parts.headers.get(header::RETRY_AFTER).map(|value| {
            let date = date(&parts.headers).unwrap_or(now);
            retry_after(&String::from_utf8_lossy(value.as_bytes()), date)
        });
        match (parts.status.as_u16(), asks) {
            (429, wait) => return Ok(Try::Wait(wait.unwrap_or(BLIND_WAIT))),
            (403 | 503, Some(wait)) => return Ok(Try::Wait(wait)),
            _ => {}
        }
        let body = match body.bytes(cx).await {
            Ok(body) => body,
            Err(error) => return self.failed(&error),
        };
        if parts.status == StatusCode::INTERNAL_SERVER_ERROR && !is_too_long(&body) {
            return Ok(Try::Failed(EmbedError::Broken { at: self.at.clone() }));
        }
        if parts.status.is_server_error() && !is_too_long(&body) {
            return Ok(Try::Failed(self.away(format!("status {}", parts.status.as_u16()))));
        }
        Ok(Try::Answer(parts.status, body.into()))
    }

    fn failed(&self, error: &HttpError) -> Result<Try, EmbedError> {
        if let Some(reason) = error.cancel_reason() {
            return Err(Stop::Cancelled(reason.clone()).into());
        }
        if matches!(
            error.kind,
            NetworkErrorKind::ReadTimeout | NetworkErrorKind::TotalTimeout
        ) {
            return Ok(Try::Failed(EmbedError::TimedOut {
                at: self.at.clone(),
                waited: self.timeout,
            }));
        }
        let away = self.away(format!("{} {}", error.kind, error.phase));
        if error.kind.is_transient() {
            Ok(Try::Failed(away))
        } else {
            Err(away)
        }
    }

    fn away(&self, why: String) -> EmbedError {
        EmbedError::Unavailable {
            at: self.at.clone(),
            why,
        }
    }

    /// What an answer that is not a good one means.
    fn refusal(&self, model: &str, status: StatusCode, body: &[u8]) -> EmbedError {
        let (at, status) = (self.at.clone(), status.as_u16());
        match status {
            401 | 403 if self.key.is_none() => EmbedError::TokenMissing {
                at,
                variable: self.variable.clone(),
            },
            401 | 403 => EmbedError::AuthRejected {
                at,
                variable: self.variable.clone(),
            },
            _ if is_too_long(body) || status == 413 => EmbedError::TooLong,
            404 if says(body, &["model"]) => EmbedError::ModelMissing {
                at,
                model: model.to_owned(),
                fetch: None,
            },
            400 if says(body, &["model_not_found", "invalid model", "model does not exist"]) => {
                EmbedError::ModelMissing {
                    at,
                    model: model.to_owned(),
                    fetch: None,
                }
            }
            404 | 405 => self.away(format!("it answers {status}; is embed.base_url right?")),
            400 | 422 => EmbedError::Refused { status },
            300..=399 => self.away("it sends us elsewhere, where no key is taken".to_owned()),
            _ => self.away(format!("status {status}")),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The words with which servers refuse a text for its length; there is no status for it that they agree on.
fn is_too_long(body: &[u8]) -> bool {
    let words = [
        "context length",
        "context_length",
        "context window",
        "context size",
        "input length",
        "too long",
        "too large",
        "too many tokens",
        "maximum sequence length",
    ];
    says(body, &words)
}

fn says(body: &[u8], words: &[&str]) -> bool {
    let head = body.get(..body.len().min(REFUSAL)).unwrap_or(body);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn date(headers: &HeaderMap) -> Option<annals_core::UnixMs> {
    parse_http_date(headers.get(header::DATE)?.to_str().ok()?)
}

fn bearer(secret: &Secret, variable: &str) -> Result<HeaderValue, EmbedError> {
    let text = secret.expose();
    let unusable = || EmbedError::Unusable {
        key: variable.to_owned(),
        why: "the key in it holds a character that no key has".to_owned(),
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(cx: &Cx, settings: &EmbedSettings, base: &BaseUrl) -> Result<Arc<dyn HttpClient>, EmbedError> {
    let unusable = |why: String| EmbedError::Unusable {
        key: "embed.base_url".to_owned(),
        why,
    };
    let tls = if base.as_str().starts_with("http://") {
        // Nothing to verify, so a machine without certificates can still reach a plain host.
        TlsClient::new(TlsRoots::Bundled, &[])
    } else {
        TlsClient::new(TlsRoots::System, &[]).or_else(|_| TlsClient::new(TlsRoots::Bundled, &[]))
    };
    let config = HttpConfig {
        per_host: settings.concurrency.max(2),
        ..HttpConfig::new(tls.map_err(|error| unusable(error.to_string()))?)
    };
    http_client(cx, config).map_err(|error| unusable(error.to_string()))
}
