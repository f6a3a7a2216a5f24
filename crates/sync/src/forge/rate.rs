//! What a forge says about its limits, read from the headers of an answer.
//!
//! The promise: a wait that a forge asks for is read against the forge's own clock, so a wrong
//! clock here costs neither politeness nor time, and no header value can stop us for ever.

use std::time::Duration;

use annals_core::UnixMs;
use http::{HeaderMap, HeaderName};

/// What we wait when a forge says "later" without a time that can be read.
pub const BLIND_WAIT: Duration = Duration::from_secs(60);
/// No header makes us believe in a longer wait than this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

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

fn bounded(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST_WAIT)
}

/// `Retry-After` as a wait: seconds or an HTTP date; negative or past is zero, huge is capped,
/// unreadable is [`BLIND_WAIT`].
#[must_use]
pub fn retry_after(value: &str, date: UnixMs) -> Duration {
    let value = value.trim();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let whole = digits.split('.').next().unwrap_or_default();
    if !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.matches('.').count() <= 1
    {
        if value.starts_with('-') {
            return Duration::ZERO;
        }
        return whole.parse::<i64>().map_or(LONGEST_WAIT, bounded);
    }
    match parse_http_date(value) {
        Some(at) => bounded(at.0.saturating_sub(date.0).saturating_add(999).div_euclid(1000)),
        None => BLIND_WAIT,
    }
}

/// An HTTP date in its preferred form, `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn parse_http_date(value: &str) -> Option<UnixMs> {
    let (_, rest) = value.trim().split_once(", ")?;
    let mut words = rest.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|m| m.eq_ignore_ascii_case(month))?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !matches!(words.next(), Some("GMT" | "UTC"))
        || !(1..=31).contains(&day)
        || !(1601..=9999).contains(&year)
        || !(0..24).contains(&hour)
        || !(0..60).contains(&minute)
        || !(0..=60).contains(&second)
    {
        return None;
    }
    let days = days_from_civil(year, i64::try_from(month).ok()? + 1, day);
    Some(UnixMs((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000))
}

/// Days since 1970-01-01 of a Gregorian date (H. Hinnant's formula).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()))
            .collect()
    }

    #[test]
    fn http_dates() {
        assert_eq!(parse_http_date(DATE), Some(NOW));
        assert_eq!(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(UnixMs(0)));
        assert_eq!(
            parse_http_date("Thu, 29 Feb 2024 23:59:59 GMT"),
            Some(UnixMs(1_709_251_199_000))
        );
        for bad in [
            "",
            "now",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_table() {
        for (value, seconds) in [
            ("0", 0),
            ("17", 17),
            (" 3 ", 3),
            ("1.9", 1),
            ("-5", 0),
            ("99999999999999999999999", LONGEST_WAIT.as_secs()),
            ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("Sun, 06 Nov 2094 08:00:00 GMT", LONGEST_WAIT.as_secs()),
            ("soon", BLIND_WAIT.as_secs()),
            ("", BLIND_WAIT.as_secs()),
        ] {
            assert_eq!(retry_after(value, NOW).as_secs(), seconds, "{value:?}");
        }
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

    proptest! {
        #[test]
        fn no_wait_is_longer_than_a_day(value in ".{0,40}", now in any::<i64>()) {
            prop_assert!(retry_after(&value, UnixMs(now)) <= LONGEST_WAIT);
        }
    }
}
