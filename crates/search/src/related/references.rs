//! Who names whom.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::EntityKind;
use annals_db::read::Visibility;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::evidence::{MOST, entity};
use super::{Found, Key, Subject};

/// Those that name the subject or are named by it: closing first, mentioning last; of equals the newest. Everything is
/// sought from the subject on, so that what it costs does not grow with the file.
pub(super) fn references(
    conn: &Connection,
    visibility: &Visibility,
    subject: Subject,
) -> Result<Vec<Found>, annals_db::Error> {
    let Some(place) = Place::of(conn, subject)? else {
        return Ok(Vec::new());
    };
    let mut best: BTreeMap<Key, (usize, &'static str)> = BTreeMap::new();
    let mut add = |kind: &str, is_named: bool, id: Key| {
        let (rank, words) = wording(kind, is_named);
        let known = best.entry(id).or_insert((rank, words));
        if rank < known.0 {
            *known = (rank, words);
        }
    };
    for said in said_by(conn, visibility, subject)? {
        if let Some(id) = place.target(conn, &said)? {
            add(&said.kind, true, id);
        }
    }
    for (kind, source) in place.named_by(conn, subject)? {
        if let Some(id) = source.entity(conn, visibility)? {
            add(&kind, false, id);
        }
    }
    let mut list: Vec<_> = best.into_iter().collect();
    list.sort_by_key(|(id, (rank, _))| (*rank, std::cmp::Reverse(*id)));
    list.truncate(MOST);
    Ok(list
        .into_iter()
        .map(|(id, (_, words))| (entity(id), words.to_owned()))
        .collect())
}

/// Where the subject is, as references name it.
struct Place {
    forge: i64,
    project: i64,
    path_folded: String,
    /// The names of its project, now and before, but for those that another project has now.
    paths: BTreeSet<String>,
}

/// A reference from the subject: to which entity, and how.
struct Said {
    kind: String,
    path: String,
    target: EntityKind,
    iid: i64,
}

/// Where a reference to the subject is written.
enum Source {
    Entity(Key),
    Note(i64),
}

impl Place {
    fn of(conn: &Connection, subject: Subject) -> Result<Option<Self>, annals_db::Error> {
        let here: Option<(i64, String, String)> = conn
            .prepare_cached("SELECT forge_id, path, path_folded FROM projects WHERE id = ?1")?
            .query_row(params![subject.project.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((forge, path, path_folded)) = here else {
            return Ok(None);
        };
        let mut before = conn.prepare_cached(
            "SELECT o.path_folded FROM project_paths o WHERE o.project_id = ?1 AND NOT EXISTS
                (SELECT 1 FROM projects q
                  WHERE q.forge_id = ?2 AND q.path_folded = o.path_folded AND q.state = 'active' AND q.id <> ?1)",
        )?;
        let mut paths: BTreeSet<String> = before
            .query_map(params![subject.project.0, forge], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        paths.extend([path, path_folded.clone()]);
        Ok(Some(Self {
            forge,
            project: subject.project.0,
            path_folded,
            paths,
        }))
    }

    /// The entity that is meant. A path is that of the project that has it now, and within a project always its own.
    fn target(&self, conn: &Connection, said: &Said) -> Result<Option<Key>, annals_db::Error> {
        let folded = said.path.to_lowercase();
        let project = if folded == self.path_folded {
            Some(self.project)
        } else {
            conn.prepare_cached(
                "SELECT id FROM projects WHERE forge_id = ?1 AND path_folded = ?2 AND state = 'active'",
            )?
            .query_row(params![self.forge, folded], |row| row.get(0))
            .optional()?
        };
        let Some(project) = project else { return Ok(None) };
        let sql = match said.target {
            EntityKind::Issue => "SELECT id FROM issues WHERE project_id = ?1 AND iid = ?2",
            EntityKind::MergeRequest => "SELECT id FROM merge_requests WHERE project_id = ?1 AND iid = ?2",
        };
        let row: Option<i64> = conn
            .prepare_cached(sql)?
            .query_row(params![project, said.iid], |row| row.get(0))
            .optional()?;
        Ok(row.map(|row| (said.target, row)))
    }

    /// Where the subject is named, and how.
    fn named_by(&self, conn: &Connection, subject: Subject) -> Result<Vec<(String, Source)>, annals_db::Error> {
        let mut select = conn.prepare_cached(
            "SELECT r.kind, r.source_kind, r.source_id FROM entity_references r CROSS JOIN projects p
              WHERE r.target_path = ?1 AND r.target_kind = ?2 AND r.target_iid = ?3
                AND p.id = r.project_id AND p.forge_id = ?4",
        )?;
        let mut all = Vec::new();
        for path in &self.paths {
            let values = params![path, subject.id.kind.as_str(), subject.iid.0, self.forge];
            let rows = select.query_map(values, |row| {
                let (of, id): (String, i64) = (row.get(1)?, row.get(2)?);
                let source = match of.as_str() {
                    "issue" => Source::Entity((EntityKind::Issue, id)),
                    "merge_request" => Source::Entity((EntityKind::MergeRequest, id)),
                    _ => Source::Note(id),
                };
                Ok((row.get(0)?, source))
            })?;
            for row in rows {
                all.push(row?);
            }
        }
        Ok(all)
    }
}

impl Source {
    /// The entity that it is in, if the reader sees it.
    fn entity(&self, conn: &Connection, visibility: &Visibility) -> Result<Option<Key>, annals_db::Error> {
        let note = match self {
            Self::Entity(id) => return Ok(Some(*id)),
            Self::Note(note) => note,
        };
        let sql = "SELECT x.issue_id, x.mr_id FROM notes n JOIN discussions x ON x.id = n.discussion_id
                    WHERE n.id = ?1 AND n.gone_at IS NULL AND n.internal <= ?2";
        let of: Option<(Option<i64>, Option<i64>)> = conn
            .prepare_cached(sql)?
            .query_row(params![note, visibility.highest_flag()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        Ok(of.and_then(|of| match of {
            (Some(issue), _) => Some((EntityKind::Issue, issue)),
            (None, mr) => mr.map(|mr| (EntityKind::MergeRequest, mr)),
        }))
    }
}

/// What the subject and the notes on it name.
fn said_by(conn: &Connection, visibility: &Visibility, subject: Subject) -> Result<Vec<Said>, annals_db::Error> {
    let own = "SELECT kind, target_path, target_kind, target_iid FROM entity_references
                WHERE project_id = ?1 AND source_kind = ?2 AND source_id = ?3";
    // The order of the tables is that of the search: from the subject to its notes, and from each to what it names.
    let in_notes = match subject.id.kind {
        EntityKind::Issue => {
            "SELECT r.kind, r.target_path, r.target_kind, r.target_iid
               FROM discussions x CROSS JOIN notes n CROSS JOIN entity_references r
              WHERE x.issue_id = ?2 AND n.discussion_id = x.id AND n.gone_at IS NULL AND n.internal <= ?3
                AND r.project_id = ?1 AND r.source_kind = 'note' AND r.source_id = n.id"
        }
        EntityKind::MergeRequest => {
            "SELECT r.kind, r.target_path, r.target_kind, r.target_iid
               FROM discussions x CROSS JOIN notes n CROSS JOIN entity_references r
              WHERE x.mr_id = ?2 AND n.discussion_id = x.id AND n.gone_at IS NULL AND n.internal <= ?3
                AND r.project_id = ?1 AND r.source_kind = 'note' AND r.source_id = n.id"
        }
    };
    let (project, row) = (subject.project.0, subject.id.row);
    let mut said: Vec<Said> = conn
        .prepare_cached(own)?
        .query_map(params![project, subject.id.kind.as_str(), row], Said::read)?
        .collect::<Result<_, _>>()?;
    let mut select = conn.prepare_cached(in_notes)?;
    for one in select.query_map(params![project, row, visibility.highest_flag()], Said::read)? {
        said.push(one?);
    }
    Ok(said)
}

impl Said {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let target: String = row.get(2)?;
        Ok(Self {
            kind: row.get(0)?,
            path: row.get(1)?,
            target: if target == "issue" {
                EntityKind::Issue
            } else {
                EntityKind::MergeRequest
            },
            iid: row.get(3)?,
        })
    }
}

/// How strong a reference is, and what it says of the other entity.
fn wording(kind: &str, is_named: bool) -> (usize, &'static str) {
    match (kind, is_named) {
        ("closes", true) => (0, "is closed by this one"),
        ("closes", false) => (0, "closes this one"),
        ("duplicates", true) => (1, "this one is a duplicate of it"),
        ("duplicates", false) => (1, "is a duplicate of this one"),
        ("relates", _) => (2, "is linked to this one"),
        (_, true) => (3, "is mentioned here"),
        (_, false) => (3, "mentions this one"),
    }
}
