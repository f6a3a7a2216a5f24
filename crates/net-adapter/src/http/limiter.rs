//! An evenly spaced rate limit, shared by any number of tasks.
//!
//! Every caller takes the next ticket; a ticket's time follows from one anchor by arithmetic, so
//! the lock is held for a few instructions and never across a wait. A cancelled caller loses its
//! own slot and moves nobody else's.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use annals_core::{Cancelled, MonoTime};

use crate::Cx;
use crate::token::lock;

/// Lets at most `n` callers start per period, evenly spaced, in the order they asked.
#[derive(Debug)]
pub struct RateLimiter {
    state: Mutex<Schedule>,
}

impl RateLimiter {
    /// `n` starts per `per`; the first one may start at once.
    #[must_use]
    pub fn new(n: NonZeroU32, per: Duration) -> Self {
        Self {
            state: Mutex::new(Schedule::new(n, per)),
        }
    }

    /// Waits for this caller's slot and returns its time.
    ///
    /// # Errors
    /// [`Cancelled`] when `cx` is.
    ///
    /// # Cancel safety
    /// A slot that was taken and not used stays empty; later callers keep theirs.
    pub async fn acquire(&self, cx: &Cx) -> Result<MonoTime, Cancelled> {
        cx.checkpoint()?;
        let ticket = lock(&self.state).take(cx.now());
        loop {
            // Asked again after every sleep: a pause may have moved the slot meanwhile.
            let slot = lock(&self.state).due(ticket, cx.now());
            match slot {
                Slot::Now(at) => return Ok(at),
                Slot::At(at) => cx.sleep_until(at).await?,
            }
        }
    }

    /// Lets nobody start before `t`, who is already waiting included. Slots only ever move to a
    /// later time; a `t` that has passed changes nothing.
    pub fn pause_until(&self, t: MonoTime) {
        lock(&self.state).pause_until(t);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Slot {
    Now(MonoTime),
    At(MonoTime),
}

/// Ticket `k` is due at `anchor_time + (k - anchor_ticket) * per / n`.
#[derive(Debug)]
struct Schedule {
    n: u64,
    per_ns: u64,
    anchor_ticket: u64,
    anchor_time: MonoTime,
    /// The next ticket to give out.
    next: u64,
    /// Every ticket below has started, or was given up.
    started: u64,
}

impl Schedule {
    fn new(n: NonZeroU32, per: Duration) -> Self {
        Self {
            n: u64::from(n.get()),
            per_ns: u64::try_from(per.as_nanos()).unwrap_or(u64::MAX),
            anchor_ticket: 0,
            anchor_time: MonoTime(0),
            next: 0,
            started: 0,
        }
    }

    fn time_of(&self, ticket: u64) -> MonoTime {
        let steps = u128::from(ticket - self.anchor_ticket);
        let offset = steps * u128::from(self.per_ns) / u128::from(self.n);
        let at = u128::from(self.anchor_time.0) + offset;
        MonoTime(u64::try_from(at).unwrap_or(u64::MAX))
    }

    fn take(&mut self, now: MonoTime) -> u64 {
        let ticket = self.next;
        self.next += 1;
        // Unused time is not saved up: after a lull the spacing starts anew.
        if self.time_of(ticket) < now {
            (self.anchor_ticket, self.anchor_time) = (ticket, now);
        }
        ticket
    }

    fn due(&mut self, ticket: u64, now: MonoTime) -> Slot {
        // A later ticket may have moved the anchor past a caller that woke late.
        let at = if ticket < self.anchor_ticket {
            self.anchor_time.min(now)
        } else {
            self.time_of(ticket)
        };
        if at > now {
            return Slot::At(at);
        }
        self.started = self.started.max(ticket + 1);
        Slot::Now(at)
    }

    fn pause_until(&mut self, t: MonoTime) {
        let first_waiting = self.started.max(self.anchor_ticket);
        if self.time_of(first_waiting) < t {
            (self.anchor_ticket, self.anchor_time) = (first_waiting, t);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ten_per_second() -> Schedule {
        Schedule::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1))
    }

    #[test]
    fn rate_limiter_spaces_slots_evenly_and_exactly() {
        let mut third = Schedule::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(1));
        let tickets: Vec<_> = (0..7).map(|_| third.take(MonoTime(0))).collect();
        let times: Vec<_> = tickets.iter().map(|k| third.time_of(*k).0).collect();
        assert_eq!(
            times,
            [
                0,
                333_333_333,
                666_666_666,
                1_000_000_000,
                1_333_333_333,
                1_666_666_666,
                2_000_000_000
            ]
        );
    }

    #[test]
    fn rate_limiter_saves_up_nothing_during_a_lull() {
        let mut s = ten_per_second();
        s.take(MonoTime(0));
        let late = MonoTime(5_000 * MS);
        let tickets: Vec<_> = (0..3).map(|_| s.take(late)).collect();
        let slots: Vec<_> = tickets.iter().map(|k| s.time_of(*k).0 / MS).collect();
        assert_eq!(slots, [5_000, 5_100, 5_200]);
    }

    #[test]
    fn rate_limiter_pause_moves_waiting_slots_and_never_earlier_ones() {
        let mut s = ten_per_second();
        let tickets: Vec<_> = (0..4).map(|_| s.take(MonoTime(0))).collect();
        assert_eq!(s.due(tickets[0], MonoTime(0)), Slot::Now(MonoTime(0)));

        s.pause_until(MonoTime(1_000 * MS));
        s.pause_until(MonoTime(500 * MS)); // earlier than what is already decided: no effect

        let slots: Vec<_> = tickets[1..].iter().map(|k| s.time_of(*k).0 / MS).collect();
        assert_eq!(slots, [1_000, 1_100, 1_200]);
        let next = s.take(MonoTime(0));
        assert_eq!(s.time_of(next), MonoTime(1_300 * MS));
    }

    #[test]
    fn rate_limiter_serves_a_caller_that_woke_after_the_anchor_moved() {
        let mut s = ten_per_second();
        let early = s.take(MonoTime(0));
        let much_later = MonoTime(9_000 * MS);
        let late = s.take(much_later);
        assert!(late > early);
        assert!(matches!(s.due(early, much_later), Slot::Now(_)));
    }
}
