//! What writing a fetched entity or set would change, found out by writing it in a transaction that is undone.

use std::collections::BTreeSet;

use annals_core::{EntityKind, ProjectId, UnixMs};
use annals_db::content::blob::{self, Hash};
use annals_db::content::{self, Change};
use annals_db::ids::{EntityId, JobType};
use annals_db::{Error, WriteTx};
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use crate::engine::writer::{self, Absent};
use crate::forge::{EntityRow, Row, SetAnswer};

/// How an entity compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The file says the same.
    Same,
    /// The file does not have it, or shows it as gone.
    Missing,
    /// The forge has a newer state.
    Stale {
        /// The time of the file's.
        here: UnixMs,
        /// The time of the forge's.
        there: UnixMs,
    },
    /// It has the same age and other content.
    Differs {
        /// Which fields; none where the state that is here is damaged.
        fields: Vec<String>,
        /// The state of the file.
        here: Option<Hash>,
        /// The state of the forge.
        there: Option<Hash>,
    },
    /// Something of it is owed anyway.
    Owed,
}

/// Compares a fetched entity with the file. To be run in a rehearsal.
///
/// # Errors
/// A failure of the file.
pub fn entity(tx: &WriteTx<'_>, project: ProjectId, row: &Row) -> Result<Compared, Error> {
    let kind = row.entity.kind();
    let Some((entity, here)) = writer::entity_at(tx, project, kind, row.iid)? else {
        return Ok(Compared::Missing);
    };
    let before = newest(tx, entity)?;
    if before.is_gone {
        return Ok(Compared::Missing);
    }
    if let Some(there) = row.at.filter(|there| *there > here) {
        return Ok(Compared::Stale { here, there });
    }
    // The row of a list lacks what the detail of a merge request brings.
    if is_owed(tx, entity, JobType::Detail)? {
        return Ok(Compared::Owed);
    }
    let applied = match &row.entity {
        EntityRow::Issue(issue) => content::upsert_issue(tx, project, issue),
        EntityRow::MergeRequest(mr) => content::upsert_merge_request(tx, project, mr),
    };
    let change = match applied {
        Ok(applied) => applied.change,
        Err(Error::IidConflict { .. }) => {
            return Ok(Compared::Differs {
                fields: vec!["native_id".to_owned()],
                here: Some(before.state),
                there: None,
            });
        }
        Err(error) => return Err(error),
    };
    match change {
        Change::Unchanged | Change::Touched => Ok(Compared::Same),
        Change::New => Ok(Compared::Missing),
        Change::Changed => {
            let after = newest(tx, entity)?;
            Ok(Compared::Differs {
                fields: match (before.read(tx), after.read(tx)) {
                    (Ok(before), Ok(after)) => fields(&before, &after),
                    // That they differ is certain; in what cannot be said where one of them is damaged.
                    (Err(Error::Corrupt { .. }), _) | (_, Err(Error::Corrupt { .. })) => Vec::new(),
                    (Err(error), _) | (_, Err(error)) => return Err(error),
                },
                here: Some(before.state),
                there: Some(after.state),
            })
        }
    }
}

/// How many children writing a fetched set would change; none where it is owed anyway. To be run in a rehearsal.
///
/// # Errors
/// A failure of the file.
pub fn set(
    tx: &WriteTx<'_>,
    project: ProjectId,
    entity: EntityId,
    answer: &SetAnswer,
    job: JobType,
) -> Result<Option<u64>, Error> {
    if is_owed(tx, entity, job)? || !answer.bad.is_empty() {
        return Ok(None);
    }
    writer::replace_set(tx, project, entity, &answer.set, tx.now(), Absent::Gone).map(Some)
}

/// Whether a job of this kind is open for an entity, or was given up.
fn is_owed(tx: &WriteTx<'_>, entity: EntityId, job: JobType) -> Result<bool, Error> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM dependent_jobs
             WHERE entity_type = ?1 AND entity_id = ?2 AND job_type = ?3 AND status IN ('pending', 'claimed')",
        )?
        .exists(params![entity.kind.to_string(), entity.row, job])?)
}

/// The newest revision of an entity.
struct Newest {
    state: Hash,
    is_gone: bool,
}

impl Newest {
    fn read(&self, tx: &WriteTx<'_>) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&blob::get(tx, &self.state)?).unwrap_or_default())
    }
}

fn newest(tx: &WriteTx<'_>, entity: EntityId) -> Result<Newest, Error> {
    let table = match entity.kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "merge_requests",
    };
    let found = tx
        .prepare_cached(&format!(
            "SELECT r.state_hash, t.gone_at IS NOT NULL FROM {table} t JOIN revisions r ON r.id = t.revision_id
             WHERE t.id = ?1"
        ))?
        .query_row((entity.row,), |row| {
            Ok(Newest {
                state: row.get(0)?,
                is_gone: row.get(1)?,
            })
        })
        .optional()?;
    found.ok_or(Error::Corrupt {
        what: format!("{} {} has no revision", entity.kind, entity.row),
        source: None,
    })
}

/// The members in which two states differ.
fn fields(a: &Value, b: &Value) -> Vec<String> {
    let keys = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .map(|members| members.keys().cloned().collect())
            .unwrap_or_default()
    };
    keys(a)
        .union(&keys(b))
        .filter(|key| a.get(key.as_str()) != b.get(key.as_str()))
        .cloned()
        .collect()
}
