//! Schema numbers only grow, one whole step at a time, and never on a file that is not ours.
//!
//! [`inspect`] looks at a file without changing a byte and refuses what this Annals must not touch:
//! a foreign file, a newer one, one whose applied steps are not the ones known here. [`run`] applies
//! what is pending, each step in one transaction with its number, its checksum and a check of every
//! reference; before the first step on a file with content it makes a [`backup`].

pub mod backup;
mod steps;

pub use backup::Keep;
pub use steps::{APPLICATION_ID, Migration, Report, Status, embedded, inspect, run};
