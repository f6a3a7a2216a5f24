//! No promise loses its test: every test that `xtask/required-tests.toml` names exists and is not ignored.
//!
//! Tests are looked for by name wherever the repository has Rust; whether they pass, and on which host they ran, is for
//! `cargo xtask test` and the gate to say.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::finding::Finding;
use super::known_tests::{Runs, known_tests};
use super::manifest::Manifest;
use super::tree::Tree;

pub const NAME: &str = "required";

const LIST: &str = "xtask/required-tests.toml";

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifest(LIST).map_or_else(Vec::new, |list| in_list(tree, list))
}

fn in_list(tree: &Tree, list: &Manifest) -> Vec<Finding> {
    let mut there: HashMap<String, Runs> = HashMap::new();
    for test in tree.sources.iter().flat_map(known_tests) {
        let runs = there.entry(test.name).or_insert(test.runs);
        if test.runs == Runs::Always {
            *runs = Runs::Always;
        }
    }
    let mut findings = Vec::new();
    let mut add = |line: usize, what: &str, why: &str| findings.push(Finding::new(NAME, LIST, line, what, why));
    let mut named: HashSet<&str> = HashSet::new();
    let mut groups: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for entry in &list.entries {
        let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
        match key.as_slice() {
            [group, "promise"] if !entry.value.trim().is_empty() => {
                groups.entry(group).or_insert((entry.line, false)).1 = true
            }
            [group, "tests"] => {
                groups.entry(group).or_insert((entry.line, false));
                match there.get(&entry.value) {
                    None => add(entry.line, &entry.value, "a required test that is missing"),
                    Some(Runs::WhenAsked) => add(entry.line, &entry.value, "a required test that is ignored"),
                    Some(Runs::Always) => {}
                }
                if !named.insert(&entry.value) {
                    add(entry.line, &entry.value, "is named twice");
                }
            }
            _ => add(
                entry.line,
                &key.join("."),
                "a group has a `promise` in words and `tests`, nothing else",
            ),
        }
    }
    for (group, (line, _)) in groups.into_iter().filter(|(_, (_, promised))| !promised) {
        add(line, group, "tests without the `promise` that they keep");
    }
    findings
}
