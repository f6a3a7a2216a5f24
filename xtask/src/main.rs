//! What developers and CI run: `cargo xtask <command>`.
//!
//! [`suite`] runs every test, [`audit`] checks the rules that the compiler cannot, `bench` measures; [`workspace`] is
//! what they know of this repository. A command is a row of [`COMMANDS`].

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool for developers: it prints, reads the environment and starts cargo"
)]

use std::process::ExitCode;

mod audit;
mod bench;
mod drill;
mod evidence;
mod figures;
mod gate;
mod kpi;
mod suite;
mod workspace;

use workspace::Workspace;

/// Whether what a command checked holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Broken,
}

struct Command {
    name: &'static str,
    does: &'static str,
    run: fn(&Workspace, &[String]) -> anyhow::Result<Verdict>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        does: "build and run the whole suite; say by name what could not run here",
        run: suite::command,
    },
    Command {
        name: "audit",
        does: "check the rules of the repository that the compiler cannot",
        run: audit::command,
    },
    Command {
        name: "bench",
        does: "measure a release build: sync against a raw fetch, memory, the idle server, both runtimes",
        run: bench::command,
    },
    Command {
        name: "drill",
        does: "move between the runtimes and back, kill in between, compare",
        run: drill::command,
    },
    Command {
        name: "kpi",
        does: "report whether one runtime can stand in for the other, in figures",
        run: kpi::command,
    },
    Command {
        name: "gate",
        does: "say from that evidence whether slice A, B, C or D may move: GO or NO-GO",
        run: gate::command,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(args: &[String]) -> anyhow::Result<Verdict> {
    let (name, rest) = match args.split_first() {
        Some((name, rest)) if name != "--help" && name != "-h" && name != "help" => (name, rest),
        _ => {
            print_commands();
            return Ok(Verdict::Holds);
        }
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(&Workspace::find()?, rest),
        None => anyhow::bail!("no command {name:?}; `cargo xtask` lists them"),
    }
}

fn print_commands() {
    println!("cargo xtask <command> [--help]\n");
    for command in COMMANDS {
        println!("  {:<8} {}", command.name, command.does);
    }
}
