//! How many requests a host is sent at once: fewer when it says "too many" or slows down, more again when it keeps up.
//!
//! The rule. A refusal (429, 503, or another answer with a rate signal) halves the number; answers that have become
//! three times as slow as they were, and by more than [`SLACK`], take one away. Either counts once for all requests
//! that were under way: what was sent before the number was lowered says nothing about the new one. Only answers with
//! a body are compared: "not modified" is quick on a host that is not. Eight good answers, of any kind, for each
//! request that may be under way give one back, up to what the configuration allows; it never falls below one. How
//! slow answers "were" follows a lasting change, so that a host that is slow for good is not held down for ever.
//!
//! The number is enforced by weight: all requests share one semaphore, and while there are to be fewer of them each
//! takes a larger share of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use annals_core::MonoTime;

/// Shares of the semaphore per request of the configuration.
const UNIT: usize = 64;

/// Differences below this are the network's, not the host's.
const SLACK: Duration = Duration::from_millis(100);

/// Good answers, for each request under way, that give one back.
const EARN: usize = 8;

/// Answers before their times are judged.
const SETTLE: u32 = 8;

/// The pace of a host.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    good: usize,
    answers: u32,
    /// How long answers take lately.
    lately: Duration,
    /// How long they take when all is well.
    usual: Duration,
    lowered_at: Option<MonoTime>,
}

impl Pace {
    /// At full pace.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            state: Mutex::new(State {
                limit: most,
                good: 0,
                answers: 0,
                lately: Duration::ZERO,
                usual: Duration::MAX,
                lowered_at: None,
            }),
        }
    }

    /// All shares there are.
    #[must_use]
    pub fn shares(&self) -> usize {
        self.most * UNIT
    }

    /// How many shares a request takes now.
    #[must_use]
    pub fn share(&self) -> usize {
        self.shares() / self.lock().limit
    }

    /// How many requests may be under way now.
    #[cfg(test)]
    fn limit(&self) -> usize {
        self.lock().limit
    }

    /// The host refused a request that began at `began`.
    pub fn refused(&self, began: MonoTime, now: MonoTime) {
        let mut state = self.lock();
        if state.is_news(began) {
            let half = state.limit / 2;
            state.lower_to(half, now);
        }
    }

    /// The host answered a request that began at `began` with a body, whose head came at `now`.
    pub fn answered(&self, began: MonoTime, now: MonoTime) {
        let took = now.since(began);
        let mut state = self.lock();
        state.answers = state.answers.saturating_add(1);
        state.lately = match state.answers {
            1 => took,
            _ => (state.lately * 7 + took) / 8,
        };
        if state.answers < SETTLE {
            return;
        }
        let is_slow = state.lately > state.usual.saturating_mul(3).saturating_add(SLACK);
        state.usual = if state.lately < state.usual {
            state.lately
        } else {
            (state.usual * 63 + state.lately) / 64
        };
        if is_slow {
            if state.is_news(began) && state.limit > 1 {
                let fewer = state.limit - 1;
                state.lower_to(fewer, now);
            }
            return;
        }
        state.earn(self.most);
    }

    /// The host answered, with nothing whose time could be compared.
    pub fn kept_up(&self) {
        self.lock().earn(self.most);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_news(&self, began: MonoTime) -> bool {
        self.lowered_at.is_none_or(|at| began > at)
    }

    fn earn(&mut self, most: usize) {
        self.good += 1;
        if self.limit < most && self.good >= self.limit * EARN {
            self.limit += 1;
            self.good = 0;
        }
    }

    fn lower_to(&mut self, limit: usize, now: MonoTime) {
        self.limit = limit.max(1);
        self.good = 0;
        self.lowered_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> MonoTime {
        MonoTime(ms * MS)
    }

    /// `n` answers one after the other from `start`, each after `took`. Says when the last one came.
    fn answers(pace: &Pace, start: u64, n: u64, took: u64) -> u64 {
        for i in 0..n {
            pace.answered(at(start + i * took), at(start + (i + 1) * took));
        }
        start + n * took
    }

    #[test]
    fn a_refusal_halves_once_for_all_that_was_under_way() {
        let pace = Pace::new(8);
        for began in [0, 1, 2, 3] {
            pace.refused(at(began), at(10));
        }
        assert_eq!(pace.limit(), 4);
        pace.refused(at(11), at(20));
        pace.refused(at(21), at(30));
        pace.refused(at(31), at(40));
        assert_eq!(pace.limit(), 1, "never none");
    }

    #[test]
    fn good_answers_earn_the_pace_back() {
        let pace = Pace::new(4);
        pace.refused(at(0), at(1));
        pace.refused(at(2), at(3));
        assert_eq!(pace.limit(), 1);
        let mut limits = Vec::new();
        let mut now = 10;
        for _ in 0..80 {
            now = answers(&pace, now, 1, 5);
            limits.push(pace.limit());
        }
        // The first answers only say how long they take.
        assert!(
            limits.is_sorted() && limits.iter().take(14).all(|limit| *limit == 1),
            "{limits:?}"
        );
        assert_eq!(limits.last(), Some(&4), "and no further: {limits:?}");
    }

    #[test]
    fn a_host_that_slows_down_is_asked_less_until_that_is_its_way() {
        let pace = Pace::new(4);
        let now = answers(&pace, 0, 40, 50);
        assert_eq!(pace.limit(), 4);
        let now = answers(&pace, now, 40, 2_000);
        assert!(pace.limit() < 4);
        answers(&pace, now, 400, 2_000);
        assert_eq!(pace.limit(), 4, "slow for good");
    }

    #[test]
    fn answers_that_are_not_compared_earn_the_pace_back() {
        let pace = Pace::new(2);
        pace.refused(at(0), at(1));
        assert_eq!(pace.limit(), 1);
        for _ in 0..EARN {
            pace.kept_up();
        }
        assert_eq!(pace.limit(), 2);
    }

    #[test]
    fn small_differences_are_the_networks() {
        let pace = Pace::new(4);
        let now = answers(&pace, 0, 40, 1);
        answers(&pace, now, 40, 90);
        assert_eq!(pace.limit(), 4);
    }

    #[test]
    fn shares_let_exactly_as_many_through() {
        for most in 1..=64 {
            let pace = Pace::new(most);
            let mut now = 1;
            loop {
                assert_eq!(pace.shares() / pace.share(), pace.limit(), "{most}");
                if pace.limit() == 1 {
                    break;
                }
                pace.refused(at(now), at(now));
                now += 1;
            }
        }
    }
}
