//! Proof that the mirror is what the forge has: what differs is named by id and reason, and mended if asked.
//!
//! **What this promises:** nothing is compared by a second reading of the formats. A fetched entity or set is written
//! by the code of the sync, in a transaction that is always undone; what that would have changed is the finding.
//! Whatever moved at the forge after the run began is left out, so that a busy project has no false findings.
//!
//! Read in this order: [`options`] is what a run is given, [`finding`] what it says. `local` looks at the file alone;
//! `side` is how a project is reached, `index` compares the ids of everything; `sample` chooses entities and `entities` fetches them, with their sets if
//! asked; `rehearsal` is the comparison; `repair` mends; `run` puts them together.

mod entities;
pub mod finding;
mod index;
mod local;
pub mod options;
mod rehearsal;
mod repair;
mod run;
mod sample;
mod side;

pub use finding::{Level, LevelResult, Named, VerifyResult};
pub use options::{Depth, Reach, Repair, SampleSize, VerifyOptions};
pub use run::verify;
