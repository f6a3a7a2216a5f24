//! The steps of `cargo xtask test`.

use std::time::Instant;

use super::lane::{Lane, NO_MODE};
use super::libtest::Tally;
use super::options::{HELP, Lane as Choice, parse};
use super::plan::{Run, Tests, plan};
use super::programs;
use super::run::{list, run};
use super::skips;
use super::summary::Summary;
use crate::Verdict;
use crate::evidence::{Shelf, Stamp};
use crate::workspace::{self, Workspace};

/// Builds, runs, sums up.
pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let Some(options) = parse(args)? else {
        println!("{HELP}");
        return Ok(Verdict::Holds);
    };
    let start = Instant::now();
    let metadata = here.metadata()?;
    let stamp = Stamp::now(here)?;
    let programs = programs::build(here, &metadata, options.lane)?;

    let mut summary = Summary {
        lane: options.lane.as_str(),
        tally: Tally::default(),
        skips: Vec::new(),
        took: start.elapsed(),
        failed_runs: Vec::new(),
        filter: options.filter.clone(),
    };
    let folder = metadata.target_directory.join("xtask");
    let skip_log = folder.join("skipped.tsv");
    let tests = Tests {
        adapter: metadata.tests_of("annals-net-adapter"),
        black_box: metadata.tests_of("annals-tests"),
    };
    // What is not whole is no evidence.
    let is_whole = options.filter.is_none() && options.passed_on.is_empty();
    let mut lists = std::collections::BTreeMap::<String, Vec<String>>::new();
    for step in plan(&options, &tests) {
        println!("\n== {} ==", step.title);
        workspace::remove(&skip_log)?;
        let ran = run(here, &step, &programs, &skip_log)?;
        summary.tally.add(ran.tally, step.mode);
        summary.skips.extend(skips::read(&skip_log, step.mode)?);
        if is_whole {
            let names = list(here, &step)?;
            lists
                .entry(step.mode.unwrap_or(NO_MODE).to_owned())
                .or_default()
                .extend(names);
        }
        if !ran.succeeded {
            summary.failed_runs.push(step.title);
        }
    }
    summary.took = start.elapsed();
    let text = summary.text();
    print!("{text}");
    // For whoever runs several lanes and sums up at the end.
    std::fs::write(folder.join(format!("summary-{}.txt", options.lane.as_str())), text)?;
    if is_whole {
        let name = format!("test-{}", options.lane.as_str());
        Shelf::of(here)?.put(&name, &stamp, &Lane::of(&summary, lists))?;
    }
    Ok(summary.verdict())
}

/// Runs one file of black-box tests on programs built for a lane, with one more variable. Whether all of it passed.
pub fn run_one(
    here: &Workspace,
    lane: Choice,
    test: &str,
    variable: (&'static str, std::path::PathBuf),
) -> anyhow::Result<bool> {
    let metadata = here.metadata()?;
    let mut given = programs::build(here, &metadata, lane)?;
    given.push(variable);
    let fixed = ["test", "--locked", "--no-fail-fast"].into_iter();
    let args = fixed
        .chain(lane.packages().iter().copied())
        .chain(lane.features().iter().copied());
    let step = Run {
        title: test.to_owned(),
        args: args.chain(["--test", test]).map(str::to_owned).collect(),
        mode: None,
    };
    let ran = run(
        here,
        &step,
        &given,
        &metadata.target_directory.join("xtask/skipped.tsv"),
    )?;
    Ok(ran.succeeded && ran.tally.passed > 0 && ran.tally.failed_count() + ran.tally.ignored_count() == 0)
}
