//! Indexed commits that touch the file.

use annals_core::UnixMs;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::Scope;
use super::requests::{strength, touched};
use crate::Error;
use crate::ids::FileChange;
use crate::read::json;

/// A commit that touched the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCommit {
    /// Its object id.
    pub oid: String,
    /// The first line of its message.
    pub title: String,
    /// Who wrote it, as git knows them.
    pub author: Option<String>,
    /// When it was committed.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub committed_at: Option<UnixMs>,
    /// The most that it did to the file.
    pub change_type: FileChange,
    /// The names of the file in its changes, old and new.
    pub paths: Vec<String>,
}

/// The commits that touch any of the names, newest first.
pub(super) fn commits(conn: &Connection, scope: &Scope, paths: &Value) -> Result<Vec<FileCommit>, Error> {
    let sql = format!(
        "WITH touched AS MATERIALIZED ({})
         SELECT k.oid, k.title, k.author_name, coalesce(k.committer_at, k.author_at) AS at, touched.change,
                touched.old_path, touched.new_path
         FROM touched JOIN commits k ON k.id = touched.commit_id
         WHERE coalesce(k.committer_at, k.author_at, 0) <= ?3
         ORDER BY at DESC, k.id DESC, touched.new_path, touched.old_path",
        touched(
            "c.commit_id, c.change, c.old_path, c.new_path",
            "commit_file_changes",
            "1"
        ),
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope.project.0, paths, scope.at])?;
    let mut commits: Vec<FileCommit> = Vec::new();
    while let Some(row) = rows.next()? {
        let (oid, change): (String, FileChange) = (row.get(0)?, row.get(4)?);
        let commit = match commits.last_mut() {
            Some(open) if open.oid == oid => open,
            _ => {
                commits.push(FileCommit {
                    oid,
                    title: row.get(1)?,
                    author: row.get(2)?,
                    committed_at: json::time(row, 3)?,
                    change_type: change,
                    paths: Vec::new(),
                });
                let Some(open) = commits.last_mut() else { continue };
                open
            }
        };
        if strength(change) > strength(commit.change_type) {
            commit.change_type = change;
        }
        commit.paths.extend([row.get::<_, String>(5)?, row.get(6)?]);
        commit.paths.sort_unstable();
        commit.paths.dedup();
    }
    Ok(commits)
}
