//! Documents and full-text search over a mirror.
//!
//! [`query`] is the language a person types.

pub mod query;
