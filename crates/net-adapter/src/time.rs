//! Process time: one epoch, so that deadlines compare across runtimes and slices.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use annals_core::{Cancelled, MonoTime, UnixMs};

use crate::Cx;

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Nanoseconds since the first call in this process.
pub(crate) fn process_now() -> MonoTime {
    MonoTime(u64::try_from(epoch().elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The instant a process time names, for backends that count from their own epoch.
#[cfg(feature = "tokio")]
pub(crate) fn instant_of(at: MonoTime) -> Instant {
    // A hundred years is "never", and still representable.
    epoch() + Duration::from_nanos(at.0).min(Duration::from_secs(100 * 365 * 86_400))
}

/// Milliseconds since 1970; a clock before that reads as zero.
pub(crate) fn wall_now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What an [`Interval`](crate::Interval) does about ticks nobody waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedTick {
    /// Leave them out and keep the original rhythm.
    Skip,
    /// Start a new rhythm from now.
    Delay,
    /// Deliver them at once, one after the other.
    Burst,
}

/// Ticks of [`Cx::interval`].
#[derive(Debug)]
pub struct Interval {
    every: Duration,
    missed: MissedTick,
    next: MonoTime,
}

impl Interval {
    pub(crate) fn new(every: Duration, missed: MissedTick, next: MonoTime) -> Self {
        Self { every, missed, next }
    }

    /// Waits for the next tick and returns the time it was due.
    ///
    /// # Errors
    /// [`Cancelled`].
    ///
    /// # Cancel safety
    /// A tick that was not returned is delivered by the next call.
    pub async fn tick(&mut self, cx: &Cx) -> Result<MonoTime, Cancelled> {
        cx.sleep_until(self.next).await?;
        let due = self.next;
        let now = cx.now();
        self.next = match self.missed {
            MissedTick::Burst => due.after(self.every),
            MissedTick::Delay => now.after(self.every),
            MissedTick::Skip => {
                let period = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX).max(1);
                let behind = now.since(due).as_nanos() / u128::from(period);
                MonoTime(
                    due.0
                        .saturating_add(period.saturating_mul(u64::try_from(behind).unwrap_or(0) + 1)),
                )
            }
        };
        Ok(due)
    }
}
