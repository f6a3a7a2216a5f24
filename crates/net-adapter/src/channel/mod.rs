//! Channels in two phases: reserve a place, then send, which cannot fail for lack of room.
//!
//! Made of std parts and wakers, so they work on every runtime and between runtimes. A permit
//! counts in the region that reserved it until it is used or dropped.

mod mpsc;
mod oneshot;

pub use mpsc::{Permit, Receiver, RecvError, ReserveError, SendError, Sender, TryRecvError, TryReserveError, mpsc};
pub use oneshot::{OneReceiver, OneSender, oneshot};
