//! What a report holds, and how it stands beside the one before it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inputs::{Inputs, SEEDS};
use super::rows;
use crate::bench::versus::Versus;
use crate::evidence::Stamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub stamp: Stamp,
    /// What was compiled for the runs of this report.
    pub features: String,
    pub seeds: u64,
    pub kpis: Vec<Kpi>,
    /// Measured, but without a target here.
    pub figures: Vec<String>,
    /// Evidence that was not taken, and tests that the report before this one still had.
    pub remarks: Vec<String>,
    /// Every test that was listed, by lane. One that was not run this time is as it was: the next report compares with it.
    pub tests: BTreeMap<String, BTreeSet<String>>,
    pub workloads: Option<Vec<Versus>>,
    /// Of the workloads; what was not measured this time is as it was.
    pub baseline: Option<Baseline>,
    /// The last report of another commit, without the one before that.
    pub previous: Option<Box<Report>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kpi {
    pub name: String,
    pub target: String,
    /// `null` when it was not measured.
    pub value: Option<String>,
    /// What the previous report said.
    pub before: Option<String>,
    pub met: bool,
    /// What the value was made from.
    pub counts: BTreeMap<String, u64>,
    pub details: Vec<String>,
}

/// Tokio's own p95, by workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub machine: String,
    pub p95_us: BTreeMap<String, f64>,
}

const SCHEMA: u32 = 2;

impl Report {
    pub fn of(inputs: &Inputs) -> Self {
        let previous = inputs.previous.as_ref();
        let (mut tests, mut remarks) = (BTreeMap::new(), inputs.refused.clone());
        for (lane, ran) in &inputs.lanes {
            let now: BTreeSet<String> = ran.lists.values().flatten().cloned().collect();
            let before = previous.and_then(|previous| previous.tests.get(lane));
            let gone = before.into_iter().flat_map(|before| before.difference(&now));
            remarks.extend(gone.map(|name| format!("gone from {lane} since the last report: {name}")));
            tests.insert(lane.clone(), now);
        }
        for (lane, before) in previous.into_iter().flat_map(|previous| &previous.tests) {
            tests.entry(lane.clone()).or_insert_with(|| before.clone());
        }
        let workloads = inputs.runtime.as_ref().and_then(|runtime| runtime.workloads.clone());
        let baseline = workloads.as_ref().map(|workloads| Baseline {
            machine: inputs.stamp.machine.clone(),
            p95_us: workloads.iter().map(rows::tokio_p95).collect(),
        });
        let mut kpis = rows::all(inputs);
        for kpi in &mut kpis {
            let mut before = previous.into_iter().flat_map(|previous| &previous.kpis);
            kpi.before = before
                .find(|old| old.name == kpi.name)
                .and_then(|old| old.value.clone());
        }
        Self {
            schema: SCHEMA,
            stamp: inputs.stamp.clone(),
            features: inputs.features.clone(),
            seeds: SEEDS,
            kpis,
            figures: rows::figures(inputs),
            remarks,
            tests,
            workloads,
            baseline: baseline.or_else(|| previous?.baseline.clone()),
            previous: previous.map(|previous| {
                Box::new(Self {
                    previous: None,
                    ..previous.clone()
                })
            }),
        }
    }

    pub fn is_met(&self) -> bool {
        self.kpis.iter().all(|kpi| kpi.met)
    }

    /// What a report of this commit stands beside: a second report of a commit does not stand beside the first, or it
    /// would take what it is to be compared with for the ordinary.
    pub fn before(self, commit: &str) -> Option<Self> {
        if self.stamp.commit == commit {
            self.previous.map(|previous| *previous)
        } else {
            Some(self)
        }
    }
}

impl Kpi {
    pub fn unmeasured(name: &str, target: &str, details: Vec<String>) -> Self {
        Self {
            value: None,
            ..Self::measured(name, target, String::new(), details, false)
        }
    }

    pub fn measured(name: &str, target: &str, value: String, details: Vec<String>, met: bool) -> Self {
        Self {
            name: name.to_owned(),
            target: target.to_owned(),
            value: Some(value),
            before: None,
            met,
            counts: BTreeMap::new(),
            details,
        }
    }

    pub fn counting<const N: usize>(self, counts: [(&str, u64); N]) -> Self {
        let counts = counts.map(|(what, count)| (what.to_owned(), count));
        Self {
            counts: counts.into(),
            ..self
        }
    }
}
