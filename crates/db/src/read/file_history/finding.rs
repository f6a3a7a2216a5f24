//! Why an answer is empty, or may be short.

use std::cmp::Reverse;

use annals_core::UnixMs;
use annals_core::text::{closeness, fold};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::requests::{self, Requests, touched};
use super::{Scope, commits, notes, place};
use crate::Error;
use crate::ids::SubjectKind;

/// How many paths are offered for one that is not known.
const NEAREST: usize = 5;

/// Below this two paths have nothing to do with each other.
const ALIKE: f64 = 0.8;

/// What a reader should know about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFinding {
    /// No changed file of the project is here yet.
    NothingSynced,
    /// No change and no note names the path.
    PathUnknown {
        /// Known paths that it may have been meant for, the likeliest first.
        nearest: Vec<String>,
    },
    /// Nothing that was recorded by the time that is asked about names the path; something later does.
    RecordedLater {
        /// Since when.
        since: UnixMs,
    },
    /// No merge request of those asked for touches the path, but something else names it.
    OnlyNamed {
        /// Commits that touch it.
        commits: u64,
        /// Notes on it.
        notes: u64,
        /// Merge requests that touched it for a while, or are gone.
        merge_requests: u64,
    },
    /// The file lists of some merge requests are not here, or were cut by the forge.
    FilesIncomplete {
        /// How many.
        merge_requests: u64,
    },
    /// Merge requests touch the file, but none of those asked for.
    NoneMerged {
        /// How many.
        merge_requests: u64,
    },
}

/// What to say. `empty` is what was asked for, if nothing was found.
pub(super) fn findings(
    conn: &Connection,
    scope: &Scope,
    path: &str,
    paths: &Value,
    empty: Option<Requests>,
) -> Result<Vec<FileFinding>, Error> {
    let mut findings = Vec::new();
    if let Some(asked) = empty {
        let others = match asked {
            Requests::All => 0,
            Requests::Merged => requests::requests(conn, scope, paths, Requests::All, 0)?.total,
        };
        findings.push(if others > 0 {
            FileFinding::NoneMerged { merge_requests: others }
        } else {
            why_empty(conn, scope, path, paths)?
        });
    }
    let sql = format!(
        "SELECT count(*) FROM merge_requests m WHERE m.project_id = ?1 AND m.files IN ('pending', 'truncated')
         AND m.confidential <= ?3 AND {}",
        scope.at.there(SubjectKind::MergeRequest, "m", "?2")
    );
    let incomplete: u64 = conn
        .prepare_cached(&sql)?
        .query_row(params![scope.project.0, scope.at, scope.highest], |row| row.get(0))?;
    if incomplete > 0 {
        findings.push(FileFinding::FilesIncomplete {
            merge_requests: incomplete,
        });
    }
    Ok(findings)
}

/// Why no merge request of any sort touches any of the names.
fn why_empty(conn: &Connection, scope: &Scope, path: &str, paths: &Value) -> Result<FileFinding, Error> {
    if !any_change(conn, scope)? {
        return Ok(FileFinding::NothingSynced);
    }
    if place::has(conn, scope, path)? {
        return Ok(FileFinding::OnlyNamed {
            commits: commits::commits(conn, scope, paths)?.len() as u64,
            notes: notes::notes(conn, scope, paths, Requests::All)?.notes.len() as u64,
            merge_requests: once_touched(conn, scope, paths)?,
        });
    }
    if let Some(since) = place::since(conn, scope, path)? {
        return Ok(FileFinding::RecordedLater { since });
    }
    let nearest = nearest(conn, scope, path)?;
    Ok(FileFinding::PathUnknown { nearest })
}

/// How many merge requests have touched any of the names, whether they still do and are there or not.
fn once_touched(conn: &Connection, scope: &Scope, paths: &Value) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(DISTINCT t.mr_id) FROM ({}) t JOIN merge_requests m ON m.id = t.mr_id WHERE m.confidential <= ?4",
        touched("c.mr_id", "mr_file_changes", "c.from_at <= ?3")
    );
    let mut select = conn.prepare_cached(&sql)?;
    Ok(
        select.query_row(params![scope.project.0, paths, scope.at, scope.highest], |row| {
            row.get(0)
        })?,
    )
}

/// Whether any change of a file is here, of whatever time.
fn any_change(conn: &Connection, scope: &Scope) -> Result<bool, Error> {
    let mut select = conn.prepare_cached(
        "SELECT 1 FROM mr_file_changes c JOIN merge_requests m ON m.id = c.mr_id
          WHERE c.project_id = ?1 AND m.confidential <= ?2
         UNION ALL SELECT 1 FROM commit_file_changes WHERE project_id = ?1 LIMIT 1",
    )?;
    Ok(select.exists(params![scope.project.0, scope.highest])?)
}

/// The known paths that are most alike: those with the same file name first. Every path of the project
/// is looked at, which only a path that is not known costs.
fn nearest(conn: &Connection, scope: &Scope, path: &str) -> Result<Vec<String>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT c.new_path FROM mr_file_changes c JOIN merge_requests m ON m.id = c.mr_id
          WHERE c.project_id = ?1 AND m.confidential <= ?2 AND c.from_at <= ?3
         UNION SELECT c.old_path FROM mr_file_changes c JOIN merge_requests m ON m.id = c.mr_id
          WHERE c.project_id = ?1 AND m.confidential <= ?2 AND c.from_at <= ?3
         UNION SELECT c.new_path FROM commit_file_changes c JOIN commits k ON k.id = c.commit_id
          WHERE c.project_id = ?1 AND coalesce(k.committer_at, k.author_at, 0) <= ?3
         UNION SELECT c.old_path FROM commit_file_changes c JOIN commits k ON k.id = c.commit_id
          WHERE c.project_id = ?1 AND coalesce(k.committer_at, k.author_at, 0) <= ?3",
    )?;
    let mut rows = select.query(params![scope.project.0, scope.highest, scope.at])?;
    let wanted = fold(path);
    let mut best: Vec<(Reverse<bool>, Reverse<u64>, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        let known: String = row.get(0)?;
        let folded = fold(&known);
        let same_name = file_name(&folded) == file_name(&wanted);
        let alike = closeness(&folded, &wanted);
        if !same_name && alike < ALIKE {
            continue;
        }
        // Of two floats between 0 and 1 the bits are in the same order.
        best.push((Reverse(same_name), Reverse(alike.to_bits()), known));
        if best.len() > 4 * NEAREST {
            best.sort_unstable();
            best.truncate(NEAREST);
        }
    }
    best.sort_unstable();
    best.truncate(NEAREST);
    Ok(best.into_iter().map(|(_, _, path)| path).collect())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
