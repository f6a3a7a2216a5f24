//! The only door to a runtime, a socket and a child process.
//!
//! **What this promises:** nothing is left behind, nothing promised is lost, every wait can be
//! cancelled in bounded time, and all of that is the same on tokio, on asupersync and in the lab.
//!
//! The adapter owns the meaning; a [backend](BackendKind) supplies executor, clock and sockets.
//! Read in this order: [`Cx`] is what code holds; [`Region`] owns tasks; [`Runtime`] and
//! [`Runtimes`] start it all; [`channel`] and [`sync`] connect tasks; [`net`] and [`http`] reach
//! the outside, as does [`ws`]; `lab` runs the same code deterministically.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this crate is the door the lints point to"
)]
#![cfg_attr(
    loom,
    allow(dead_code, unused_variables, reason = "models of channels need no runtime")
)]

mod backend;
mod blocking;
mod budget;
pub mod channel;
mod cx;
mod group;
#[cfg(doctest)]
mod guide;
pub mod http;
#[cfg(feature = "lab")]
pub mod lab;
pub mod net;
pub mod process;
mod region;
mod registry;
mod runtime;
mod shutdown;
mod signal;
mod slices;
pub mod sync;
mod task;
#[cfg(feature = "lab")]
pub mod testing;
mod time;
mod token;
pub mod ws;

pub use annals_core::{
    CancelKind, CancelReason, Cancelled, MonoTime, Outcome, OutcomeKind, PanicMsg, Signal, TaskError, UnixMs,
};
pub use backend::{BackendKind, UnknownRuntime};
pub use blocking::{BlockingCx, CancelHook, Serial};
pub use budget::Budget;
pub use cx::{BudgetExceeded, Cx, Started, Stop, TimeoutError};
pub use group::{Group, GroupSpec, SpawnOrCancelled, map_bounded};
pub use net::{HostPort, Listener, Net, NetError, Stream};
pub use process::{CommandSpec, ProcError, ProcIn, ProcOut, ProcOutput, ProcStatus, ProcStream};
pub use region::{
    DrainReport, Policy, Region, RegionFailure, RegionOutcome, RegionReport, RegionSpec, RegionState, TaskReport,
};
pub use registry::{RegionChange, RegionEvent, RegionKind, RegionSnapshot, RegistrySnapshot};
pub use runtime::{BuildError, Environment, MainOutcome, Runtime, RuntimeConfig};
pub use shutdown::{ShutdownSignal, Stage};
pub use signal::ShutdownBudget;
pub use slices::{RuntimeSection, Runtimes, Slice};
pub use task::{SpawnError, TaskHandle, TaskInfo, TaskKind};
pub use time::{Interval, MissedTick};
