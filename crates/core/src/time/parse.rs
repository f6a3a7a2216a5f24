//! Reading written times.

use jiff::fmt::temporal::Pieces;

use super::calendar::{MS_PER_DAY, days_to};
use super::point::UnixMs;

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time such as 2024-02-29 or 2024-02-29T23:59:59Z")]
pub struct BadTime {
    /// The text, cut to a readable length.
    pub text: String,
}

impl BadTime {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
        }
    }
}

/// Whether a written time named its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneSaid {
    /// It did.
    Yes,
    /// It did not, and UTC was assumed: worth a warning.
    No,
}

/// A written time, and whether it named its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedTime {
    /// The point.
    pub at: UnixMs,
    /// Whether the text named its zone.
    pub zone: ZoneSaid,
}

/// Reads an RFC 3339 time with any offset. Without a zone it is UTC, a date alone is its first
/// moment; fractions beyond milliseconds are cut off.
///
/// # Errors
/// [`BadTime`] for anything else.
pub fn parse_time(text: &str) -> Result<UnixMs, BadTime> {
    parse_time_and_zone(text).map(|parsed| parsed.at)
}

/// [`parse_time`], with a word on the zone.
///
/// # Errors
/// [`BadTime`] for anything else.
pub fn parse_time_and_zone(text: &str) -> Result<ParsedTime, BadTime> {
    let written = Written::read(text)?;
    let (offset_s, zone) = match written.offset_s {
        Some(seconds) => (seconds, ZoneSaid::Yes),
        None => (0, ZoneSaid::No),
    };
    Ok(ParsedTime {
        at: UnixMs(written.days * MS_PER_DAY + written.ms_of_day.unwrap_or(0) - offset_s * 1_000),
        zone,
    })
}

/// What a text says, before a zone is applied.
pub(super) struct Written {
    pub year: i16,
    pub date: jiff::civil::Date,
    pub time: Option<jiff::civil::Time>,
    pub offset_s: Option<i64>,
    days: i64,
    ms_of_day: Option<i64>,
}

impl Written {
    pub fn read(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime::new(text);
        let text = text.trim();
        // GitLab writes some times as `2020-01-01 10:00:00 UTC`.
        let with_z = text.strip_suffix(" UTC").map(|head| format!("{head}Z"));
        let text = with_z.as_deref().unwrap_or(text);
        let pieces = Pieces::parse(text).map_err(|_| bad())?;
        if pieces.time_zone_annotation().is_some() {
            return Err(bad());
        }
        let (date, time) = (pieces.date(), pieces.time());
        let ms_of_day = time.map(|t| {
            let seconds = (i64::from(t.hour()) * 60 + i64::from(t.minute())) * 60 + i64::from(t.second());
            seconds * 1_000 + i64::from(t.millisecond())
        });
        Ok(Self {
            year: date.year(),
            date,
            time,
            offset_s: pieces.to_numeric_offset().map(|offset| i64::from(offset.seconds())),
            days: days_to(i64::from(date.year()), i64::from(date.month()), i64::from(date.day())),
            ms_of_day,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_offset_names_the_same_instant() {
        let at = UnixMs(1_709_251_199_000);
        for text in [
            "2024-02-29T23:59:59Z",
            "2024-02-29T23:59:59.000Z",
            "2024-02-29t23:59:59z",
            "2024-03-01T00:59:59+01:00",
            "2024-03-01T00:59:59+0100",
            "2024-02-29T18:29:59.000999-05:30",
            "2024-02-29 23:59:59 UTC",
            " 2024-02-29T23:59:59Z ",
        ] {
            let parsed = parse_time_and_zone(text);
            assert_eq!(
                parsed,
                Ok(ParsedTime {
                    at,
                    zone: ZoneSaid::Yes
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn without_a_zone_it_is_utc_and_says_so() {
        let no = |at| {
            Ok(ParsedTime {
                at: UnixMs(at),
                zone: ZoneSaid::No,
            })
        };
        assert_eq!(parse_time_and_zone("1970-01-02T00:00:00"), no(86_400_000));
        assert_eq!(parse_time_and_zone("1970-01-02"), no(86_400_000));
        assert_eq!(parse_time_and_zone("1970-01-01 00:00:01.5"), no(1_500));
    }

    #[test]
    fn the_ends_of_four_digit_years_are_times() {
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), Ok(UnixMs(-62_135_596_800_000)));
        assert_eq!(parse_time("9999-12-31T23:59:59Z"), Ok(UnixMs(253_402_300_799_000)));
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_short_text() {
        for text in [
            "",
            "yesterday",
            "2024-02-30",
            "2024-13-01T00:00:00Z",
            "23:59",
            "1709251199",
            "2024-01-01T00:00:00Z[Europe/Berlin]",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        let long = "x".repeat(10_000);
        assert_eq!(parse_time(&long).map_err(|e| e.text.len()), Err(64));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in -62_167_219_200_000_i64..=253_402_300_799_999) {
            prop_assert_eq!(parse_time(&UnixMs(ms).rfc3339()), Ok(UnixMs(ms)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _outcome = parse_time(&text);
        }
    }
}
