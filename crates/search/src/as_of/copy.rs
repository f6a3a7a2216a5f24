//! A mirror in memory that holds what the file held of some projects at a time, as far as documents and
//! filters look at it.
//!
//! A row is copied as it is, and what its state says of then is written over it; rows keep their ids.

use annals_core::{EntityKind, ProjectId, UnixMs};
use annals_db::read::{self, Discussion, Entity, NotePage};
use annals_db::{Visibility, WriteTx};
use rusqlite::types::Value;
use rusqlite::{Connection, Params, params, params_from_iter};

use super::people::Names;

/// Which commits of the project `?1` were there at `?2`: since they were made, or since a merge request had
/// them if that says less.
pub(super) const COMMITS: &str = "project_id = ?1 AND (coalesce(committer_at, author_at, 0) <= ?2
    OR id IN (SELECT commit_id FROM mr_commits WHERE from_at <= ?2))";

/// Fills a new mirror.
pub(super) fn mirror_at(
    file: &Connection,
    visibility: &Visibility,
    projects: &[ProjectId],
    at: UnixMs,
) -> Result<Connection, annals_db::Error> {
    let mirror = Connection::open_in_memory()?;
    // Rows come without what they refer to outside these projects; nothing is ever read by those columns.
    mirror.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF")?;
    for step in annals_db::migrate::embedded() {
        mirror.execute_batch(step.sql)?;
    }
    WriteTx::run(&mirror, at, |tx| fill(file, tx, visibility, projects, at))?;
    Ok(mirror)
}

fn fill(
    file: &Connection,
    mirror: &Connection,
    visibility: &Visibility,
    projects: &[ProjectId],
    at: UnixMs,
) -> Result<(), annals_db::Error> {
    let mut copy = Copying {
        file,
        mirror,
        at,
        names: Names::default(),
    };
    for table in ["forges", "projects", "project_paths", "users"] {
        copy.rows(table, "1", [])?;
    }
    for project in projects {
        for table in ["labels", "milestones"] {
            copy.rows(table, "project_id = ?1", [project.0])?;
        }
        for kind in [EntityKind::Issue, EntityKind::MergeRequest] {
            read::as_of::each(file, visibility, kind, *project, at, &mut |entity| {
                copy.entity(&entity)?;
                let threads = read::as_of::threads(file, visibility, entity.id(), NotePage::ALL, at)?;
                for discussion in &threads.discussions {
                    copy.discussion(entity.item.project_id, discussion)?;
                }
                Ok(())
            })?;
        }
        // What a commit says never changes.
        copy.rows("commits", COMMITS, params![project.0, at.0])?;
        let changed = format!("commit_id IN (SELECT id FROM commits WHERE {COMMITS})");
        copy.rows("commit_file_changes", &changed, params![project.0, at.0])?;
    }
    Ok(())
}

/// A copy under way.
struct Copying<'a> {
    file: &'a Connection,
    mirror: &'a Connection,
    at: UnixMs,
    names: Names,
}

impl Copying<'_> {
    /// Copies rows whole.
    fn rows(&self, table: &str, condition: &str, values: impl Params) -> Result<(), annals_db::Error> {
        let mut select = self
            .file
            .prepare_cached(&format!("SELECT * FROM {table} WHERE {condition}"))?;
        let columns = select.column_count();
        let places = vec!["?"; columns].join(", ");
        let names = select.column_names().collect::<Vec<_>>().join(", ");
        let mut insert = self
            .mirror
            .prepare_cached(&format!("INSERT INTO {table} ({names}) VALUES ({places})"))?;
        let mut rows = select.query(values)?;
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|index| row.get::<_, Value>(index));
            insert.execute(params_from_iter(values.collect::<Result<Vec<_>, _>>()?))?;
        }
        Ok(())
    }

    fn entity(&mut self, entity: &Entity) -> Result<(), annals_db::Error> {
        let (item, mirror) = (&entity.item, self.mirror);
        let (table, labels, assignees, parent) = match item.kind {
            EntityKind::Issue => ("issues", "issue_labels", "issue_assignees", "issue_id"),
            EntityKind::MergeRequest => ("merge_requests", "mr_labels", "mr_assignees", "mr_id"),
        };
        self.rows(table, "id = ?1", [item.row])?;
        let author = self.names.user(mirror, item.project_id, &item.author)?;
        let milestone = match &item.milestone {
            Some(title) => Some(self.names.milestone(mirror, item.project_id, title)?),
            None => None,
        };
        let sql = format!(
            "UPDATE {table} SET title = ?2, body = ?3, state = ?4, confidential = ?5, author_id = ?6, milestone_id = ?7,
                    updated_at = ?8, gone_at = NULL, gone_reason = NULL
              WHERE id = ?1"
        );
        mirror.prepare_cached(&sql)?.execute(params![
            item.row,
            item.title,
            entity.body,
            item.state,
            item.confidential,
            author,
            milestone,
            item.updated_at.map(|at| at.0),
        ])?;
        for name in &item.labels {
            let label = self.names.label(mirror, item.project_id, name)?;
            let sql = format!("INSERT OR IGNORE INTO {labels} ({parent}, label_id) VALUES (?1, ?2)");
            mirror.prepare_cached(&sql)?.execute(params![item.row, label])?;
        }
        for name in &item.assignees {
            let user = self.names.user(mirror, item.project_id, name)?;
            let sql = format!("INSERT OR IGNORE INTO {assignees} ({parent}, user_id) VALUES (?1, ?2)");
            mirror.prepare_cached(&sql)?.execute(params![item.row, user])?;
        }
        if let Some(part) = &entity.merge_request {
            mirror
                .prepare_cached(
                    "UPDATE merge_requests SET draft = ?2, source_branch = ?3, target_branch = ?4 WHERE id = ?1",
                )?
                .execute(params![item.row, item.draft, part.source_branch, part.target_branch])?;
            for reviewer in &part.reviewers {
                let user = self.names.user(mirror, item.project_id, &reviewer.user)?;
                mirror
                    .prepare_cached("INSERT OR IGNORE INTO mr_reviewers (mr_id, user_id, state) VALUES (?1, ?2, ?3)")?
                    .execute(params![item.row, user, reviewer.state])?;
            }
            let then = "mr_id = ?1 AND from_at <= ?2 AND (to_at IS NULL OR to_at > ?2)";
            self.rows("mr_file_changes", then, params![item.row, self.at.0])?;
            mirror
                .prepare_cached("UPDATE mr_file_changes SET to_at = NULL WHERE mr_id = ?1")?
                .execute([item.row])?;
        }
        Ok(())
    }

    fn discussion(&mut self, project: ProjectId, discussion: &Discussion) -> Result<(), annals_db::Error> {
        let mirror = self.mirror;
        self.rows("discussions", "id = ?1", [discussion.row])?;
        let times = || {
            discussion
                .notes
                .iter()
                .filter_map(|note| note.created_at)
                .map(|at| at.0)
        };
        mirror
            .prepare_cached(
                "UPDATE discussions SET kind = ?2, resolvable = ?3, resolved = ?4, first_note_at = ?5, last_note_at = ?6,
                        gone_at = NULL
                  WHERE id = ?1",
            )?
            .execute(params![
                discussion.row,
                discussion.kind,
                discussion.resolvable,
                discussion.resolved,
                times().min(),
                times().max(),
            ])?;
        for note in &discussion.notes {
            self.rows(
                "notes",
                "project_id = ?1 AND native_id = ?2",
                params![project.0, note.id],
            )?;
            let author = self.names.user(mirror, project, &note.author)?;
            let update = "UPDATE notes SET author_id = ?3, body = ?4, system = ?5, internal = ?6, updated_at = ?7, gone_at = NULL
                           WHERE project_id = ?1 AND native_id = ?2";
            mirror.prepare_cached(update)?.execute(params![
                project.0,
                note.id,
                author,
                note.body,
                note.system,
                note.internal,
                note.updated_at.map(|at| at.0),
            ])?;
            let Some(place) = &note.position else { continue };
            let place_it = "INSERT INTO diff_note_positions (note_id, project_id, old_path, new_path, outdated)
                            SELECT id, project_id, ?3, ?4, ?5 FROM notes WHERE project_id = ?1 AND native_id = ?2";
            mirror.prepare_cached(place_it)?.execute(params![
                project.0,
                note.id,
                place.old_path,
                place.new_path,
                place.outdated
            ])?;
        }
        Ok(())
    }
}
