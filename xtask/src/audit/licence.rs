//! Only allowed licences, exactly the known exceptions, the rider stated where a user looks, and nothing [`copied`].

use super::builds::FeatureSet;
use super::copied;
use super::finding::Finding;
use super::manifest::Manifest;
use super::spdx;
use super::tree::{Text, Tree};

pub const NAME: &str = "licence";

pub const GUIDE: &str = "docs/licensing.md";

/// The packages that `deny.toml` may except, which are asupersync and what comes with it under the same licence.
const EXCEPTED: &[&str] = &[
    "asupersync@=0.6.1",
    "franken-decision@=0.6.0",
    "franken-evidence@=0.6.0",
    "franken-kernel@=0.6.0",
];

const RIDER_LICENCE: &str = "LicenseRef-MIT-OpenAI-Anthropic-Rider";

/// What the guide must say, in these words, so that a rewrite cannot lose it.
const GUIDE_STATES: &[&str] = &[
    "MIT plus a rider",
    "OpenAI, Anthropic, their affiliates",
    "does not contain the crate",
    "`annals version --robot`",
    "must ship the crate's `LICENSE` file",
    "SHA-256",
];

/// What the README must say.
const README_STATES: &[&str] = &[
    "asupersync",
    "rider",
    "OpenAI",
    "Anthropic",
    "`annals version --robot`",
    "docs/licensing.md",
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.texts.iter().flat_map(in_text).collect();
    if let Some(deny) = tree.manifest("deny.toml") {
        findings.extend(in_deny(deny));
        findings.extend(in_packages(tree, deny));
    }
    findings.extend(copied::check(tree));
    findings
}

fn in_text(text: &Text) -> Vec<Finding> {
    let states = match text.path.as_str() {
        GUIDE => GUIDE_STATES,
        "README.md" => README_STATES,
        _ => return Vec::new(),
    };
    missing_statements(&text.content, states)
        .into_iter()
        .map(|missing| Finding::new(NAME, &text.path, 1, missing, "must be stated here"))
        .collect()
}

fn missing_statements<'a>(text: &str, states: &[&'a str]) -> Vec<&'a str> {
    let flowing = text.replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ");
    states
        .iter()
        .copied()
        .filter(|statement| !flowing.contains(statement))
        .collect()
}

fn in_deny(deny: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let excepted: Vec<_> = deny.values(&["licenses", "exceptions", "crate"]).collect();
    for entry in &excepted {
        if !EXCEPTED.contains(&entry.value.as_str()) {
            findings.push(Finding::new(
                NAME,
                &deny.path,
                entry.line,
                &entry.value,
                "is not an exception we know",
            ));
        }
    }
    for expected in EXCEPTED {
        if !excepted.iter().any(|entry| entry.value == *expected) {
            findings.push(Finding::new(
                NAME,
                &deny.path,
                1,
                *expected,
                "must be named as an exception",
            ));
        }
    }
    for entry in deny.values(&["licenses", "exceptions", "allow"]) {
        if entry.value != RIDER_LICENCE {
            findings.push(Finding::new(
                NAME,
                &deny.path,
                entry.line,
                &entry.value,
                "is not the licence that was read",
            ));
        }
    }
    for entry in deny
        .values(&["licenses", "allow"])
        .filter(|entry| entry.value.starts_with("LicenseRef"))
    {
        findings.push(Finding::new(
            NAME,
            &deny.path,
            entry.line,
            &entry.value,
            "is allowed to nobody in general",
        ));
    }
    findings
}

/// Every package against the list of `deny.toml`: without the exceptions in the default build, with them in the full.
fn in_packages(tree: &Tree, deny: &Manifest) -> Vec<Finding> {
    let allowed: Vec<&str> = deny
        .values(&["licenses", "allow"])
        .map(|entry| entry.value.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in &tree.licensed {
        let named = format!("{}@={}", package.name, package.version);
        let excepted = package.features != FeatureSet::Default && EXCEPTED.contains(&named.as_str());
        let allows = |id: &str| allowed.contains(&id) || (excepted && id == RIDER_LICENCE);
        if !spdx::is_met(&package.licence, &allows) {
            let why = format!("its licence, {:?}, is not on the list of deny.toml", package.licence);
            findings.push(Finding::new(NAME, &package.source, package.line, &package.name, why));
        }
    }
    findings
}
