//! A moment that is read as of: now, or one that has passed.
//!
//! Every row of history says from when to when it holds. Bound as one number, now is a moment after all
//! of them, so that one statement answers for both.

use annals_core::UnixMs;
use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::entity::state;
use crate::Error;
use crate::content::blob;
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

    /// What was recorded of a subject for the moment; `None` for now, and before the first record.
    pub fn state(self, conn: &Connection, kind: SubjectKind, row: i64) -> Result<Option<Value>, Error> {
        let Some(at) = self.0 else {
            return Ok(None);
        };
        let hash: Option<blob::Hash> = conn
            .prepare_cached(
                "SELECT state_hash FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2 AND valid_from <= ?3
                 ORDER BY valid_from DESC, seq DESC LIMIT 1",
            )?
            .query_row(params![kind, row, at.0], |row| row.get(0))
            .optional()?;
        hash.map(|hash| state(conn, &hash)).transpose()
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

/// Whether something was made by the moment bound as `at` and had not gone. What has no time is old.
pub(super) fn there(row: &str, at: &str) -> String {
    format!("(coalesce({row}.created_at, 0) <= {at} AND {})", not_gone(row, at))
}

/// Whether something had not gone by the moment bound as `at`.
pub(super) fn not_gone(row: &str, at: &str) -> String {
    format!("coalesce({row}.gone_at, {NEVER}) > {at}")
}

/// A text member of a state.
pub(super) fn text(state: &Value, name: &str) -> Option<String> {
    state.get(name)?.as_str().map(str::to_owned)
}
