//! A crate uses only what stands above it in the table of the architecture, and only net-adapter does I/O.

use super::finding::Finding;
use super::manifest::{Dependency, Manifest, Section};
use super::tree::Tree;

pub const NAME: &str = "edges";

/// Each folder under `crates/` with the crates it may use, lowest first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("net-adapter", &["core"]),
    ("db", &["core", "net-adapter"]),
    ("search", &["core", "net-adapter", "db"]),
    ("sync", &["core", "net-adapter", "db", "search"]),
    ("server", &["core", "net-adapter", "db", "search", "sync"]),
    // `demo` serves the sample project of testkit.
    (
        "cli",
        &["core", "net-adapter", "db", "search", "sync", "server", "testkit"],
    ),
    ("testkit", &["core", "net-adapter"]),
    ("xtask", &[]),
];

/// Crates that open sockets or wait for them.
const DOES_IO: &[&str] = &[
    "async-fs",
    "async-io",
    "async-net",
    "async-process",
    "async-tungstenite",
    "attohttpc",
    "curl",
    "futures-rustls",
    "isahc",
    "mio",
    "native-tls",
    "openssl",
    "polling",
    "rustls",
    "socket2",
    "surf",
    "tungstenite",
    "ureq",
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifests
        .iter()
        .filter(|manifest| manifest.is_cargo_manifest())
        .flat_map(in_manifest)
        .collect()
}

fn in_manifest(manifest: &Manifest) -> Vec<Finding> {
    // The black-box tests may use every crate.
    let Some(folder) = manifest.crate_folder().filter(|folder| *folder != "tests") else {
        return Vec::new();
    };
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == folder) else {
        let why = "a crate without a row in the table of crates (architecture; xtask/src/audit/edges.rs)";
        return vec![Finding::new(NAME, &manifest.path, 1, folder, why)];
    };
    let checked = manifest.dependencies.iter().filter_map(|dep| {
        let why = broken(folder, may_use, dep)?;
        Some(Finding::new(NAME, &manifest.path, dep.line, &dep.package, why))
    });
    checked.collect()
}

fn broken(folder: &str, may_use: &[&str], dep: &Dependency) -> Option<String> {
    let in_tests = dep.section == Section::Dev;
    if let Some(used) = dep.package.strip_prefix("annals-") {
        let allowed = may_use.contains(&used) || used == folder || (in_tests && used == "testkit");
        let list = if may_use.is_empty() {
            "nothing".to_owned()
        } else {
            may_use.join(", ")
        };
        return (!allowed).then(|| format!("{folder} may use {list}"));
    }
    if dep.package == "redis" && folder != "db" {
        return Some("only db talks to Redis".to_owned());
    }
    let io = DOES_IO.contains(&dep.package.as_str()) && !in_tests;
    (io && folder != "net-adapter").then(|| "only net-adapter does I/O; use `cx.net()` or its HTTP client".to_owned())
}
