//! Asking again only for what has changed.

use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::HttpError;
use super::request::{ReqOpts, Request};
use super::{HttpClient, Response};
use crate::Cx;

/// What a server gave to recognise an answer by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`, quotes and weakness included.
    pub etag: Option<String>,
    /// `Last-Modified`, as it was sent.
    pub last_modified: Option<String>,
}

/// The answer to a conditional request.
#[derive(Debug)]
pub enum Fetched {
    /// A new answer, whatever its status, and what to recognise it by next time.
    Fresh(Response, Validators),
    /// Nothing has changed since the answer the validators came from.
    NotModified(Validators),
}

/// A response that was reached over another origin: what was asked of the first one was not asked
/// of the one that answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrossedOrigins;

impl Validators {
    /// Those of a response.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Self {
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        }
    }

    /// Whether there is nothing to recognise an answer by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Newer values where there are some.
    #[must_use]
    fn merged_with(self, newer: Self) -> Self {
        Self {
            etag: newer.etag.or(self.etag),
            last_modified: newer.last_modified.or(self.last_modified),
        }
    }

    /// The header that asks for changes; the entity tag is the more exact one.
    fn condition(&self) -> Option<(HeaderName, HeaderValue)> {
        // A stored value that cannot be sent is as good as none: the answer is then a full one.
        let sendable = |text: &Option<String>| text.as_ref().and_then(|text| HeaderValue::from_str(text).ok());
        sendable(&self.etag)
            .map(|tag| (IF_NONE_MATCH, tag))
            .or_else(|| sendable(&self.last_modified).map(|date| (IF_MODIFIED_SINCE, date)))
    }
}

/// Sends `r` on the condition that the answer is no longer the one `v` came from.
///
/// An answer that came from another origin has no validators: sent to this one they would be a
/// leak, and they would mean nothing there.
///
/// # Errors
/// As [`HttpClient::send`].
///
/// # Cancel safety
/// As [`HttpClient::send`].
pub async fn get_if_changed(
    cx: &Cx,
    c: &dyn HttpClient,
    mut r: Request,
    v: &Validators,
    o: &ReqOpts,
) -> Result<Fetched, HttpError> {
    let condition = v.condition();
    let conditional = condition.is_some();
    if let Some((name, value)) = condition {
        r.headers_mut().insert(name, value);
    }
    let response = c.send(cx, r, o).await?;
    let crossed = response.extensions().get::<CrossedOrigins>().is_some();
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED && conditional && !crossed {
        return Ok(Fetched::NotModified(
            v.clone().merged_with(Validators::of(response.headers())),
        ));
    }
    let validators = if status.is_success() && !crossed {
        Validators::of(response.headers())
    } else {
        Validators::default()
    };
    Ok(Fetched::Fresh(response, validators))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn validators(etag: Option<&str>, last_modified: Option<&str>) -> Validators {
        Validators {
            etag: etag.map(str::to_owned),
            last_modified: last_modified.map(str::to_owned),
        }
    }

    #[test]
    fn get_if_changed_prefers_the_entity_tag() {
        let condition = |etag, date| {
            validators(etag, date)
                .condition()
                .map(|(name, value)| (name, value.to_str().unwrap().to_owned()))
        };
        assert_eq!(
            condition(Some("W/\"a\""), Some("Mon")),
            Some((IF_NONE_MATCH, "W/\"a\"".to_owned()))
        );
        assert_eq!(
            condition(None, Some("Mon")),
            Some((IF_MODIFIED_SINCE, "Mon".to_owned()))
        );
        assert_eq!(
            condition(Some("a\nb"), Some("Mon")),
            Some((IF_MODIFIED_SINCE, "Mon".to_owned()))
        );
        assert_eq!(condition(None, None), None);
    }

    #[test]
    fn get_if_changed_merges_old_and_new() {
        let old = validators(Some("\"a\""), Some("Mon"));
        assert_eq!(old.clone().merged_with(Validators::default()), old);
        assert_eq!(
            old.merged_with(validators(Some("\"b\""), None)),
            validators(Some("\"b\""), Some("Mon"))
        );
    }
}
