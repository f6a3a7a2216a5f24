//! Processes: child processes that are never left behind, and which process this is.
//!
//! A child runs in a process group of its own with two threads of the adapter's beside it. Cancelled, dropped, too slow or
//! too loud, its whole group is asked to end (SIGTERM), killed after a grace time (SIGKILL), and reaped; the region of the
//! context that started it waits for that. On Linux a child is killed by the kernel when Annals dies. Nothing of the
//! environment is inherited.

mod identity;
mod shared;
mod spec;
mod stream;
mod supervisor;
#[cfg(test)]
mod tests;

pub use identity::{ProcessIdentity, is_running};
pub use spec::{CommandSpec, ProcError, ProcOutput, ProcStatus};
pub use stream::{ProcIn, ProcOut, ProcStream};
