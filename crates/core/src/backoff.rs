//! How long to wait before trying again: full jitter, so that those who failed together do not come
//! back together.

use std::time::Duration;

/// A doubling wait with a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub base: Duration,
    /// The ceiling of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// Requests to a forge: 0.5 s doubling up to 30 s.
    pub const FORGE: Self = Self {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
    };

    /// Dependent jobs that failed: 30 s doubling up to 480 s.
    pub const JOB: Self = Self {
        base: Duration::from_secs(30),
        cap: Duration::from_secs(480),
    };

    /// The longest wait after `failures` failures before this one: `base` · 2^`failures`, at most
    /// `cap`.
    #[must_use]
    pub fn ceiling(self, failures: u32) -> Duration {
        let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
        self.base
            .checked_mul(factor)
            .map_or(self.cap, |wait| wait.min(self.cap))
    }

    /// A wait between nothing and the ceiling; `random` is any number from an even distribution
    /// over all of `u64`.
    #[must_use]
    pub fn delay(self, failures: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(failures).as_nanos().min(u128::from(u64::MAX));
        let nanos = (ceiling * (u128::from(random) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_and_stops() {
        let seconds: Vec<_> = (0..8).map(|n| Backoff::FORGE.ceiling(n).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(Backoff::JOB.ceiling(0), Duration::from_secs(30));
        assert_eq!(Backoff::JOB.ceiling(u32::MAX), Duration::from_secs(480));
    }

    #[test]
    fn the_whole_range_is_used() {
        assert_eq!(Backoff::FORGE.delay(1, 0), Duration::ZERO);
        assert_eq!(Backoff::FORGE.delay(1, u64::MAX / 2), Duration::from_millis(500));
        assert_eq!(Backoff::FORGE.delay(1, u64::MAX), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_wait_is_over_its_ceiling(failures in any::<u32>(), random in any::<u64>()) {
            prop_assert!(Backoff::FORGE.delay(failures, random) <= Backoff::FORGE.ceiling(failures));
        }
    }
}
