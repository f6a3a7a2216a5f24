//! A wake-up that can be sent before anybody waits for it.

use annals_core::Cancelled;

use super::Semaphore;
use crate::Cx;

/// Wakes a task; one wake-up is stored while nobody waits.
#[derive(Debug, Clone)]
pub struct Notify(Semaphore);

impl Default for Notify {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Notify {
    /// Wakes one waiter, or the next one to come. Several calls before that are one.
    pub fn notify_one(&self) {
        self.0.release_up_to_one();
    }

    /// Waits for a wake-up.
    ///
    /// # Errors
    /// [`Cancelled`]; a wake-up meant for this waiter goes to the next.
    ///
    /// # Cancel safety
    /// No wake-up is lost.
    pub async fn notified(&self, cx: &Cx) -> Result<(), Cancelled> {
        self.0.acquire_uncounted(cx, 1).await?.keep_slot();
        Ok(())
    }
}
