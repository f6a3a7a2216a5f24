//! A golden report, and each way in which a figure must turn red.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use super::inputs::{Again, Inputs, Replay, SEEDS, Storms, Trace};
use super::page::markdown;
use super::report::{Kpi, Report};
use super::rows::{CONTROLS, CUTTING, SCENARIOS};
use crate::audit::Coverage;
use crate::bench::versus::Versus;
use crate::bench::{Build, Idle, runtime};
use crate::drill;
use crate::evidence::Stamp;
use crate::figures::Ratio;
use crate::suite::Ran;

fn lane(lists: &[(&str, &[&str])]) -> Ran {
    let lists: BTreeMap<String, Vec<String>> = lists
        .iter()
        .map(|(mode, names)| {
            (
                (*mode).to_owned(),
                names.iter().map(|name| format!("a (src/lib.rs): {name}")).collect(),
            )
        })
        .collect();
    Ran {
        passed: lists.values().map(Vec::len).sum(),
        lists,
        ..Ran::default()
    }
}

fn traces() -> Vec<Trace> {
    let mut traces = Vec::new();
    for host in ["tokio", "asupersync"] {
        for seed in 0..SEEDS {
            let trace = |scenario: &str, control: bool| Trace {
                host: host.to_owned(),
                scenario: scenario.to_owned(),
                control,
                planted: false,
                seed,
                runs: if CUTTING.contains(&scenario) { 41 } else { 1 },
                hash: format!("{seed:x}"),
                events: 40 + seed,
                unclean: None,
            };
            traces.extend(SCENARIOS.map(|scenario| trace(scenario, false)));
            traces.extend(CONTROLS.map(|control| trace(control, true)));
            let line = format!("replay: ANNALS_LAB=\"backend={host} seed={seed}\" cargo test");
            traces.push(Trace {
                planted: true,
                unclean: (seed == 3).then(|| format!("seed {seed}: an update was lost; {line}")),
                ..trace("planted: lost update", false)
            });
        }
    }
    traces
}

fn replayed(first: &Trace) -> Replay {
    Replay {
        first: first.clone(),
        again: Some(Again {
            hash: first.hash.clone(),
            unclean: first.unclean.clone(),
        }),
    }
}

fn ratio(point: f64) -> Ratio {
    Ratio {
        point,
        low: point - 0.02,
        high: point + 0.03,
        rounds: 10,
    }
}

fn whole() -> Inputs {
    let first = traces();
    let mut second = traces();
    for trace in second.iter_mut().filter(|trace| trace.control) {
        trace.hash.push('x');
    }
    let workload = |name: &str, p95, throughput| Versus {
        workload: name.to_owned(),
        sides: ["asupersync", "tokio"].map(str::to_owned),
        p95: ratio(p95),
        throughput: ratio(throughput),
        p95_us: [104.0, 100.0],
        per_second: [970.0, 1000.0],
        offered: Some(700.0),
        voided: 0,
    };
    let storms = |host: &str| Storms {
        host: host.to_owned(),
        rounds: 200,
        snapshots: 200,
        tasks: 222_000,
        orphans: Vec::new(),
        permits: 0,
        control: vec!["leak on purpose".to_owned()],
    };
    Inputs {
        features: "asupersync".to_owned(),
        stamp: Stamp {
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            lock: "fedcba9876543210fedcba9876543210fedcba98".to_owned(),
            toolchain: "rustc 1.95.0".to_owned(),
            machine: "2 cores, a processor, linux".to_owned(),
        },
        refused: Vec::new(),
        lanes: BTreeMap::from([
            (
                "tokio".to_owned(),
                lane(&[("", &["x::tokio", "x::lab_tokio", "backend::tokio_server::trap_y", "z"])]),
            ),
            (
                "asupersync".to_owned(),
                lane(&[("", &["x::asupersync", "x::lab_asupersync", "z"])]),
            ),
            (
                "both".to_owned(),
                lane(&[(
                    "",
                    &["x::tokio", "x::asupersync", "x::lab_tokio", "x::lab_asupersync", "z"],
                )]),
            ),
        ]),
        storms: vec![storms("tokio"), storms("asupersync")],
        replays: first
            .iter()
            .filter(|trace| trace.unclean.is_some())
            .map(replayed)
            .collect(),
        traces: [first, second],
        coverage: Some(Coverage {
            packages: vec![("annals-core".to_owned(), vec![]), ("annals-cli".to_owned(), vec![])],
        }),
        runtime: Some(runtime::Found {
            workloads: Some(vec![workload("ready probe", 1.04, 0.97), workload("search", 1.01, 1.0)]),
            costs: vec![runtime::Cost {
                what: "hello over HTTP, throughput / bare axum's".to_owned(),
                ratio: ratio(0.96),
                target: runtime::Target::AtLeast(0.97),
            }],
            sources: "00000000deadbeef".to_owned(),
        }),
        drill: Some(drill::tests::whole()),
        idle: vec![Idle {
            runtime: "tokio".to_owned(),
            compiled: vec!["tokio".to_owned()],
            cpu_ns: 400_000,
            seconds: 10,
            rss_kib: 15_360,
        }],
        builds: vec![Build {
            features: "default".to_owned(),
            seconds: 181.0,
            bytes: 12_582_912,
        }],
        previous: None,
    }
}

fn kpi(inputs: &Inputs, name: &str) -> Kpi {
    let report = Report::of(inputs);
    report.kpis.into_iter().find(|kpi| kpi.name == name).unwrap()
}

/// `ANNALS_BLESS=1` writes the page anew.
#[test]
fn golden_report_from_fixture_inputs() {
    let report = Report::of(&whole());
    assert!(report.is_met(), "{:#?}", report.kpis);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kpi/report.md");
    let page = markdown(&report);
    if std::env::var_os("ANNALS_BLESS").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert_eq!(page, std::fs::read_to_string(file).unwrap());
    let read: Report = serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
    assert_eq!(read, report);
}

#[test]
fn a_missing_input_is_null_and_not_met() {
    let without: [(&str, fn(&mut Inputs)); 15] = [
        ("compatibility, cancel-correctness", |inputs| {
            drop(inputs.lanes.remove("both"))
        }),
        ("cancel-correctness", |inputs| inputs.storms.truncate(1)),
        ("determinism, replay", |inputs| {
            inputs.traces[0].retain(|trace| trace.host == "tokio")
        }),
        ("determinism", |inputs| {
            // What is missing where it should be compared has not been noticed.
            inputs.traces[1].retain(|trace| trace.scenario != "control: wall clock")
        }),
        ("determinism", |inputs| {
            inputs.traces[0].retain(|trace| trace.scenario != "HTTP drain")
        }),
        ("determinism", |inputs| {
            inputs.traces[0].retain(|trace| trace.scenario != "control: hash order")
        }),
        ("cancel-correctness", |inputs| {
            // No test of this lane says what it left.
            inputs.lanes.get_mut("both").unwrap().lists.get_mut("").unwrap().clear();
        }),
        ("performance", |inputs| inputs.runtime = None),
        ("performance", |inputs| {
            inputs.runtime.as_mut().unwrap().workloads = None
        }),
        ("migration coverage", |inputs| inputs.coverage = None),
        ("replay", |inputs| inputs.replays.truncate(1)),
        ("replay", |inputs| {
            // Every seed fails.
            inputs.traces[0].retain(|trace| !trace.planted || trace.unclean.is_some());
        }),
        ("replay", |inputs| {
            inputs.replays.clear();
            for trace in &mut inputs.traces[0] {
                trace.unclean = None;
            }
        }),
        ("rollback time", |inputs| inputs.drill = None),
        ("rollback time", |inputs| {
            inputs.drill.as_mut().unwrap().records.truncate(3)
        }),
    ];
    for (names, take) in without {
        let mut inputs = whole();
        take(&mut inputs);
        let report = Report::of(&inputs);
        assert!(!report.is_met());
        let missed: Vec<_> = report.kpis.iter().filter(|kpi| !kpi.met).collect();
        assert!(missed.iter().all(|kpi| kpi.value.is_none()), "{missed:?}");
        assert_eq!(
            missed.iter().map(|kpi| &*kpi.name).collect::<Vec<_>>().join(", "),
            names
        );
        assert!(serde_json::to_string(&report).unwrap().contains("\"value\":null"));
    }
}

#[test]
fn what_is_worse_than_its_target_is_not_met() {
    let spoilt: [(&str, &str, fn(&mut Inputs)); 15] = [
        ("compatibility", "91.6 % (11 of 12)", |inputs| {
            drop(
                inputs
                    .lanes
                    .get_mut("asupersync")
                    .unwrap()
                    .lists
                    .get_mut("")
                    .unwrap()
                    .pop(),
            );
        }),
        ("compatibility", "91.6 % (11 of 12)", |inputs| {
            inputs.lanes.get_mut("tokio").unwrap().skipped.push("z".to_owned());
        }),
        ("compatibility", "91.6 % (11 of 12)", |inputs| {
            inputs.lanes.get_mut("both").unwrap().ignored = 1
        }),
        ("cancel-correctness", "1 orphans", |inputs| {
            inputs.storms[1].orphans.push("reader".to_owned())
        }),
        ("cancel-correctness", "1 orphans", |inputs| {
            inputs
                .lanes
                .get_mut("both")
                .unwrap()
                .left_behind
                .push("x: left behind: [..]".to_owned());
        }),
        ("determinism", "99.6 % (319 of 320), 5 of 8 scenarios", |inputs| {
            inputs.traces[1][0].hash.push('x')
        }),
        ("determinism", "100.0 % (320 of 320), 5 of 8 scenarios", |inputs| {
            // The control is not noticed.
            inputs.traces[1] = inputs.traces[0].clone();
        }),
        ("determinism", "100.0 % (320 of 320), 5 of 8 scenarios", |inputs| {
            // Nothing is cut.
            for trace in inputs.traces.iter_mut().flatten() {
                trace.runs = 1;
            }
        }),
        ("determinism", "100.0 % (320 of 320), 5 of 8 scenarios", |inputs| {
            for trace in inputs.traces.iter_mut().flatten().filter(|trace| !trace.control) {
                trace.hash = "same".to_owned();
            }
        }),
        ("performance", "p95 1.110, throughput 0.970", |inputs| {
            inputs.runtime.as_mut().unwrap().workloads.as_mut().unwrap()[1]
                .p95
                .point = 1.11;
        }),
        ("performance", "p95 1.040, throughput 0.970", |inputs| {
            let mut before = whole();
            before.runtime.as_mut().unwrap().workloads.as_mut().unwrap()[0].p95_us[1] = 80.0;
            inputs.previous = Some(Report::of(&before));
        }),
        ("migration coverage", "50.0 % (1 of 2)", |inputs| {
            inputs.coverage.as_mut().unwrap().packages[1].1.push("tokio".to_owned());
        }),
        ("replay", "50.0 % (1 of 2)", |inputs| inputs.replays[0].again = None),
        ("replay", "50.0 % (1 of 2)", |inputs| {
            // The same words at the end of another schedule.
            inputs.replays[0].again.as_mut().unwrap().hash.push('x');
        }),
        ("rollback time", "61.0 s", |inputs| {
            inputs.drill.as_mut().unwrap().records[2].more = serde_json::json!({"edit_to_ready_ms": [61_000]});
        }),
    ];
    for (name, value, spoil) in spoilt {
        let mut inputs = whole();
        spoil(&mut inputs);
        let found = kpi(&inputs, name);
        assert_eq!(
            (found.value.as_deref(), found.met),
            (Some(value), false),
            "{name}: {:?}",
            found.details
        );
    }
}

#[test]
fn a_control_that_is_not_counted_once_makes_the_count_worthless() {
    for names in [vec![], vec!["leak on purpose".to_owned(), "somebody else".to_owned()]] {
        let mut inputs = whole();
        inputs.storms[0].control = names;
        let found = kpi(&inputs, "cancel-correctness");
        assert_eq!((found.value, found.met), (None, false));
    }
}

#[test]
fn tests_that_tell_no_snapshot_make_the_count_worthless() {
    let silent: [fn(&mut Ran); 4] = [
        |lane| lane.failed = 1,
        |lane| lane.ignored = 1,
        |lane| lane.skipped.push("[mixed-server] x::lab_asupersync".to_owned()),
        |lane| lane.skipped.push("x".to_owned()),
    ];
    for spoil in silent {
        let mut inputs = whole();
        spoil(inputs.lanes.get_mut("asupersync").unwrap());
        let found = kpi(&inputs, "cancel-correctness");
        assert_eq!((found.value, found.met), (None, false), "{:?}", found.details);
    }
    // Who never tells may be left out.
    let mut inputs = whole();
    inputs.lanes.get_mut("tokio").unwrap().skipped.push("z".to_owned());
    assert!(kpi(&inputs, "cancel-correctness").met);
}

#[test]
fn the_control_leak_and_the_wall_clock_each_turn_their_kpi_red() {
    let mut inputs = whole();
    inputs.storms[0].orphans = inputs.storms[0].control.clone();
    let found = kpi(&inputs, "cancel-correctness");
    assert_eq!((found.value.as_deref(), found.met), (Some("1 orphans"), false));
    assert!(found.details.contains(&"tokio: leak on purpose".to_owned()));

    let mut inputs = whole();
    for traces in &mut inputs.traces {
        let clock: Vec<Trace> = traces
            .iter()
            .filter(|trace| trace.scenario == CONTROLS[0])
            .cloned()
            .collect();
        traces.retain(|trace| trace.scenario != SCENARIOS[0]);
        traces.extend(clock.into_iter().map(|trace| Trace {
            scenario: SCENARIOS[0].to_owned(),
            control: false,
            ..trace
        }));
    }
    let found = kpi(&inputs, "determinism");
    assert_eq!(
        (found.value.as_deref(), found.met),
        (Some("80.0 % (256 of 320), 5 of 8 scenarios"), false)
    );
}

#[test]
fn what_waits_for_its_part_is_named() {
    let details = kpi(&whole(), "determinism").details;
    let waiting: Vec<_> = details
        .iter()
        .filter(|line| line.starts_with("not there yet: "))
        .collect();
    assert_eq!(waiting.len(), 3, "{details:?}");
}

#[test]
fn the_previous_report_stands_beside_it() {
    let mut before = whole();
    before.stamp.commit = "a".repeat(40);
    before.drill = None;
    let before = Report::of(&before);
    let mut inputs = whole();
    inputs.previous = before.clone().before(&inputs.stamp.commit);
    let report = Report::of(&inputs);
    let values: Vec<_> = report.kpis.iter().map(|kpi| kpi.before.as_deref()).collect();
    assert_eq!(values[0], Some("100.0 % (12 of 12)"));
    assert_eq!(values[5], None, "it was not measured");
    assert!(markdown(&report).contains("before: aaaaaaaaaaaa, "));
    // Said again for the same commit, it stands beside what it stood beside before.
    let again = report.clone().before(&report.stamp.commit).unwrap();
    assert_eq!((again.stamp.commit, again.previous), (before.stamp.commit, None));
}

#[test]
fn tests_that_disappeared_are_named() {
    let mut inputs = whole();
    inputs.previous = Some(Report::of(&whole()));
    // A lane that was not run has lost nothing, and is not forgotten.
    inputs.lanes.remove("asupersync");
    for lane in inputs.lanes.values_mut() {
        for list in lane.lists.values_mut() {
            list.retain(|name| !name.ends_with(": z"));
        }
    }
    let report = Report::of(&inputs);
    assert_eq!(
        report.remarks,
        [
            "gone from both since the last report: a (src/lib.rs): z",
            "gone from tokio since the last report: a (src/lib.rs): z"
        ]
    );
    assert_eq!(report.tests["asupersync"].len(), 3);
}
