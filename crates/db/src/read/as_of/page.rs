//! The page of a list whose order no index has.

use crate::read::{Direction, Place};

/// What matches and may still be on the page.
pub(super) struct Page<T> {
    direction: Direction,
    matches: Vec<(Place, T)>,
    total: u64,
    skip: usize,
    limit: usize,
    after: Option<Place>,
}

impl<T> Page<T> {
    /// `limit` items behind `skip`, of those that come after a place.
    pub const fn of(direction: Direction, skip: usize, limit: usize, after: Option<Place>) -> Self {
        Self {
            direction,
            matches: Vec::new(),
            total: 0,
            skip,
            limit,
            after,
        }
    }

    pub fn offer(&mut self, place: Place, item: T) {
        self.total += 1;
        if self.after.is_none_or(|after| self.is_before(after, place)) {
            self.matches.push((place, item));
        }
        // Memory follows the page: what can no longer be on it goes now and then.
        let kept = self.skip.saturating_add(self.limit);
        if self.matches.len() > kept.saturating_mul(2).saturating_add(1_000) {
            self.sort();
            self.matches.truncate(kept);
        }
    }

    fn is_before(&self, one: Place, other: Place) -> bool {
        match self.direction {
            Direction::Ascending => (one.key, one.row) < (other.key, other.row),
            Direction::Descending => (one.key, one.row) > (other.key, other.row),
        }
    }

    fn sort(&mut self) {
        let down = self.direction == Direction::Descending;
        self.matches.sort_unstable_by(|(a, _), (b, _)| {
            let order = (a.key, a.row).cmp(&(b.key, b.row));
            if down { order.reverse() } else { order }
        });
    }

    /// How many were offered, and the page.
    pub fn in_order(mut self) -> (u64, Vec<(Place, T)>) {
        self.sort();
        let page = self.matches.into_iter().skip(self.skip).take(self.limit);
        (self.total, page.collect())
    }
}
