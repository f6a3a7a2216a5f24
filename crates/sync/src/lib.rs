//! Forge clients and the sync engine: what happens at a forge comes into the store.
//!
//! **What this promises:** a forge is only ever read, politely; every batch is in the file whole or
//! not at all, with its cursor; and whatever stops a run, the next one goes on from there.
//!
//! [`sync`] does it, [`mod@engine::plan`] says beforehand what that takes, [`add`] only makes a project
//! known. A run is given [`SyncOptions`] and
//! [`Target`]s, tells what it does through [`Progress`], and ends in a [`SyncResult`] or an
//! [`Error`]. [`surgical::surgical`] brings a few named entities up to date, [`verify`] proves what is
//! there. Below, [`engine`] is the run, [`forge`] the clients, [`hosts`] the
//! connections that a process shares, and [`target`] the addresses that people type.

mod account;
pub mod engine;
pub mod error;
pub mod forge;
pub mod hosts;
pub mod progress;
pub mod surgical;
pub mod target;
pub mod verify;

pub use account::account;
pub use engine::{
    Added, Deletions, Documents, Embedding, EntityRef, Plan, ProjectPlan, Reading, SweepWhen, SyncOptions, SyncResult,
    Target, add, plan, plan_anew, sync,
};
pub use error::Error;
pub use hosts::Hosts;
pub use progress::{Event, Events, Progress};
pub use surgical::{Request, SurgicalOptions, retry_failed, surgical};
