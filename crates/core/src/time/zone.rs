//! Time zones by name, from the database that is compiled in: the same on every machine.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::point::UnixMs;

/// A time zone: `UTC`, a fixed offset such as `+02:00`, or a name such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone such as UTC, +02:00 or Europe/Berlin")]
pub struct UnknownZone(pub String);

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self {
            name: String::new(),
            rules: TimeZone::UTC,
        }
    }

    /// How the zone is written.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.name.is_empty() { "UTC" } else { &self.name }
    }

    /// A point as it reads in this zone, to the second: `2024-03-01 00:59:59 +01:00`.
    #[must_use]
    pub fn text(&self, at: UnixMs) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(stamp) if !self.name.is_empty() => {
                let local = stamp.to_zoned(self.rules.clone());
                let offset = local.offset();
                format!("{} {}", local.strftime("%Y-%m-%d %H:%M:%S"), offset_text(offset))
            }
            _ => at.utc_text(),
        }
    }

    /// The point at which this date and time begins here; in a gap, the first moment after it.
    pub(super) fn at(&self, civil: jiff::civil::DateTime) -> Option<UnixMs> {
        let zoned = self.rules.to_zoned(civil).ok()?;
        Some(UnixMs(zoned.timestamp().as_millisecond()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if ["UTC", "utc", "Z", "z"].contains(&text) {
            return Ok(Self::utc());
        }
        if let Some(offset) = fixed_offset(text) {
            return Ok(Self {
                name: offset_text(offset),
                rules: TimeZone::fixed(offset),
            });
        }
        match TimeZoneDatabase::bundled().get(text) {
            Ok(rules) => Ok(Self {
                name: rules.iana_name().unwrap_or(text).to_owned(),
                rules,
            }),
            Err(_) => Err(UnknownZone(text.chars().take(64).collect())),
        }
    }
}

/// Reads `+02`, `+0200` and `+02:00`.
fn fixed_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.strip_prefix('+') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('-')?),
    };
    let digits = digits.replacen(':', "", 1);
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = if digits.len() == 2 {
        (number, 0)
    } else {
        (number / 100, number % 100)
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_point_reads_differently_in_each_zone() {
        let at = UnixMs(1_719_792_000_000);
        for (zone, text) in [
            ("UTC", "2024-07-01 00:00:00 UTC"),
            ("Z", "2024-07-01 00:00:00 UTC"),
            ("Europe/Berlin", "2024-07-01 02:00:00 +02:00"),
            ("europe/berlin", "2024-07-01 02:00:00 +02:00"),
            ("-0330", "2024-06-30 20:30:00 -03:30"),
            ("+05", "2024-07-01 05:00:00 +05:00"),
        ] {
            assert_eq!(zone.parse::<Zone>().unwrap().text(at), text, "{zone}");
        }
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), "Europe/Berlin");
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in ["", "Mars/Olympus", "+24:00", "+1", "local", "+0a00", "../../etc/passwd"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_point_out_of_the_calendars_range_still_has_text() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        assert!(berlin.text(UnixMs(i64::MAX)).ends_with("UTC"));
    }
}
