//! Domain types, configuration, the error table and pure algorithms.
//!
//! Everything here is a value or a function of values: no I/O, no clock, no runtime, no async.
//! Read in this order: [`time`] and [`ids`] name things, [`outcome`] says how work can end,
//! [`net`] how a network can fail, [`code`] names every failure a user can meet and [`report`] says
//! what is told about one, [`secret`] holds what is told to nobody, [`backoff`] says how long to
//! wait, [`text`] decides what a word is and what may be printed, [`files`] how paths are written and
//! renames followed, [`fusion`] puts ranked lists together, [`config`] is everything that can be set.

pub mod backoff;
pub mod code;
pub mod config;
pub mod files;
pub mod fusion;
pub mod ids;
pub mod net;
pub mod outcome;
pub mod report;
pub mod secret;
pub mod text;
pub mod time;

pub use backoff::Backoff;
pub use code::{Code, Retry};
pub use config::Config;
pub use ids::{BadId, EntityKind, Iid, NativeId, Oid, ProjectId, RunId};
pub use net::{NetworkErrorKind, TlsFault};
pub use outcome::{CancelKind, CancelReason, Cancelled, Outcome, OutcomeKind, PanicMsg, Signal, TaskError};
pub use report::{Coded, FieldError, Problem, Report};
pub use secret::Secret;
pub use time::{MonoTime, UnixMs};
