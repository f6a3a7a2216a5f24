//! The queries behind commands, API and pages.
//!
//! Every function takes a [`Visibility`] and applies it inside the query. The results serialise to
//! the robot output and the API: times as RFC 3339, ids as text, numbers of entities as numbers.

mod visibility;

pub use visibility::{Confidential, Visibility, VisibleProjects};
