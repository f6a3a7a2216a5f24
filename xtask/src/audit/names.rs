//! Runtime crates are named only where net-adapter keeps its backends.

use super::finding::Finding;
use super::manifest::Section;
use super::paths::{Place, named_paths};
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "names";

const RUNTIMES: &[&str] = &[
    "tokio",
    "asupersync",
    "reqwest",
    "hyper",
    "hyper-util",
    "async-std",
    "smol",
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let in_sources = tree.sources.iter().flat_map(in_source);
    let in_manifests = tree
        .manifests
        .iter()
        .filter(|manifest| manifest.is_cargo_manifest())
        .flat_map(|manifest| {
            let foreign = manifest.crate_folder() != Some("net-adapter");
            let named = move |package: &str| foreign && is_runtime(package);
            let found = manifest
                .dependencies
                .iter()
                .filter(move |dep| named(&dep.package) && dep.section != Section::Shared);
            found.map(|dep| {
                let why = "only net-adapter depends on a runtime; use what it offers";
                Finding::new(NAME, &manifest.path, dep.line, &dep.package, why)
            })
        });
    in_sources.chain(in_manifests).collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for named in named_paths(&source.ast) {
        if named.segments.len() < 2 && named.place == Place::Mention {
            continue;
        }
        let root = named.root().replace('_', "-");
        if !is_runtime(&root) {
            continue;
        }
        let why = if !source.is_backend() {
            "only net-adapter/src/backend/ names a runtime; use `Cx` and what net-adapter offers"
        } else if root == "asupersync" && !is_asupersync_file(&source.path) {
            "only net-adapter/src/backend/asupersync* names this crate: docs/licensing.md"
        } else {
            continue;
        };
        findings.push(Finding::new(NAME, &source.path, named.line, named.text(), why));
    }
    findings
}

fn is_asupersync_file(path: &str) -> bool {
    path.strip_prefix("crates/net-adapter/src/backend/")
        .is_some_and(|rest| rest.starts_with("asupersync"))
}

fn is_runtime(package: &str) -> bool {
    RUNTIMES.contains(&package) || package.starts_with("tokio-") || package.starts_with("hyper-")
}
