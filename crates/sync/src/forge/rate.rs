//! What a forge says about its limits, read from the headers of an answer.
//!
//! The promise: a wait that a forge asks for is read against the forge's own clock, so a wrong
//! clock here costs neither politeness nor time, and no header value can stop us for ever.

use std::time::Duration;

use annals_core::UnixMs;
use annals_core::time::retry_after::{BLIND_WAIT, bounded, parse_http_date, retry_after};
use http::{HeaderMap, HeaderName};

/// The rate headers of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests per period.
    pub limit: Option<u64>,
    /// Requests left in this period.
    pub remaining: Option<u64>,
    /// Until the period ends.
    pub reset_in: Option<Duration>,
    /// `Retry-After`; [`BLIND_WAIT`] where it cannot be read.
    pub retry_after: Option<Duration>,
}

impl RateHeaders {
    /// Reads `RateLimit-*`, `x-ratelimit-*` and `Retry-After`; times are relative to the answer's
    /// `Date`, or to `now` where it has none.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: UnixMs) -> Self {
        let date = date(headers).unwrap_or(now);
        let number = |a: &'static str, b: &'static str| {
            text(headers, &HeaderName::from_static(a))
                .or_else(|| text(headers, &HeaderName::from_static(b)))
                .and_then(|t| t.trim().parse::<u64>().ok())
        };
        let reset_in = number("ratelimit-reset", "x-ratelimit-reset").map(|value| {
            // An epoch time, or by the newer draft the seconds left.
            let seconds = if value >= 1_000_000_000 {
                i64::try_from(value)
                    .unwrap_or(i64::MAX)
                    .saturating_sub(date.0.div_euclid(1000))
            } else {
                i64::try_from(value).unwrap_or(i64::MAX)
            };
            bounded(seconds)
        });
        Self {
            limit: number("ratelimit-limit", "x-ratelimit-limit"),
            remaining: number("ratelimit-remaining", "x-ratelimit-remaining"),
            reset_in,
            retry_after: headers
                .get(http::header::RETRY_AFTER)
                .map(|v| retry_after(&String::from_utf8_lossy(v.as_bytes()), date)),
        }
    }

    /// Whether this answer itself says that the quota is used up.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.retry_after.is_some() || self.remaining == Some(0)
    }

    /// How long to wait after a refusal.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.retry_after.or(self.reset_in).unwrap_or(BLIND_WAIT)
    }

    /// How long the next request should hold back so that what is left lasts until the reset:
    /// something only below a tenth of the quota.
    #[must_use]
    pub fn spread(&self) -> Option<Duration> {
        let (limit, remaining, reset) = (self.limit?, self.remaining?, self.reset_in?);
        if limit == 0 || remaining.saturating_mul(10) >= limit {
            return None;
        }
        let shares = u32::try_from(remaining.max(1)).unwrap_or(u32::MAX);
        Some(reset / shares)
    }
}

/// The server's own time in `Date`.
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<UnixMs> {
    parse_http_date(&text(headers, &http::header::DATE)?)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_core::time::retry_after::LONGEST_WAIT;
    use http::HeaderValue;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn rate_headers_gitlab() {
        let got = RateHeaders::read(
            &headers(&[
                ("date", DATE),
                ("ratelimit-limit", "2000"),
                ("ratelimit-remaining", "40"),
                ("ratelimit-reset", "1784111817"),
            ]),
            UnixMs(0),
        );
        assert_eq!(got.limit, Some(2000));
        assert_eq!(got.reset_in, Some(LONGEST_WAIT), "an absurd reset is capped");
        let got = RateHeaders::read(
            &headers(&[
                ("date", DATE),
                ("ratelimit-limit", "2000"),
                ("ratelimit-remaining", "40"),
                ("ratelimit-reset", "40"),
            ]),
            UnixMs(0),
        );
        assert_eq!(got.spread(), Some(Duration::from_secs(1)));
        assert_eq!(
            RateHeaders {
                remaining: Some(200),
                ..got
            }
            .spread(),
            None,
            "a tenth is still enough"
        );
        assert_eq!(
            RateHeaders {
                remaining: Some(0),
                ..got
            }
            .spread(),
            Some(Duration::from_secs(40))
        );
    }

    #[test]
    fn reset_is_read_against_the_servers_date() {
        // The reset is an epoch time; the clock here is decades off and does not matter.
        let date = "Tue, 14 Nov 2023 22:13:20 GMT"; // 1_700_000_000
        let got = RateHeaders::read(
            &headers(&[("date", date), ("ratelimit-reset", "1700000030")]),
            UnixMs(0),
        );
        assert_eq!(got.reset_in, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_refusal_without_a_time_waits_blindly() {
        assert_eq!(RateHeaders::default().wait(), BLIND_WAIT);
        assert!(!RateHeaders::default().is_refusal());
        assert!(
            RateHeaders {
                remaining: Some(0),
                ..RateHeaders::default()
            }
            .is_refusal()
        );
    }
}
