//! Limits a task inherits: a deadline, a number of polls, a sum of costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals_core::{CancelReason, MonoTime};

use crate::token::Token;

/// What a task may use. A child never gets more than its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// The task is cancelled at this time.
    pub deadline: Option<MonoTime>,
    /// The task is cancelled when it would be polled once more than this. Each task has as many.
    pub polls: Option<u64>,
    /// Everything under the context that got this limit is cancelled when more than this has been
    /// [charged](crate::Cx::charge) to it, by whomever.
    pub cost: Option<u64>,
}

impl Budget {
    /// Only a deadline.
    #[must_use]
    pub const fn until(deadline: MonoTime) -> Self {
        Self {
            deadline: Some(deadline),
            polls: None,
            cost: None,
        }
    }

    /// Only a number of polls.
    #[must_use]
    pub const fn of_polls(polls: u64) -> Self {
        Self {
            deadline: None,
            polls: Some(polls),
            cost: None,
        }
    }

    /// Only a sum of costs.
    #[must_use]
    pub const fn of_cost(cost: u64) -> Self {
        Self {
            deadline: None,
            polls: None,
            cost: Some(cost),
        }
    }

    /// The tighter of both in every respect.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        Self {
            deadline: tighter(self.deadline, other.deadline),
            polls: tighter(self.polls, other.polls),
            cost: tighter(self.cost, other.cost),
        }
    }
}

pub(crate) fn tighter<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What has been charged against one cost limit, and against those around it.
pub(crate) struct Ledger {
    limit: u64,
    charged: AtomicU64,
    /// Whoever got the limit.
    holder: Arc<Token>,
    outer: Option<Arc<Ledger>>,
}

impl Ledger {
    /// The ledger of a context with this budget: one of its own if it has a cost limit of its own.
    pub(crate) fn under(outer: Option<&Arc<Self>>, budget: Budget, holder: &Arc<Token>) -> Option<Arc<Self>> {
        let Some(limit) = budget.cost else {
            return outer.cloned();
        };
        Some(Arc::new(Self {
            limit,
            charged: AtomicU64::new(0),
            holder: holder.clone(),
            outer: outer.cloned(),
        }))
    }

    /// Charges this limit and those around it; the holders of those that are now overdrawn are cancelled. Says
    /// whether none was.
    pub(crate) fn charge(&self, cost: u64, reason: impl Fn() -> CancelReason) -> bool {
        let mut within = true;
        let mut next = Some(self);
        while let Some(ledger) = next {
            let add = |charged: u64| charged.checked_add(cost);
            let before = ledger.charged.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
            let after = before.ok().and_then(|before| before.checked_add(cost));
            if after.is_none_or(|after| after > ledger.limit) {
                within = false;
                ledger.holder.raise(reason());
            }
            next = ledger.outer.as_deref();
        }
        within
    }
}
