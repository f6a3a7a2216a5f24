//! What an answer means for the next request: good, wait, try again, or leave it.
//!
//! One table, matched without a wildcard on our side; the loop that obeys it is in `host`.

use std::time::Duration;

use annals_core::UnixMs;
use http::{HeaderMap, StatusCode};

use super::rate::RateHeaders;

/// How often one request is sent at most, and how often a rate limit is waited out.
pub const MAX_TRIES: u32 = 3;

/// The class of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 2xx with a body to read.
    Success,
    /// 304.
    NotModified,
    /// 401.
    Unauthorised,
    /// 429, or 403 or 503 that carry a rate signal: wait this long.
    RateLimited(Duration),
    /// 403 or 451 without one: hidden from us, not gone.
    Forbidden,
    /// 404: no longer there, or hidden by a forge that does not say so.
    Missing,
    /// 410: deleted.
    Deleted,
    /// 5xx: the same request may succeed later.
    ServerError,
    /// 400, 405, 416, 422: this way of asking is refused.
    Refused,
    /// Anything else: an answer that cannot be trusted.
    Unexpected,
}

/// Classifies an answer that is not a followed redirect.
#[must_use]
pub fn classify(status: StatusCode, headers: &HeaderMap, now: UnixMs) -> Class {
    let rate = RateHeaders::read(headers, now);
    match status.as_u16() {
        200 | 203 => Class::Success,
        304 => Class::NotModified,
        401 => Class::Unauthorised,
        429 => Class::RateLimited(rate.wait()),
        403 if rate.is_refusal() => Class::RateLimited(rate.wait()),
        503 if rate.retry_after.is_some() => Class::RateLimited(rate.wait()),
        403 | 451 => Class::Forbidden,
        404 => Class::Missing,
        410 => Class::Deleted,
        400 | 405 | 416 | 422 => Class::Refused,
        500..=599 => Class::ServerError,
        _ => Class::Unexpected,
    }
}

/// The longest sleep before try number `attempt` (from 1); the sleep itself is drawn evenly from
/// zero to this, so that many clients do not come back together.
#[must_use]
pub fn backoff_ceiling(attempt: u32) -> Duration {
    Duration::from_millis(500)
        .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
        .min(Duration::from_secs(30))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn class(status: u16, pairs: &[(&'static str, &'static str)]) -> Class {
        let headers = pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        classify(StatusCode::from_u16(status).unwrap(), &headers, UnixMs(0))
    }

    #[test]
    fn answers_are_classified() {
        let wait = |s| Class::RateLimited(Duration::from_secs(s));
        for (status, headers, want) in [
            (200, &[][..], Class::Success),
            (204, &[], Class::Unexpected),
            (206, &[], Class::Unexpected),
            (304, &[], Class::NotModified),
            (301, &[], Class::Unexpected),
            (400, &[], Class::Refused),
            (401, &[], Class::Unauthorised),
            (403, &[], Class::Forbidden),
            (403, &[("retry-after", "2")], wait(2)),
            (404, &[], Class::Missing),
            (405, &[], Class::Refused),
            (410, &[], Class::Deleted),
            (422, &[], Class::Refused),
            (429, &[], wait(60)),
            (429, &[("retry-after", "7")], wait(7)),
            (451, &[], Class::Forbidden),
            (500, &[], Class::ServerError),
            (502, &[], Class::ServerError),
            (503, &[], Class::ServerError),
            (503, &[("retry-after", "1")], wait(1)),
        ] {
            assert_eq!(class(status, headers), want, "{status} {headers:?}");
        }
    }

    #[test]
    fn secondary_limit_403_is_rate_limit() {
        assert_eq!(
            class(403, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")]),
            Class::RateLimited(Duration::from_secs(9))
        );
        assert_eq!(class(403, &[("ratelimit-remaining", "5")]), Class::Forbidden);
    }

    #[test]
    fn backoff_doubles_to_its_cap() {
        let seconds: Vec<f64> = (1..=8).map(|n| backoff_ceiling(n).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff_ceiling(u32::MAX), Duration::from_secs(30));
    }
}
