//! Projects: found by what people call them, listed with what is known about them.

use annals_core::{ProjectId, UnixMs};
use rusqlite::{Connection, params, params_from_iter};
use serde::Serialize;

use super::clause::Clause;
use super::{Visibility, json};
use crate::Error;
use crate::ids::{ForgeKind, Pass, ProjectState, RunStatus};
use crate::text::fold_path;

/// A project, enough to name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectName {
    /// Its row.
    #[serde(serialize_with = "json::project_id")]
    pub id: ProjectId,
    /// `group/name`.
    pub path: String,
    /// The name of its forge.
    pub forge: String,
    /// Where that forge is.
    pub forge_url: String,
    /// Whether it still answers.
    pub state: ProjectState,
}

/// Finds the projects that `text` may mean: a row id, `group/name`, `host/group/name`, a URL of the
/// project; if there is none, a name that one of them had. Those that still answer come alone.
///
/// # Errors
/// A failure of the file.
pub fn find_projects(conn: &Connection, visibility: &Visibility, text: &str) -> Result<Vec<ProjectName>, Error> {
    let trimmed = text.trim();
    let path = trimmed.split_once("://").map_or(trimmed, |(_, rest)| rest);
    let path = fold_path(path.trim_end_matches('/').trim_end_matches(".git"));
    let now = "(p.path_folded = ? OR substr(f.base_url, instr(f.base_url, '://') + 3) || '/' || p.path_folded = ?
                OR CAST(p.id AS TEXT) = ?)";
    let mut clause = Clause::default();
    clause.with(
        now,
        [path.clone().into(), path.clone().into(), trimmed.to_owned().into()],
    );
    clause.visible(visibility, "p.id", None);
    let mut found = named(conn, &clause)?;
    if found.is_empty() {
        let mut clause = Clause::default();
        clause.with(
            "p.id IN (SELECT project_id FROM project_paths WHERE path_folded = ?)",
            [path.into()],
        );
        clause.visible(visibility, "p.id", None);
        found = named(conn, &clause)?;
    }
    if found.iter().any(|project| project.state == ProjectState::Active) {
        found.retain(|project| project.state == ProjectState::Active);
    }
    Ok(found)
}

pub(super) fn named(conn: &Connection, clause: &Clause) -> Result<Vec<ProjectName>, Error> {
    let sql = format!(
        "SELECT p.id, p.path, f.name, f.base_url, p.state FROM projects p JOIN forges f ON f.id = p.forge_id
         WHERE {} ORDER BY p.path_folded, f.name, p.id",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(clause.values([])), |row| {
        Ok(ProjectName {
            id: ProjectId(row.get(0)?),
            path: row.get(1)?,
            forge: row.get(2)?,
            forge_url: row.get(3)?,
            state: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A project as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectRow {
    /// What it is called.
    #[serde(flatten)]
    pub name: ProjectName,
    /// The software of its forge.
    pub forge_kind: ForgeKind,
    /// Its title.
    pub title: String,
    /// What it says about itself.
    pub description: Option<String>,
    /// The branch that is checked out by default.
    pub default_branch: Option<String>,
    /// Whether it is closed to changes.
    pub archived: bool,
    /// Whether runs include it.
    pub tracked: bool,
    /// Its page.
    pub url: Option<String>,
    /// When a run last read it to the end of its streams.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub last_synced_at: Option<UnixMs>,
    /// What is mirrored of it.
    pub counts: ProjectCounts,
    /// How far its streams were read.
    pub cursors: Vec<CursorRow>,
    /// The newest run that touched it.
    pub last_run: Option<LastRun>,
    /// The commit that last changed its row.
    #[serde(skip)]
    pub changed_seq: i64,
}

/// How much of a project is here and not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ProjectCounts {
    /// Issues.
    pub issues: u64,
    /// Open ones.
    pub open_issues: u64,
    /// Merge requests.
    pub merge_requests: u64,
    /// Open ones.
    pub open_merge_requests: u64,
    /// Discussions.
    pub discussions: u64,
    /// Notes, those the forge wrote included.
    pub notes: u64,
}

/// How far a stream was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CursorRow {
    /// Its project.
    pub project: String,
    /// The stream.
    pub stream: String,
    /// The pass.
    pub pass: Pass,
    /// The time of the last row stored.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub at: Option<UnixMs>,
    /// Rows stored on the way.
    pub rows: u64,
    /// When it last moved.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub updated_at: Option<UnixMs>,
}

/// The newest run of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// Its id.
    pub run_id: String,
    /// How it ended, or that it has not.
    pub status: RunStatus,
    /// When it began.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub started_at: Option<UnixMs>,
    /// When it ended.
    #[serde(with = "annals_core::time::rfc3339_option")]
    pub finished_at: Option<UnixMs>,
    /// Why it did not end as done.
    pub error_code: Option<String>,
}

/// Every visible project, by path.
///
/// # Errors
/// A failure of the file.
pub fn projects(conn: &Connection, visibility: &Visibility) -> Result<Vec<ProjectRow>, Error> {
    select(conn, visibility, None)
}

/// One project.
///
/// # Errors
/// A failure of the file.
pub fn project(conn: &Connection, visibility: &Visibility, id: ProjectId) -> Result<Option<ProjectRow>, Error> {
    Ok(select(conn, visibility, Some(id))?.pop())
}

fn select(conn: &Connection, visibility: &Visibility, id: Option<ProjectId>) -> Result<Vec<ProjectRow>, Error> {
    let mut clause = Clause::default();
    clause.visible(visibility, "p.id", None);
    if let Some(id) = id {
        clause.with("p.id = ?", [id.0.into()]);
    }
    let sql = format!(
        "SELECT p.id, p.path, f.name, f.base_url, p.state, f.kind, p.title, p.description, p.default_branch, p.archived,
                p.tracked, p.web_url, p.changed_seq
         FROM projects p JOIN forges f ON f.id = p.forge_id WHERE {} ORDER BY p.path_folded, f.name, p.id",
        clause.sql()
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut projects = select
        .query_map(params_from_iter(clause.values([])), |row| {
            Ok(ProjectRow {
                name: ProjectName {
                    id: ProjectId(row.get(0)?),
                    path: row.get(1)?,
                    forge: row.get(2)?,
                    forge_url: row.get(3)?,
                    state: row.get(4)?,
                },
                forge_kind: row.get(5)?,
                title: row.get(6)?,
                description: row.get(7)?,
                default_branch: row.get(8)?,
                archived: row.get(9)?,
                tracked: row.get(10)?,
                url: row.get(11)?,
                last_synced_at: None,
                counts: ProjectCounts::default(),
                cursors: Vec::new(),
                last_run: None,
                changed_seq: row.get(12)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for project in &mut projects {
        let id = project.name.id;
        project.counts = counts(conn, visibility, id)?;
        project.cursors = cursors(conn, Some(id))?;
        (project.last_run, project.last_synced_at) = last_run(conn, id)?;
    }
    Ok(projects)
}

fn counts(conn: &Connection, visibility: &Visibility, project: ProjectId) -> Result<ProjectCounts, Error> {
    let highest = visibility.highest_flag();
    let entities = |table: &str| -> Result<(u64, u64), Error> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(state = 'open'), 0) FROM {table}
             WHERE project_id = ?1 AND gone_at IS NULL AND confidential <= ?2"
        );
        let row = conn
            .prepare_cached(&sql)?
            .query_row(params![project.0, highest], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(row)
    };
    let (issues, open_issues) = entities("issues")?;
    let (merge_requests, open_merge_requests) = entities("merge_requests")?;
    let (discussions, notes) = conn
        .prepare_cached(
            "SELECT count(DISTINCT d.id), count(n.id) FROM discussions d
             LEFT JOIN issues i ON i.id = d.issue_id LEFT JOIN merge_requests m ON m.id = d.mr_id
             LEFT JOIN notes n ON n.discussion_id = d.id AND n.gone_at IS NULL AND n.internal <= ?2
             WHERE d.project_id = ?1 AND d.gone_at IS NULL AND coalesce(i.confidential, m.confidential) <= ?2
               AND coalesce(i.gone_at, m.gone_at) IS NULL
               AND (?2 = 1 OR EXISTS (SELECT 1 FROM notes s WHERE s.discussion_id = d.id AND s.internal = 0))",
        )?
        .query_row(params![project.0, highest], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ProjectCounts {
        issues,
        open_issues,
        merge_requests,
        open_merge_requests,
        discussions,
        notes,
    })
}

/// The cursors of a project, or of all.
pub(super) fn cursors(conn: &Connection, project: Option<ProjectId>) -> Result<Vec<CursorRow>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT p.path, c.stream, c.pass, c.at, c.rows, c.updated_at FROM cursors c JOIN projects p ON p.id = c.project_id
         WHERE ?1 IS NULL OR c.project_id = ?1 ORDER BY p.path_folded, p.id, c.stream, c.pass",
    )?;
    let rows = select.query_map(params![project.map(|project| project.0)], |row| {
        Ok(CursorRow {
            project: row.get(0)?,
            stream: row.get(1)?,
            pass: row.get(2)?,
            at: json::time(row, 3)?,
            rows: row.get(4)?,
            updated_at: json::time(row, 5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest run of a project, and when one last ended well for it.
fn last_run(conn: &Connection, project: ProjectId) -> Result<(Option<LastRun>, Option<UnixMs>), Error> {
    let mut select = conn.prepare_cached(
        "SELECT r.run_id, r.status, r.started_at, r.finished_at, r.error_code FROM sync_runs r
         WHERE r.project_id = ?1
            OR r.run_id IN (SELECT s.run_id FROM sync_run_streams s WHERE s.project_id = ?1)
         ORDER BY r.started_at DESC, r.run_id DESC",
    )?;
    let mut rows = select.query(params![project.0])?;
    let (mut newest, mut synced) = (None, None);
    while let Some(row) = rows.next()? {
        let run = LastRun {
            run_id: row.get(0)?,
            status: row.get(1)?,
            started_at: json::time(row, 2)?,
            finished_at: json::time(row, 3)?,
            error_code: row.get(4)?,
        };
        if run.status == RunStatus::Done {
            synced = run.finished_at;
        }
        newest.get_or_insert(run);
        if synced.is_some() {
            break;
        }
    }
    Ok((newest, synced))
}
