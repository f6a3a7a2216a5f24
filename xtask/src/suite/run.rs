//! Runs cargo, shows what it prints as it comes, and reads along.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::libtest::{self, Tally};
use super::plan::Run;
use super::skips::SKIP_LOG;
use crate::Workspace;

const LAB_SEEDS: &str = "ANNALS_LAB_SEEDS";
/// Of a lab test, as `annals_net_adapter::testing` has it.
const FEWEST_SEEDS: u64 = 4;

/// Whether lab tests that are asked to try so many seeds try no fewer than they do by themselves.
fn tries_more(asked: &str) -> bool {
    asked.parse().is_ok_and(|seeds: u64| seeds >= FEWEST_SEEDS)
}

/// What became of one run.
pub struct Ran {
    pub tally: Tally,
    /// Whether cargo itself was content.
    pub succeeded: bool,
}

/// How many tests of a program run at the same time (rustc's book, "Tests").
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// Runs one `cargo test` to its end.
pub fn run(
    workspace: &Workspace,
    run: &Run,
    programs: &[(&'static str, PathBuf)],
    skip_log: &PathBuf,
) -> anyhow::Result<Ran> {
    // One pipe for both streams keeps cargo's announcements before the output they announce.
    let (reader, writer) = std::io::pipe()?;
    let mut command = workspace.cargo();
    command
        .args(&run.args)
        .env(SKIP_LOG, skip_log)
        .env_remove("ANNALS_RUNTIME_MODE")
        // It makes every lab test run the one run that it names, or none.
        .env_remove("ANNALS_LAB");
    if !std::env::var(LAB_SEEDS).is_ok_and(|asked| tries_more(&asked)) {
        command.env_remove(LAB_SEEDS);
    }
    if std::env::var_os(TEST_THREADS).is_none() {
        // Many tests wait: for a child, a clock or the disk.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        command.env(TEST_THREADS, (2 * cores).to_string());
    }
    command.envs(programs.iter().map(|(variable, program)| (variable, program)));
    command.envs(run.mode.map(|mode| ("ANNALS_RUNTIME_MODE", mode)));
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cargo does not start")?;
    // The command holds the writing ends; while they live the pipe never ends.
    drop(command);

    let mut tally = Tally::default();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut out = std::io::stdout().lock();
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        out.flush()?;
        tally.read(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    let status = child.wait()?;
    Ok(Ran {
        tally: tally.finish(),
        succeeded: status.success(),
    })
}

/// The names of the tests that a run has, whether or not a filter left some out; nothing is run.
pub fn list(workspace: &Workspace, run: &Run) -> anyhow::Result<Vec<String>> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut command = workspace.cargo();
    command
        .args(run.args.iter().take_while(|arg| *arg != "--"))
        .args(["--", "--list"]);
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cargo does not start")?;
    drop(command);
    let mut output = String::new();
    reader.read_to_string(&mut output)?;
    ensure!(child.wait()?.success(), "the tests cannot be listed: {output}");
    Ok(libtest::listed(output.lines()))
}

#[cfg(test)]
mod tests {
    use super::tries_more;

    #[test]
    fn a_caller_can_raise_the_number_of_seeds_and_not_lower_it() {
        let asked = ["0", "3", "", "many", "4", "1000"];
        assert_eq!(asked.map(tries_more), [false, false, false, false, true, true]);
    }
}
