//! Files of a repository: how their paths are written, and the names one has had.
//!
//! [`repository_path`] reads what somebody typed, [`rename_chain`] follows renames both ways.

mod chain;
mod path;

pub use chain::{Chain, ChainBounds, rename_chain};
pub use path::{BadPath, repository_path};
