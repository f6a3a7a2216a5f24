//! Forge clients.

pub mod budget;
pub mod gitlab;
pub mod meter;
pub mod paging;
pub mod rate;
pub mod raw;
pub mod retry;
pub mod window;
