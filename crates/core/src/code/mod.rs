//! The one table of failures: every failure a person or a program can meet has one name, one exit
//! code, one HTTP status, a word on whether trying again helps, and a next step.
//!
//! [`Code`] is that table: one variant per name, and no way to add one without its row. `mapping`
//! says which code the plain error types of this crate have. Error enums of other crates give
//! theirs through [`Coded`](crate::report::Coded).

mod mapping;
mod next;
mod table;

pub use next::COMMANDS;
pub use table::{Code, Retry, UnknownCode};
