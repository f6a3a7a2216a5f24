//! The changed files of a merge request, as intervals in forge time, and the pushes it has seen.

use std::collections::BTreeMap;

use annals_core::{EntityKind, Oid, ProjectId, UnixMs};
use rusqlite::{OptionalExtension, params};

use super::blob::Hash;
use super::{Change, SetChange, SetShape};
use crate::ids::{EntityId, FileChange, Files, SourceKind};
use crate::text::clean;
use crate::work::dirty;
use crate::{Error, WriteTx};

/// The changed files of a merge request, as one fetch saw them.
#[derive(Debug, Clone)]
pub struct FileSetIn {
    /// The files.
    pub files: Vec<FileChangeIn>,
    /// [`Files::Complete`], or [`Files::Truncated`] where the forge cut the list.
    pub extent: Files,
    /// Whether a file that is not in the list has left it: not where the list is
    /// [`SetShape::Unproven`].
    pub shape: SetShape,
    /// The head they belong to.
    pub head_oid: Option<Oid>,
    /// Since when the list is so, in forge time; `None` is now.
    pub at: Option<UnixMs>,
}

/// One changed file.
#[derive(Debug, Clone)]
pub struct FileChangeIn {
    /// Its path before.
    pub old_path: String,
    /// Its path after.
    pub new_path: String,
    /// What happened to it.
    pub change: FileChange,
    /// Lines added, where known.
    pub additions: Option<i64>,
    /// Lines deleted, where known.
    pub deletions: Option<i64>,
    /// Whether it is no text.
    pub binary: bool,
    /// Whether the forge left the patch out for its size.
    pub too_large: bool,
    /// The hash of the patch text.
    pub patch_hash: Option<Hash>,
}

/// A state of a merge request's branch.
#[derive(Debug, Clone)]
pub struct MrVersionIn {
    /// Its newest commit.
    pub head_oid: Oid,
    /// The commit the diff is against, once known.
    pub base_oid: Option<Oid>,
    /// Where the branch began, once known.
    pub start_oid: Option<Oid>,
    /// When it was pushed, where the forge says; else now.
    pub seen_at: Option<UnixMs>,
}

/// Replaces the file list: rows that differ are closed and opened anew, the others stay untouched.
///
/// # Errors
/// A failure of the file.
pub fn replace_file_changes(
    tx: &WriteTx<'_>,
    project: ProjectId,
    mr: EntityId,
    set: &FileSetIn,
) -> Result<SetChange, Error> {
    debug_assert_eq!(mr.kind, EntityKind::MergeRequest, "only merge requests change files");
    let at = set.at.unwrap_or(tx.now()).0.max(newest(tx, mr)?);
    let mut counts = SetChange::default();
    let mut current = current(tx, mr)?;
    let next: BTreeMap<_, _> = set.files.iter().map(|file| (key(file), Columns::of(file))).collect();
    for (paths, columns) in next {
        let known = current.remove(&paths);
        match &known {
            Some((_, known)) if *known == columns => {
                counts.unchanged += 1;
                continue;
            }
            Some((row, _)) => {
                close(tx, *row, at)?;
                counts.changed += 1;
            }
            None => counts.new += 1,
        }
        open(tx, project, mr, &paths, &columns, at)?;
    }
    if set.shape != SetShape::Unproven {
        for (row, _) in current.into_values() {
            close(tx, row, at)?;
            counts.gone += 1;
        }
    }
    let extent_moved = set_extent(tx, mr, set)?;
    if counts.is_written() || extent_moved {
        let seq = tx.content_seq()?;
        tx.prepare_cached("UPDATE merge_requests SET changed_seq = ?2 WHERE id = ?1")?
            .execute(params![mr.row, seq])?;
        dirty::mark(tx, SourceKind::MergeRequest, mr.row, "files")?;
    }
    Ok(counts)
}

/// Records a push or force-push that was seen. The base of a head is filled in when it becomes known.
///
/// # Errors
/// A failure of the file.
pub fn record_mr_version(tx: &WriteTx<'_>, mr: EntityId, version: &MrVersionIn) -> Result<Change, Error> {
    let known: Option<(i64, Option<String>, Option<String>)> = tx
        .prepare_cached(
            "SELECT id, base_oid, start_oid FROM mr_versions WHERE mr_id = ?1 AND head_oid = ?2
             AND (?3 IS NULL OR base_oid IS NULL OR base_oid = ?3) ORDER BY base_oid IS NULL, version DESC LIMIT 1",
        )?
        .query_row(
            params![
                mr.row,
                version.head_oid.as_str(),
                version.base_oid.as_ref().map(Oid::as_str)
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    if let Some((row, base_oid, start_oid)) = known {
        let base = version.base_oid.as_ref().map(Oid::as_str).or(base_oid.as_deref());
        let start = version.start_oid.as_ref().map(Oid::as_str).or(start_oid.as_deref());
        if (base, start) == (base_oid.as_deref(), start_oid.as_deref()) {
            return Ok(Change::Unchanged);
        }
        tx.content_seq()?;
        tx.prepare_cached("UPDATE mr_versions SET base_oid = ?2, start_oid = ?3 WHERE id = ?1")?
            .execute(params![row, base, start])?;
        return Ok(Change::Touched);
    }
    tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO mr_versions (mr_id, version, head_oid, base_oid, start_oid, seen_at, files)
         SELECT ?1, coalesce(max(version), 0) + 1, ?2, ?3, ?4, ?5, 'pending' FROM mr_versions WHERE mr_id = ?1",
    )?
    .execute(params![
        mr.row,
        version.head_oid.as_str(),
        version.base_oid.as_ref().map(Oid::as_str),
        version.start_oid.as_ref().map(Oid::as_str),
        version.seen_at.unwrap_or(tx.now()).0
    ])?;
    Ok(Change::New)
}

type Paths = (String, String);

fn key(file: &FileChangeIn) -> Paths {
    (clean(&file.new_path).into_owned(), clean(&file.old_path).into_owned())
}

#[derive(PartialEq)]
struct Columns {
    change: FileChange,
    additions: Option<i64>,
    deletions: Option<i64>,
    binary: bool,
    too_large: bool,
    patch_hash: Option<Hash>,
}

impl Columns {
    fn of(file: &FileChangeIn) -> Self {
        Self {
            change: file.change,
            additions: file.additions,
            deletions: file.deletions,
            binary: file.binary,
            too_large: file.too_large,
            patch_hash: file.patch_hash,
        }
    }
}

fn current(tx: &WriteTx<'_>, mr: EntityId) -> Result<BTreeMap<Paths, (i64, Columns)>, Error> {
    let mut select = tx.prepare_cached(
        "SELECT new_path, old_path, id, change, additions, deletions, binary, too_large, patch_hash
         FROM mr_file_changes WHERE mr_id = ?1 AND to_at IS NULL",
    )?;
    let rows = select.query_map(params![mr.row], |row| {
        let columns = Columns {
            change: row.get(3)?,
            additions: row.get(4)?,
            deletions: row.get(5)?,
            binary: row.get(6)?,
            too_large: row.get(7)?,
            patch_hash: row.get(8)?,
        };
        Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, columns)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest time that a list of this merge request has. The next one is no older, whatever the forge says: intervals
/// of one path would overlap.
fn newest(tx: &WriteTx<'_>, mr: EntityId) -> Result<i64, Error> {
    let mut select =
        tx.prepare_cached("SELECT max(max(from_at, coalesce(to_at, from_at))) FROM mr_file_changes WHERE mr_id = ?1")?;
    let newest: Option<i64> = select.query_row(params![mr.row], |row| row.get(0))?;
    Ok(newest.unwrap_or(i64::MIN))
}

/// An interval ends where the next begins, and never before it began.
fn close(tx: &WriteTx<'_>, row: i64, at: i64) -> Result<(), Error> {
    tx.content_seq()?;
    tx.prepare_cached("UPDATE mr_file_changes SET to_at = max(from_at, ?2) WHERE id = ?1")?
        .execute(params![row, at])?;
    Ok(())
}

fn open(
    tx: &WriteTx<'_>,
    project: ProjectId,
    mr: EntityId,
    (new_path, old_path): &Paths,
    columns: &Columns,
    at: i64,
) -> Result<(), Error> {
    tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO mr_file_changes (mr_id, project_id, old_path, new_path, change, additions, deletions, binary,
                                      too_large, patch_hash, from_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        mr.row,
        project.0,
        old_path,
        new_path,
        columns.change,
        columns.additions,
        columns.deletions,
        columns.binary,
        columns.too_large,
        columns.patch_hash,
        at
    ])?;
    Ok(())
}

/// Writes how much of the list is here; true if that is news. A head that has moved on since the
/// fetch began still owes its own list.
fn set_extent(tx: &WriteTx<'_>, mr: EntityId, set: &FileSetIn) -> Result<bool, Error> {
    let head_oid = set.head_oid.as_ref().map(Oid::as_str);
    let moved = tx
        .prepare_cached(
            "SELECT 1 FROM merge_requests WHERE id = ?1 AND files <> ?2 AND (?3 IS NULL OR head_oid IS ?3)",
        )?
        .exists(params![mr.row, set.extent, head_oid])?;
    if moved {
        tx.content_seq()?;
        tx.prepare_cached("UPDATE merge_requests SET files = ?2 WHERE id = ?1")?
            .execute(params![mr.row, set.extent])?;
    }
    let versions = tx
        .prepare_cached(
            "SELECT id FROM mr_versions WHERE mr_id = ?1 AND head_oid = ?2 AND files <> ?3 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![mr.row, head_oid, set.extent], |row| row.get::<_, i64>(0))
        .optional()?;
    if let Some(version) = versions {
        tx.content_seq()?;
        tx.prepare_cached("UPDATE mr_versions SET files = ?2 WHERE id = ?1")?
            .execute(params![version, set.extent])?;
    }
    Ok(moved)
}
