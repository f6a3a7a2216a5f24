//! `cargo xtask drill rollback`: moves between the runtimes for real, in both directions, and writes down what happened.
//!
//! The drill itself is `tests/tests/rollback.rs`; each part of it that succeeds leaves a record, and this command insists
//! on every record, of both directions. Steps that need a queue, WebSockets or an older release are left out until these exist.

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::{Shelf, Stamp};
use crate::suite::{self, Lane};
use crate::{Verdict, Workspace, workspace};

const HELP: &str = "\
cargo xtask drill rollback [--features asupersync]

Kills a sync on one runtime and finishes it on the other, ends a busy server and starts the other one in its place, moves the
server by one line of configuration and back, interrupts a process that uses both; in both directions. Needs a binary with
both runtimes (docs/licensing.md): without the feature the one runtime moves to itself, which tests the drill, proves no
rollback, and fails.";

const STEPS: [(u32, &str); 4] = [
    (
        1,
        "killed in the middle of a page, finished on the other: the dumps are equal",
    ),
    (
        3,
        "a hundred requests open, SIGTERM: all are answered, and again by the other one on the same port",
    ),
    (
        4,
        "the server moved by one line and moved back: ready again, the answers are equal",
    ),
    (
        5,
        "a process with both gets Ctrl-C under load: no answer cut, exit code and dump as unmixed",
    ),
];
const LEFT_OUT: &str =
    "left out: 2 (no queue yet), of 3 the WebSockets (nothing serves them yet), 6 (no older release)";
const DIRECTIONS: [(&str, &str); 2] = [("tokio", "asupersync"), ("asupersync", "tokio")];

/// What happened; `kpi` and `gate` read it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    pub records: Vec<Record>,
    /// Whether every test of the drill passed.
    pub passed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub step: u32,
    pub from: String,
    pub to: String,
    pub more: Value,
}

impl Drill {
    fn has(&self, step: u32, (from, to): (&str, &str)) -> bool {
        let mut records = self.records.iter();
        records.any(|record| record.step == step && (record.from.as_str(), record.to.as_str()) == (from, to))
    }

    /// The steps and directions that were not completed.
    pub fn missing(&self) -> Vec<String> {
        let wanted = STEPS
            .iter()
            .flat_map(|(step, _)| DIRECTIONS.map(|direction| (*step, direction)));
        wanted
            .filter(|(step, direction)| !self.has(*step, *direction))
            .map(|(step, (from, to))| format!("step {step} from {from} to {to}"))
            .collect()
    }

    /// From the edit of the configuration to the first answer that says ready, the longest of all moves.
    pub fn longest_ms(&self) -> Option<u64> {
        let lists = self
            .records
            .iter()
            .filter_map(|record| record.more["edit_to_ready_ms"].as_array());
        lists.flatten().filter_map(Value::as_u64).max()
    }
}

pub fn command(here: &Workspace, args: &[String]) -> anyhow::Result<Verdict> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let lane = match args.as_slice() {
        ["rollback"] => Lane::Tokio,
        ["rollback", "--features", "asupersync"] => Lane::Both,
        [] | ["--help" | "-h", ..] => {
            println!("{HELP}");
            return Ok(Verdict::Holds);
        }
        other => bail!("no drill {:?}; `cargo xtask drill --help`", other.join(" ")),
    };
    let stamp = Stamp::now(here)?;
    let shelf = Shelf::of(here)?;
    let log = here.metadata()?.target_directory.join("xtask/drill.jsonl");
    workspace::remove(&log)?;
    let passed = suite::run_one(here, lane, "rollback", ("ANNALS_DRILL_LOG", log.clone()))?;
    let lines = std::fs::read_to_string(&log).unwrap_or_default();
    let records = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let drill = Drill { records, passed };
    shelf.put("drill", &stamp, &drill)?;

    println!("\n== rollback drill ==");
    for (step, what) in STEPS {
        println!("{step}. {what}");
        for record in drill.records.iter().filter(|record| record.step == step) {
            println!("   {} to {}: {}", record.from, record.to, record.more);
        }
    }
    println!("{LEFT_OUT}");
    let missing = drill.missing();
    if drill.passed && missing.is_empty() {
        println!("ok: both directions");
        return Ok(Verdict::Holds);
    }
    if lane == Lane::Tokio {
        println!("left out: every move to another runtime; this binary has one (--features asupersync)");
    }
    missing.iter().for_each(|step| println!("not done: {step}"));
    println!("FAILED");
    Ok(Verdict::Broken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A drill in which everything was done.
    pub fn whole() -> Drill {
        let records = STEPS.iter().flat_map(|(step, _)| {
            DIRECTIONS.map(|(from, to)| Record {
                step: *step,
                from: from.to_owned(),
                to: to.to_owned(),
                more: json!({"edit_to_ready_ms": [120, 340]}),
            })
        });
        Drill {
            records: records.collect(),
            passed: true,
        }
    }

    #[test]
    fn one_direction_is_not_a_drill() {
        let mut drill = whole();
        assert_eq!((drill.missing().len(), drill.longest_ms()), (0, Some(340)));
        drill
            .records
            .retain(|record| record.step != 5 || record.from != "tokio");
        assert_eq!(drill.missing(), ["step 5 from tokio to asupersync"]);
        for record in &mut drill.records {
            (record.from, record.to) = ("tokio".to_owned(), "tokio".to_owned());
        }
        assert_eq!(drill.missing().len(), 8, "a runtime beside itself is no rollback");
    }
}
