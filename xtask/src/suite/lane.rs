//! What a whole lane came to, for those who read evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::summary::Summary;

/// One `cargo xtask test --lane …` without a filter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// What cargo listed, by mode; without one, where the programs have no choice of runtime.
    pub lists: BTreeMap<String, Vec<String>>,
    pub passed: usize,
    pub failed: usize,
    pub ignored: usize,
    /// Tests that left themselves out because this machine lacks something.
    pub skipped: Vec<String>,
    /// Test programs without a result, and runs with which cargo was not content.
    pub broken: Vec<String>,
    /// Failed tests that said that something was left behind.
    pub left_behind: Vec<String>,
}

/// The key of [`Lane::lists`] for runs without a mode.
pub const NO_MODE: &str = "";

impl Lane {
    pub fn of(summary: &Summary, lists: BTreeMap<String, Vec<String>>) -> Self {
        let skipped: BTreeSet<String> = summary.skips.iter().map(|skip| skip.test.clone()).collect();
        let tally = &summary.tally;
        Self {
            lists,
            passed: tally.passed.saturating_sub(skipped.len()),
            failed: tally.failed_count(),
            ignored: tally.ignored_count(),
            skipped: skipped.into_iter().collect(),
            broken: tally.unfinished.iter().chain(&summary.failed_runs).cloned().collect(),
            left_behind: tally.left_behind.clone(),
        }
    }

    /// Every test passed. One that is left out proves nothing, so it counts as failed.
    pub fn is_whole(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.ignored == 0 && self.skipped.is_empty() && self.broken.is_empty()
    }

    pub fn listed(&self) -> usize {
        self.lists.values().map(Vec::len).sum()
    }

    /// Whether some test of this lane has this in its name.
    pub fn has(&self, part: &str) -> bool {
        self.lists.values().flatten().any(|name| name.contains(part))
    }
}
