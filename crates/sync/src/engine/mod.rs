//! The sync engine: what is new at a forge comes into the file, in whole batches.
//!
//! **What this promises:** after a kill at any instant, rows and cursor agree and the next run goes
//! on from there; one bad item, stream, project or host never stops the others; and the state of
//! the engine is the database alone.
//!
//! Read in this order: [`options`] is what a run is given, [`result`] what it says; `run` goes from
//! one to the other; `project` is one project of it, with `stream`, `dependents`, `sweep` and `aside` as its parts, and
//! `embed` ends the run. All writing is in `writer`, in closures that cannot wait. `resolve` and [`register`] find out
//! which project is meant; `ending` is how everything here ends early, and [`mod@plan`] what a run would do, without one.

mod aside;
mod dependents;
pub(crate) mod embed;
pub(crate) mod ending;
pub mod options;
pub mod plan;
pub(crate) mod project;
pub mod register;
pub(crate) mod resolve;
pub mod result;
pub(crate) mod run;
mod stream;
mod sweep;
pub(crate) mod writer;

pub use options::{Deletions, Documents, Embedding, Reading, SweepWhen, SyncOptions, Target};
pub use plan::{Plan, ProjectPlan, StreamPlan, plan, plan_anew};
pub use register::{Added, add};
pub use result::{EntityRef, JobsResult, ProjectResult, StreamResult, SyncResult};
pub use run::sync;
