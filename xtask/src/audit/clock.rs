//! Clocks, randomness and the environment are read through the context, so that the lab can replay a run.

use super::finding::Finding;
use super::paths::Named;
use super::source::{Role, Source};
use super::tree::Tree;

pub const NAME: &str = "clock";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources.iter().filter(|source| source.role == Role::Product);
    sources
        .filter(|source| source.crate_folder() != "net-adapter")
        .flat_map(in_source)
        .collect()
}

fn in_source(source: &Source) -> Vec<Finding> {
    let read = source.paths().iter().filter_map(|named| {
        let why = ambient(named)?;
        Some(Finding::new(NAME, &source.path, named.line, named.text(), why))
    });
    read.collect()
}

fn ambient(named: &Named) -> Option<&'static str> {
    const CLOCKS: &[[&str; 2]] = &[
        ["Instant", "now"],
        ["SystemTime", "now"],
        ["Utc", "now"],
        ["Local", "now"],
        ["Timestamp", "now"],
        ["Zoned", "now"],
    ];
    if CLOCKS.iter().any(|clock| named.ends_with(clock)) {
        return Some("reads a clock; use `cx.now()` or `cx.unix_ms()`");
    }
    // `std::thread` and `std::env`, not a module of that name elsewhere.
    let from_std = |module: &str| named.before(1) == Some(module) && matches!(named.before(2), None | Some("std"));
    if from_std("thread") && named.last() == "sleep" {
        return Some("sleeps deaf to cancellation; use `cx.sleep(…)`");
    }
    let environment = [
        "var",
        "var_os",
        "vars",
        "vars_os",
        "set_var",
        "remove_var",
        "args",
        "args_os",
    ];
    if from_std("env") && environment.contains(&named.last()) {
        return Some("reads the environment; `main` does, and passes on what it found");
    }
    let random = named.last() == "thread_rng"
        || named.ends_with(&["rand", "rng"])
        || named.root() == "getrandom"
        || named.ends_with(&["OsRng"])
        || (named.root() == "fastrand" && (named.segments.len() == 2 && named.last() != "Rng"))
        || named.ends_with(&["fastrand", "Rng", "new"]);
    random.then_some("draws randomness that no seed repeats; use `cx.rng()`")
}
