//! Clocks, randomness and the environment are read through the context, so that the lab can replay a run.

use syn::visit::Visit;

use super::finding::Finding;
use super::paths::Named;
use super::source::{Role, Source};
use super::tree::Tree;

pub const NAME: &str = "clock";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources.iter().filter(|source| source.role == Role::Product);
    let above = sources.clone().filter(|source| source.crate_folder() != "net-adapter");
    above.flat_map(in_source).chain(sources.flat_map(races)).collect()
}

/// `select!` asks its branches in random order, unless it says `biased`. Nobody may: not the backends either.
fn races(source: &Source) -> Vec<Finding> {
    struct Races<'a>(&'a str, Vec<Finding>);
    impl<'ast> Visit<'ast> for Races<'_> {
        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            let last = mac.path.segments.last().map(|segment| segment.ident.to_string());
            let first = mac.tokens.clone().into_iter().next().map(|token| token.to_string());
            if last.as_deref() == Some("select") && first.as_deref() != Some("biased") {
                let line = mac.bang_token.span.start().line;
                let why = "draws a branch that no seed repeats; say `biased`, or use `futures_util::future::select`";
                self.1.push(Finding::new(NAME, self.0, line, "select!", why));
            }
        }
    }
    let mut races = Races(&source.path, Vec::new());
    races.visit_file(&source.product);
    races.1
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
        || named.ends_with(&["rand", "random"])
        || named.ends_with(&["Uuid", "new_v4"])
        || named.ends_with(&["Uuid", "now_v7"])
        || named.root() == "getrandom"
        || named.ends_with(&["OsRng"])
        || (named.root() == "fastrand" && (named.segments.len() == 2 && named.last() != "Rng"))
        || named.ends_with(&["fastrand", "Rng", "new"]);
    random.then_some("draws randomness that no seed repeats; use `cx.rng()`")
}
