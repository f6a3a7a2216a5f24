//! Times as forges send them, the odd ones included.

use serde_json::Value;

use super::parse::{Written, ZoneSaid, parse_time_and_zone};
use super::point::UnixMs;

/// A time member of a payload.
///
/// RFC 3339 with any offset and whole or fractional epoch seconds are times. Null and the year 1,
/// which some forges write for "never", are none. What cannot be read, lies before 1970 or more than
/// a day ahead is suspect: it may be shown, but a cursor must not follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeTime {
    /// No time.
    Absent,
    /// A time to rely on.
    At {
        /// The point.
        at: UnixMs,
        /// Whether the payload named its zone.
        zone: ZoneSaid,
    },
    /// A time not to rely on; `None` where it cannot even be read.
    Suspect(Option<UnixMs>),
}

impl ForgeTime {
    /// Reads a member of a payload; `now` is the moment of the reading.
    #[must_use]
    pub fn read(value: &Value, now: UnixMs) -> Self {
        match value {
            Value::Null => Self::Absent,
            Value::String(text) => Self::read_text(text, now),
            Value::Number(number) => number
                .as_f64()
                .and_then(epoch_seconds)
                .map_or(Self::Suspect(None), |at| Self::judge(at, ZoneSaid::Yes, now)),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Self::Suspect(None),
        }
    }

    /// Reads a text; an empty one is absent.
    #[must_use]
    pub fn read_text(text: &str, now: UnixMs) -> Self {
        if text.is_empty() {
            return Self::Absent;
        }
        if let Ok(seconds) = text.parse::<i64>() {
            return seconds
                .checked_mul(1_000)
                .map_or(Self::Suspect(None), |ms| Self::judge(UnixMs(ms), ZoneSaid::Yes, now));
        }
        match (Written::read(text), parse_time_and_zone(text)) {
            (Ok(written), _) if written.year == 1 => Self::Absent,
            (Ok(_), Ok(parsed)) => Self::judge(parsed.at, parsed.zone, now),
            _ => Self::Suspect(None),
        }
    }

    /// What a column stores: also a suspect time, if it could be read.
    #[must_use]
    pub const fn stored(self) -> Option<UnixMs> {
        match self {
            Self::Absent => None,
            Self::At { at, .. } => Some(at),
            Self::Suspect(at) => at,
        }
    }

    /// What a cursor may follow.
    #[must_use]
    pub const fn trusted(self) -> Option<UnixMs> {
        match self {
            Self::At { at, .. } => Some(at),
            Self::Absent | Self::Suspect(_) => None,
        }
    }

    /// Whether the row gets the flag `time_suspect`.
    #[must_use]
    pub const fn is_suspect(self) -> bool {
        matches!(self, Self::Suspect(_))
    }

    const fn judge(at: UnixMs, zone: ZoneSaid, now: UnixMs) -> Self {
        if at.0 < 0 || at.0 > now.0.saturating_add(UnixMs::DAY_MS) {
            Self::Suspect(Some(at))
        } else {
            Self::At { at, zone }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range was checked, and the fraction is meant to go"
)]
fn epoch_seconds(seconds: f64) -> Option<UnixMs> {
    let ms = (seconds * 1_000.0).round();
    (ms.is_finite() && ms.abs() < 9.0e15).then_some(UnixMs(ms as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn at(ms: i64) -> ForgeTime {
        ForgeTime::At {
            at: UnixMs(ms),
            zone: ZoneSaid::Yes,
        }
    }

    #[test]
    fn bad_input_odd_times() {
        let unzoned = ForgeTime::At {
            at: UnixMs(1_000),
            zone: ZoneSaid::No,
        };
        for (value, expected) in [
            (json!(null), ForgeTime::Absent),
            (json!(""), ForgeTime::Absent),
            (json!("0001-01-01T00:00:00Z"), ForgeTime::Absent),
            (json!("0001-01-01T00:00:00+02:00"), ForgeTime::Absent),
            (json!("1970-01-01T01:00:01+01:00"), at(1_000)),
            (json!("1970-01-01T00:00:01"), unzoned),
            (json!(1_600_000_000), at(1_600_000_000_000)),
            (json!("1600000000"), at(1_600_000_000_000)),
            (json!(1_600_000_000.25), at(1_600_000_000_250)),
            (json!(NOW.0), ForgeTime::Suspect(Some(UnixMs(NOW.0 * 1_000)))),
            (json!("1969-12-31T23:59:59Z"), ForgeTime::Suspect(Some(UnixMs(-1_000)))),
            (
                json!("9999-12-31T23:59:59Z"),
                ForgeTime::Suspect(Some(UnixMs(253_402_300_799_000))),
            ),
            (
                json!("2099-01-01T00:00:00Z"),
                ForgeTime::Suspect(Some(UnixMs(4_070_908_800_000))),
            ),
            (json!("soon"), ForgeTime::Suspect(None)),
            (json!("99999999999999999999"), ForgeTime::Suspect(None)),
            (json!(9_223_372_036_854_775_807_i64), ForgeTime::Suspect(None)),
            (json!(1e300), ForgeTime::Suspect(None)),
            (json!(true), ForgeTime::Suspect(None)),
            (json!({}), ForgeTime::Suspect(None)),
        ] {
            assert_eq!(ForgeTime::read(&value, NOW), expected, "{value}");
        }
    }

    #[test]
    fn a_day_ahead_is_still_trusted_and_a_moment_more_is_not() {
        let edge = UnixMs(NOW.0 + UnixMs::DAY_MS);
        assert_eq!(ForgeTime::read_text(&edge.rfc3339(), NOW).trusted(), Some(edge));
        let beyond = ForgeTime::read_text(&UnixMs(edge.0 + 1).rfc3339(), NOW);
        assert_eq!((beyond.trusted(), beyond.is_suspect()), (None, true));
        assert_eq!(beyond.stored(), Some(UnixMs(edge.0 + 1)));
    }
}
