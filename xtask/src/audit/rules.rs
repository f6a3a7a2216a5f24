//! The audits, in the order in which they run.

use super::finding::Finding;
use super::tree::Tree;
use super::{
    clock, cx, detached, docs, edges, exhaustive, features, licence, lock, names, packages, required, tokio_free,
    traps, tx, waits,
};

/// A rule and the function that finds what breaks it.
pub struct Audit {
    pub name: &'static str,
    pub promises: &'static str,
    pub needs: Needs,
    pub check: fn(&Tree) -> Vec<Finding>,
}

/// What has to be read before an audit can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Files of the repository.
    Files,
    /// What cargo resolves too.
    Builds,
}

pub const AUDITS: &[Audit] = &[
    Audit {
        name: names::NAME,
        promises: "runtime crates are named only in net-adapter's backend",
        needs: Needs::Files,
        check: names::check,
    },
    Audit {
        name: edges::NAME,
        promises: "crates use only the crates below them, and only net-adapter does I/O",
        needs: Needs::Files,
        check: edges::check,
    },
    Audit {
        name: cx::NAME,
        promises: "an async function that can wait takes `cx: &Cx` first",
        needs: Needs::Files,
        check: cx::check,
    },
    Audit {
        name: waits::NAME,
        promises: "what is awaited can be cancelled",
        needs: Needs::Files,
        check: waits::check,
    },
    Audit {
        name: detached::NAME,
        promises: "a task starts only in a region, and no handle is thrown away",
        needs: Needs::Files,
        check: detached::check,
    },
    Audit {
        name: clock::NAME,
        promises: "clocks, randomness and the environment are read through the context",
        needs: Needs::Files,
        check: clock::check,
    },
    Audit {
        name: lock::NAME,
        promises: "every crate takes the lints of the workspace, and none lets a guard live across an await",
        needs: Needs::Files,
        check: lock::check,
    },
    Audit {
        name: tx::NAME,
        promises: "no await inside a transaction, no transaction outside db",
        needs: Needs::Files,
        check: tx::check,
    },
    Audit {
        name: exhaustive::NAME,
        promises: "a match on kinds of failure has no wildcard",
        needs: Needs::Files,
        check: exhaustive::check,
    },
    Audit {
        name: docs::NAME,
        promises: "a public async function says its errors and its cancel safety",
        needs: Needs::Files,
        check: docs::check,
    },
    Audit {
        name: traps::NAME,
        promises: "every trap of a library has a canary, and every canary its trap",
        needs: Needs::Files,
        check: traps::check,
    },
    Audit {
        name: required::NAME,
        promises: "no promise loses its test",
        needs: Needs::Files,
        check: required::check,
    },
    Audit {
        name: features::NAME,
        promises: "nobody builds or copies the second runtime unasked; test features stay out of the product",
        needs: Needs::Builds,
        check: features::check,
    },
    Audit {
        name: licence::NAME,
        promises: "only the allowed licences, and the rider is stated where it must be",
        needs: Needs::Builds,
        check: licence::check,
    },
    Audit {
        name: tokio_free::NAME,
        promises: "no production crate needs tokio on asupersync",
        needs: Needs::Builds,
        check: tokio_free::check,
    },
    Audit {
        name: packages::NAME,
        promises: "each build stays under its number of packages",
        needs: Needs::Builds,
        check: packages::check,
    },
];
