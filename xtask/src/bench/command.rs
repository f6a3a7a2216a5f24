//! The command line of `cargo xtask bench`.

use anyhow::{Context, bail};

use super::programs::Programs;
use super::{as_of, build, idle, load, memory, raw, runtime, semantic, sync};
use crate::{Verdict, Workspace};

const HELP: &str = "\
cargo xtask bench sync|memory|as-of|semantic|idle|runtime|build [OPTIONS]

  sync      time of a first sync beside a raw fetch of the same pages with the same concurrency, taking turns
  memory    peak resident memory of a first sync, for projects of each size
  as-of     time of a list of 1,000 issues as of now beside that of the current list, the start of the program taken off
  idle      CPU time and resident memory of `annals serve` that nobody asks, on every compiled runtime
  runtime   asupersync beside tokio: ready probe, search, sync of 500 entities; and what the adapter costs beside tokio
            and beside bare axum. Wants --features asupersync; without it only the second half is measured
  semantic  time of a search among 100,000 vectors of 256 numbers beside a plain loop over the same rows
  build     time of a clean release build, and size of the program (needs minutes, and disk space for a second build)

  --entities N[,N…]    issues and merge requests together (sync: 5000; memory: 10000,100000)
  --latency-ms N[,N…]  how long the forge thinks (sync: 0,60); with latency a tenth of the entities
  --rounds N           turns of each (sync: 3; as-of, runtime, semantic: 10)
  --seconds N          how long the server is watched (idle: 10) or each turn takes (runtime: 2)
  --sides A,B          which runtimes take turns (runtime: asupersync,tokio); one beside itself shows what chance does,
                       and leaves no evidence
  --features NAME      for cargo: asupersync builds both runtimes; read docs/licensing.md first";

pub struct Options {
    pub entities: Vec<u32>,
    pub latencies_ms: Vec<u32>,
    rounds: Option<u32>,
    seconds: Option<u32>,
    pub sides: Option<[String; 2]>,
    pub features: Option<String>,
}

impl Options {
    pub fn rounds_or(&self, default: u32) -> u32 {
        self.rounds.unwrap_or(default).max(1)
    }

    pub fn seconds_or(&self, default: u32) -> u32 {
        self.seconds.unwrap_or(default).max(1)
    }
}

/// Measures and prints; a measurement has no verdict.
pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let Some((what, rest)) = args.split_first().filter(|(what, _)| !what.starts_with('-')) else {
        println!("{HELP}");
        return Ok(Verdict::Holds);
    };
    match what.as_str() {
        "raw-fetch" => return raw::main(rest).map(|()| Verdict::Holds),
        "load" => return load::main(rest).map(|()| Verdict::Holds),
        _ => {}
    }
    let options = parse(rest)?;
    let measure = match what.as_str() {
        "runtime" => return runtime::command(here, &options),
        "idle" => return idle::command(here, &options),
        "build" => return build::command(here, &options),
        "semantic" => return semantic::command(here, &options),
        "sync" => sync::measure,
        "memory" => memory::measure,
        "as-of" => as_of::measure,
        other => bail!("no bench {other:?}; there are sync, memory, as-of, semantic, idle, runtime and build"),
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
        rounds: None,
        seconds: None,
        sides: None,
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
            "--rounds" => options.rounds = Some(number(value)?),
            "--seconds" => options.seconds = Some(number(value)?),
            "--sides" => {
                let (ours, theirs) = value
                    .split_once(',')
                    .context("--sides takes two names, as in tokio,tokio")?;
                options.sides = Some([ours, theirs].map(str::to_owned));
            }
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
