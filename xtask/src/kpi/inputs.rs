//! Everything that a report is made from; the same inputs give the same report.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::Workspace;
use crate::audit::{self, Coverage};
use crate::bench::programs::{Programs, told};
use crate::bench::{Build, Idle, runtime};
use crate::drill::Drill;
use crate::evidence::{Shelf, Stamp};
use crate::suite::Ran;

/// Seeds of each lab scenario.
pub const SEEDS: u64 = 32;
/// Storms on each runtime.
const STORMS: u64 = 200;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inputs {
    pub stamp: Stamp,
    pub features: String,
    /// Why evidence that is there was not taken.
    pub refused: Vec<String>,
    /// By name; one that is missing was not run.
    pub lanes: BTreeMap<String, Ran>,
    pub storms: Vec<Storms>,
    /// Two processes that did the same.
    pub traces: [Vec<Trace>; 2],
    pub replays: Vec<Replay>,
    /// Nothing where the package asupersync is not on this machine.
    pub coverage: Option<Coverage>,
    pub runtime: Option<runtime::Found>,
    pub drill: Option<Drill>,
    pub idle: Vec<Idle>,
    pub builds: Vec<Build>,
    pub previous: Option<Report>,
}

/// What `benches/adapter storms` prints for a runtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Storms {
    pub host: String,
    pub rounds: u64,
    pub snapshots: u64,
    pub tasks: u64,
    pub orphans: Vec<String>,
    pub permits: u64,
    /// What was left where a task was leaked on purpose.
    pub control: Vec<String>,
}

/// What `benches/adapter traces` and annals-sync's `benches/ingestion` print for a seed in the lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    pub host: String,
    pub scenario: String,
    pub control: bool,
    /// Wrong on purpose.
    pub planted: bool,
    pub seed: u64,
    /// Lab runs that it stands for.
    pub runs: u64,
    pub hash: String,
    pub events: u64,
    pub unclean: Option<String>,
}

/// A seed that failed, and what came of the variable that it printed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replay {
    pub first: Trace,
    /// Nothing where the variable led to no run.
    pub again: Option<Again>,
}

/// What `benches/adapter traces` prints when it is told which run to do again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Again {
    pub hash: String,
    pub unclean: Option<String>,
}

impl Replay {
    /// The same schedule, and the same failure at its end.
    pub fn is_same(&self) -> bool {
        let again = self.again.as_ref();
        again.is_some_and(|again| (&again.hash, &again.unclean) == (&self.first.hash, &self.first.unclean))
    }
}

impl Inputs {
    pub fn collect(here: &Workspace, shelf: &Shelf, features: Option<&str>) -> anyhow::Result<Self> {
        let stamp = Stamp::now(here)?;
        let adapter = Programs::build_adapter(here, features)?;
        let ask = |what: &str, count: u64| {
            let mut command = Command::new(&adapter);
            command.args([what, &count.to_string()]).env_remove("ANNALS_LAB");
            command
        };
        let ingestion = || {
            let mut cargo = here.cargo();
            cargo.args([
                "bench",
                "--locked",
                "--quiet",
                "-p",
                "annals-sync",
                "--bench",
                "ingestion",
            ]);
            cargo.args(features.iter().flat_map(|name| ["--features", name]));
            cargo.args(["--", &SEEDS.to_string()]).env_remove("ANNALS_LAB");
            cargo
        };
        let traces = || -> anyhow::Result<Vec<Trace>> {
            let mut traces: Vec<Trace> = told(&mut ask("traces", SEEDS))?;
            traces.extend(told::<Vec<Trace>>(&mut ingestion())?);
            Ok(traces)
        };
        let traces = [traces()?, traces()?];
        let replay = |(first, said): (&Trace, &String)| -> anyhow::Result<Replay> {
            let variable = printed_variable(said).context("a failure without its line")?;
            // The shell reads the variable as it would for somebody who copied it.
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{variable} \"$0\" traces {SEEDS}")]);
            let again = told(shell.arg(&adapter).env_remove("ANNALS_LAB"))?;
            let first = first.clone();
            Ok(Replay { first, again })
        };
        let planted = traces[0].iter().filter(|trace| trace.planted);
        let failing = planted.filter_map(|trace| Some((trace, trace.unclean.as_ref()?)));
        let replays = failing.map(replay).collect::<anyhow::Result<_>>()?;
        let mut taken = Taken {
            shelf,
            stamp: stamp.clone(),
            refused: Vec::new(),
        };
        let last = shelf.get("kpi");
        let last = last.and_then(|evidence| serde_json::from_value::<Report>(evidence.found).ok());
        let lanes = ["tokio", "asupersync", "both"];
        let lanes = lanes.map(|lane| (lane.to_owned(), taken.get::<Ran>(&format!("test-{lane}"))));
        let sets = ["default", "asupersync"];
        let idle = sets.map(|set| taken.get::<Vec<Idle>>(&format!("idle-{set}")));
        let builds = sets.map(|set| taken.get::<Build>(&format!("build-{set}")));
        Ok(Self {
            lanes: lanes
                .into_iter()
                .filter_map(|(name, lane)| Some((name, lane?)))
                .collect(),
            storms: told(&mut ask("storms", STORMS))?,
            traces,
            replays,
            coverage: audit::coverage(here)?,
            runtime: taken.get("runtime"),
            drill: taken.get("drill"),
            idle: idle.into_iter().flatten().flatten().collect(),
            builds: builds.into_iter().flatten().collect(),
            previous: last.and_then(|last| last.before(&stamp.commit)),
            features: features.unwrap_or("default").to_owned(),
            refused: taken.refused,
            stamp,
        })
    }
}

/// `NAME="value"` of the line that a failed lab run printed. The rest of the line names a test, which a bench has not.
fn printed_variable(said: &str) -> Option<&str> {
    let (_, line) = said.split_once("replay: ")?;
    let (front, _) = line.split_once("\" ")?;
    line.get(..=front.len())
}

struct Taken<'a> {
    shelf: &'a Shelf,
    stamp: Stamp,
    refused: Vec<String>,
}

impl Taken<'_> {
    fn get<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let evidence = self.shelf.get(name)?;
        if let Some(why) = evidence.stamp.differs(&self.stamp) {
            self.refused.push(format!("{name} is {why}"));
            return None;
        }
        let found = serde_json::from_value(evidence.found);
        found
            .map_err(|error| self.refused.push(format!("{name} cannot be read: {error}")))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::printed_variable;

    #[test]
    fn of_a_failure_the_variable_is_run() {
        let said =
            "seed 3: an update was lost: 1 at 0.001; replay: ANNALS_LAB=\"backend=tokio seed=3\" cargo test -- main";
        assert_eq!(printed_variable(said), Some("ANNALS_LAB=\"backend=tokio seed=3\""));
        assert_eq!(printed_variable("seed 3: an update was lost"), None);
    }
}
