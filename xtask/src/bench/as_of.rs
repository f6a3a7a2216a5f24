//! A list as of now beside the same list: what it costs to read every row from its revisions.
//!
//! Both are commands, and a command must start first. That is measured too and taken off both, so that the ratio is one
//! of reading.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

use super::command::Options;
use super::programs::{Forge, Programs};
use super::sync::spread;

/// As many issues and merge requests together as have 1,000 issues among them.
const ENTITIES: u32 = 1_666;
/// A list has at most so many rows.
const PAGE: &str = "500";

pub fn measure(programs: &Programs, options: &Options, runtime: &str) -> anyhow::Result<()> {
    let entities = options.entities.first().copied().unwrap_or(ENTITIES);
    let forge = Forge::start(programs, entities, 0)?;
    programs.first_sync(runtime, &forge)?;
    let folder = programs.scratch.join("desk");
    let rounds = options.rounds_or(10);
    println!(
        "\nlist of {} issues, {runtime}, {rounds} rounds, median (least to most)",
        entities - entities * 2 / 5
    );
    println!("{:>26}  {:>26}  {:>22}", "as of now", "current", "ratio");
    let (mut subject, mut reference, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // One round ahead warms the file up.
    for round in 0..=rounds {
        let start = took(programs, runtime, &folder, &["version"])?;
        let current = list(programs, runtime, &folder, &[])? - 2.0 * start;
        let as_of = list(programs, runtime, &folder, &["--as-of", "0h"])? - 2.0 * start;
        if round > 0 {
            subject.push(as_of * 1e3);
            reference.push(current * 1e3);
            ratios.push(as_of / current);
        }
    }
    println!(
        "{:>26}  {:>26}  {:>22}  target: 5 at most",
        spread(&mut subject, " ms"),
        spread(&mut reference, " ms"),
        spread(&mut ratios, "")
    );
    Ok(())
}

/// Seconds for the two pages of the list.
fn list(programs: &Programs, runtime: &str, folder: &Path, more: &[&str]) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for offset in ["0", PAGE] {
        let mut args = vec!["--db", "annals.db", "issues", "-n", PAGE, "--offset", offset];
        args.extend(more);
        seconds += took(programs, runtime, folder, &args)?;
    }
    Ok(seconds)
}

fn took(programs: &Programs, runtime: &str, folder: &Path, args: &[&str]) -> anyhow::Result<f64> {
    // Without looking at its memory meanwhile, which is too coarse a clock for so short a run.
    let start = Instant::now();
    let output = programs.annals(runtime, folder, args).output()?;
    let took = start.elapsed();
    ensure!(output.status.success(), "annals {args:?}: {}", output.status);
    Ok(took.as_secs_f64())
}
