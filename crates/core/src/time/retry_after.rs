//! The times in HTTP headers that say when to come back.
//!
//! A wait that a server asks for is read against the server's own clock, and no value of a header can stop anybody for
//! ever.

use std::time::Duration;

use super::calendar::days_to;
use super::point::UnixMs;

/// What we wait when a forge says "later" without a time that can be read.
pub const BLIND_WAIT: Duration = Duration::from_secs(60);
/// No header makes us believe in a longer wait than this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Seconds from an answer as a wait: no header makes us wait longer than [`LONGEST_WAIT`].
#[must_use]
pub fn bounded(seconds: i64) -> Duration {
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
    let days = days_to(year, i64::try_from(month).ok()? + 1, day);
    Some(UnixMs((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

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

    proptest! {
        #[test]
        fn no_wait_is_longer_than_a_day(value in ".{0,40}", now in any::<i64>()) {
            prop_assert!(retry_after(&value, UnixMs(now)) <= LONGEST_WAIT);
        }
    }
}
