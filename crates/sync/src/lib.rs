//! Forge clients and the sync engine.

pub mod forge;
pub mod progress;
pub mod target;
