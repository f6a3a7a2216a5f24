//! The sets of a merge request that have no writer of their own in the store: its commits, as
//! intervals, and the issues that it closes.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use annals_db::ids::{EntityId, SourceKind};
use annals_db::work::dirty;
use annals_db::{Error, WriteTx};
use rusqlite::{OptionalExtension, params};

use crate::forge::{CommitIn, ReferenceIn};

/// What it means that a child is not in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It has left.
    Gone,
    /// Nothing: something in the list could not be read.
    Unknown,
}

/// Replaces the commits of a merge request: positions that hold another commit are closed and
/// opened anew, the others stay untouched. Returns how many rows were written.
pub fn replace_commits(
    tx: &WriteTx<'_>,
    project: ProjectId,
    mr: EntityId,
    commits: &[CommitIn],
    absent: Absent,
    at: UnixMs,
) -> Result<u64, Error> {
    let mut current: BTreeMap<i64, (i64, i64)> = tx
        .prepare_cached("SELECT position, id, commit_id FROM mr_commits WHERE mr_id = ?1 AND to_at IS NULL")?
        .query_map(params![mr.row], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    if absent == Absent::Unknown {
        return add_commits(tx, project, mr, commits, &current, at);
    }
    let mut written = 0;
    for (position, commit) in (0_i64..).zip(commits) {
        let (commit, is_new) = commit_row(tx, project, commit)?;
        written += u64::from(is_new);
        match current.remove(&position) {
            Some((_, known)) if known == commit => continue,
            Some((row, _)) => close(tx, row, at)?,
            None => {}
        }
        open(tx, mr, commit, position, at)?;
        written += 1;
    }
    for (row, _) in current.into_values() {
        close(tx, row, at)?;
        written += 1;
    }
    Ok(written)
}

/// Adds the commits that are not there, behind those that are: with one unreadable among them the
/// positions say nothing, and the next whole list puts them right.
fn add_commits(
    tx: &WriteTx<'_>,
    project: ProjectId,
    mr: EntityId,
    commits: &[CommitIn],
    current: &BTreeMap<i64, (i64, i64)>,
    at: UnixMs,
) -> Result<u64, Error> {
    let known: BTreeSet<i64> = current.values().map(|(_, commit)| *commit).collect();
    let mut position = current.last_key_value().map_or(0, |(last, _)| last + 1);
    let mut written = 0;
    for commit in commits {
        let (commit, is_new) = commit_row(tx, project, commit)?;
        written += u64::from(is_new);
        if known.contains(&commit) {
            continue;
        }
        open(tx, mr, commit, position, at)?;
        position += 1;
        written += 1;
    }
    Ok(written)
}

/// Begins an interval, never before the end of another one at this position: where the time of a list is not known it
/// is the beginning of all times.
fn open(tx: &WriteTx<'_>, mr: EntityId, commit: i64, position: i64, at: UnixMs) -> Result<(), Error> {
    tx.content_seq()?;
    tx.prepare_cached(
        "INSERT INTO mr_commits (mr_id, commit_id, position, from_at) VALUES (?1, ?2, ?3, max(?4, coalesce(
             (SELECT max(to_at) FROM mr_commits WHERE mr_id = ?1 AND position = ?3), ?4)))",
    )?
    .execute(params![mr.row, commit, position, at.0])?;
    Ok(())
}

fn close(tx: &WriteTx<'_>, row: i64, at: UnixMs) -> Result<(), Error> {
    tx.content_seq()?;
    tx.prepare_cached("UPDATE mr_commits SET to_at = max(from_at, ?2) WHERE id = ?1")?
        .execute(params![row, at.0])?;
    Ok(())
}

/// The row of a commit, and whether it was written. What an object id names never changes.
fn commit_row(tx: &WriteTx<'_>, project: ProjectId, commit: &CommitIn) -> Result<(i64, bool), Error> {
    let known: Option<i64> = tx
        .prepare_cached("SELECT id FROM commits WHERE project_id = ?1 AND oid = ?2")?
        .query_row(params![project.0, commit.oid.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(row) = known {
        return Ok((row, false));
    }
    tx.content_seq()?;
    let parents: Vec<_> = commit.parents.iter().map(annals_core::Oid::as_str).collect();
    tx.prepare_cached(
        "INSERT INTO commits (project_id, oid, title, message, author_name, author_email, author_at, committer_at, parents)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        project.0,
        commit.oid.as_str(),
        clean(&commit.title),
        clean(&commit.message),
        commit.author_name.as_deref().map(clean),
        commit.author_email.as_deref().map(clean),
        commit.author_at.map(|at| at.0),
        commit.committer_at.map(|at| at.0),
        serde_json::json!(parents).to_string(),
    ])?;
    let row = tx.last_insert_rowid();
    dirty::mark(tx, SourceKind::Commit, row, "new")?;
    Ok((row, true))
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Replaces what a merge request closes. Returns how many rows were written or taken away.
pub fn replace_closes(
    tx: &WriteTx<'_>,
    project: ProjectId,
    mr: EntityId,
    targets: &[ReferenceIn],
    absent: Absent,
) -> Result<u64, Error> {
    let known: BTreeMap<ReferenceIn, i64> = tx
        .prepare_cached(
            "SELECT id, target_path, target_kind, target_iid FROM entity_references
             WHERE project_id = ?1 AND source_kind = 'merge_request' AND source_id = ?2 AND kind = 'closes'",
        )?
        .query_map(params![project.0, mr.row], |row| {
            let kind = row.get::<_, String>(2)?.parse().unwrap_or(EntityKind::Issue);
            Ok((
                ReferenceIn {
                    path: row.get(1)?,
                    kind,
                    iid: Iid(row.get(3)?),
                },
                row.get(0)?,
            ))
        })?
        .collect::<Result<_, _>>()?;
    let next: BTreeSet<&ReferenceIn> = targets.iter().collect();
    let mut written = 0;
    for target in next.iter().filter(|target| !known.contains_key(**target)) {
        tx.content_seq()?;
        tx.prepare_cached(
            "INSERT INTO entity_references (project_id, source_kind, source_id, kind, target_path, target_kind, target_iid)
             VALUES (?1, 'merge_request', ?2, 'closes', ?3, ?4, ?5)",
        )?
        .execute(params![project.0, mr.row, clean(&target.path), target.kind.as_str(), target.iid.0])?;
        written += 1;
    }
    if absent == Absent::Unknown {
        return Ok(written);
    }
    for (_, row) in known.iter().filter(|(target, _)| !next.contains(target)) {
        tx.content_seq()?;
        tx.prepare_cached("DELETE FROM entity_references WHERE id = ?1")?
            .execute(params![row])?;
        written += 1;
    }
    Ok(written)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn commit(digit: &str) -> CommitIn {
        CommitIn {
            oid: digit.repeat(40).parse().unwrap(),
            title: String::new(),
            message: String::new(),
            author_name: None,
            author_email: None,
            author_at: None,
            committer_at: None,
            parents: Vec::new(),
        }
    }

    #[test]
    fn an_interval_never_begins_before_the_end_of_another() {
        let conn = Connection::open_in_memory().unwrap();
        for step in annals_db::migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        // Neither the merge request nor its project is there.
        conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let mr = EntityId {
            kind: EntityKind::MergeRequest,
            row: 1,
        };
        // The second list came with a time that could not be trusted, the third with one from before.
        for (digit, at) in [("a", 1000), ("b", 0), ("c", 500)] {
            let commits = [commit(digit)];
            let write = |tx: &WriteTx<'_>| replace_commits(tx, ProjectId(1), mr, &commits, Absent::Gone, UnixMs(at));
            WriteTx::run(&conn, UnixMs(9000), write).unwrap();
        }
        let mut select = conn
            .prepare("SELECT from_at, to_at FROM mr_commits ORDER BY id")
            .unwrap();
        let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, Option<i64>)> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, [(1000, Some(1000)), (1000, Some(1000)), (1000, None)]);
    }
}
