//! Limits a task inherits.

use annals_core::MonoTime;

/// What a task may use. A child never gets more than its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// The task is cancelled at this time.
    pub deadline: Option<MonoTime>,
}

impl Budget {
    /// Only a deadline.
    #[must_use]
    pub const fn until(deadline: MonoTime) -> Self {
        Self {
            deadline: Some(deadline),
        }
    }

    /// The tighter of both in every respect.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        let deadline = match (self.deadline, other.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { deadline }
    }
}
