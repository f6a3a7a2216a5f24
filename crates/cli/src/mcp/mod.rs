//! The Model Context Protocol over standard input and output, for the agents of others.
//!
//! [`protocol`] takes a line apart and puts an answer together, [`server`] answers requests and runs calls, [`tools`] makes
//! tools of the commands that declare themselves one, [`window`] tells long answers in parts. Nothing here knows a command by name: a tool is its clap model, and
//! a call of it is a command line.

pub mod protocol;
pub mod server;
pub mod tools;
mod window;

pub use server::{Hear, Server};
pub use tools::Tools;
