//! Channels that lose nothing they promised.
//!
//! [`mpsc()`] works in two phases: reserve a place, then send, which cannot fail for lack of room. [`oneshot()`] carries one
//! value, [`watch()`] the latest, [`broadcast()`] every value to everybody, with a count of those a slow receiver lost.
//!
//! Made of std parts and wakers, so they work on every runtime and between runtimes. A permit
//! counts in the region that reserved it until it is used or dropped.

mod broadcast;
mod mpsc;
mod oneshot;
mod watch;

pub use broadcast::{BroadcastReceiver, BroadcastRecvError, BroadcastSender, broadcast};
pub use mpsc::{Permit, Receiver, RecvError, ReserveError, SendError, Sender, TryRecvError, TryReserveError, mpsc};
pub use oneshot::{OneReceiver, OneSender, oneshot};
pub use watch::{WatchReceiver, WatchSender, watch};
