//! The command line of `cargo xtask bench`.

use anyhow::{Context, bail};

use super::programs::Programs;
use super::{idle, memory, raw, sync};
use crate::{Verdict, Workspace};

const HELP: &str = "\
cargo xtask bench sync|memory|idle [OPTIONS]

  sync      time of a first sync beside a raw fetch of the same pages with the same concurrency, taking turns
  memory    peak resident memory of a first sync, for projects of each size
  idle      CPU time and resident memory of `annals serve` that nobody asks, on every compiled runtime

  --entities N[,N…]    issues and merge requests together (sync: 5000; memory: 10000,100000)
  --latency-ms N[,N…]  how long the forge thinks (sync: 0,60); with latency a tenth of the entities
  --rounds N           turns of each (sync: 3)
  --seconds N          how long the server is watched (idle: 10)
  --features NAME      for cargo: asupersync builds both runtimes";

pub struct Options {
    pub entities: Vec<u32>,
    pub latencies_ms: Vec<u32>,
    pub rounds: u32,
    pub seconds: u32,
    features: Option<String>,
}

/// Measures and prints; a measurement has no verdict.
pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let Some((what, rest)) = args.split_first().filter(|(what, _)| !what.starts_with('-')) else {
        println!("{HELP}");
        return Ok(Verdict::Holds);
    };
    if what == "raw-fetch" {
        raw::main(rest)?;
        return Ok(Verdict::Holds);
    }
    let options = parse(rest)?;
    let measure = match what.as_str() {
        "sync" => sync::measure,
        "memory" => memory::measure,
        "idle" => idle::measure,
        other => bail!("no bench {other:?}; there are sync, memory and idle"),
    };
    let programs = Programs::build(here, options.features.as_deref())?;
    for runtime in programs.runtimes()? {
        measure(&programs, &options, &runtime)?;
    }
    Ok(Verdict::Holds)
}

fn parse(args: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        entities: Vec::new(),
        latencies_ms: vec![0, 60],
        rounds: 3,
        seconds: 10,
        features: None,
    };
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{name} needs a value; `cargo xtask bench --help`"))?;
        match name.as_str() {
            "--entities" => options.entities = numbers(value)?,
            "--latency-ms" => options.latencies_ms = numbers(value)?,
            "--rounds" => options.rounds = number(value)?.max(1),
            "--seconds" => options.seconds = number(value)?.max(1),
            "--features" => options.features = Some(value.clone()),
            _ => bail!("no option {name:?}; `cargo xtask bench --help` lists them"),
        }
    }
    Ok(options)
}

fn numbers(list: &str) -> anyhow::Result<Vec<u32>> {
    list.split(',').map(number).collect()
}

fn number(text: &str) -> anyhow::Result<u32> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}
