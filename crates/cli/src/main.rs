//! The command `annals`: parse, build, call the libraries, map the outcome to an exit code.
//!
//! Read in this order: [`cli`] is the command line, [`app`] runs one command of it, [`commands`] has one file per
//! command, [`session`] is what a command works with, [`output`] is how it answers.

mod app;
mod autocorrect;
mod cli;
mod commands;
mod credentials;
mod error;
mod given;
mod logs;
mod mcp;
mod model;
mod output;
mod pager;
mod places;
mod process;
#[cfg(test)]
mod reference;
mod secrets;
mod session;
mod settings;
mod stdin;
mod tokens;
mod usage;

use std::process::ExitCode;

use annals_net_adapter::Environment;

fn main() -> ExitCode {
    ExitCode::from(app::run(&snapshot()))
}

/// The one look at arguments, environment and terminals.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the snapshot that everything else is given"
)]
fn snapshot() -> app::Process {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    app::Process {
        args: std::env::args_os().collect(),
        env: Environment::new(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)))),
        terminals: output::Terminals::look(),
    }
}
