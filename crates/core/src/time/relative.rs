//! How long ago, in the shortest useful words.

use super::point::UnixMs;

/// `just now`, `5m ago`, `3h ago`, `3d ago`, `2mo ago`, `4y ago`; `in 3d` for what is to come.
#[must_use]
pub fn relative(at: UnixMs, now: UnixMs) -> String {
    let minutes = at.0.abs_diff(now.0) / 60_000;
    let days = minutes / (24 * 60);
    let amount = match minutes {
        0 => return "just now".to_owned(),
        1..60 => format!("{minutes}m"),
        60..1_440 => format!("{}h", minutes / 60),
        _ if days < 31 => format!("{days}d"),
        // 30-day months would make a year of 12 before it is over.
        _ if days < 365 => format!("{}mo", (days / 30).min(11)),
        _ => format!("{}y", days / 365),
    };
    if at > now {
        format!("in {amount}")
    } else {
        format!("{amount} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_table() {
        const MINUTE: i64 = 60_000;
        const DAY: i64 = 1_440 * MINUTE;
        let now = UnixMs(1_700_000_000_000);
        for (age, text) in [
            (0, "just now"),
            (59_999, "just now"),
            (MINUTE, "1m ago"),
            (60 * MINUTE - 1, "59m ago"),
            (60 * MINUTE, "1h ago"),
            (DAY - 1, "23h ago"),
            (DAY, "1d ago"),
            (3 * DAY, "3d ago"),
            (31 * DAY - 1, "30d ago"),
            (31 * DAY, "1mo ago"),
            (365 * DAY - 1, "11mo ago"),
            (365 * DAY, "1y ago"),
            (3_650 * DAY, "10y ago"),
            (-2 * DAY, "in 2d"),
            (-1, "just now"),
        ] {
            assert_eq!(relative(UnixMs(now.0 - age), now), text);
        }
        assert_eq!(relative(UnixMs(i64::MIN), UnixMs(i64::MAX)), "584942417y ago");
    }
}
