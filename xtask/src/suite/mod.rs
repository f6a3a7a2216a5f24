//! `cargo xtask test`: the whole suite, and an honest account of what could not run on this machine.
//!
//! A [`Lane`] becomes a list of cargo runs ([`plan`]); [`programs`] builds what the black-box tests
//! start; [`run`] streams each run and [`libtest`] counts what it prints; [`skips`] reads what tests said they left
//! out; [`summary`] puts it together; [`lane`] is what `kpi` and `gate`
//! read of it. An ignored test counts as failed: what does not run proves nothing.

mod command;
mod lane;
mod libtest;
mod options;
mod plan;
mod programs;
mod run;
mod skips;
mod summary;

pub use command::{command, run_one};
pub use lane::{Lane as Ran, NO_MODE};
pub use options::Lane;
