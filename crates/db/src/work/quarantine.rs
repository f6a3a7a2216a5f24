//! Items that could not be read: kept with their bytes, tried again, never in the way of the others.

use std::collections::BTreeSet;

use annals_core::{Code, ProjectId, UnixMs};
use rusqlite::{Connection, OptionalExtension, params};

use crate::content::Change;
use crate::content::blob::{self, Hash, Payload};
use crate::text::clean;
use crate::{Error, WriteTx};

/// How often a quarantined item is fetched again before it waits for a newer version.
pub const MAX_ATTEMPTS: u32 = 8;

/// The most items that are fetched again in one run.
const DUE_AT_ONCE: u32 = 200;

/// An item that could not be read.
#[derive(Debug, Clone)]
pub struct QuarantineIn {
    /// Its project.
    pub project: ProjectId,
    /// The stream, or entity and job type, it came in.
    pub stream: String,
    /// Its native id, or the hash of its bytes where it has none.
    pub native_ref: String,
    /// Its bytes.
    pub payload: Payload,
    /// What is wrong.
    pub code: Code,
    /// The same for people, without secrets.
    pub message: String,
}

/// An item in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The stream it came in.
    pub stream: String,
    /// Its native id, or the hash of its bytes.
    pub native_ref: String,
    /// Fetched again so often.
    pub attempts: u32,
    /// What is wrong.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// Since when.
    pub first_at: UnixMs,
}

/// Keeps an item. Seeing the same bytes again writes nothing.
///
/// # Errors
/// A failure of the file.
pub fn put(tx: &WriteTx<'_>, item: &QuarantineIn) -> Result<Change, Error> {
    let hash = blob::hash(item.payload.as_bytes());
    let known = open_row(tx, item.project, &item.stream, &item.native_ref)?;
    if known
        .as_ref()
        .is_some_and(|known| known.payload == Some(hash) && known.code == item.code.as_str())
    {
        return Ok(Change::Unchanged);
    }
    tx.content_seq()?;
    blob::put_hashed(tx, &hash, item.payload.as_bytes())?;
    let Some(known) = known else {
        tx.prepare_cached(
            "INSERT INTO quarantine (project_id, stream, native_ref, payload_hash, code, message, attempts, first_at,
                                     last_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7)",
        )?
        .execute(params![
            item.project.0,
            item.stream,
            clean(&item.native_ref),
            hash,
            item.code.as_str(),
            clean(&item.message),
            tx.now().0
        ])?;
        return Ok(Change::New);
    };
    tx.prepare_cached("UPDATE quarantine SET payload_hash = ?2, code = ?3, message = ?4, last_at = ?5 WHERE id = ?1")?
        .execute(params![
            known.row,
            hash,
            item.code.as_str(),
            clean(&item.message),
            tx.now().0
        ])?;
    if let Some(before) = known.payload.filter(|before| *before != hash) {
        blob::drop_if_unused(tx, &before)?;
    }
    Ok(Change::Changed)
}

/// Says that an item could be read after all; nothing happens if it was not in quarantine.
///
/// # Errors
/// A failure of the file.
pub fn resolve(tx: &WriteTx<'_>, project: ProjectId, stream: &str, native_ref: &str) -> Result<Change, Error> {
    let Some(known) = open_row(tx, project, stream, native_ref)? else {
        return Ok(Change::Unchanged);
    };
    tx.content_seq()?;
    tx.prepare_cached("UPDATE quarantine SET resolved_at = ?2 WHERE id = ?1")?
        .execute(params![known.row, tx.now().0])?;
    Ok(Change::Changed)
}

/// Counts a single fetch of an item that still could not be read.
///
/// # Errors
/// A failure of the file.
pub fn count_attempt(tx: &WriteTx<'_>, project: ProjectId, stream: &str, native_ref: &str) -> Result<(), Error> {
    let Some(known) = open_row(tx, project, stream, native_ref)? else {
        return Ok(());
    };
    tx.content_seq()?;
    tx.prepare_cached("UPDATE quarantine SET attempts = attempts + 1, last_at = ?2 WHERE id = ?1")?
        .execute(params![known.row, tx.now().0])?;
    Ok(())
}

/// The items of a project that are to be fetched again now, those that had the fewest attempts first.
///
/// # Errors
/// A failure of the file.
pub fn due(conn: &Connection, project: ProjectId) -> Result<Vec<Quarantined>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT stream, native_ref, attempts, code, message, first_at FROM quarantine
         WHERE project_id = ?1 AND resolved_at IS NULL AND attempts < ?2 ORDER BY attempts, id LIMIT ?3",
    )?;
    let rows = select.query_map(params![project.0, MAX_ATTEMPTS, DUE_AT_ONCE], |row| {
        Ok(Quarantined {
            stream: row.get(0)?,
            native_ref: row.get(1)?,
            attempts: row.get(2)?,
            code: row.get(3)?,
            message: row.get(4)?,
            first_at: UnixMs(row.get(5)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The names of the items of a stream that are aside now.
///
/// # Errors
/// A failure of the file.
pub fn open(conn: &Connection, project: ProjectId, stream: &str) -> Result<BTreeSet<String>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT native_ref FROM quarantine WHERE project_id = ?1 AND stream = ?2 AND resolved_at IS NULL",
    )?;
    let names = select.query_map(params![project.0, stream], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

struct OpenRow {
    row: i64,
    payload: Option<Hash>,
    code: String,
}

fn open_row(conn: &Connection, project: ProjectId, stream: &str, native_ref: &str) -> Result<Option<OpenRow>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT id, payload_hash, code FROM quarantine
             WHERE project_id = ?1 AND stream = ?2 AND native_ref = ?3 AND resolved_at IS NULL",
        )?
        .query_row(params![project.0, stream, clean(native_ref)], |row| {
            Ok(OpenRow {
                row: row.get(0)?,
                payload: row.get(1)?,
                code: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found)
}
