//! The list of one kind of entity, in both orders that a forge lists in.

use annals_core::UnixMs;

use super::super::project::{ItemState, Secrecy};
use super::Viewer;

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By creation, which is also by number.
    Created,
    /// By last change, then by id.
    Updated,
}

/// What the list knows of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    iid: i64,
    created: i64,
    updated: i64,
    state: ItemState,
    secrecy: Secrecy,
}

impl Slot {
    pub(super) const fn new(iid: i64, created: UnixMs, updated: UnixMs, state: ItemState, secrecy: Secrecy) -> Self {
        Self {
            iid,
            created: created.0,
            updated: updated.0,
            state,
            secrecy,
        }
    }

    /// The entity's number.
    #[must_use]
    pub const fn iid(&self) -> i64 {
        self.iid
    }

    /// The time the list is sorted by.
    #[must_use]
    pub const fn at(&self, order: Order) -> UnixMs {
        UnixMs(match order {
            Order::Created => self.created,
            Order::Updated => self.updated,
        })
    }

    /// The entity's state.
    #[must_use]
    pub const fn state(&self) -> ItemState {
        self.state
    }

    /// Whether `viewer` may see the entity.
    #[must_use]
    pub fn seen_by(&self, viewer: Viewer) -> bool {
        viewer.sees(self.secrecy)
    }
}

/// The list of one kind.
#[derive(Debug, Clone, Default)]
pub struct Index {
    by_number: Vec<Slot>,
    by_update: Vec<Slot>,
    last_number: i64,
}

impl Index {
    pub(super) fn new(slots: impl Iterator<Item = Slot>) -> Self {
        let mut by_number: Vec<Slot> = slots.collect();
        by_number.sort_unstable_by_key(|slot| slot.iid);
        let mut by_update = by_number.clone();
        by_update.sort_unstable_by_key(update_key);
        let last_number = by_number.last().map_or(0, |slot| slot.iid);
        Self {
            by_number,
            by_update,
            last_number,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// The highest number ever given out.
    #[must_use]
    pub const fn last_number(&self) -> i64 {
        self.last_number
    }

    /// All, by number.
    pub fn by_number(&self) -> impl Iterator<Item = &Slot> {
        self.by_number.iter()
    }

    /// All of them, ascending; ties in the order of ids.
    #[must_use]
    pub fn sorted(&self, order: Order) -> &[Slot] {
        match order {
            Order::Created => &self.by_number,
            Order::Updated => &self.by_update,
        }
    }

    pub(super) fn put(&mut self, slot: Slot) {
        self.remove(slot.iid);
        let at = self.by_number.partition_point(|other| other.iid < slot.iid);
        self.by_number.insert(at, slot);
        let at = self
            .by_update
            .partition_point(|other| update_key(other) < update_key(&slot));
        self.by_update.insert(at, slot);
        self.last_number = self.last_number.max(slot.iid);
    }

    pub(super) fn remove(&mut self, iid: i64) {
        if let Ok(at) = self.by_number.binary_search_by_key(&iid, |slot| slot.iid) {
            let old = self.by_number.remove(at);
            if let Ok(at) = self.by_update.binary_search_by_key(&update_key(&old), update_key) {
                self.by_update.remove(at);
            }
        }
    }
}

/// Ids grow with numbers, so the number breaks ties as the id would.
const fn update_key(slot: &Slot) -> (i64, i64) {
    (slot.updated, slot.iid)
}
