//! The content store: one SQLite file that holds what was mirrored, what is still owed, and how the
//! mirroring went.
//!
//! **What this promises:** a transaction is in the file whole or not at all, and everything that must
//! agree with content (cursor, dirty marks, jobs, validators) commits with it.
//!
//! Read in this order: [`ids`] has the words and row ids of the schema; [`tx`] is one transaction;
//! [`store`] is the file as the rest of Annals holds it, [`migrate`] how its schema grows.
//! [`content`] writes what a forge sent and says what changed, [`work`] keeps what is owed for it, and
//! [`control`] keeps runs and locks. A page of a sync is one closure that calls them in this order:
//! [`control::check_fence`]; the entities, which bring their users, labels, milestones, links,
//! revisions and dirty marks; [`work::job::enqueue`]; [`work::cursor::advance`];
//! [`work::validator::put`]. [`read`] is what commands, API and pages ask,
//! [`check`] what a verification asks of the file alone, [`mod@backup`] copies the file while it is used,
//! [`dump`] is what tests compare.

pub mod backup;
pub mod check;
pub mod content;
pub mod control;
pub mod dump;
pub mod ids;
pub mod migrate;
pub mod read;
pub mod store;
pub mod tx;
pub mod work;

mod error;
mod file;
mod openers;
mod text;

pub use backup::backup;
pub use error::Error;
pub use read::Visibility;
pub use store::{Access, AutoMigrate, Db, OpenOptions};
pub use tx::{ReadConn, WriteTx};

#[cfg(test)]
mod schema_tests;
