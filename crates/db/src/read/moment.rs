//! A moment that is read as of: now, or one that has passed.
//!
//! Whether something was there, and what it was, has one rule: that of [`as_of`]. Rows that have an
//! interval say from when to when they hold; bound as one number, now is a moment after all of them, so
//! that one statement answers for both.

use annals_core::UnixMs;
use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput};
use serde_json::Value;

use super::as_of::{self, Certainty};
use crate::Error;
use crate::ids::SubjectKind;

/// The end of what has not ended, in SQL.
const NEVER: i64 = i64::MAX;

/// What a reader asks as of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(Option<UnixMs>);

impl Moment {
    pub const fn of(as_of: Option<UnixMs>) -> Self {
        Self(as_of)
    }

    /// The time that has passed, if it is not now.
    pub const fn past(self) -> Option<UnixMs> {
        self.0
    }

    /// The number it is bound as.
    pub fn value(self) -> rusqlite::types::Value {
        self.bound().into()
    }

    const fn bound(self) -> i64 {
        match self.0 {
            Some(UnixMs(at)) => at,
            None => NEVER - 1,
        }
    }

    /// Whether the subject `row` was there at the moment, bound as `at`: created, and not gone. A discussion
    /// is created with its first note.
    pub fn there(self, kind: SubjectKind, row: &str, at: &str) -> String {
        let born = if kind == SubjectKind::Discussion {
            "first_note_at"
        } else {
            "created_at"
        };
        match self.0 {
            None => format!("{row}.gone_at IS NULL"),
            Some(_) => as_of::there(kind, &format!("{row}.id"), &format!("{row}.{born}"), at),
        }
    }

    /// What was known of a subject that was there; `None` for now, which its columns tell.
    pub fn state(self, conn: &Connection, kind: SubjectKind, row: i64) -> Result<Option<(Value, Certainty)>, Error> {
        match self.0 {
            None => Ok(None),
            Some(at) => as_of::state(conn, kind, row, at),
        }
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.bound().into())
    }
}

/// Whether an interval holds at the moment bound as `at`.
pub(super) fn holds(row: &str, at: &str) -> String {
    format!("({row}.from_at <= {at} AND coalesce({row}.to_at, {NEVER}) > {at})")
}

/// Whether an event, which has no revisions, had not gone by the moment bound as `at`.
pub(super) fn not_gone(row: &str, at: &str) -> String {
    format!("coalesce({row}.gone_at, {NEVER}) > {at}")
}

/// A text member of a state.
pub(super) fn text(state: &Value, name: &str) -> Option<String> {
    state.get(name)?.as_str().map(str::to_owned)
}
