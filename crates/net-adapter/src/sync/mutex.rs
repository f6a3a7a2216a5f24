//! A fair lock that may be held across awaits.

use std::ops::{Deref, DerefMut};

use annals_core::Cancelled;

use super::{SemPermit, Semaphore};
use crate::Cx;
use crate::token::lock;

/// Mutual exclusion for async code. Never poisoned: a panic while it is held just unlocks it.
#[derive(Debug)]
pub struct Mutex<T> {
    turn: Semaphore,
    /// Taken out while locked, so that the guard can own it and be sent between threads.
    value: std::sync::Mutex<Option<T>>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Self {
        Self {
            turn: Semaphore::new(1),
            value: std::sync::Mutex::new(Some(value)),
        }
    }

    /// Waits for the lock, first come, first served.
    ///
    /// # Errors
    /// [`Cancelled`]; the lock is then not held.
    ///
    /// # Cancel safety
    /// A cancelled wait passes its turn on.
    pub async fn lock(&self, cx: &Cx) -> Result<MutexGuard<'_, T>, Cancelled> {
        let turn = self.turn.acquire(cx, 1).await?;
        let value = lock(&self.value).take();
        Ok(MutexGuard {
            value,
            of: self,
            _turn: turn,
        })
    }
}

/// The lock, held.
#[must_use = "dropping the guard unlocks"]
pub struct MutexGuard<'a, T> {
    value: Option<T>,
    of: &'a Mutex<T>,
    _turn: SemPermit,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "whoever holds the turn holds the value until drop")]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("the guard owns the value")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[expect(clippy::expect_used, reason = "whoever holds the turn holds the value until drop")]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the guard owns the value")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        *lock(&self.of.value) = self.value.take();
    }
}
