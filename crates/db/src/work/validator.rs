//! HTTP validators, kept with what they validate so that a 304 always means what is in the file.

use annals_core::ProjectId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::content::blob::Hash;
use crate::{Error, WriteTx};

/// What to send to be told "not modified".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredValidators {
    /// For `If-None-Match`.
    pub etag: Option<String>,
    /// For `If-Modified-Since`.
    pub last_modified: Option<String>,
}

/// The validators of a scope, if they belong to this very request (its method, URL and token).
///
/// # Errors
/// A failure of the file.
pub fn get(
    conn: &Connection,
    project: ProjectId,
    scope: &str,
    request: &Hash,
) -> Result<Option<StoredValidators>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT etag, last_modified FROM http_validators
             WHERE project_id = ?1 AND scope = ?2 AND request_hash = ?3",
        )?
        .query_row(params![project.0, scope, request], |row| {
            Ok(StoredValidators {
                etag: row.get(0)?,
                last_modified: row.get(1)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Keeps the validators of an answer that was one page; the ones before are forgotten. Without any,
/// the scope has none from now on.
///
/// # Errors
/// A failure of the file.
pub fn put(
    tx: &WriteTx<'_>,
    project: ProjectId,
    scope: &str,
    request: &Hash,
    validators: &StoredValidators,
) -> Result<(), Error> {
    if validators == &StoredValidators::default() {
        return forget(tx, project, scope);
    }
    tx.prepare_cached(
        "INSERT INTO http_validators (project_id, scope, request_hash, etag, last_modified) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET request_hash = excluded.request_hash, etag = excluded.etag,
             last_modified = excluded.last_modified",
    )?
    .execute(params![
        project.0,
        scope,
        request,
        validators.etag,
        validators.last_modified
    ])?;
    Ok(())
}

/// Forgets the validators of a scope: the next request is unconditional.
///
/// # Errors
/// A failure of the file.
pub fn forget(tx: &WriteTx<'_>, project: ProjectId, scope: &str) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM http_validators WHERE project_id = ?1 AND scope = ?2")?
        .execute(params![project.0, scope])?;
    Ok(())
}
