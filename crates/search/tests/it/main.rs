//! Search from outside: documents, index, queries and answers.
//!
//! One test program, because each one links everything again.

#![allow(
    clippy::expect_used,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

mod answer;
mod as_of;
mod documents;
mod embed;
mod facets;
mod index;
mod query_fuzz;
mod query_table;
mod related;
mod semantic;
mod store;
mod vectors;
