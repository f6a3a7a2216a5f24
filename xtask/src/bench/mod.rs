//! `cargo xtask bench`: what a release build costs.
//!
//! A target holds on a ratio to the same work done bare on the same machine, never on absolute time, so subject and
//! reference take turns and the median is told with its spread. `command` reads the command line; [`sync`] is the main
//! job beside [`raw`], the same requests without Annals; [`memory`] is its peak for projects of growing size; [`idle`] is
//! a server that nobody asks. [`programs`] builds, starts and looks at the processes.

mod command;
mod idle;
mod memory;
mod programs;
mod raw;
mod sync;

pub use command::command;
