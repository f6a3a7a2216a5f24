//! Merge requests that touch one of the names.

use std::collections::BTreeSet;

use annals_core::{Iid, UnixMs};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::Scope;
use crate::Error;
use crate::content::blob::Unpack;
use crate::ids::{EntityId, FileChange, State, SubjectKind};
use crate::read::moment::holds;
use crate::read::{Certainty, Entity, as_of, json};

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
    /// A condition on `merge_requests m` as they are. What they were is in no column: [`was`] tells it.
    pub(super) const fn condition(self, scope: &Scope) -> &'static str {
        match (self, scope.at.past()) {
            (Self::All, _) | (Self::Merged, Some(_)) => "1",
            (Self::Merged, None) => "m.state = 'merged'",
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

/// A merge request as it was at a time that has passed, if it was there and is one of those asked for.
pub(super) fn was(
    conn: &Connection,
    scope: &Scope,
    which: Requests,
    row: i64,
    at: UnixMs,
    unpack: &mut Unpack,
) -> Result<Option<Entity>, Error> {
    let was = as_of::by_row(conn, EntityId::merge_request(row), at, scope.highest, unpack)?;
    Ok(was.filter(|was| which == Requests::All || was.item.state == State::Merged))
}

/// Merge requests that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest, one row each.
    pub requests: Vec<FileRequest>,
    /// How many there are in all.
    pub total: u64,
    /// How many of `requests` nobody had seen yet at the time that is asked about.
    pub derived: u64,
}

/// The newest merge requests that touch any of the names.
pub(super) fn requests(
    conn: &Connection,
    scope: &Scope,
    paths: &Value,
    which: Requests,
    limit: usize,
) -> Result<Found, Error> {
    let sql = format!(
        "WITH touched AS MATERIALIZED ({})
         SELECT m.id, m.iid, m.title, m.state, u.username, m.merged_at, m.merge_commit_oid, m.web_url,
                coalesce(m.merged_at, m.updated_at, m.created_at) AS moved, touched.change, touched.old_path, touched.new_path
         FROM touched JOIN merge_requests m ON m.id = touched.mr_id JOIN users u ON u.id = m.author_id
         WHERE m.confidential <= ?4 AND {} AND {}
         ORDER BY moved DESC, m.iid DESC, touched.new_path, touched.old_path",
        touched(
            "c.mr_id, c.change, c.old_path, c.new_path",
            "mr_file_changes",
            &holds("c", "?3")
        ),
        scope.at.there(SubjectKind::MergeRequest, "m", "?3"),
        which.condition(scope),
    );
    // What they were decides which there are and in which order, so in the past all of them are read.
    let kept = if scope.at.past().is_some() { usize::MAX } else { limit };
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query(params![scope.project.0, paths, scope.at, scope.highest])?;
    let (mut found, mut total, mut last) = (Vec::<Touching>::new(), 0, None);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if last != Some(id) {
            last = Some(id);
            total += 1;
            if found.len() < kept {
                found.push(Touching::read(row)?);
            }
        }
        // Past the limit they are only counted.
        if let Some(open) = found.last_mut().filter(|open| open.row == id) {
            open.add(row)?;
        }
    }
    match scope.at.past() {
        None => Ok(Found {
            requests: found.into_iter().map(Touching::now).collect(),
            total,
            derived: 0,
        }),
        Some(at) => then(conn, scope, which, found, at, limit),
    }
}

/// What they were, the newest first.
fn then(
    conn: &Connection,
    scope: &Scope,
    which: Requests,
    found: Vec<Touching>,
    at: UnixMs,
    limit: usize,
) -> Result<Found, Error> {
    let (mut then, mut unpack) = (Vec::new(), Unpack::default());
    for one in found {
        if let Some(was) = was(conn, scope, which, one.row, at, &mut unpack)? {
            let certainty = was.item.certainty;
            then.push((one.then(was), certainty));
        }
    }
    then.sort_by_key(|(request, _)| std::cmp::Reverse((request.moved_at, request.iid)));
    let total = then.len() as u64;
    then.truncate(limit);
    let derived = then.iter().filter(|(_, how)| *how == Some(Certainty::Derived));
    Ok(Found {
        derived: derived.count() as u64,
        total,
        requests: then.into_iter().map(|(request, _)| request).collect(),
    })
}

struct Touching {
    row: i64,
    request: FileRequest,
    paths: BTreeSet<String>,
}

impl Touching {
    fn read(row: &Row<'_>) -> Result<Self, Error> {
        Ok(Self {
            row: row.get(0)?,
            request: FileRequest {
                iid: Iid(row.get(1)?),
                title: row.get(2)?,
                state: row.get(3)?,
                author: row.get(4)?,
                change_type: row.get(9)?,
                paths: Vec::new(),
                merged_at: json::time(row, 5)?,
                merge_commit_oid: row.get(6)?,
                url: row.get(7)?,
                moved_at: json::time(row, 8)?,
            },
            paths: BTreeSet::new(),
        })
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), Error> {
        let change = row.get(9)?;
        if strength(change) > strength(self.request.change_type) {
            self.request.change_type = change;
        }
        self.paths.extend([row.get(10)?, row.get(11)?]);
        Ok(())
    }

    fn now(mut self) -> FileRequest {
        self.request.paths = self.paths.into_iter().collect();
        self.request
    }

    fn then(self, was: Entity) -> FileRequest {
        let item = was.item;
        FileRequest {
            title: item.title,
            author: item.author,
            state: item.state,
            merged_at: item.merged_at,
            merge_commit_oid: was.merge_request.and_then(|part| part.merge_commit_oid),
            moved_at: item.merged_at.or(item.updated_at).or(item.created_at),
            ..self.now()
        }
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
