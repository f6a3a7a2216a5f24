//! Documents and full-text search over a mirror.
//!
//! **What this promises:** the same file and the same query give the same answer, to the byte; totals and facets are
//! exact; nothing gone, removed or invisible is returned or counted; and the index can never be ahead of or behind the
//! documents, because both are written in one transaction.
//!
//! Read in this order: [`documents`] are made from what a sync stored; [`query`] is the language a person types;
//! [`index`] finds documents by their words; [`embed`] makes vectors of them and [`vector`] finds them by likeness;
//! [`answer`] puts them in order and shows them, with the `reference` that finds each again; [`as_of`] asks the same of
//! a time past; [`related`] says what an entity has to do with others.

pub mod answer;
pub mod as_of;
pub mod documents;
pub mod embed;
pub mod index;
pub mod query;
pub mod reference;
pub mod related;
pub mod vector;

mod error;

pub use answer::{SearchRequest, SearchResults, Way, run, run_as};
pub use as_of::run_as_of;
pub use error::Error;
