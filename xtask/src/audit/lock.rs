//! Every crate takes the workspace's lints, no guard of a std lock lives across an await, and nobody iterates in the order
//! of a hash, which the lab could not repeat.

use super::finding::Finding;
use super::manifest::Manifest;
use super::source::Source;
use super::tree::Tree;

pub const NAME: &str = "lock";

/// Lints that must stop the build.
const DENIED: &[&str] = &["await_holding_lock", "iter_over_hash_type"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree
        .manifests
        .iter()
        .filter(|manifest| manifest.is_cargo_manifest())
        .flat_map(in_manifest);
    let sources = tree
        .sources
        .iter()
        .filter(|source| source.is_product())
        .flat_map(in_source);
    manifests.chain(sources).collect()
}

fn in_manifest(manifest: &Manifest) -> Vec<Finding> {
    let finding = |what: &str, why: &str| Finding::new(NAME, &manifest.path, 1, what, why);
    if manifest.crate_folder().is_some() {
        let inherits = manifest.value(&["lints", "workspace"]) == Some("true");
        let finding = (!inherits).then(|| finding("lints", "every crate has `[lints] workspace = true`"));
        return finding.into_iter().collect();
    }
    let loose = DENIED.iter().filter(|lint| {
        let key = ["workspace", "lints", "clippy", lint];
        let level = manifest
            .value(&key)
            .or_else(|| manifest.value(&[key.as_slice(), &["level"]].concat()));
        !matches!(level, Some("deny" | "forbid"))
    });
    loose
        .map(|lint| finding(lint, "the workspace denies this lint"))
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let named = source.paths().iter();
    let allowed = named.filter_map(|named| {
        let why = match named.last() {
            _ if named.root() != "clippy" => return None,
            "await_holding_lock" => {
                "a guard alive across an await can stop every task; drop it first, or use net-adapter's `Mutex`"
            }
            "iter_over_hash_type" => "an order that no seed repeats; use a `BTreeMap`, or sort first",
            // The groups that hold those lints.
            "all" | "suspicious" | "restriction" => "allows more than one thing; name the lint",
            _ => return None,
        };
        Some(Finding::new(NAME, &source.path, named.line, named.text(), why))
    });
    allowed.collect()
}
