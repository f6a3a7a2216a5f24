//! The sliding window of requests to one host.
//!
//! The promise: in any stretch of time as long as the period, at most so many requests begin, from
//! whichever task; a short job that stays below that never waits. Taking a slot is constant work
//! (each one is forgotten once, and all but a few come last) under a lock that is never held across a wait.

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
    /// The slots that still bound later ones, oldest first.
    slots: VecDeque<Slot>,
    /// The number of the next slot.
    next: u64,
    /// Nothing starts before this.
    not_before: MonoTime,
}

/// When somebody may start.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    at: MonoTime,
}

/// A slot that was not used yet: dropped, it is nobody's any more.
struct Reserved<'a> {
    window: &'a SlidingWindow,
    slot: Slot,
    is_used: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            self.window.lock().slots.retain(|slot| slot.number != self.slot.number);
        }
    }
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
    /// [`Stop`] when the process drains or `cx` is cancelled; the slot is given back.
    ///
    /// # Cancel safety
    /// Dropping it gives the slot back and delays nobody else.
    pub async fn acquire(&self, cx: &Cx) -> Result<Duration, Stop> {
        let asked = cx.now();
        let mut reserved = Reserved {
            window: self,
            slot: self.take(asked),
            is_used: false,
        };
        let mut slot = reserved.slot.at;
        loop {
            let now = cx.now();
            // A pause that came while we slept moves us too.
            slot = slot.max(self.lock().not_before);
            if slot <= now {
                reserved.is_used = true;
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

    fn take(&self, now: MonoTime) -> Slot {
        let mut state = self.lock();
        while state
            .slots
            .front()
            .is_some_and(|oldest| oldest.at.after(self.per) <= now)
        {
            state.slots.pop_front();
        }
        let mut at = now.max(state.not_before);
        let bound = state.slots.len().checked_sub(self.n).and_then(|n| state.slots.get(n));
        if let Some(bound) = bound {
            at = at.max(bound.at.after(self.per));
        }
        let number = state.next;
        state.next += 1;
        let slot = Slot { number, at };
        // Slots given up in the middle let a later caller go before those that wait already.
        let place = state.slots.partition_point(|other| other.at <= at);
        state.slots.insert(place, slot);
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
        let slots: Vec<u64> = asked.iter().map(|ms| window.take(at(*ms)).at.0 / MS).collect();
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
        assert_eq!([(); 3].map(|()| window.take(at(0)).at), [at(700), at(700), at(1_700)]);
    }

    #[test]
    fn a_slot_that_was_given_up_delays_nobody() {
        let window = SlidingWindow::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(1));
        let reserve = |ms| Reserved {
            slot: window.take(at(ms)),
            window: &window,
            is_used: false,
        };
        let mut started = [reserve(0), reserve(0)];
        started.iter_mut().for_each(|slot| slot.is_used = true);
        let waiters: Vec<_> = (0..20).map(|_| reserve(1)).collect();
        assert_eq!(waiters.last().unwrap().slot.at, at(10_000));
        drop(waiters);
        assert_eq!([reserve(2), reserve(2)].map(|slot| slot.slot.at), [at(1_000); 2]);
        assert_eq!(window.lock().slots.len(), 2, "those that started still count");
    }
}
