//! The programs under test.
//!
//! `cargo xtask test` builds them as users do and names them in `ANNALS_BIN` and `ANNALS_FORGE_SIM`; a plain `cargo test`
//! takes those beside the test programs, which `cargo build` has put there.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::mode::RuntimeMode;

/// Where `annals` is.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn annals_bin() -> PathBuf {
    program("ANNALS_BIN", "annals", "cargo build --bin annals")
}

/// Where the forge simulator is.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn forge_sim_bin() -> PathBuf {
    program("ANNALS_FORGE_SIM", "forge-sim", "cargo build --bin forge-sim")
}

/// `annals` without arguments, the same on every machine: no `ANNALS_*` variable, proxy or configuration of the caller
/// reaches it, standard input is empty, and the runtime is that of [`RuntimeMode::from_env`].
///
/// # Panics
/// When it has not been built, or the mode is unknown.
#[must_use]
pub fn annals() -> Command {
    let mut command = Command::new(annals_bin());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("ANNALS_") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.envs(
        RuntimeMode::from_env()
            .map_or(&[][..], |mode| mode.variables())
            .iter()
            .copied(),
    );
    command.stdin(Stdio::null());
    command
}

fn program(variable: &str, name: &str, build: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| beside_the_test(name), PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there; `cargo xtask test`, or `{build}`",
        path.display()
    );
    path
}

/// Test programs are in `target/debug/deps`, programs in `target/debug`.
fn beside_the_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.ancestors().nth(2).expect("a test program is two folders deep");
    folder.join(name)
}
