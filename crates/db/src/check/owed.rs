//! What is owed, and what was closed: cursors, scoped jobs, intervals.

use annals_core::ProjectId;
use rusqlite::Connection;

use super::{Defect, first_of};
use crate::Error;

/// Each has a name, and asks for a project and for what is wrong there.
const CHECKS: [(&str, &str); 5] = [
    // A cursor that passed every row would skip what is between them. What was put aside has no row, and the cursor
    // passed it.
    (
        "cursors",
        "SELECT c.project_id, 'the cursor of ' || c.stream || ' is ahead of its newest row'
         FROM cursors c
         WHERE c.at > coalesce(CASE c.stream
             WHEN 'issues' THEN (SELECT max(updated_at) FROM issues e WHERE e.project_id = c.project_id)
             WHEN 'merge_requests' THEN (SELECT max(updated_at) FROM merge_requests e WHERE e.project_id = c.project_id)
             ELSE c.at END, -1)
           AND NOT EXISTS (SELECT 1 FROM quarantine q
                           WHERE q.project_id = c.project_id AND q.stream = c.stream AND q.resolved_at IS NULL)",
    ),
    (
        "jobs",
        "SELECT j.project_id, 'job ' || j.id || ' is still open for a run that has ended'
         FROM dependent_jobs j LEFT JOIN sync_runs r ON r.run_id = j.scope_run_id
         WHERE j.scope_run_id IS NOT NULL AND j.status IN ('pending', 'claimed')
           AND (r.status IS NULL OR r.status NOT IN ('queued', 'running'))",
    ),
    (
        "file changes",
        "SELECT project_id, 'file change ' || id || ' overlaps the one before it' FROM (
             SELECT id, project_id, from_at, to_at,
                    lag(coalesce(to_at, 9223372036854775807)) OVER same AS ended
             FROM mr_file_changes WINDOW same AS (PARTITION BY mr_id, new_path, old_path ORDER BY from_at, id))
         WHERE from_at > coalesce(to_at, from_at) OR from_at < ended",
    ),
    (
        "commits of merge requests",
        "SELECT m.project_id, 'commit ' || c.id || ' of a merge request overlaps the one before it' FROM (
             SELECT id, mr_id, from_at, to_at, lag(coalesce(to_at, 9223372036854775807)) OVER same AS ended
             FROM mr_commits WINDOW same AS (PARTITION BY mr_id, position ORDER BY from_at, id)) c
         JOIN merge_requests m ON m.id = c.mr_id
         WHERE c.from_at > coalesce(c.to_at, c.from_at) OR c.from_at < c.ended",
    ),
    (
        "refs",
        "SELECT project_id, 'ref ' || name || ' overlaps the one before it' FROM (
             SELECT project_id, name, from_at, to_at, lag(coalesce(to_at, 9223372036854775807)) OVER same AS ended
             FROM refs WINDOW same AS (PARTITION BY project_id, name ORDER BY from_at, id))
         WHERE from_at > coalesce(to_at, from_at) OR from_at < ended",
    ),
];

/// Checks that cursors are not ahead of rows, that no job waits for a run that ended, and that intervals of one
/// thing do not overlap.
///
/// # Errors
/// A failure of the file.
pub fn all(conn: &Connection) -> Result<Vec<Defect>, Error> {
    let mut defects = Vec::new();
    for (kind, sql) in CHECKS {
        let mut select = conn.prepare(sql)?;
        let rows = select.query_map([], |row| {
            let (project, what): (i64, String) = (row.get(0)?, row.get(1)?);
            Ok(Defect::drift(what).of(Some(ProjectId(project))))
        })?;
        defects.extend(first_of(kind, rows)?);
    }
    Ok(defects)
}
