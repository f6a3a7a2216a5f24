//! `cargo xtask bench`: what a release build costs.
//!
//! A target holds on a ratio to the same work done bare on the same machine, never on absolute time, so subject and
//! reference take turns and the median is told with its spread. `command` reads the command line; [`sync`] is the main
//! job beside [`raw`], the same requests without Annals; [`memory`] is its peak for projects of growing size; [`idle`] is
//! a server that nobody asks; [`as_of`] is a list of the past beside the current one; `semantic` is a search by vectors
//! beside a plain loop; `build` is the wait for a clean build. [`runtime`] is asupersync beside tokio ([`versus`],
//! under [`load`]) and the adapter beside what it stands on. [`programs`] builds, starts and looks at the processes. What `xtask kpi` needs is also left as evidence.

mod as_of;
mod build;
mod command;
mod idle;
mod load;
mod memory;
pub mod programs;
mod raw;
pub mod runtime;
mod semantic;
mod sync;
pub mod versus;

pub use build::Build;
pub use command::command;
pub use idle::Idle;
