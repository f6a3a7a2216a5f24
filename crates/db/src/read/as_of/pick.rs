//! The revision that says what a subject was: SQL that joins it and its blob, and how they are read.

use annals_core::UnixMs;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Certainty;
use crate::Error;
use crate::content::blob::{self, Unpack};
use crate::ids::SubjectKind;
use crate::read::entity;

/// The revision that says what the subject in `row` was at the moment bound as `at`: the newest that was
/// valid by then; before the first one, that. `NULL` if the subject was created later, at `born`.
fn newest(kind: SubjectKind, row: &str, born: &str, at: &str) -> String {
    format!(
        "coalesce(
             (SELECT x.id FROM revisions x WHERE x.subject_kind = '{kind}' AND x.subject_id = {row}
                 AND x.valid_from <= {at} ORDER BY x.valid_from DESC, x.seq DESC LIMIT 1),
             (SELECT x.id FROM revisions x WHERE x.subject_kind = '{kind}' AND x.subject_id = {row} AND {born} <= {at}
                 ORDER BY x.seq LIMIT 1))"
    )
}

/// Whether the subject in `row` was created, at `born`, by the moment bound as `at`, and was not gone.
pub(in crate::read) fn there(kind: SubjectKind, row: &str, born: &str, at: &str) -> String {
    let newest = newest(kind, row, born, at);
    format!("EXISTS (SELECT 1 FROM revisions y WHERE y.id = {newest} AND y.op <> 'gone')")
}

/// What a subject that was there at `at` was then.
pub(in crate::read) fn state(
    conn: &Connection,
    kind: SubjectKind,
    row: i64,
    at: UnixMs,
) -> Result<Option<(serde_json::Value, Certainty)>, Error> {
    // It was there, so it had been created.
    let sql = format!(
        "SELECT valid_from, state_hash FROM revisions WHERE id = {}",
        newest(kind, "?1", "?2", "?2")
    );
    let found: Option<(i64, blob::Hash)> = conn
        .prepare_cached(&sql)?
        .query_row(params![row, at.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((valid_from, hash)) = found else {
        return Ok(None);
    };
    Ok(Some((entity::state(conn, &hash)?, Certainty::of(valid_from, at))))
}

/// Joins, as `revision` and `blob`, what the subject in `row` was at `?1`; drops it if it was created
/// later, at `born`, or was gone.
pub(super) fn join(kind: SubjectKind, row: &str, born: &str, revision: &str, blob: &str) -> String {
    format!(
        "CROSS JOIN revisions {revision} ON {revision}.id = {newest} AND {revision}.op <> 'gone'
         CROSS JOIN blobs {blob} ON {blob}.hash = {revision}.state_hash",
        newest = newest(kind, row, born, "?1"),
    )
}

/// The columns of [`join`] that [`Picked::read`] reads.
pub(super) fn columns(revision: &str, blob: &str) -> String {
    format!("{revision}.id, {revision}.valid_from, {blob}.hash, {blob}.codec, {blob}.size, {blob}.data")
}

/// How many these are.
pub(super) const WIDTH: usize = 6;

/// What a subject was.
pub(super) struct Picked {
    /// The row of the revision.
    pub revision: i64,
    /// Since when it holds.
    pub valid_from: i64,
    pub certainty: Certainty,
    bytes: Vec<u8>,
    hash: blob::Hash,
}

impl Picked {
    /// Reads the [`columns`] from `at_column` on.
    pub fn read(row: &Row<'_>, at_column: usize, at: UnixMs, unpack: &mut Unpack) -> Result<Self, Error> {
        let hash: blob::Hash = row.get(at_column + 2)?;
        let data = row.get_ref(at_column + 5)?.as_blob().map_err(rusqlite::Error::from)?;
        let bytes = unpack.bytes(&blob::Columns {
            hash: &hash,
            codec: row.get(at_column + 3)?,
            size: row.get(at_column + 4)?,
            data,
        })?;
        let valid_from = row.get(at_column + 1)?;
        Ok(Self {
            revision: row.get(at_column)?,
            valid_from,
            certainty: Certainty::of(valid_from, at),
            bytes,
            hash,
        })
    }

    /// The state, or the part of it that `T` names.
    pub fn state<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Error::corrupt(format!("state {} cannot be read: {error}", blob::hex(&self.hash))))
    }

    /// When the subject last changed by `at`: what its row says, if that is not of later.
    pub fn updated_at(&self, column: Option<i64>, created_at: Option<i64>, at: UnixMs) -> Option<UnixMs> {
        let known = match (column, self.certainty) {
            (Some(column), _) if column <= at.0 => Some(column),
            (_, Certainty::Recorded) => Some(self.valid_from),
            (_, Certainty::Derived) => created_at,
        };
        known.map(UnixMs)
    }
}
