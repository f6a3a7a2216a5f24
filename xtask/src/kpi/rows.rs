//! The formulas.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inputs::{Inputs, SEEDS};
use super::lists::compare;
use crate::bench::versus::{P95_BOUND, THROUGHPUT_BOUND, Versus};
use crate::evidence::Stamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub stamp: Stamp,
    pub seeds: u64,
    pub kpis: Vec<Kpi>,
    /// Measured, but without a target here.
    pub figures: Vec<String>,
    /// Evidence that was not taken, and tests that the report before this one still had.
    pub remarks: Vec<String>,
    /// Every test that was listed, for the next report.
    pub tests: BTreeSet<String>,
    pub workloads: Option<Vec<Versus>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kpi {
    pub name: String,
    pub target: String,
    /// `null` when it was not measured.
    pub value: Option<String>,
    pub met: bool,
    pub details: Vec<String>,
}

const HOSTS: [&str; 2] = ["tokio", "asupersync"];
/// A slower tokio would hide a loss; beyond this ratio to its last report it is a miss.
const BASELINE: f64 = 1.10;
const ROLLBACK_MS: u64 = 60_000;
/// A trace with fewer events shows nothing.
const EVENTS: u64 = 20;

impl Report {
    pub fn of(inputs: &Inputs) -> Self {
        let tests: BTreeSet<String> = inputs
            .lanes
            .values()
            .flat_map(|lane| lane.lists.values().flatten())
            .cloned()
            .collect();
        let mut remarks = inputs.refused.clone();
        let before = inputs.previous.as_ref().map(|previous| &previous.report.tests);
        let gone = before.into_iter().flat_map(|before| before.difference(&tests));
        if !tests.is_empty() {
            remarks.extend(gone.map(|name| format!("gone since the last report: {name}")));
        }
        Self {
            stamp: inputs.stamp.clone(),
            seeds: SEEDS,
            kpis: vec![
                compatibility(inputs),
                cancel_correctness(inputs),
                determinism(inputs),
                performance(inputs),
                coverage(inputs),
                rollback(inputs),
            ],
            figures: figures(inputs),
            remarks,
            tests,
            workloads: inputs.runtime.as_ref().and_then(|runtime| runtime.workloads.clone()),
        }
    }

    pub fn is_met(&self) -> bool {
        self.kpis.iter().all(|kpi| kpi.met)
    }
}

impl Kpi {
    fn unmeasured(name: &str, target: &str, why: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            target: target.to_owned(),
            value: None,
            met: false,
            details: vec![why.into()],
        }
    }

    fn measured(name: &str, target: &str, value: String, details: Vec<String>, met: bool) -> Self {
        Self {
            name: name.to_owned(),
            target: target.to_owned(),
            value: Some(value),
            met,
            details,
        }
    }
}

/// Never 100.0 unless it is all of them.
fn percent(part: usize, all: usize) -> String {
    let floored = (part as f64 * 1000.0 / all.max(1) as f64).floor() / 10.0;
    format!("{floored:.1} % ({part} of {all})")
}

fn compatibility(inputs: &Inputs) -> Kpi {
    let (name, target) = ("compatibility", "100 %");
    let absent: Vec<&str> = ["tokio", "asupersync", "both"]
        .into_iter()
        .filter(|lane| !inputs.lanes.contains_key(*lane))
        .collect();
    if !absent.is_empty() {
        return Kpi::unmeasured(name, target, format!("lanes without evidence: {}", absent.join(", ")));
    }
    let compared = compare(&inputs.lanes);
    let mut details = Vec::new();
    let (mut all, mut bad) = (compared.missing.len(), compared.missing.len());
    for (lane, ran) in &inputs.lanes {
        let not_passed = ran.failed + ran.ignored + ran.skipped.len() + ran.broken.len();
        all += ran.listed();
        bad += not_passed;
        details.push(format!(
            "{lane}: {} tests, {} failed, {} ignored, {} left out, {} programs or runs broken",
            ran.listed(),
            ran.failed,
            ran.ignored,
            ran.skipped.len(),
            ran.broken.len()
        ));
        details.extend(ran.skipped.iter().map(|test| format!("{lane}: left out: {test}")));
    }
    details.push(format!("{} tests of a backend's own have no counterpart", compared.own));
    details.extend(compared.missing);
    let value = percent(all.saturating_sub(bad), all);
    Kpi::measured(name, target, value, details, bad == 0 && all > 0)
}

fn cancel_correctness(inputs: &Inputs) -> Kpi {
    let (name, target) = ("cancel-correctness", "0 orphans");
    for host in HOSTS {
        let Some(storms) = inputs.storms.iter().find(|storms| storms.host == host) else {
            return Kpi::unmeasured(name, target, format!("no storms on {host}"));
        };
        if storms.control != 1 {
            let why = format!(
                "{host}: the task leaked on purpose was counted {} times",
                storms.control
            );
            return Kpi::unmeasured(name, target, why);
        }
        if storms.rounds == 0 || storms.snapshots != storms.rounds {
            let why = format!("{host}: {} snapshots of {} rounds", storms.snapshots, storms.rounds);
            return Kpi::unmeasured(name, target, why);
        }
    }
    let mut left: Vec<String> = Vec::new();
    let mut details = Vec::new();
    for storms in &inputs.storms {
        left.extend(storms.orphans.iter().map(|task| format!("{}: {task}", storms.host)));
        left.extend((0..storms.permits).map(|_| format!("{}: a permit", storms.host)));
        details.push(format!(
            "{}: {} tasks in {} storms, the control counted as {}",
            storms.host, storms.tasks, storms.rounds, storms.control
        ));
    }
    for (lane, ran) in &inputs.lanes {
        left.extend(ran.left_behind.iter().map(|said| format!("tests, {lane}: {said}")));
    }
    let lanes: Vec<&str> = inputs.lanes.keys().map(String::as_str).collect();
    details.push(format!(
        "besides, every conformance test judges its runtime's end; lanes with evidence: {}",
        if lanes.is_empty() {
            "none".to_owned()
        } else {
            lanes.join(", ")
        }
    ));
    let (value, met) = (format!("{} orphans", left.len()), left.is_empty());
    details.extend(left);
    Kpi::measured(name, target, value, details, met)
}

fn determinism(inputs: &Inputs) -> Kpi {
    let (name, target) = ("determinism", "100 %");
    let [first, second] = &inputs.traces;
    if let Some(host) = HOSTS.iter().find(|host| first.iter().all(|trace| trace.host != **host)) {
        return Kpi::unmeasured(name, target, format!("no lab runs on {host}"));
    }
    let mut scenarios: BTreeMap<(&str, &str, bool), Vec<_>> = BTreeMap::new();
    for trace in first {
        let key = (trace.host.as_str(), trace.scenario.as_str(), trace.control);
        let same = |other: &&super::inputs::Trace| {
            (&other.host, &other.scenario, other.seed) == (&trace.host, &trace.scenario, trace.seed)
        };
        scenarios
            .entry(key)
            .or_default()
            .push((trace, second.iter().find(same)));
    }
    let (mut all, mut equal, mut met, mut details) = (0, 0, true, Vec::new());
    for ((host, scenario, control), runs) in scenarios {
        let same = runs
            .iter()
            .filter(|(one, other)| other.is_some_and(|other| other.hash == one.hash))
            .count();
        if control {
            let noticed = same < runs.len();
            let verdict = if noticed { "noticed" } else { "NOT noticed" };
            met &= noticed;
            details.push(format!("{host}: {scenario}: {verdict}"));
            continue;
        }
        all += runs.len();
        equal += same;
        let distinct = runs.iter().map(|(trace, _)| &trace.hash).collect::<BTreeSet<_>>().len();
        let events = runs.iter().map(|(trace, _)| trace.events).min().unwrap_or_default();
        let sound = runs.len() as u64 == SEEDS && distinct >= 2 && events >= EVENTS;
        met &= sound;
        details.push(format!(
            "{host}: {scenario}: {same} of {} equal, {distinct} different traces, at least {events} events{}",
            runs.len(),
            if sound { "" } else { " (shows too little)" }
        ));
        let unclean = runs.iter().filter_map(|(trace, _)| trace.unclean.as_ref());
        let before = details.len();
        details.extend(unclean.map(|what| format!("{host}: {scenario}: {what}")));
        met &= details.len() == before;
    }
    Kpi::measured(
        name,
        target,
        percent(equal, all),
        details,
        met && all > 0 && equal == all,
    )
}

fn performance(inputs: &Inputs) -> Kpi {
    let name = "performance";
    let target = format!("p95 ≤ {P95_BOUND:.2}, throughput ≥ {THROUGHPUT_BOUND} of tokio");
    let workloads = inputs.runtime.as_ref().and_then(|runtime| runtime.workloads.as_ref());
    let Some(workloads) = workloads.filter(|workloads| !workloads.is_empty()) else {
        return Kpi::unmeasured(name, &target, "no `bench runtime` with both runtimes");
    };
    let mut details = Vec::new();
    let mut met = true;
    for workload in workloads {
        met &= workload.meets();
        details.push(format!(
            "{}: p95 {}, throughput {}{}",
            workload.workload,
            workload.p95,
            workload.throughput,
            if workload.meets() { "" } else { " (missed)" }
        ));
        let slower = inputs
            .previous
            .as_ref()
            .and_then(|previous| slower_baseline(inputs, previous, workload));
        if let Some(ratio) = slower {
            met = false;
            details.push(format!(
                "{}: tokio's own p95 is {ratio:.2} times its last",
                workload.workload
            ));
        }
    }
    let sources = inputs
        .runtime
        .as_ref()
        .map(|runtime| format!("source of the workloads {}", runtime.sources));
    details.extend(sources);
    let worst =
        |values: &mut dyn Iterator<Item = f64>, pick: fn(f64, f64) -> f64| values.reduce(pick).unwrap_or(f64::NAN);
    let p95 = worst(&mut workloads.iter().map(|workload| workload.p95.point), f64::max);
    let throughput = worst(
        &mut workloads.iter().map(|workload| workload.throughput.point),
        f64::min,
    );
    Kpi::measured(
        name,
        &target,
        format!("p95 {p95:.3}, throughput {throughput:.3}"),
        details,
        met,
    )
}

fn slower_baseline(inputs: &Inputs, previous: &super::inputs::Previous, workload: &Versus) -> Option<f64> {
    if previous.machine != inputs.stamp.machine {
        return None;
    }
    let mut before = previous.report.workloads.iter().flatten();
    let before = before.find(|before| before.workload == workload.workload)?;
    let ([_, now], [_, then]) = (workload.p95_us, before.p95_us);
    Some(now / then).filter(|ratio| *ratio > BASELINE)
}

fn coverage(inputs: &Inputs) -> Kpi {
    let (name, target) = ("migration coverage", "100 %");
    let Some(coverage) = &inputs.coverage else {
        return Kpi::unmeasured(name, target, "the package asupersync is not on this machine");
    };
    let Some(lane) = inputs.lanes.get("asupersync") else {
        return Kpi::unmeasured(name, target, "the tests were not run with asupersync alone");
    };
    let free = coverage
        .packages
        .iter()
        .filter(|(_, brought)| brought.is_empty())
        .count();
    let mut details: Vec<String> = coverage
        .packages
        .iter()
        .map(|(package, brought)| {
            let brought = if brought.is_empty() {
                "free".to_owned()
            } else {
                brought.join(", ")
            };
            format!("{package}: {brought}")
        })
        .collect();
    details.push(format!(
        "built and tested so: {}",
        if lane.is_whole() {
            "yes"
        } else {
            "not everything passed"
        }
    ));
    let all = coverage.packages.len();
    Kpi::measured(
        name,
        target,
        percent(free, all),
        details,
        free == all && all > 0 && lane.is_whole(),
    )
}

fn rollback(inputs: &Inputs) -> Kpi {
    let (name, target) = ("rollback time", "≤ 60 s");
    let Some(drill) = &inputs.drill else {
        return Kpi::unmeasured(name, target, "no drill");
    };
    let missing = drill.missing();
    let Some(longest) = drill.longest_ms().filter(|_| missing.is_empty()) else {
        return Kpi::unmeasured(name, target, format!("the drill lacks {}", missing.join(", ")));
    };
    let met = drill.passed && longest <= ROLLBACK_MS;
    let details = vec!["from the edit of one line to the first ready answer, the longest of all moves".to_owned()];
    Kpi::measured(name, target, format!("{:.1} s", longest as f64 / 1000.0), details, met)
}

fn figures(inputs: &Inputs) -> Vec<String> {
    let mut figures = Vec::new();
    for idle in &inputs.idle {
        figures.push(format!(
            "idle server on {}, built with {}: {:.1} % CPU, {:.1} MiB resident",
            idle.runtime,
            idle.compiled.join(" and "),
            idle.cpu_percent(),
            idle.rss_kib as f64 / 1024.0
        ));
    }
    for build in &inputs.builds {
        figures.push(format!(
            "clean release build, features {}: {:.0} s, {:.1} MiB",
            build.features,
            build.seconds,
            build.bytes as f64 / 1_048_576.0
        ));
    }
    for cost in inputs.runtime.iter().flat_map(|runtime| &runtime.costs) {
        let verdict = if cost.meets() { "" } else { " (missed)" };
        figures.push(format!("{}: {}{verdict}", cost.what, cost.ratio));
    }
    for (what, found) in [
        ("idle CPU and resident memory", !inputs.idle.is_empty()),
        ("clean build time", !inputs.builds.is_empty()),
        ("adapter cost", inputs.runtime.is_some()),
    ] {
        if !found {
            figures.push(format!("{what}: null"));
        }
    }
    figures
}
