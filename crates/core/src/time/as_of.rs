//! The moment that `--as-of` means.

use super::parse::BadTime;
use super::point::UnixMs;
use super::when::When;
use super::zone::Zone;

/// A text that names no moment to read the mirror as of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAsOf {
    /// It is no time.
    #[error(transparent)]
    NoTime(#[from] BadTime),
    /// It has not come yet. A day has come when it is over.
    #[error("{0} has not come yet, and nothing is known of it")]
    NotYet(UnixMs),
}

/// Reads a moment of the past: a date is its last millisecond in `zone`, an age counts back from `now`.
///
/// # Errors
/// [`BadAsOf`].
pub fn as_of(text: &str, now: UnixMs, zone: &Zone) -> Result<UnixMs, BadAsOf> {
    let at = When::parse(text, now, zone)?.last();
    if at > now { Err(BadAsOf::NotYet(at)) } else { Ok(at) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::time::parse_time;

    #[test]
    fn a_moment_is_one_that_has_been() {
        let now = parse_time("2024-03-31T22:30:00Z").unwrap();
        let utc = Zone::utc();
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        for (text, zone, at) in [
            ("2024-03-30", &utc, "2024-03-30T23:59:59.999Z"),
            ("2024-03-30", &berlin, "2024-03-30T22:59:59.999Z"),
            // It is over in Berlin, and goes on in Greenwich.
            ("2024-03-31", &berlin, "2024-03-31T21:59:59.999Z"),
            ("30d", &utc, "2024-03-01T22:30:00.000Z"),
            ("0h", &utc, "2024-03-31T22:30:00.000Z"),
            ("2024-03-31T22:30:00Z", &berlin, "2024-03-31T22:30:00.000Z"),
        ] {
            assert_eq!(as_of(text, now, zone).map(UnixMs::rfc3339).as_deref(), Ok(at), "{text}");
        }
        for (text, at) in [
            ("2024-03-31", "2024-03-31T23:59:59.999Z"),
            ("2024-03-31T22:30:00.001Z", "2024-03-31T22:30:00.001Z"),
        ] {
            let at = parse_time(at).unwrap();
            assert_eq!(as_of(text, now, &utc), Err(BadAsOf::NotYet(at)), "{text}");
        }
        assert!(matches!(as_of("yesterday", now, &utc), Err(BadAsOf::NoTime(_))));
    }
}
