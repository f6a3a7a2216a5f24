//! What hangs on an entity, as it was: events, the intervals of files and commits, revisions, payload.

use annals_core::UnixMs;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::content::blob;
use crate::ids::{EntityId, SubjectKind};
use crate::read::{self, Event, File, Revision, json};

/// The events of an entity by `at`, as far as the forge still showed them then, oldest first.
///
/// # Errors
/// A failure of the file.
pub fn events(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Vec<Event>, Error> {
    let mut events = read::events(conn, entity)?;
    events.retain(|event| event.at.is_some_and(|when| when <= at) && event.gone_at.is_none_or(|gone| gone > at));
    for event in &mut events {
        event.gone_at = None;
    }
    Ok(events)
}

/// The files of a merge request as they were at `at`.
///
/// # Errors
/// A failure of the file.
pub fn files(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Vec<File>, Error> {
    let Some(mr) = entity.mr_row() else {
        return Ok(Vec::new());
    };
    let mut select = conn.prepare_cached(
        "SELECT old_path, new_path, change, additions, deletions, binary, too_large FROM mr_file_changes
         WHERE mr_id = ?1 AND from_at <= ?2 AND (to_at IS NULL OR to_at > ?2) ORDER BY new_path, old_path",
    )?;
    let rows = select.query_map(params![mr, at.0], read::entity::file)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A commit of a merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its object id.
    pub oid: String,
    /// The first line of its message.
    pub title: String,
    /// Who wrote it, as git knows them.
    pub author: Option<String>,
    /// When it was written.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub authored_at: Option<UnixMs>,
}

/// The commits of a merge request as they were at `at`, in the forge's order.
///
/// # Errors
/// A failure of the file.
pub fn commits(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Vec<Commit>, Error> {
    let Some(mr) = entity.mr_row() else {
        return Ok(Vec::new());
    };
    let mut select = conn.prepare_cached(
        "SELECT c.oid, c.title, c.author_name, c.author_at FROM mr_commits k JOIN commits c ON c.id = k.commit_id
         WHERE k.mr_id = ?1 AND k.from_at <= ?2 AND (k.to_at IS NULL OR k.to_at > ?2) ORDER BY k.position",
    )?;
    let rows = select.query_map(params![mr, at.0], |row| {
        Ok(Commit {
            oid: row.get(0)?,
            title: row.get(1)?,
            author: row.get(2)?,
            authored_at: json::time(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The revisions of an entity that were valid by `at`, oldest first.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn revisions(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Vec<Revision>, Error> {
    let mut revisions = read::revisions(conn, entity)?;
    revisions.retain(|revision| revision.valid_from <= at);
    Ok(revisions)
}

/// What the forge had sent for an entity as it was at `at`; before the first revision, that of the
/// first.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if the payload cannot be read.
pub fn raw(conn: &Connection, entity: EntityId, at: UnixMs) -> Result<Option<Value>, Error> {
    let hash: Option<blob::Hash> = conn
        .prepare_cached(
            "SELECT payload_hash FROM revisions
             WHERE subject_kind = ?1 AND subject_id = ?2 AND payload_hash IS NOT NULL
             ORDER BY valid_from > ?3, CASE WHEN valid_from > ?3 THEN seq ELSE -seq END LIMIT 1",
        )?
        .query_row(params![SubjectKind::from(entity.kind), entity.row, at.0], |row| {
            row.get(0)
        })
        .optional()?;
    hash.map(|hash| read::entity::state(conn, &hash)).transpose()
}
