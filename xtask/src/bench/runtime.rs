//! asupersync beside tokio, and the adapter beside what it stands on.

use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::command::Options;
use super::programs::{Programs, Server, told};
use super::versus::{self, Versus};
use crate::evidence::{Shelf, Stamp};
use crate::figures::{Ratio, median, p95};
use crate::{Verdict, Workspace};

/// What was found; `kpi` reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Nothing where the binary has only one runtime.
    pub workloads: Option<Vec<Versus>>,
    pub costs: Vec<Cost>,
    /// Of the code that makes the work.
    pub sources: String,
}

/// The adapter beside something that does less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub what: String,
    pub ratio: Ratio,
    pub target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Cost {
    pub fn meets(&self) -> bool {
        match self.target {
            Target::AtMost(bound) => self.ratio.point <= bound,
            Target::AtLeast(bound) => self.ratio.point >= bound,
        }
    }
}

const SOURCES: &[&str] = &[
    include_str!("load.rs"),
    include_str!("versus.rs"),
    include_str!("runtime.rs"),
    include_str!("../figures.rs"),
];

/// The wish of the product, which is tighter than the bound in which every change must stay.
const BARE_THROUGHPUT: f64 = 0.97;
const BARE_P95: f64 = 1.12;
const CONNECTIONS: &str = "32";

pub fn command(here: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    let stamp = Stamp::now(here)?;
    let programs = Programs::build(here, options.features.as_deref())?;
    let adapter = Programs::build_adapter(here, options.features.as_deref())?;
    let sides = options
        .sides
        .clone()
        .unwrap_or(["asupersync", "tokio"].map(str::to_owned));
    let compiled = programs.runtimes()?;
    let workloads = if sides.iter().all(|side| compiled.contains(side)) {
        let found = versus::measure(&programs, options, &sides)?;
        versus::print(&found);
        Some(found)
    } else {
        let [ours, theirs] = &sides;
        println!(
            "\nnot measured: {ours} beside {theirs}; this binary has {}",
            compiled.join(", ")
        );
        None
    };
    let mut costs = bare(&programs, options, &adapter)?;
    costs.extend(primitives(options, &adapter)?);
    println!("\nthe adapter on tokio");
    for Cost { what, ratio, target } in &costs {
        let target = match target {
            Target::AtMost(bound) => format!("≤ {bound}"),
            Target::AtLeast(bound) => format!("≥ {bound}"),
        };
        println!("  {what}: {ratio}, target {target}");
    }
    println!(
        "\nleft out: channels beside tokio's and primitives beside asupersync's; both would need those named here"
    );
    if options.sides.is_none() {
        let sources = SOURCES.concat();
        let found = Found {
            workloads,
            costs,
            sources: format!("{:016x}", fnv(sources.as_bytes())),
        };
        Shelf::of(here)?.put("runtime", &stamp, &found)?;
    }
    Ok(Verdict::Holds)
}

/// One small GET, on kept connections, served with everything that a handler of the product gets, beside hyper alone.
fn bare(programs: &Programs, options: &Options, adapter: &std::path::Path) -> anyhow::Result<Vec<Cost>> {
    let start = |which: &str| -> anyhow::Result<(Server, String)> {
        let (server, line) = Server::start(Command::new(adapter).args(["serve", which]))?;
        let host = line.trim().strip_prefix("listening on ").context("no address")?;
        Ok((server, host.to_owned()))
    };
    let servers = [start("adapter")?, start("bare")?];
    let load = |side: usize, rate: f64| -> anyhow::Result<_> {
        let (_, host) = servers.get(side).context("there are two")?;
        let load = programs.load(host, "/", rate, options.seconds_or(2), CONNECTIONS)?;
        anyhow::ensure!(load.failed == 0, "a hello failed: {:?}", load.failure);
        Ok(load)
    };
    let offered = (load(0, 0.0)?.per_second().min(load(1, 0.0)?.per_second()) * 0.7).round();
    let (mut rates, mut latencies) = ([vec![], vec![]], [vec![], vec![]]);
    for round in 0..options.rounds_or(10) {
        for side in if round.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
            if let (Some(rates), Some(latencies)) = (rates.get_mut(side), latencies.get_mut(side)) {
                rates.push(vec![load(side, 0.0)?.per_second()]);
                latencies.push(load(side, offered)?.latencies);
            }
        }
    }
    let ([our_rates, bare_rates], [ours, bares]) = (rates, latencies);
    Ok(vec![
        Cost {
            what: "hello over HTTP, throughput / bare axum's".to_owned(),
            ratio: Ratio::of(&our_rates, &bare_rates, median),
            target: Target::AtLeast(BARE_THROUGHPUT),
        },
        Cost {
            what: format!("hello over HTTP, p95 at {offered:.0} per second / bare axum's"),
            ratio: Ratio::of(&ours, &bares, p95),
            target: Target::AtMost(BARE_P95),
        },
    ])
}

fn primitives(options: &Options, adapter: &std::path::Path) -> anyhow::Result<Vec<Cost>> {
    #[derive(Deserialize)]
    struct Row {
        what: String,
        bound: f64,
        ours: Vec<f64>,
        theirs: Vec<f64>,
    }
    let rounds = options.rounds_or(10).to_string();
    let rows: Vec<Row> = told(Command::new(adapter).args(["costs", &rounds]))?;
    let each = |values: Vec<f64>| values.into_iter().map(|value| vec![value]).collect::<Vec<_>>();
    let cost = |row: Row| Cost {
        ratio: Ratio::of(&each(row.ours), &each(row.theirs), median),
        what: row.what,
        target: Target::AtMost(row.bound),
    };
    Ok(rows.into_iter().map(cost).collect())
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, add)
}
