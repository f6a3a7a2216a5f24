//! The test lists of the lanes, compared: what is tested on one runtime is tested on the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::suite::{NO_MODE, Ran};

/// What the lists of the three lanes have to say to each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Tests that one lane has and another should have, in words.
    pub missing: Vec<String>,
    /// Tests inside of a backend's own module; the other cannot have them.
    pub own: usize,
}

pub fn compare(lanes: &BTreeMap<String, Ran>) -> Compared {
    let list = |lane: &str, mode: &str| {
        let lists = lanes.get(lane).map(|lane| &lane.lists);
        lists.and_then(|lists| lists.get(mode)).cloned().unwrap_or_default()
    };
    let mut compared = Compared::default();
    let tokio = shared(&list("tokio", NO_MODE), &mut compared.own);
    let asupersync = shared(&list("asupersync", NO_MODE), &mut compared.own);
    let mut differ = |wanted: &BTreeSet<String>, found: &BTreeSet<String>, what: &str| {
        compared
            .missing
            .extend(wanted.difference(found).map(|name| format!("{name}: not {what}")));
    };
    differ(&tokio, &asupersync, "on asupersync");
    differ(&asupersync, &tokio, "on tokio");
    // Of the mixed binary only some programs of tests are run; of those, everything.
    for (mode, names) in lanes.get("both").iter().flat_map(|lane| &lane.lists) {
        let mut own = 0;
        let found = shared(names, &mut own);
        let programs: BTreeSet<&str> = found.iter().map(|name| program(name)).collect();
        let wanted = tokio
            .iter()
            .filter(|name| programs.contains(program(name)))
            .cloned()
            .collect();
        let what = if mode.is_empty() {
            "with both".to_owned()
        } else {
            format!("with both, {mode}")
        };
        differ(&wanted, &found, &what);
    }
    compared.missing.sort();
    compared
}

fn program(name: &str) -> &str {
    name.split_once(": ").map_or(name, |(program, _)| program)
}

/// Names without their host, and without what only one side can have.
fn shared(names: &[String], own: &mut usize) -> BTreeSet<String> {
    let mut shared = BTreeSet::new();
    for name in names {
        let path = name.split_once(": ").map_or("", |(_, path)| path);
        if program(name).starts_with("xtask ") {
            continue;
        }
        if path.starts_with("backend::tokio") || path.starts_with("backend::asupersync") {
            *own += 1;
            continue;
        }
        let (front, last) = name.rsplit_once("::").unwrap_or(("", name));
        shared.insert(match last {
            "tokio" | "asupersync" => format!("{front}::(runtime)"),
            "lab_tokio" | "lab_asupersync" => format!("{front}::(lab)"),
            _ => name.clone(),
        });
    }
    shared
}
