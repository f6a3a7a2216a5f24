//! The two kinds of points, and their fixed-format text.

use std::fmt;
use std::time::Duration;

use super::calendar::{Civil, MS_PER_DAY};

/// Nanoseconds since the process started; only differences mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonoTime(pub u64);

impl MonoTime {
    /// The point `d` later; the far end of time if that does not fit.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// One day, in milliseconds.
    pub const DAY_MS: i64 = MS_PER_DAY;

    /// The point `d` later; the far end of time if that does not fit.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The point `d` earlier; the far end of time if that does not fit.
    #[must_use]
    pub fn before(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let ms = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds: `2024-02-29T23:59:59.000Z`. Years outside 0 to 9999, which
    /// no RFC 3339 text can hold, get a sign and six digits.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let t = Civil::of(self);
        let (year, mo, d, h, mi, s, ms) = (t.year_text(), t.month, t.day, t.hour, t.minute, t.second, t.ms);
        format!("{year}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{ms:03}Z")
    }

    /// For people, in UTC and to the second: `2024-02-29 23:59:59 UTC`.
    #[must_use]
    pub fn utc_text(self) -> String {
        let t = Civil::of(self);
        format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            t.year_text(),
            t.month,
            t.day,
            t.hour,
            t.minute,
            t.second
        )
    }

    /// The day alone, in UTC: `2024-02-29`.
    #[must_use]
    pub fn date_text(self) -> String {
        let t = Civil::of(self);
        format!("{}-{:02}-{:02}", t.year_text(), t.month, t.day)
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_milliseconds_and_z() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_709_251_199_123, "2024-02-29T23:59:59.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixMs(ms).rfc3339(), text);
        }
        assert!(UnixMs(i64::MAX).rfc3339().starts_with("+292278994-08-17T"));
        assert!(UnixMs(i64::MIN).rfc3339().starts_with("-292275055-05-16T"));
        assert_eq!(UnixMs(1_709_251_199_123).utc_text(), "2024-02-29 23:59:59 UTC");
        assert_eq!(UnixMs(1_709_251_199_123).date_text(), "2024-02-29");
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(UnixMs(i64::MAX).after(second), UnixMs(i64::MAX));
        assert_eq!(UnixMs(i64::MIN).before(second), UnixMs(i64::MIN));
        assert_eq!(UnixMs(1500).since(UnixMs(500)), second);
        assert_eq!(UnixMs(500).since(UnixMs(1500)), Duration::ZERO);
        assert_eq!(MonoTime(u64::MAX).after(second), MonoTime(u64::MAX));
    }
}
