//! One issue or merge request with what hangs on it.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::list::{self, ListItem};
use super::{Visibility, json};
use crate::Error;
use crate::content::blob;
use crate::content::revision::PROJECTION;
use crate::ids::{Detail, EntityId, EventKind, EventOrigin, FileChange, Files, RevisionOp, SubjectKind, entity_table};

/// An entity in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entity {
    /// What a list shows of it.
    #[serde(flatten)]
    pub item: ListItem,
    /// Its description.
    pub body: String,
    /// Whether its discussion is closed.
    pub locked: bool,
    /// Incident, task and the like.
    pub issue_type: Option<String>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// When it is due.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub due_at: Option<UnixMs>,
    /// Where it went, if it did.
    pub moved_to: Option<String>,
    /// Whether a time of its payload cannot be right.
    pub time_suspect: bool,
    /// Whether its description is cut.
    pub body_truncated: bool,
    /// What only a merge request has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_request: Option<MergeRequestPart>,
}

impl Entity {
    /// Its row, for what hangs on it.
    #[must_use]
    pub const fn id(&self) -> EntityId {
        EntityId {
            kind: self.item.kind,
            row: self.item.row,
        }
    }
}

/// What only a merge request has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergeRequestPart {
    /// Where it comes from.
    pub source_branch: Option<String>,
    /// Where it goes.
    pub target_branch: Option<String>,
    /// The project it comes from.
    pub source_project: Option<String>,
    /// Its newest commit.
    pub head_oid: Option<String>,
    /// The commit its diff is against.
    pub base_oid: Option<String>,
    /// The commit that merged it.
    pub merge_commit_oid: Option<String>,
    /// The commit it was squashed to.
    pub squash_oid: Option<String>,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// Who was asked to review it.
    pub reviewers: Vec<Reviewer>,
    /// Whether the parts outside its list row are here.
    pub detail: Detail,
    /// How much of its file list is here.
    pub files: Files,
}

/// Somebody asked to review a merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reviewer {
    /// Who.
    pub user: String,
    /// What became of it.
    pub state: Option<String>,
}

/// The entity with a number, if the caller may see it.
///
/// # Errors
/// A failure of the file.
pub fn entity(
    conn: &Connection,
    visibility: &Visibility,
    kind: EntityKind,
    project: ProjectId,
    iid: Iid,
) -> Result<Option<Entity>, Error> {
    let Some(item) = list::one(conn, visibility, kind, project, iid)? else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT e.body, e.locked, e.issue_type, c.username, e.due_at, e.moved_to, e.flags
         FROM {} e LEFT JOIN users c ON c.id = e.closed_by_id WHERE e.id = ?1",
        entity_table(kind)
    );
    let row = item.row;
    let mut entity = conn.prepare_cached(&sql)?.query_row(params![row], |row| {
        let flags: i64 = row.get(6)?;
        Ok(Entity {
            item,
            body: row.get(0)?,
            locked: row.get(1)?,
            issue_type: row.get(2)?,
            closed_by: row.get(3)?,
            due_at: json::time(row, 4)?,
            moved_to: row.get(5)?,
            time_suspect: flags & crate::content::flag::TIME_SUSPECT != 0,
            body_truncated: flags & crate::content::flag::BODY_TRUNCATED != 0,
            merge_request: None,
        })
    })?;
    if kind == EntityKind::MergeRequest {
        entity.merge_request = Some(merge_request(conn, row)?);
    }
    Ok(Some(entity))
}

fn merge_request(conn: &Connection, row: i64) -> Result<MergeRequestPart, Error> {
    let reviewers = conn
        .prepare_cached(
            "SELECT u.username, l.state FROM mr_reviewers l JOIN users u ON u.id = l.user_id WHERE l.mr_id = ?1
             ORDER BY u.username_folded, u.username",
        )?
        .query_map(params![row], |row| {
            Ok(Reviewer {
                user: row.get(0)?,
                state: row.get(1)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let part = conn
        .prepare_cached(
            "SELECT e.source_branch, e.target_branch, e.source_project, e.head_oid, e.base_oid, e.merge_commit_oid,
                    e.squash_oid, u.username, e.detail, e.files
             FROM merge_requests e LEFT JOIN users u ON u.id = e.merged_by_id WHERE e.id = ?1",
        )?
        .query_row(params![row], |row| {
            Ok(MergeRequestPart {
                source_branch: row.get(0)?,
                target_branch: row.get(1)?,
                source_project: row.get(2)?,
                head_oid: row.get(3)?,
                base_oid: row.get(4)?,
                merge_commit_oid: row.get(5)?,
                squash_oid: row.get(6)?,
                merged_by: row.get(7)?,
                reviewers,
                detail: row.get(8)?,
                files: row.get(9)?,
            })
        })?;
    Ok(part)
}

/// A resource event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub at: Option<UnixMs>,
    /// What it is about.
    pub kind: EventKind,
    /// What happened.
    pub action: String,
    /// To what.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: String,
    /// Who says so.
    pub origin: EventOrigin,
    /// Since when the forge no longer shows it.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub gone_at: Option<UnixMs>,
}

/// The events of an entity that the caller was shown, oldest first.
///
/// # Errors
/// A failure of the file.
pub fn events(conn: &Connection, entity: EntityId) -> Result<Vec<Event>, Error> {
    let sql = format!(
        "SELECT e.created_at, e.kind, e.action, e.subject, u.username, e.origin, e.gone_at
         FROM resource_events e JOIN users u ON u.id = e.actor_id WHERE e.{} = ?1 ORDER BY e.created_at, e.id",
        entity.parent_column()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params![entity.row], |row| {
        Ok(Event {
            at: json::time(row, 0)?,
            kind: row.get(1)?,
            action: row.get(2)?,
            subject: row.get(3)?,
            actor: row.get(4)?,
            origin: row.get(5)?,
            gone_at: json::time(row, 6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path before.
    pub old_path: String,
    /// Its path after.
    pub new_path: String,
    /// What happened to it.
    pub change: FileChange,
    /// Lines added.
    pub additions: Option<i64>,
    /// Lines deleted.
    pub deletions: Option<i64>,
    /// Whether it is no text.
    pub binary: bool,
    /// Whether the forge left the patch out for its size.
    pub too_large: bool,
}

/// The files of a merge request as they are now.
///
/// # Errors
/// A failure of the file.
pub fn files(conn: &Connection, entity: EntityId) -> Result<Vec<File>, Error> {
    let Some(mr) = entity.mr_row() else {
        return Ok(Vec::new());
    };
    let mut select = conn.prepare_cached(
        "SELECT old_path, new_path, change, additions, deletions, binary, too_large FROM mr_file_changes
         WHERE mr_id = ?1 AND to_at IS NULL ORDER BY new_path, old_path",
    )?;
    let rows = select.query_map(params![mr], file)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A file from its columns, in the order of the fields.
pub(super) fn file(row: &Row<'_>) -> rusqlite::Result<File> {
    Ok(File {
        old_path: row.get(0)?,
        new_path: row.get(1)?,
        change: row.get(2)?,
        additions: row.get(3)?,
        deletions: row.get(4)?,
        binary: row.get(5)?,
        too_large: row.get(6)?,
    })
}

/// A recorded revision and what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Its number.
    pub seq: i64,
    /// What it records.
    pub op: RevisionOp,
    /// Since when it holds.
    #[serde(with = "annals_core::time::rfc3339")]
    pub valid_from: UnixMs,
    /// When it was seen.
    #[serde(with = "annals_core::time::rfc3339")]
    pub observed_at: UnixMs,
    /// The fields that differ from the revision before.
    pub changed: Vec<String>,
}

/// The revisions of an entity, oldest first.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn revisions(conn: &Connection, entity: EntityId) -> Result<Vec<Revision>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT seq, op, valid_from, observed_at, state_hash FROM revisions
         WHERE subject_kind = ?1 AND subject_id = ?2 ORDER BY seq",
    )?;
    let mut rows = select.query(params![SubjectKind::from(entity.kind), entity.row])?;
    let (mut revisions, mut before) = (Vec::new(), None::<(blob::Hash, Value)>);
    while let Some(row) = rows.next()? {
        let hash: blob::Hash = row.get(4)?;
        let state = match &before {
            Some((known, state)) if *known == hash => state.clone(),
            _ => state(conn, &hash)?,
        };
        let changed = before
            .as_ref()
            .map_or_else(Vec::new, |(_, before)| differing(before, &state));
        revisions.push(Revision {
            seq: row.get(0)?,
            op: row.get(1)?,
            valid_from: UnixMs(row.get(2)?),
            observed_at: UnixMs(row.get(3)?),
            changed,
        });
        before = Some((hash, state));
    }
    Ok(revisions)
}

/// What two revisions of an entity differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateDiff {
    /// The number of the one before.
    pub from: i64,
    /// The number of the one after.
    pub to: i64,
    /// The fields that differ, by name.
    pub changes: Vec<FieldDiff>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDiff {
    /// Its name.
    pub field: String,
    /// What it was.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

/// What differs between two revisions of an entity, by their numbers; `None` if one is not there.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if a state cannot be read.
pub fn diff(conn: &Connection, entity: EntityId, from: i64, to: i64) -> Result<Option<StateDiff>, Error> {
    let of = |seq: i64| -> Result<Option<Value>, Error> {
        let hash: Option<blob::Hash> = conn
            .prepare_cached(
                "SELECT state_hash FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2 AND seq = ?3",
            )?
            .query_row(params![SubjectKind::from(entity.kind), entity.row, seq], |row| {
                row.get(0)
            })
            .optional()?;
        hash.map(|hash| state(conn, &hash)).transpose()
    };
    let (Some(before), Some(after)) = (of(from)?, of(to)?) else {
        return Ok(None);
    };
    let value = |state: &Value, field: &str| state.get(field).cloned().unwrap_or_default();
    let changes = differing(&before, &after).into_iter().map(|field| FieldDiff {
        before: value(&before, &field),
        after: value(&after, &field),
        field,
    });
    Ok(Some(StateDiff {
        from,
        to,
        changes: changes.collect(),
    }))
}

/// What the forge last sent for an entity when its state changed.
///
/// # Errors
/// A failure of the file; [`Error::Corrupt`] if the payload cannot be read.
pub fn raw(conn: &Connection, entity: EntityId) -> Result<Option<Value>, Error> {
    let hash: Option<blob::Hash> = conn
        .prepare_cached(
            "SELECT payload_hash FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2 AND payload_hash IS NOT NULL
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![SubjectKind::from(entity.kind), entity.row], |row| row.get(0))
        .optional()?;
    hash.map(|hash| state(conn, &hash)).transpose()
}

/// When an entity last changed, as far as the file knows.
///
/// # Errors
/// A failure of the file.
pub fn entity_updated_at(
    conn: &Connection,
    project: ProjectId,
    kind: EntityKind,
    iid: Iid,
) -> Result<Option<(EntityId, Option<UnixMs>)>, Error> {
    let sql = format!(
        "SELECT id, updated_at FROM {} WHERE project_id = ?1 AND iid = ?2",
        entity_table(kind)
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row(params![project.0, iid.0], |row| {
            Ok((EntityId { kind, row: row.get(0)? }, json::time(row, 1)?))
        })
        .optional()?;
    Ok(found)
}

/// The version of the projection that wrote states; part of an ETag.
#[must_use]
pub const fn renderer_version() -> i64 {
    PROJECTION
}

pub(super) fn state(conn: &Connection, hash: &blob::Hash) -> Result<Value, Error> {
    let bytes = blob::get(conn, hash)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::corrupt(format!("blob {} is no JSON: {error}", blob::hex(hash))))
}

/// The members that differ between two states, in order.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return Vec::new();
    };
    let mut names: Vec<_> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, _)| name.clone())
        .collect();
    names.extend(before.keys().filter(|name| !after.contains_key(*name)).cloned());
    names.sort_unstable();
    names
}
