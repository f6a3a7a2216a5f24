//! The steps of `cargo xtask test`.

use std::time::Instant;

use super::libtest::Tally;
use super::options::{HELP, parse};
use super::plan::{Tests, plan};
use super::programs;
use super::run::run;
use super::skips;
use super::summary::Summary;
use crate::Verdict;
use crate::workspace::{self, Workspace};

/// Builds, runs, sums up.
pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let Some(options) = parse(args)? else {
        println!("{HELP}");
        return Ok(Verdict::Holds);
    };
    let start = Instant::now();
    let metadata = here.metadata()?;
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
    for step in plan(&options, &tests) {
        println!("\n== {} ==", step.title);
        workspace::remove(&skip_log)?;
        let ran = run(here, &step, &programs, &skip_log)?;
        summary.tally.add(ran.tally, step.mode);
        summary.skips.extend(skips::read(&skip_log, step.mode)?);
        if !ran.succeeded {
            summary.failed_runs.push(step.title);
        }
    }
    summary.took = start.elapsed();
    let text = summary.text();
    print!("{text}");
    // For whoever runs several lanes and sums up at the end.
    std::fs::write(folder.join(format!("summary-{}.txt", options.lane.as_str())), text)?;
    Ok(summary.verdict())
}
