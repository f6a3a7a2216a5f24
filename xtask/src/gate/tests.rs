//! Complete evidence is GO; each piece missing, failing, stale or from another lock file is NO-GO, for what rests on it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::bench::versus::Versus;
use crate::figures::Ratio;
use crate::kpi::Kpi;
use crate::suite::NO_MODE;

fn now() -> Stamp {
    Stamp {
        commit: "c".repeat(40),
        lock: "l".repeat(40),
        toolchain: "rustc".to_owned(),
        machine: "m".to_owned(),
    }
}

fn lane() -> Ran {
    let conformance = (1..=26).map(|number| format!("h{number:02}_x"));
    let native = [
        "get_headers_query_repeats",
        "post_json_bearer_keeps_error_body",
        "paging_over_one_connection",
        "429_retry_after_virtual_time",
        "timeout_and_region_cancel_mid_body",
    ];
    let others = [
        "parity_x",
        "trap_x",
        "inv3_x",
        "inv4_x",
        "every_audit_has_failing_fixture",
    ];
    let names = native.map(|name| format!("native_{name}")).into_iter();
    let names: Vec<String> = names.chain(others.map(str::to_owned)).chain(conformance).collect();
    Ran {
        passed: names.len(),
        lists: BTreeMap::from([(NO_MODE.to_owned(), names)]),
        ..Ran::default()
    }
}

fn whole() -> Vec<(&'static str, Value)> {
    let ratio = Ratio {
        point: 1.0,
        low: 1.0,
        high: 1.0,
        rounds: 10,
    };
    let workload = Versus {
        workload: "search".to_owned(),
        sides: ["asupersync", "tokio"].map(str::to_owned),
        p95: ratio,
        throughput: ratio,
        p95_us: [1.0; 2],
        per_second: [1.0; 2],
        offered: None,
        voided: 0,
    };
    let found = runtime::Found {
        workloads: Some(vec![workload]),
        costs: Vec::new(),
        sources: String::new(),
    };
    let build = |features: &str| Build {
        features: features.to_owned(),
        seconds: 1.0,
        bytes: 1,
    };
    let kpi = |name: &str| Kpi {
        name: name.to_owned(),
        target: String::new(),
        value: Some(String::new()),
        before: None,
        met: true,
        counts: BTreeMap::new(),
        details: Vec::new(),
    };
    let report = Report {
        schema: 2,
        stamp: now(),
        features: String::new(),
        seeds: 32,
        kpis: ["cancel-correctness", "migration coverage", "rollback time"]
            .map(kpi)
            .to_vec(),
        figures: Vec::new(),
        remarks: Vec::new(),
        tests: BTreeMap::new(),
        workloads: None,
        baseline: None,
        previous: None,
    };
    let value = |value: &dyn erased::Json| value.json();
    vec![
        ("test-tokio", value(&lane())),
        ("test-asupersync", value(&lane())),
        ("test-both", value(&lane())),
        ("runtime", value(&found)),
        ("build-default", value(&build("default"))),
        ("build-asupersync", value(&build("asupersync"))),
        ("drill", value(&crate::drill::tests::whole())),
        ("kpi", value(&report)),
    ]
}

/// Values of several types in one list.
mod erased {
    pub trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

/// The ids against slice D with evidence that `change` has touched; one without a value is left out.
fn ids(change: impl Fn(&str, &mut Stamp, &mut Option<Value>), audits: Verdict, slice: char) -> Vec<&'static str> {
    let folder = TempDir::new().unwrap();
    let shelf = Shelf::at(folder.path().to_owned());
    for (name, found) in whole() {
        let (mut stamp, mut found) = (now(), Some(found));
        change(name, &mut stamp, &mut found);
        if let Some(found) = found {
            shelf.put(name, &stamp, &found).unwrap();
        }
    }
    let case = Case {
        shelf: &shelf,
        now: &now(),
        audits,
    };
    let mut ids: Vec<_> = judge(&case, slice).into_iter().map(|(id, _)| id).collect();
    ids.dedup();
    ids
}

#[test]
fn complete_evidence_is_go() {
    for slice in SLICES.chars() {
        assert_eq!(ids(|_, _, _| {}, Verdict::Holds, slice), [""; 0], "{slice}");
    }
}

#[test]
fn missing_stale_and_foreign_evidence_is_a_reason_for_what_rests_on_it() {
    let rests: [(&str, &[&str]); 8] = [
        ("test-tokio", &["E2", "E4", "E5", "E6", "E7", "E11"]),
        ("test-asupersync", &["E2", "E3", "E4", "E5", "E6", "E7"]),
        ("test-both", &["E2"]),
        ("runtime", &["E9"]),
        ("build-default", &["E1"]),
        ("build-asupersync", &["E1"]),
        ("drill", &["E10"]),
        ("kpi", &["E1", "E7", "E8"]),
    ];
    let spoils: [fn(&mut Stamp, &mut Option<Value>); 4] = [
        |_, found| *found = None,
        |stamp, _| stamp.commit = "d".repeat(40),
        |stamp, _| stamp.commit.push_str("-dirty"),
        |stamp, _| stamp.lock = "m".repeat(40),
    ];
    for (spoilt, against) in rests {
        for spoil in spoils {
            let change = |name: &str, stamp: &mut Stamp, found: &mut Option<Value>| {
                if name == spoilt {
                    spoil(stamp, found);
                }
            };
            assert_eq!(ids(change, Verdict::Holds, 'D'), against, "{spoilt}");
        }
    }
}

#[test]
fn failing_evidence_is_a_reason_for_its_item_alone() {
    let without = |name: &'static str, test: &'static str| {
        move |found: &mut Value| {
            let list = found["lists"][NO_MODE].as_array_mut().unwrap();
            let before = list.len();
            list.retain(|listed| !listed.as_str().unwrap().starts_with(test));
            assert!(list.len() < before, "{name}");
        }
    };
    type Spoil = Box<dyn Fn(&mut Value)>;
    let fails: Vec<(&str, &str, Spoil)> = vec![
        ("E1", "build-asupersync", Box::new(|found| found["bytes"] = 0.into())),
        ("E2", "test-both", Box::new(|found| found["ignored"] = 1.into())),
        ("E3", "test-asupersync", Box::new(without("E3", "native_429"))),
        ("E4", "test-asupersync", Box::new(without("E4", "parity_"))),
        ("E5", "test-tokio", Box::new(without("E5", "h17_"))),
        ("E6", "test-asupersync", Box::new(without("E6", "trap_"))),
        ("E7", "test-tokio", Box::new(without("E7", "inv4_"))),
        ("E8", "kpi", Box::new(|found| found["kpis"][2]["met"] = false.into())),
        (
            "E9",
            "runtime",
            Box::new(|found| found["workloads"][0]["p95"]["point"] = 1.11.into()),
        ),
        ("E10", "drill", Box::new(|found| found["passed"] = false.into())),
        ("E11", "test-tokio", Box::new(without("E11", "every_audit"))),
    ];
    for (id, spoilt, spoil) in fails {
        let change = |name: &str, _: &mut Stamp, found: &mut Option<Value>| {
            if name == spoilt {
                spoil(found.as_mut().unwrap());
            }
        };
        assert_eq!(ids(change, Verdict::Holds, 'D'), [id]);
    }
    assert_eq!(ids(|_, _, _| {}, Verdict::Broken, 'D'), ["E11"]);
}

#[test]
fn a_later_slice_needs_what_the_earlier_ones_need() {
    let change = |name: &str, _: &mut Stamp, found: &mut Option<Value>| {
        if name == "drill" {
            *found = None;
        }
    };
    let against = |slice| ids(change, Verdict::Holds, slice).len();
    assert_eq!(SLICES.chars().map(against).collect::<Vec<_>>(), [0, 1, 1, 1]);
}
