//! Domain types, configuration, the error table and pure algorithms.
//!
//! Everything here is a value or a function of values: no I/O, no clock, no runtime, no async.
//! Read in this order: [`time`] and [`ids`] name things, [`outcome`] says how work can end,
//! [`net`] how a network can fail.

pub mod ids;
pub mod net;
pub mod outcome;
pub mod time;

pub use ids::{EntityKind, Iid, ProjectId};
pub use net::{NetworkErrorKind, TlsFault};
pub use outcome::{CancelKind, CancelReason, Cancelled, Outcome, OutcomeKind, PanicMsg, Signal, TaskError};
pub use time::{MonoTime, UnixMs};
