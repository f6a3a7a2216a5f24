//! Times and durations as people type them: `2024-02-29`, `7d`, `30s`.

use std::time::Duration;

use jiff::{Span, Timestamp};

use super::parse::{BadTime, Written};
use super::point::UnixMs;
use super::zone::Zone;

/// What a filter, `--since` or `--as-of` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One instant: a time, or an age such as `7d` counted back from now.
    At(UnixMs),
    /// A whole day of the zone.
    Day {
        /// Its first millisecond.
        first: UnixMs,
        /// Its last millisecond.
        last: UnixMs,
    },
}

impl When {
    /// Reads a date, a time (without a zone: in `zone`), or an age: `12h`, `7d`, `3w`, `6mo`, `1y`
    /// before `now`. Months and years keep the day of the month where it exists.
    ///
    /// # Errors
    /// [`BadTime`] for anything else.
    pub fn parse(text: &str, now: UnixMs, zone: &Zone) -> Result<Self, BadTime> {
        let bad = || BadTime::new(text);
        if let Some((count, unit)) = count_and_unit(text.trim()) {
            return age(count, unit, now).map(Self::At).ok_or_else(bad);
        }
        let written = Written::read(text)?;
        let Some(time) = written.time else {
            let midnight = |date: jiff::civil::Date| zone.at(date.to_datetime(jiff::civil::Time::midnight()));
            let first = midnight(written.date).ok_or_else(bad)?;
            let next = written.date.tomorrow().ok().and_then(midnight).ok_or_else(bad)?;
            return Ok(Self::Day {
                first,
                last: UnixMs(next.0 - 1),
            });
        };
        match written.offset_s {
            Some(_) => super::parse::parse_time(text).map(Self::At),
            None => zone.at(written.date.to_datetime(time)).map(Self::At).ok_or_else(bad),
        }
    }

    /// The bound that `after:` includes and `before:` excludes.
    #[must_use]
    pub const fn first(self) -> UnixMs {
        match self {
            Self::At(at) => at,
            Self::Day { first, .. } => first,
        }
    }

    /// The moment that `--as-of` means.
    #[must_use]
    pub const fn last(self) -> UnixMs {
        match self {
            Self::At(at) => at,
            Self::Day { last, .. } => last,
        }
    }
}

fn age(count: i64, unit: &str, now: UnixMs) -> Option<UnixMs> {
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        "mo" => return calendar_age(Span::new().try_months(count).ok()?, now),
        "y" => return calendar_age(Span::new().try_years(count).ok()?, now),
        _ => return None,
    };
    let ms = count.checked_mul(hours)?.checked_mul(3_600_000)?;
    // An age that reaches before every forge's birth is a typing error, not a filter.
    now.0.checked_sub(ms).filter(|at| *at >= EARLIEST_MS).map(UnixMs)
}

const EARLIEST_MS: i64 = -62_135_596_800_000;

fn calendar_age(span: Span, now: UnixMs) -> Option<UnixMs> {
    let now = Timestamp::from_millisecond(now.0)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC);
    let then = now.checked_sub(span).ok()?;
    Some(UnixMs(then.timestamp().as_millisecond())).filter(|at| at.0 >= EARLIEST_MS)
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration such as 500ms, 30s, 5m, 1h or 7d")]
pub struct BadDuration(pub String);

/// Reads how long something may take: `500ms`, `30s`, `5m`, `1h`, `7d`.
///
/// # Errors
/// [`BadDuration`] for anything else.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.chars().take(64).collect());
    let (count, unit) = count_and_unit(text.trim()).ok_or_else(bad)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => UnixMs::DAY_MS,
        _ => return Err(bad()),
    };
    let ms = count.checked_mul(ms).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(bad)
}

fn count_and_unit(text: &str) -> Option<(i64, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = text.strip_suffix(unit)?;
    let is_unit = !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_unit {
        Some((count.parse().ok()?, unit))
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::time::parse_time;
    use proptest::prelude::*;

    fn now() -> UnixMs {
        parse_time("2024-03-31T12:00:00Z").unwrap()
    }

    fn first(text: &str) -> String {
        When::parse(text, now(), &Zone::utc()).unwrap().first().rfc3339()
    }

    #[test]
    fn ages_count_back_from_now() {
        for (age, at) in [
            ("12h", "2024-03-31T00:00:00.000Z"),
            ("7d", "2024-03-24T12:00:00.000Z"),
            ("3w", "2024-03-10T12:00:00.000Z"),
            ("1mo", "2024-02-29T12:00:00.000Z"),
            ("6mo", "2023-09-30T12:00:00.000Z"),
            ("1y", "2023-03-31T12:00:00.000Z"),
            ("0d", "2024-03-31T12:00:00.000Z"),
        ] {
            assert_eq!(first(age), at, "{age}");
        }
    }

    #[test]
    fn as_of_day_is_its_end_in_tz() {
        let day = When::parse("2024-03-31", now(), &Zone::utc()).unwrap();
        assert_eq!(day.first().rfc3339(), "2024-03-31T00:00:00.000Z");
        assert_eq!(day.last().rfc3339(), "2024-03-31T23:59:59.999Z");
        // The clocks go forward in Berlin on this day: it has 23 hours.
        let berlin = "Europe/Berlin".parse().unwrap();
        let day = When::parse("2024-03-31", now(), &berlin).unwrap();
        assert_eq!(day.first().rfc3339(), "2024-03-30T23:00:00.000Z");
        assert_eq!(day.last().rfc3339(), "2024-03-31T21:59:59.999Z");
    }

    #[test]
    fn a_time_without_a_zone_is_in_the_readers_zone() {
        let berlin = "Europe/Berlin".parse().unwrap();
        let at = |text| When::parse(text, now(), &berlin).unwrap().first().rfc3339();
        assert_eq!(at("2024-01-01T01:00"), "2024-01-01T00:00:00.000Z");
        assert_eq!(at("2024-01-01T01:00:00Z"), "2024-01-01T01:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "d",
            "7",
            "7x",
            "7m",
            "-7d",
            "7 d",
            "99999999999999999999d",
            "9999999y",
            "999999999w",
            "2024",
            "2024-02-30",
            "7d3h",
        ] {
            assert!(When::parse(text, now(), &Zone::utc()).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_their_own_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "1mo", "1y", "-1s", "1.5s", "9223372036854775807d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}", now in any::<i64>()) {
            let _when = When::parse(&text, UnixMs(now), &Zone::utc());
            let _duration = parse_duration(&text);
        }
    }
}
