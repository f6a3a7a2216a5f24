//! The lab: the same code under a virtual clock, a seeded schedule and an in-memory network.
//!
//! The same seed gives the same schedule and the same trace hash. A failing run prints the one line
//! that replays it. Blocking calls run inline; real sockets are refused.

mod check;
pub(crate) mod replay;
mod report;
mod run;
mod state;

pub use check::{Check, CheckReport, cancel_everywhere, check};
pub use report::{LabFailure, LabReport};
pub use run::{CancelPoint, LabConfig, run};
pub use state::Injection;
pub(crate) use state::{Event, LabState, Step};

use std::sync::Arc;

use crate::backend::{Backend, BoxFuture};

/// Makes the root future once the host has made its backend.
pub(crate) type LabRoot = Box<dyn FnOnce(Arc<dyn Backend>) -> BoxFuture<'static, ()> + Send>;
