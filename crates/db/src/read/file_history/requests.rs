//! Merge requests that touch one of the names.

use std::collections::BTreeSet;

use annals_core::{Iid, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::Scope;
use crate::Error;
use crate::ids::{FileChange, State, SubjectKind};
use crate::read::json;
use crate::read::moment::{holds, text, there};

/// Which merge requests are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requests {
    /// Whatever became of them.
    #[default]
    All,
    /// Those that were merged.
    Merged,
}

impl Requests {
    /// A condition on `merge_requests m`, at the moment bound as `?3`.
    pub(super) const fn condition(self) -> &'static str {
        match self {
            Self::All => "1",
            Self::Merged => "(m.state = 'merged' AND coalesce(m.merged_at, 0) <= ?3)",
        }
    }
}

/// A merge request that touched a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRequest {
    /// Its number.
    pub iid: Iid,
    /// Its title.
    pub title: String,
    /// Its state.
    pub state: State,
    /// Who wrote it.
    pub author: String,
    /// The most that it did to the file.
    pub change_type: FileChange,
    /// The names of the file in its changes, old and new.
    pub paths: Vec<String>,
    /// When it was merged.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub merged_at: Option<UnixMs>,
    /// The commit that merged it.
    pub merge_commit_oid: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// When it was merged, or last changed: what they are ordered by.
    #[serde(skip)]
    pub moved_at: Option<UnixMs>,
}

/// Changes of a name: one statement with two indexed look-ups for each name of the list bound as `?2`.
pub(in crate::read) fn touched(columns: &str, table: &str, condition: &str) -> String {
    let by = |column: &str| {
        format!(
            "SELECT {columns} FROM json_each(?2) t CROSS JOIN {table} c
              WHERE c.project_id = ?1 AND c.{column} = t.value AND {condition}"
        )
    };
    format!("{} UNION {}", by("new_path"), by("old_path"))
}

/// The newest merge requests, one row each, and how many there are.
pub(super) fn requests(
    conn: &Connection,
    scope: &Scope,
    paths: &Value,
    which: Requests,
    limit: usize,
) -> Result<(Vec<FileRequest>, u64), Error> {
    let sql = format!(
        "WITH touched AS MATERIALIZED ({})
         SELECT m.id, m.iid, m.title, m.state, u.username, m.merged_at, m.merge_commit_oid, m.web_url, m.closed_at,
                coalesce(iif(m.merged_at <= ?3, m.merged_at, NULL), iif(m.updated_at <= ?3, m.updated_at, NULL),
                         (SELECT max(r.valid_from) FROM revisions r
                           WHERE r.subject_kind = 'merge_request' AND r.subject_id = m.id AND r.valid_from <= ?3),
                         m.created_at) AS moved,
                touched.change, touched.old_path, touched.new_path
         FROM touched JOIN merge_requests m ON m.id = touched.mr_id JOIN users u ON u.id = m.author_id
         WHERE m.confidential <= ?4 AND {} AND {}
         ORDER BY moved DESC, m.iid DESC, touched.new_path, touched.old_path",
        touched(
            "c.mr_id, c.change, c.old_path, c.new_path",
            "mr_file_changes",
            &holds("c", "?3")
        ),
        there("m", "?3"),
        which.condition(),
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope.project.0, paths, scope.at, scope.highest])?;
    let (mut found, mut total, mut last) = (Vec::<Touching>::new(), 0, None);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if last != Some(id) {
            last = Some(id);
            total += 1;
            if found.len() < limit {
                found.push(Touching::read(row)?);
            }
        }
        // Past the limit they are only counted.
        if let Some(open) = found.last_mut().filter(|open| open.row == id) {
            open.add(row)?;
        }
    }
    let found = found.into_iter().map(|one| one.at(conn, scope));
    Ok((found.collect::<Result<_, _>>()?, total))
}

struct Touching {
    row: i64,
    closed_at: Option<i64>,
    request: FileRequest,
    paths: BTreeSet<String>,
}

impl Touching {
    fn read(row: &Row<'_>) -> Result<Self, Error> {
        Ok(Self {
            row: row.get(0)?,
            closed_at: row.get(8)?,
            request: FileRequest {
                iid: Iid(row.get(1)?),
                title: row.get(2)?,
                state: row.get(3)?,
                author: row.get(4)?,
                change_type: row.get(10)?,
                paths: Vec::new(),
                merged_at: json::time(row, 5)?,
                merge_commit_oid: row.get(6)?,
                url: row.get(7)?,
                moved_at: json::time(row, 9)?,
            },
            paths: BTreeSet::new(),
        })
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), Error> {
        let change = row.get(10)?;
        if strength(change) > strength(self.request.change_type) {
            self.request.change_type = change;
        }
        self.paths.extend([row.get(11)?, row.get(12)?]);
        Ok(())
    }

    /// As it was at the moment: what was recorded, else what its times say.
    fn at(mut self, conn: &Connection, scope: &Scope) -> Result<FileRequest, Error> {
        self.request.paths = self.paths.into_iter().collect();
        let Some(at) = scope.at.past() else {
            return Ok(self.request);
        };
        let request = &mut self.request;
        if request.merged_at.is_some_and(|merged| merged > at) {
            request.merged_at = None;
            request.merge_commit_oid = None;
        }
        match scope.at.state(conn, SubjectKind::MergeRequest, self.row)? {
            Some(known) => {
                request.title = text(&known, "title").unwrap_or_default();
                request.author = text(&known, "author").unwrap_or_default();
                request.merge_commit_oid = text(&known, "merge_commit_oid");
                request.merged_at = known.get("merged_at").and_then(serde_json::Value::as_i64).map(UnixMs);
                let state = text(&known, "state");
                request.state = state.and_then(|word| State::parse(&word)).unwrap_or(State::Other);
            }
            None => {
                request.state = match (request.merged_at, self.closed_at) {
                    (Some(_), _) => State::Merged,
                    (None, Some(closed)) if closed <= at.0 => State::Closed,
                    (None, _) => State::Open,
                };
            }
        }
        Ok(self.request)
    }
}

/// Of several changes of one file the one that says most.
pub(super) const fn strength(change: FileChange) -> u8 {
    match change {
        FileChange::Added => 6,
        FileChange::Renamed => 5,
        FileChange::Deleted => 4,
        FileChange::Copied => 3,
        FileChange::Modified => 2,
        FileChange::Mode => 1,
        FileChange::Other => 0,
    }
}
