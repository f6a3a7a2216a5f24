//! Histories: numbered without a gap, never running backwards, and ending where their subject points.

use annals_core::ProjectId;
use rusqlite::Connection;

use super::{Defect, first_of};
use crate::Error;
use crate::ids::SubjectKind;

/// Walks every chain.
///
/// # Errors
/// A failure of the file.
pub fn chains(conn: &Connection) -> Result<Vec<Defect>, Error> {
    let mut select = conn.prepare(
        "SELECT subject_kind, subject_id, seq FROM (
             SELECT subject_kind, subject_id, seq, valid_from, observed_at,
                    lag(seq, 1, 0) OVER chain AS before, lag(valid_from) OVER chain AS valid_before,
                    lag(observed_at) OVER chain AS observed_before
             FROM revisions WINDOW chain AS (PARTITION BY subject_kind, subject_id ORDER BY seq))
         WHERE seq <> before + 1 OR valid_from < valid_before OR observed_at < observed_before
            OR valid_from > observed_at",
    )?;
    let rows = select.query_map([], |row| {
        let (kind, id, seq): (SubjectKind, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Defect::drift(format!(
            "revision {seq} of {kind} {id} does not follow the one before it"
        )))
    })?;
    first_of("revisions", rows)
}

/// Finds subjects that do not point at their newest revision, or whose newest revision says gone when they are not.
///
/// # Errors
/// A failure of the file.
pub fn newest(conn: &Connection) -> Result<Vec<Defect>, Error> {
    let mut defects = Vec::new();
    for kind in SubjectKind::ALL {
        let (table, project, gone) = match kind {
            SubjectKind::Project => ("projects", "t.id", None),
            SubjectKind::Issue => ("issues", "t.project_id", Some("t.gone_at")),
            SubjectKind::MergeRequest => ("merge_requests", "t.project_id", Some("t.gone_at")),
            SubjectKind::Discussion => ("discussions", "t.project_id", Some("t.gone_at")),
            SubjectKind::Note => ("notes", "t.project_id", Some("t.gone_at")),
            SubjectKind::Label => ("labels", "t.project_id", Some("t.gone_at")),
            SubjectKind::Milestone => ("milestones", "t.project_id", Some("t.gone_at")),
        };
        let gone = gone.map_or_else(String::new, |gone| format!("OR ({gone} IS NULL) = (r.op = 'gone')"));
        let mut select = conn.prepare(&format!(
            "SELECT {project}, t.id FROM {table} t LEFT JOIN revisions r ON r.id = t.revision_id
             WHERE r.id IS NULL OR r.subject_kind <> ?1 OR r.subject_id <> t.id {gone}
                OR EXISTS (SELECT 1 FROM revisions n
                           WHERE n.subject_kind = ?1 AND n.subject_id = t.id AND n.seq > r.seq)"
        ))?;
        let rows = select.query_map([kind], |row| {
            let (project, id): (i64, i64) = (row.get(0)?, row.get(1)?);
            let what = format!("{kind} {id} does not agree with its newest revision");
            Ok(Defect::drift(what).of(Some(ProjectId(project))))
        })?;
        let kind = format!("the newest revision of {kind}s");
        defects.extend(first_of(&kind, rows)?);
    }
    Ok(defects)
}
