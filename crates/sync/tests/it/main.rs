//! The sync engine against forges that behave and forges that do not.
//!
//! One test program, because each one links everything again.

mod common;
mod review_support;

mod bad_input;
mod bad_input_transport;
mod cancel;
mod churn;
#[cfg(unix)]
mod disk;
mod embed;
mod engine;
mod faults;
mod history;
mod limits;
mod mirror;
mod passes;
#[cfg(unix)]
mod quiescence;
mod regressions_aside;
mod regressions_paging;
mod regressions_projects;
mod regressions_sets;
mod sets;
mod surgical;
mod sweep;
mod verify;
