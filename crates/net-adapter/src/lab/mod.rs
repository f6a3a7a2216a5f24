//! The lab: the same code under a virtual clock, a seeded schedule and an in-memory network.
//!
//! The same seed gives the same schedule and the same trace hash. A failing run prints the one line
//! that replays it. Blocking calls run inline; real sockets are refused.

mod run;
mod state;

pub use run::{CancelPoint, LabConfig, LabFailure, LabReport, cancel_everywhere, check, run};
pub use state::Injection;
pub(crate) use state::{LabState, Step};

use std::sync::Arc;

use crate::backend::{Backend, BoxFuture};

/// Makes the root future once the host has made its backend.
pub(crate) type LabRoot = Box<dyn FnOnce(Arc<dyn Backend>) -> BoxFuture<'static, ()> + Send>;
