//! How many bytes of answers may be in memory at once.
//!
//! The promise: decoded bytes in flight stay below the limit however slowly they are written, and
//! nobody waits for ever. Answers are written in the order their fetches were made, so everybody's
//! bytes may be waiting for the oldest fetch: it never waits for room. Where the oldest is still
//! queueing for its host, the oldest body that is being read goes on instead, because it may hold
//! the very connection that the other one needs.
//!
//! A run that needs all its answers together before it writes anything cannot wait for room: its
//! budget [refuses](ByteBudget::refusing) what is over the limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use annals_core::Cancelled;
use annals_net_adapter::Cx;
use annals_net_adapter::sync::Notify;

/// The limit of a process: 128 MiB.
pub const DEFAULT_BYTES: u64 = 128 * 1024 * 1024;

/// Bytes shared by every fetch of a run.
#[derive(Clone)]
pub struct ByteBudget(Arc<Shared>);

struct Shared {
    limit: u64,
    full: Full,
    state: Mutex<State>,
}

/// What happens to a fetch for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Waits,
    Refuses,
}

/// Why a fetch got no room.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// It was cancelled while it waited.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// There will be none.
    #[error("the answers are over {limit} bytes together")]
    Refused {
        /// The limit in decoded bytes.
        limit: u64,
    },
}

#[derive(Default)]
struct State {
    used: u64,
    next: u64,
    /// Every fetch, oldest first.
    flights: BTreeMap<u64, Held>,
}

struct Held {
    bytes: u64,
    stage: FlightStage,
    /// Wakes this fetch; a wake-up sent before it waits is kept.
    changed: Notify,
}

/// What a fetch is doing, as far as others have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightStage {
    /// Deciding, sleeping, or done and waiting to be written.
    Elsewhere,
    /// Waiting for a place at its host.
    Queueing,
    /// Holding a place and reading a body.
    Reading,
}

/// One fetch and the bytes it holds; they are free again when it is dropped.
pub struct Flight {
    of: Arc<Shared>,
    number: u64,
}

impl ByteBudget {
    /// A budget of `limit` decoded bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self::with(limit, Full::Waits)
    }

    /// A budget of `limit` decoded bytes whose fetches are all held until the last is there: one that
    /// goes over the limit fails.
    #[must_use]
    pub fn refusing(limit: u64) -> Self {
        Self::with(limit, Full::Refuses)
    }

    fn with(limit: u64, full: Full) -> Self {
        Self(Arc::new(Shared {
            limit,
            full,
            state: Mutex::default(),
        }))
    }

    /// A new fetch, younger than all others. The order of these calls is the order of age, so call
    /// it where the order of writing is decided.
    #[must_use]
    pub fn flight(&self) -> Flight {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        let held = Held {
            bytes: 0,
            stage: FlightStage::Elsewhere,
            changed: Notify::default(),
        };
        state.flights.insert(number, held);
        Flight {
            of: self.0.clone(),
            number,
        }
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.lock().used
    }
}

impl Flight {
    /// Takes `n` more bytes, waiting for room unless this fetch must not wait.
    ///
    /// # Errors
    /// [`NoRoom`]; what was taken before stays taken until the flight is dropped.
    ///
    /// # Cancel safety
    /// Dropping it takes nothing.
    pub async fn take(&self, cx: &Cx, n: u64) -> Result<(), NoRoom> {
        if self.of.full == Full::Refuses {
            return self.of.lock().take_or_refuse(self.number, n, self.of.limit);
        }
        loop {
            let waiting = {
                let mut state = self.of.lock();
                state.take(self.number, n, self.of.limit)
            };
            match waiting {
                None => return Ok(()),
                Some(changed) => changed.notified(cx).await?,
            }
        }
    }

    /// Says what this fetch is doing now.
    pub fn enter(&self, stage: FlightStage) {
        self.of.change(|state| {
            if let Some(held) = state.flights.get_mut(&self.number) {
                held.stage = stage;
            }
        });
    }

    /// Gives back what was taken since it held `kept`: the bytes of a body that was thrown away.
    pub fn give_back_to(&self, kept: u64) {
        self.of.change(|state| {
            let thrown_away = state.flights.get_mut(&self.number).map_or(0, |held| {
                let bytes = held.bytes.saturating_sub(kept);
                held.bytes -= bytes;
                bytes
            });
            state.used = state.used.saturating_sub(thrown_away);
        });
    }

    /// Bytes this fetch holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.of.lock().flights.get(&self.number).map_or(0, |held| held.bytes)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.of.change(|state| {
            let held = state.flights.remove(&self.number).map_or(0, |held| held.bytes);
            state.used = state.used.saturating_sub(held);
        });
    }
}

impl State {
    /// Takes the bytes if there is room.
    fn take_or_refuse(&mut self, number: u64, n: u64, limit: u64) -> Result<(), NoRoom> {
        let used = self.used.saturating_add(n);
        if used > limit {
            return Err(NoRoom::Refused { limit });
        }
        if let Some(held) = self.flights.get_mut(&number) {
            held.bytes = held.bytes.saturating_add(n);
            self.used = used;
        }
        Ok(())
    }

    /// Takes the bytes, or returns what to wait for.
    fn take(&mut self, number: u64, n: u64, limit: u64) -> Option<Notify> {
        let room = self.used.saturating_add(n) <= limit || self.must_not_wait(number);
        let held = self.flights.get_mut(&number)?;
        if !room {
            return Some(held.changed.clone());
        }
        held.bytes = held.bytes.saturating_add(n);
        self.used = self.used.saturating_add(n);
        None
    }

    fn must_not_wait(&self, number: u64) -> bool {
        let Some((oldest, held)) = self.flights.first_key_value() else {
            return true;
        };
        let oldest_reading = || {
            self.flights
                .iter()
                .find(|(_, h)| h.stage == FlightStage::Reading)
                .map(|(n, _)| *n)
        };
        *oldest == number || (held.stage == FlightStage::Queueing && oldest_reading() == Some(number))
    }
}

impl Shared {
    /// Changes the state, then wakes every other fetch: any of them may have room now.
    fn change(&self, f: impl FnOnce(&mut State)) {
        let waiters: Vec<Notify> = {
            let mut state = self.lock();
            f(&mut state);
            state.flights.values().map(|held| held.changed.clone()).collect()
        };
        for changed in waiters {
            changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight").field("number", &self.number).finish()
    }
}

impl std::fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteBudget")
            .field("limit", &self.0.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn take(flight: &Flight, n: u64) -> bool {
        let mut state = flight.of.lock();
        state.take(flight.number, n, flight.of.limit).is_none()
    }

    #[test]
    fn the_oldest_never_waits_and_the_rest_stay_below_the_limit() {
        let budget = ByteBudget::new(100);
        let (old, young) = (budget.flight(), budget.flight());
        assert!(take(&young, 100));
        assert!(!take(&young, 1));
        assert!(take(&old, 500), "the oldest overdraws");
        drop(old);
        assert_eq!(budget.used(), 100);
        assert!(take(&young, 1), "now it is the oldest itself");
        young.give_back_to(40);
        assert_eq!((budget.used(), young.held()), (40, 40));
        young.give_back_to(0);
        assert_eq!((budget.used(), young.held()), (0, 0));
    }

    #[test]
    fn a_refusing_budget_lets_nobody_over_the_limit() {
        let budget = ByteBudget::refusing(100);
        let (old, young) = (budget.flight(), budget.flight());
        let take = |flight: &Flight, n| flight.of.lock().take_or_refuse(flight.number, n, 100);
        take(&young, 60).unwrap();
        assert!(matches!(take(&old, 41), Err(NoRoom::Refused { limit: 100 })));
        take(&old, 40).unwrap();
        assert_eq!((budget.used(), old.held()), (100, 40));
    }

    #[test]
    fn a_body_that_blocks_the_oldest_goes_on() {
        let budget = ByteBudget::new(10);
        let (old, second, third) = (budget.flight(), budget.flight(), budget.flight());
        second.enter(FlightStage::Reading);
        third.enter(FlightStage::Reading);
        assert!(take(&third, 10));
        assert!(
            !take(&second, 1),
            "the oldest is busy elsewhere and will come by itself"
        );
        old.enter(FlightStage::Queueing);
        assert!(take(&second, 1), "it may hold the place that the oldest waits for");
        assert!(!take(&third, 1));
    }
}
