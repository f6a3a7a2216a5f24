//! The sliding window of requests to one host.
//!
//! The promise: in any stretch of time as long as the period, at most so many requests begin, from
//! whichever task; a short job that stays below that never waits. Taking a slot is constant work
//! under a lock that is never held across a wait.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use annals_core::MonoTime;
use annals_net_adapter::{Cx, Stop};

/// `n` starts per `per`, counted over every stretch of that length.
#[derive(Debug)]
pub struct SlidingWindow {
    n: usize,
    per: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The slots handed out last, at most `n`, oldest first.
    slots: VecDeque<MonoTime>,
    /// Nothing starts before this.
    not_before: MonoTime,
}

impl SlidingWindow {
    /// A window nobody has used yet.
    #[must_use]
    pub fn new(n: NonZeroU32, per: Duration) -> Self {
        Self {
            n: usize::try_from(n.get()).unwrap_or(usize::MAX),
            per,
            state: Mutex::default(),
        }
    }

    /// Waits for this caller's slot and returns how long that took.
    ///
    /// # Errors
    /// [`Stop`] when the process drains or `cx` is cancelled; a slot that was taken stays empty.
    ///
    /// # Cancel safety
    /// Dropping it gives up the slot that was taken and delays nobody else.
    pub async fn acquire(&self, cx: &Cx) -> Result<Duration, Stop> {
        let asked = cx.now();
        let mut slot = self.take(asked);
        loop {
            let now = cx.now();
            // A pause that came while we slept moves us too.
            slot = slot.max(self.lock().not_before);
            if slot <= now {
                return Ok(now.since(asked));
            }
            cx.pause(slot.since(now)).await?;
        }
    }

    /// Lets nobody start before `t`; slots only ever move to a later time.
    pub fn pause_until(&self, t: MonoTime) {
        let mut state = self.lock();
        state.not_before = state.not_before.max(t);
    }

    fn take(&self, now: MonoTime) -> MonoTime {
        let mut state = self.lock();
        let mut slot = now.max(state.not_before);
        if state.slots.len() >= self.n
            && let Some(oldest) = state.slots.pop_front()
        {
            slot = slot.max(oldest.after(self.per));
        }
        state.slots.push_back(slot);
        slot
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> MonoTime {
        MonoTime(ms * MS)
    }

    #[test]
    fn no_stretch_of_a_period_has_more_than_n_starts() {
        let window = SlidingWindow::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(1));
        let asked = [0, 0, 100, 100, 150, 900, 5_000, 5_001, 5_002, 5_003, 5_003, 5_003];
        let slots: Vec<u64> = asked.iter().map(|ms| window.take(at(*ms)).0 / MS).collect();
        assert_eq!(
            slots,
            [0, 0, 100, 1_000, 1_000, 1_100, 5_000, 5_001, 5_002, 6_000, 6_001, 6_002]
        );
        for (i, slot) in slots.iter().enumerate() {
            assert!(slots.iter().skip(i).filter(|other| **other < slot + 1_000).count() <= 3);
        }
    }

    #[test]
    fn a_pause_moves_slots_to_later_only() {
        let window = SlidingWindow::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(1));
        window.pause_until(at(700));
        window.pause_until(at(300));
        assert_eq!(
            [window.take(at(0)), window.take(at(0)), window.take(at(0))],
            [at(700), at(700), at(1_700)]
        );
    }
}
