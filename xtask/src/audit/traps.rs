//! The list of traps and the canaries agree: `crates/net-adapter/traps.toml` has a row for each thing that a library does
//! and the adapter has a cure for, and each row names the test that notices when a new version does something else.
//!
//! A row has `canary`, tests `trap_…` of net-adapter that are not ignored, or `guarded_by`, where what happens cannot be
//! pinned by a test: `audit NAME`, `test NAME`, or the path of a file that measures or forbids it.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use toml::Spanned;

use super::finding::Finding;
use super::known_tests::{Runs, known_tests};
use super::manifest::{Manifest, line};
use super::rules::AUDITS;
use super::tree::Tree;

pub const NAME: &str = "traps";

const LIST: &str = "crates/net-adapter/traps.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    #[serde(default)]
    trap: Vec<Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Whose trap it is.
    backend: String,
    happens: String,
    cure: String,
    #[serde(default)]
    canary: Vec<Spanned<String>>,
    #[serde(default)]
    guarded_by: Vec<Spanned<String>>,
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let found = Canaries::of(tree);
    let mut findings = Vec::new();
    let mut listed = HashSet::new();
    if let Some(list) = tree.manifest(LIST) {
        match toml::from_str::<Rows>(&list.text) {
            Ok(rows) => {
                for row in &rows.trap {
                    check_row(tree, list, row, &found, &mut findings);
                    let canaries = row.get_ref().canary.iter();
                    listed.extend(canaries.map(|name| name.get_ref().clone()));
                }
            }
            Err(error) => {
                let at = error.span().map_or(1, |span| line(&list.text, span));
                findings.push(Finding::new(NAME, LIST, at, "trap", error.message().to_owned()));
            }
        }
    }
    for (path, name, at) in &found.traps {
        if !listed.contains(name) {
            let why = format!("a canary without a row in {LIST}: say what happens, and the cure");
            findings.push(Finding::new(NAME, path, *at, name, why));
        }
    }
    findings
}

/// The tests that rows may name.
struct Canaries {
    /// Path, name, line of each `trap_…`.
    traps: Vec<(String, String, usize)>,
    tests: HashMap<String, Runs>,
}

impl Canaries {
    fn of(tree: &Tree) -> Self {
        let mut canaries = Self {
            traps: Vec::new(),
            tests: HashMap::new(),
        };
        for source in tree
            .sources
            .iter()
            .filter(|source| source.crate_folder() == "net-adapter")
        {
            for test in known_tests(source) {
                if test.name.starts_with("trap_") {
                    canaries.traps.push((source.path.clone(), test.name.clone(), test.line));
                }
                canaries.tests.insert(test.name, test.runs);
            }
        }
        canaries
    }
}

fn check_row(tree: &Tree, list: &Manifest, row: &Spanned<Row>, found: &Canaries, findings: &mut Vec<Finding>) {
    let mut add = |span, what: &str, why: &str| {
        findings.push(Finding::new(NAME, LIST, line(&list.text, span), what, why));
    };
    let Row {
        backend,
        happens,
        cure,
        canary,
        guarded_by,
    } = row.get_ref();
    for (key, text) in [("backend", backend), ("happens", happens), ("cure", cure)] {
        if text.trim().is_empty() {
            add(row.span(), key, "says nothing");
        }
    }
    if canary.is_empty() && guarded_by.is_empty() {
        add(
            row.span(),
            "canary",
            "a trap that nothing watches; name a test `trap_…`, or what guards it",
        );
    }
    for name in canary {
        let why = match found.tests.get(name.get_ref()) {
            _ if !name.get_ref().starts_with("trap_") => "a canary is called `trap_…`",
            None => "no such test in net-adapter",
            Some(Runs::WhenAsked) => "is ignored, so it watches nothing",
            Some(Runs::Always) => continue,
        };
        add(name.span(), name.get_ref(), why);
    }
    for guard in guarded_by {
        let holds = match guard.get_ref().split_once(' ') {
            Some(("audit", name)) => AUDITS.iter().any(|audit| audit.name == name),
            Some(("test", name)) => found.tests.get(name) == Some(&Runs::Always),
            Some(_) => false,
            None => tree.has_file(guard.get_ref()),
        };
        if !holds {
            add(
                guard.span(),
                guard.get_ref(),
                "is no audit, no test of net-adapter that runs, and no file",
            );
        }
    }
}
