//! A simulated GitLab with a project whose every byte is known.
//!
//! What a test needs, in reading order: [`project`] is the data of one project, [`generate`] makes
//! one of any size from a seed, `sample` holds the small one that `annals demo` shows, [`state`]
//! is the forge's truth at a moment and every way to change it, [`gitlab`] answers API requests
//! from it, [`model`] says what a correct mirror of it contains. [`faults`] names everything
//! that can go wrong on the way, [`churn`] is people at work meanwhile, and [`server`] puts it all behind a listener, real or virtual.

pub mod calendar;
pub mod churn;
pub mod faults;
pub mod generate;
pub mod gitlab;
pub mod model;
pub mod project;
pub mod rng;
pub mod sample;
pub mod server;
pub mod state;

pub use churn::{Churn, Deletions};
pub use faults::{Effect, Fault, FaultPlan, Rule, When};
pub use generate::GenSpec;
pub use gitlab::{Access, Graphql, Keyset, Policy, Reply, Request};
pub use project::Key;
pub use sample::{SAMPLE_PATH, sample};
pub use server::{Latency, SimOptions, Simulator};
pub use state::{Absence, Face, State, Viewer};
