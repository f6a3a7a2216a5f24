//! The formulas.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::{Inputs, Replay, SEEDS, Trace};
use super::lists::compare;
use super::report::Kpi;
use crate::bench::versus::{P95_BOUND, THROUGHPUT_BOUND, Versus};

const HOSTS: [&str; 2] = ["tokio", "asupersync"];
const LANES: [&str; 3] = ["tokio", "asupersync", "both"];
/// What the lab must have run.
pub const SCENARIOS: [&str; 5] = [
    "region storm",
    "channel under cancel at every poll",
    "reconnect schedule",
    "HTTP drain",
    "ingestion cancelled at every await",
];
/// Those that are repeated with a cut.
pub const CUTTING: [&str; 2] = [
    "channel under cancel at every poll",
    "ingestion cancelled at every await",
];
/// What it cannot run before there is something to run.
const AWAITED: [&str; 3] = [
    "socket refresh with duplicate delivery",
    "queue with two workers, crash and recovery",
    "agent loop with budget and cancel",
];
/// What must be seen to differ.
pub const CONTROLS: [&str; 2] = ["control: wall clock", "control: hash order"];
/// A slower tokio would hide a loss; beyond this ratio to its last report it is a miss.
const BASELINE: f64 = 1.10;
const ROLLBACK_MS: u64 = 60_000;
/// A trace with fewer events shows nothing.
const EVENTS: u64 = 20;

/// Every KPI, measured or not.
pub fn all(inputs: &Inputs) -> Vec<Kpi> {
    vec![
        compatibility(inputs),
        cancel_correctness(inputs),
        determinism(inputs),
        performance(inputs),
        coverage(inputs),
        rollback(inputs),
        replay(inputs),
    ]
}

/// Never 100.0 unless it is all of them.
fn percent(part: usize, all: usize) -> String {
    let floored = (part as f64 * 1000.0 / all.max(1) as f64).floor() / 10.0;
    format!("{floored:.1} % ({part} of {all})")
}

fn absent_lanes(inputs: &Inputs) -> impl Iterator<Item = &'static str> {
    LANES.into_iter().filter(|lane| !inputs.lanes.contains_key(*lane))
}

fn compatibility(inputs: &Inputs) -> Kpi {
    let (name, target) = ("compatibility", "100 %");
    let absent: Vec<&str> = absent_lanes(inputs).collect();
    if !absent.is_empty() {
        return Kpi::unmeasured(
            name,
            target,
            vec![format!("lanes without evidence: {}", absent.join(", "))],
        );
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
        .counting([("tests", all as u64), ("not passed", bad as u64)])
}

fn cancel_correctness(inputs: &Inputs) -> Kpi {
    let (name, target) = ("cancel-correctness", "0 orphans");
    let (mut absent, mut left, mut details) = (Vec::new(), Vec::new(), Vec::new());
    let mut snapshots = 0;
    for host in HOSTS {
        let Some(storms) = inputs.storms.iter().find(|storms| storms.host == host) else {
            absent.push(format!("no storms on {host}"));
            continue;
        };
        if storms.control.len() != 1 {
            let counted = storms.control.len();
            absent.push(format!(
                "{host}: the task leaked on purpose was counted {counted} times"
            ));
        }
        if storms.rounds == 0 || storms.snapshots != storms.rounds {
            absent.push(format!(
                "{host}: {} snapshots of {} rounds",
                storms.snapshots, storms.rounds
            ));
        }
        snapshots += storms.snapshots;
        left.extend(storms.orphans.iter().map(|task| format!("{host}: {task}")));
        left.extend((0..storms.permits).map(|_| format!("{host}: a permit")));
        details.push(format!(
            "{host}: {} tasks in {} storms; the control counted as {}: {}",
            storms.tasks,
            storms.rounds,
            storms.control.len(),
            storms.control.join(", ")
        ));
    }
    absent.extend(absent_lanes(inputs).map(|lane| format!("tests, {lane}: not run")));
    for (lane, ran) in &inputs.lanes {
        let telling: Vec<&String> = ran.lists.values().flatten().filter(|name| tells(name)).collect();
        snapshots += telling.len() as u64;
        details.push(format!(
            "tests, {lane}: {} end with a snapshot of their runtime or lab",
            telling.len()
        ));
        left.extend(ran.left_behind.iter().map(|said| format!("tests, {lane}: {said}")));
        // Whoever fails for another reason, is ignored or leaves itself out has not told.
        let failed = ran.failed + ran.broken.len() > 0 && ran.left_behind.is_empty();
        let skipped = ran
            .skipped
            .iter()
            .any(|skip| telling.iter().any(|name| names(skip, name)));
        if telling.is_empty() || failed || skipped || ran.ignored > 0 {
            absent.push(format!("tests, {lane}: not every snapshot was told"));
        }
    }
    let orphans = left.len();
    details.extend(left);
    let counts = [("snapshots", snapshots), ("orphans", orphans as u64)];
    if absent.is_empty() || orphans > 0 {
        details.extend(absent);
        Kpi::measured(name, target, format!("{orphans} orphans"), details, orphans == 0).counting(counts)
    } else {
        absent.extend(details);
        Kpi::unmeasured(name, target, absent).counting(counts)
    }
}

/// Whether a test is one of those that `on_every_host!` and `on_every_runtime!` make: they judge what is left at the end.
fn tells(name: &str) -> bool {
    let (_, last) = name.rsplit_once("::").unwrap_or_default();
    matches!(last, "tokio" | "asupersync" | "lab_tokio" | "lab_asupersync")
}

/// Whether a test that left itself out, `[mode] name`, is this one of a list. It may have said its name without the host.
fn names(skip: &str, listed: &str) -> bool {
    let skip = skip.rsplit_once("] ").map_or(skip, |(_, name)| name);
    listed.ends_with(skip) || listed.contains(&format!("{skip}::"))
}

fn determinism(inputs: &Inputs) -> Kpi {
    let (name, target) = ("determinism", "100 %");
    let [first, second] = &inputs.traces;
    let mut absent = Vec::new();
    for host in HOSTS {
        if first.iter().all(|trace| trace.host != host) {
            absent.push(format!("no lab runs on {host}"));
            continue;
        }
        // Of what ran once, nothing can be compared.
        let ran = |name: &str, control: bool| {
            inputs.traces.iter().all(|process| {
                let mut traces = process.iter();
                traces.any(|trace| (&*trace.host, &*trace.scenario, trace.control) == (host, name, control))
            })
        };
        let scenarios = SCENARIOS.iter().filter(|name| !ran(name, false));
        let controls = CONTROLS.iter().filter(|name| !ran(name, true));
        absent.extend(
            scenarios
                .chain(controls)
                .map(|name| format!("{host}: {name}: did not run in both processes")),
        );
    }
    let mut scenarios: BTreeMap<(&str, &str, bool), Vec<_>> = BTreeMap::new();
    for trace in first.iter().filter(|trace| !trace.planted) {
        let key = (trace.host.as_str(), trace.scenario.as_str(), trace.control);
        let same =
            |other: &&Trace| (&other.host, &other.scenario, other.seed) == (&trace.host, &trace.scenario, trace.seed);
        let other = second.iter().find(same);
        scenarios.entry(key).or_default().push((trace, other));
    }
    let (mut all, mut equal, mut met, mut details) = (0, 0, true, Vec::new());
    for ((host, scenario, control), traces) in scenarios {
        let same = traces
            .iter()
            .filter(|(one, other)| other.is_some_and(|other| other.hash == one.hash))
            .count();
        if control {
            let noticed = traces
                .iter()
                .any(|(one, other)| other.is_some_and(|other| other.hash != one.hash));
            let verdict = if noticed { "noticed" } else { "NOT noticed" };
            met &= noticed;
            details.push(format!("{host}: {scenario}: {verdict}"));
            continue;
        }
        all += traces.len();
        equal += same;
        let distinct = traces.iter().map(|(trace, _)| &trace.hash).collect::<BTreeSet<_>>();
        let events = traces.iter().map(|(trace, _)| trace.events).min().unwrap_or_default();
        let runs: u64 = traces.iter().map(|(trace, _)| trace.runs).sum();
        let cut = !CUTTING.contains(&scenario) || traces.iter().all(|(trace, _)| trace.runs > 1);
        let sound = traces.len() as u64 == SEEDS && distinct.len() >= 2 && events >= EVENTS && cut;
        met &= sound;
        details.push(format!(
            "{host}: {scenario}: {same} of {} equal, {} different traces of {runs} runs, at least {events} events{}",
            traces.len(),
            distinct.len(),
            if sound { "" } else { " (shows too little)" }
        ));
        let unclean = traces.iter().filter_map(|(trace, _)| trace.unclean.as_ref());
        let before = details.len();
        details.extend(unclean.map(|what| format!("{host}: {scenario}: {what}")));
        met &= details.len() == before;
    }
    details.extend(AWAITED.iter().map(|name| format!("not there yet: {name}")));
    let counts = [("traces", all as u64), ("equal", equal as u64)];
    if absent.is_empty() {
        let met = met && all > 0 && equal == all;
        let (there, of) = (SCENARIOS.len(), SCENARIOS.len() + AWAITED.len());
        let value = format!("{}, {there} of {of} scenarios", percent(equal, all));
        Kpi::measured(name, target, value, details, met).counting(counts)
    } else {
        absent.extend(details);
        Kpi::unmeasured(name, target, absent).counting(counts)
    }
}

fn performance(inputs: &Inputs) -> Kpi {
    let name = "performance";
    let target = format!("p95 ≤ {P95_BOUND:.2}, throughput ≥ {THROUGHPUT_BOUND} of tokio");
    let workloads = inputs.runtime.as_ref().and_then(|runtime| runtime.workloads.as_ref());
    let Some(workloads) = workloads.filter(|workloads| !workloads.is_empty()) else {
        return Kpi::unmeasured(name, &target, vec!["no `bench runtime` with both runtimes".to_owned()]);
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
        if let Some(ratio) = slower_baseline(inputs, workload) {
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

/// Tokio's own p95 of a workload.
pub fn tokio_p95(workload: &Versus) -> (String, f64) {
    let [_, tokio] = workload.p95_us;
    (workload.workload.clone(), tokio)
}

fn slower_baseline(inputs: &Inputs, workload: &Versus) -> Option<f64> {
    let before = inputs.previous.as_ref()?.baseline.as_ref()?;
    let (name, now) = tokio_p95(workload);
    let then = before
        .p95_us
        .get(&name)
        .filter(|_| before.machine == inputs.stamp.machine)?;
    Some(now / then).filter(|ratio| *ratio > BASELINE)
}

fn coverage(inputs: &Inputs) -> Kpi {
    let (name, target) = ("migration coverage", "100 %");
    let Some(coverage) = &inputs.coverage else {
        return Kpi::unmeasured(
            name,
            target,
            vec!["the package asupersync is not on this machine".to_owned()],
        );
    };
    let Some(lane) = inputs.lanes.get("asupersync") else {
        return Kpi::unmeasured(
            name,
            target,
            vec!["the tests were not run with asupersync alone".to_owned()],
        );
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
    .counting([("packages", all as u64), ("free", free as u64)])
}

fn rollback(inputs: &Inputs) -> Kpi {
    let (name, target) = ("rollback time", "≤ 60 s");
    let Some(drill) = &inputs.drill else {
        return Kpi::unmeasured(name, target, vec!["no drill".to_owned()]);
    };
    let missing = drill.missing();
    let Some(longest) = drill.longest_ms().filter(|_| missing.is_empty()) else {
        let missing = missing.iter().map(|step| format!("the drill lacks {step}"));
        return Kpi::unmeasured(name, target, missing.collect());
    };
    let met = drill.passed && longest <= ROLLBACK_MS;
    let mut details = vec!["from the edit of one line to the first ready answer, the longest of all moves".to_owned()];
    if !drill.passed {
        details.push("a test of the drill failed".to_owned());
    }
    Kpi::measured(name, target, format!("{:.1} s", longest as f64 / 1000.0), details, met)
        .counting([("longest_ms", longest)])
}

fn replay(inputs: &Inputs) -> Kpi {
    let (name, target) = ("replay", "100 %");
    let mut details =
        vec!["seeds on which a planted lost update fails, each run again from the variable it printed".to_owned()];
    let (mut absent, mut again) = (Vec::new(), 0);
    for host in HOSTS {
        let planted = inputs.traces[0]
            .iter()
            .filter(|trace| trace.planted && trace.host == host);
        let (failing, passing): (Vec<_>, Vec<_>) = planted.partition(|trace| trace.unclean.is_some());
        let replayed: Vec<_> = inputs
            .replays
            .iter()
            .filter(|replay| replay.first.host == host)
            .collect();
        // Where every seed fails, or none does, it would not matter which one is run again.
        if failing.is_empty() || passing.is_empty() || replayed.len() != failing.len() {
            absent.push(format!(
                "{host}: {} seeds fail, {} pass, {} were run again",
                failing.len(),
                passing.len(),
                replayed.len()
            ));
            continue;
        }
        let (same, lost): (Vec<&Replay>, Vec<&Replay>) = replayed.iter().partition(|replay| replay.is_same());
        again += same.len();
        details.push(format!(
            "{host}: {} of {} failed again, on the same trace; {} passed",
            same.len(),
            failing.len(),
            passing.len()
        ));
        let lost = lost.iter().filter_map(|replay| replay.first.unclean.as_ref());
        details.extend(lost.map(|failure| format!("not again: {failure}")));
    }
    let all = inputs.replays.len();
    let counts = [("failing seeds", all as u64), ("failed again", again as u64)];
    if absent.is_empty() {
        Kpi::measured(name, target, percent(again, all), details, again == all).counting(counts)
    } else {
        absent.extend(details);
        Kpi::unmeasured(name, target, absent).counting(counts)
    }
}

pub fn figures(inputs: &Inputs) -> Vec<String> {
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
