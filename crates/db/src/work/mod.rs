//! Work that is owed and that commits together with content: a batch is never stored without what
//! it owes, nor owed without being stored.
//!
//! [`cursor`] says how far a stream was read, [`dirty`] which documents must be made again
//! and [`scope`] which of them one run has caused, [`job`]
//! and [`set`] which fetches a parent owes and which are in, [`validator`] what a forge need not send
//! again, [`quarantine`] what could not be read.

pub mod cursor;
pub mod dirty;
pub mod job;
pub mod quarantine;
pub mod scope;
pub mod set;
pub mod validator;

pub use cursor::{Cursor, CursorPoint};
pub use dirty::DirtySource;
pub use job::{Failure, Job, JobEnd, JobIn};
pub use quarantine::{QuarantineIn, Quarantined};
pub use set::SetRow;
pub use validator::StoredValidators;

#[cfg(test)]
mod tests;
