//! Surgical sync: a few entities, by number, brought up to date at once or not at all.
//!
//! **What this promises:** everything about every target is fetched before a byte of content is
//! written; if one target cannot be had, nothing changes. What is written is one transaction for all
//! targets; a newer state that another run has stored meanwhile stays. The run makes exactly the
//! documents that its own writes have made stale, and leaves the queues of everybody else alone.
//!
//! [`surgical`] does it for a [`Request`], [`retry_failed`] does again what an earlier run failed at,
//! [`plan`] only says what would be done. The command line, webhooks and the repairs of `verify` call
//! the same functions.
//!
//! Read in this order: [`request`] is what is asked for, `run` the stages from begin to end. They are
//! `preflight` (fetch, without the lock), `ingest` (the one transaction), `dependents` (the sets),
//! `documents`. `ending` closes the run, [`failure`] says why a preflight ended it, `retry` and `plan`
//! are the other two entrances.

mod dependents;
mod documents;
mod ending;
pub mod failure;
mod ingest;
mod plan;
mod preflight;
pub mod request;
mod retry;
mod run;

pub use failure::{PreflightFailed, TargetFailure};
pub use plan::{Plan, PlannedTarget, plan};
pub use request::{Extent, Request, RequestError, SurgicalOptions};
pub use retry::retry_failed;
pub use run::surgical;
