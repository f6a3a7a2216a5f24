//! Locks that can be waited for without blocking a thread, fair and cancellable.
//!
//! Made of std parts and wakers: they work on every runtime and between runtimes.

#[cfg(all(test, loom))]
mod loom_models;
mod mutex;
mod notify;
pub(crate) mod prim;
mod semaphore;
pub(crate) mod wait_queue;

pub use mutex::{Mutex, MutexGuard};
pub use notify::Notify;
pub(crate) use semaphore::Closed;
pub use semaphore::{SemPermit, Semaphore};
