//! The sync engine against forges that behave and forges that do not.
//!
//! One test program, because each one links everything again.

mod common;
mod review_support;

mod bad_input;
mod cancel;
mod churn;
#[cfg(unix)]
mod disk;
mod engine;
mod faults;
mod mirror;
#[cfg(unix)]
mod quiescence;
mod regressions_aside;
mod regressions_paging;
mod regressions_projects;
mod regressions_sets;
