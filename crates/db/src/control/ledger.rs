//! The ledger of a run that names its entities: how far each of them came, and how that went.
//!
//! Rows are written in transactions of their own, so that undoing what such a run stored never
//! undoes the word on why.

use annals_core::{Code, EntityKind, Iid, ProjectId, RunId};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::ids::{EntityStage, EntityStatus, RunMode, RunStatus, kind_at};
use crate::{Error, WriteTx};

/// One stage of one entity of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityRow {
    /// Issue or merge request.
    pub kind: EntityKind,
    /// Its number.
    pub iid: Iid,
    /// Which stage.
    pub stage: EntityStage,
    /// How it went.
    pub status: EntityStatus,
    /// Why it failed, for programs and for people; without secrets.
    pub error: Option<(Code, String)>,
}

/// What a run was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What it set out to do.
    pub mode: RunMode,
    /// How it ended, or that it has not.
    pub status: RunStatus,
    /// Its project, if it has just one.
    pub project: Option<ProjectId>,
    /// The rest, as the run wrote it down.
    pub requested: Value,
}

/// Writes how a stage went for an entity; what was said of the same stage before is replaced.
///
/// # Errors
/// A failure of the file.
pub fn put_entity(tx: &WriteTx<'_>, run_id: &RunId, row: &EntityRow) -> Result<(), Error> {
    let (code, message) = row
        .error
        .as_ref()
        .map(|(code, message)| (code.as_str(), message))
        .unzip();
    tx.prepare_cached(
        "INSERT INTO sync_run_entities (run_id, entity_type, iid, stage, status, error_code, error_message, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (run_id, entity_type, iid, stage) DO UPDATE SET status = excluded.status,
             error_code = excluded.error_code, error_message = excluded.error_message,
             updated_at = excluded.updated_at",
    )?
    .execute(params![
        run_id.as_str(),
        row.kind.as_str(),
        row.iid.0,
        row.stage,
        row.status,
        code,
        message,
        tx.now().0
    ])?;
    Ok(())
}

/// What a run was asked for; `None` if there is no such run.
///
/// # Errors
/// A failure of the file.
pub fn asked(conn: &Connection, run_id: &RunId) -> Result<Option<Asked>, Error> {
    let found = conn
        .prepare_cached("SELECT mode, status, project_id, requested FROM sync_runs WHERE run_id = ?1")?
        .query_row(params![run_id.as_str()], |row| {
            let requested: String = row.get(3)?;
            Ok(Asked {
                mode: row.get(0)?,
                status: row.get(1)?,
                project: row.get::<_, Option<i64>>(2)?.map(ProjectId),
                requested: serde_json::from_str(&requested).unwrap_or_default(),
            })
        })
        .optional()?;
    Ok(found)
}

/// The entities whose last stage failed, with that stage, by type, then number. Stages are entered in their order, so
/// the newest row of an entity is its last stage.
///
/// # Errors
/// A failure of the file.
pub fn failed_entities(conn: &Connection, run_id: &RunId) -> Result<Vec<(EntityKind, Iid, EntityStage)>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT e.entity_type, e.iid, e.stage FROM sync_run_entities e
         WHERE e.run_id = ?1 AND e.status = 'failed' AND NOT EXISTS (SELECT 1 FROM sync_run_entities later
             WHERE later.run_id = e.run_id AND later.entity_type = e.entity_type AND later.iid = e.iid
               AND later.id > e.id)
         ORDER BY e.entity_type, e.iid",
    )?;
    let rows = select.query_map(params![run_id.as_str()], |row| {
        Ok((kind_at(row, 0)?, Iid(row.get(1)?), row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
