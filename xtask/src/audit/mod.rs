//! `cargo xtask audit`: the rules of the repository that the compiler cannot check.
//!
//! Code is parsed, so that a comment or a string never matches. An [`Audit`](rules::Audit) is a function from a
//! [`Tree`](tree::Tree) (sources, manifests, texts, resolved builds) to [`Finding`](finding::Finding)s; what is right
//! nevertheless stands in `xtask/audit.toml` with its reason ([`exceptions`]). Every audit has fixtures in
//! `xtask/fixtures/audit/<name>/` that it must reject, line by line, and others that it must let pass (`fixtures`).
//!
//! Of the plan's table of audits one row is not here: `wiremock`, which is not used, because the HTTP client is tested with
//! servers of our own on every host (docs/adr/0003-http-client-connections.md).
//!
//! Reading order: `command` says what happens, [`rules`] lists the audits, [`tree`] is what they look at; then one
//! file per audit. [`source`], [`paths`], [`known_tests`], [`manifest`], [`builds`] and [`spdx`] are how the parts are
//! read.

mod command;
mod exceptions;
mod finding;
mod rules;
mod tree;

mod clock;
mod cx;
mod detached;
mod docs;
mod edges;
mod exhaustive;
mod features;
mod licence;
mod lock;
mod names;
mod packages;
mod required;
mod tokio_free;
mod traps;
mod tx;
mod waits;

mod builds;
mod copied;
mod known_tests;
mod manifest;
mod paths;
mod source;
mod spdx;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod promises;

pub use command::command;
pub use tokio_free::{Coverage, coverage};
