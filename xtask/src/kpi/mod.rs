//! `cargo xtask kpi`: what the choice between two runtimes rests on, as figures that nobody can write by hand.
//!
//! [`inputs`] collects what `test`, `bench` and `drill` left as evidence for this very commit, and measures the rest;
//! [`rows`] makes a value and a verdict of each, [`report`] sets them beside the last ones, [`page`] makes the Markdown. What was not measured is `null`, and `null` is not met.

mod command;
mod inputs;
mod lists;
mod page;
mod report;
mod rows;

pub use command::command;
#[cfg(test)]
pub use report::Kpi;
pub use report::Report;

#[cfg(test)]
mod tests;
