//! Simulators and fault plans for the tests and the demo of Annals.
//!
//! [`forge`] is a GitLab that runs in the process, over real or virtual connections, with a model
//! of what a mirror of it must contain. [`embedder`] is a server that makes vectors of texts,
//! `disk` a disk that fails when a test says so.

#[cfg(all(feature = "disk", unix))]
pub mod disk;
pub mod embedder;
pub mod forge;
