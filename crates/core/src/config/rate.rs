//! A rate: so many in such a time, and how many more at once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::parse_duration;

/// `N/period[+burst]`: `600/60s`, `50/s+100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many in a period; at least one.
    pub count: u32,
    /// The period, whole seconds from one to a day.
    pub period: Duration,
    /// How many more may come at once.
    pub burst: u32,
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a rate such as 600/60s or 50/s+100")]
pub struct BadRate;

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, rest) = text.split_once('/').ok_or(BadRate)?;
        let (period, burst) = match rest.split_once('+') {
            Some((period, burst)) => (period, number(burst)?),
            None => (rest, 0),
        };
        let period = if period.starts_with(|c: char| c.is_ascii_digit()) {
            parse_duration(period)
        } else {
            parse_duration(&format!("1{period}"))
        };
        let period = period.map_err(|_| BadRate)?;
        let count = number(count)?;
        let whole = period.subsec_nanos() == 0 && (1..=86_400).contains(&period.as_secs());
        if count > 0 && whole {
            Ok(Self { count, period, burst })
        } else {
            Err(BadRate)
        }
    }
}

fn number(text: &str) -> Result<u32, BadRate> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or(BadRate)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.count)?;
        match self.period.as_secs() {
            1 => write!(f, "s")?,
            seconds => write!(f, "{seconds}s")?,
        }
        if self.burst > 0 {
            write!(f, "+{}", self.burst)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_read() {
        for (text, count, seconds, burst) in [
            ("600/60s", 600, 60, 0),
            ("50/s+100", 50, 1, 100),
            ("6/m+3", 6, 60, 3),
            ("50/h", 50, 3_600, 0),
            ("1/1d", 1, 86_400, 0),
        ] {
            let period = Duration::from_secs(seconds);
            assert_eq!(text.parse(), Ok(Rate { count, period, burst }), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "600",
            "600/",
            "/60s",
            "0/s",
            "-1/s",
            "+1/s",
            "6/0s",
            "6/2d",
            "6/s+",
            "6/s+-1",
            "6/500ms",
            "6 / s",
            "6/s+4+4",
            "99999999999/s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(BadRate), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(count in 1_u32.., seconds in 1_u64..=86_400, burst in any::<u32>()) {
            let rate = Rate { count, period: Duration::from_secs(seconds), burst };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _outcome = text.parse::<Rate>();
        }
    }
}
