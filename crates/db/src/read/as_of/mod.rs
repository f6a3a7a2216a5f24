//! What was: entities, their threads and what hangs on them as of a time `at`.
//!
//! What a subject was at `at` is its newest revision that was valid then: one index seek and one
//! blob. Where `at` lies between its creation and its first revision, nobody saw it: its text is that
//! of the first revision, and its state, labels and milestone are folded back through the forge's own
//! record of what happened later. Every answer says which of the two it is; what was created later, or
//! was gone by then, is absent.
//!
//! Names are those that were recorded. What is in no state (the address, the path of the project) is
//! what it is now. [`Visibility`](super::Visibility) holds for now and for then: what is confidential
//! today is not told from the time before.
//!
//! Read `pick` for the seek, `state` for what a revision holds, `fold` for what is folded back, `item` for one row of either kind, then
//! [`entity`](entity()), [`list`](list()), [`threads`], [`notes`] and the parts.

mod entity;
mod fold;
mod item;
mod list;
mod notes;
mod page;
mod parts;
mod pick;
mod state;
mod thread;

use annals_core::UnixMs;
use serde::Serialize;

pub(super) use entity::by_row;
pub use entity::{each, entity};
pub(super) use list::fitting;
pub use list::list;
pub use notes::notes;
pub use parts::{Commit, commits, events, files, raw, revisions};
pub(super) use pick::{state, there};
pub(super) use thread::note_by_row;
pub use thread::threads;

/// How sure a reading as of a time is. What is absent is not answered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// A revision says so.
    Recorded,
    /// It was there, and first seen later: its text is the first that was seen.
    Derived,
}

impl Certainty {
    /// Of what a revision that is valid since `valid_from` says about `at`.
    const fn of(valid_from: i64, at: UnixMs) -> Self {
        if valid_from <= at.0 {
            Self::Recorded
        } else {
            Self::Derived
        }
    }

    /// Whether the text was seen as it is shown.
    #[must_use]
    pub const fn text_is_recorded(self) -> bool {
        matches!(self, Self::Recorded)
    }
}

#[cfg(test)]
mod tests;
