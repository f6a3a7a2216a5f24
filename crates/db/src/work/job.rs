//! Dependent jobs: the fetches a parent owes because it changed.
//!
//! `pending` → `claimed` → `done`, or back to `pending` after a failure, a release or a parent that
//! moved meanwhile; `failed` after the last attempt; `aborted` when the run a job was scoped to ends
//! without it, and then the same job without a scope is owed.

use annals_core::{Backoff, EntityKind, Iid, ProjectId, RunId, UnixMs};
use rusqlite::{OptionalExtension, Row, params};

use crate::ids::{EntityId, JobId, JobStatus, JobType, kind_at};
use crate::{Error, WriteTx};

/// After this many failures a job is given up.
pub const MAX_ATTEMPTS: u32 = 8;

const KEEP_FINISHED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A job to owe.
#[derive(Debug, Clone)]
pub struct JobIn {
    /// The project of the parent.
    pub project: ProjectId,
    /// The parent.
    pub entity: EntityId,
    /// Its number.
    pub iid: Iid,
    /// What to fetch.
    pub job_type: JobType,
    /// The parent's time that made it owed.
    pub cause_at: UnixMs,
    /// The only run that may do it, for surgical runs.
    pub scope: Option<RunId>,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its row.
    pub id: JobId,
    /// The project of the parent.
    pub project: ProjectId,
    /// The parent.
    pub entity: EntityId,
    /// Its number.
    pub iid: Iid,
    /// What to fetch.
    pub job_type: JobType,
    /// The parent's time it was claimed for; if the row moves past it, the job is owed again.
    pub cause_at: UnixMs,
    /// Failures so far.
    pub attempts: u32,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Done.
    Done,
    /// Done, and owed again: its parent moved meanwhile.
    Again,
    /// Somebody else has it now; nothing was written.
    NotOurs,
}

/// How a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt may succeed, after [`Backoff::JOB`].
    Transient {
        /// Any number, to spread the attempts.
        random: u64,
    },
    /// The forge was away, which says nothing about the job: no attempt is counted.
    Away {
        /// Any number, to spread the attempts.
        random: u64,
    },
    /// No attempt will.
    Permanent,
}

/// Owes a job. If it is owed already its cause is raised.
///
/// # Errors
/// A failure of the file.
pub fn enqueue(tx: &WriteTx<'_>, job: &JobIn) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO dependent_jobs (project_id, entity_type, entity_id, iid, job_type, status, scope_run_id, attempts,
                                     not_before, cause_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, 0, 0, ?7, ?8)
         ON CONFLICT (project_id, entity_type, entity_id, job_type, coalesce(scope_run_id, ''))
             WHERE status IN ('pending', 'claimed')
         DO UPDATE SET cause_at = excluded.cause_at, updated_at = excluded.updated_at
             WHERE excluded.cause_at > cause_at",
    )?
    .execute(params![
        job.project.0,
        job.entity.kind.as_str(),
        job.entity.row,
        job.iid.0,
        job.job_type,
        job.scope.as_ref().map(RunId::as_str),
        job.cause_at.0,
        tx.now().0
    ])?;
    Ok(())
}

/// Whose jobs to claim.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Of this project.
    pub project: ProjectId,
    /// Of this scope; `None` is those without one.
    pub scope: Option<&'a RunId>,
    /// The run that claims.
    pub run_id: &'a RunId,
    /// These types only.
    pub types: &'a [JobType],
    /// At most so many.
    pub limit: usize,
}

/// Without the hint SQLite takes the index by status, and sorts everything that is due for every claim.
pub(super) const DUE: &str = "SELECT id, project_id, entity_type, entity_id, iid, job_type, cause_at, attempts
     FROM dependent_jobs INDEXED BY dependent_jobs_claim
     WHERE project_id = ?1 AND status = 'pending' AND not_before <= ?2 AND scope_run_id IS ?3
     ORDER BY cause_at, entity_type, entity_id, job_type";

/// Claims jobs that are due, in order of cause, entity and type.
///
/// # Errors
/// A failure of the file.
pub fn claim(tx: &WriteTx<'_>, claim: &Claim<'_>) -> Result<Vec<Job>, Error> {
    let mut select = tx.prepare_cached(DUE)?;
    let mut rows = select.query(params![claim.project.0, tx.now().0, claim.scope.map(RunId::as_str)])?;
    let mut jobs = Vec::new();
    while jobs.len() < claim.limit
        && let Some(row) = rows.next()?
    {
        let job = read(row)?;
        if claim.types.contains(&job.job_type) {
            jobs.push(job);
        }
    }
    let mut update = tx.prepare_cached(
        "UPDATE dependent_jobs SET status = 'claimed', claimed_by = ?2, claimed_at = ?3, updated_at = ?3 WHERE id = ?1",
    )?;
    for job in &jobs {
        update.execute(params![job.id, claim.run_id.as_str(), tx.now().0])?;
    }
    Ok(jobs)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        project: ProjectId(row.get(1)?),
        entity: EntityId {
            kind: kind_at(row, 2)?,
            row: row.get(3)?,
        },
        iid: Iid(row.get(4)?),
        job_type: row.get(5)?,
        cause_at: UnixMs(row.get(6)?),
        attempts: row.get(7)?,
    })
}

/// Ends a claimed job well. It goes back to `pending` if its parent moved since it was claimed.
///
/// # Errors
/// A failure of the file.
pub fn complete(tx: &WriteTx<'_>, job: &Job, run_id: &RunId) -> Result<JobEnd, Error> {
    let status: Option<JobStatus> = tx
        .prepare_cached(
            "UPDATE dependent_jobs SET status = CASE WHEN cause_at > ?3 THEN 'pending' ELSE 'done' END, attempts = 0,
                 not_before = 0, claimed_by = NULL, claimed_at = NULL, error_code = NULL, updated_at = ?4
             WHERE id = ?1 AND status = 'claimed' AND claimed_by = ?2 RETURNING status",
        )?
        .query_row(params![job.id, run_id.as_str(), job.cause_at.0, tx.now().0], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(match status {
        None => JobEnd::NotOurs,
        Some(JobStatus::Pending) => JobEnd::Again,
        Some(_) => JobEnd::Done,
    })
}

/// Ends a claimed job badly; says where it stands now.
///
/// # Errors
/// A failure of the file.
pub fn fail(
    tx: &WriteTx<'_>,
    job: &Job,
    run_id: &RunId,
    code: annals_core::Code,
    failure: Failure,
) -> Result<JobStatus, Error> {
    let attempts = match failure {
        Failure::Away { .. } => job.attempts,
        Failure::Transient { .. } | Failure::Permanent => job.attempts + 1,
    };
    let (status, not_before) = match failure {
        Failure::Away { random } => (
            JobStatus::Pending,
            tx.now().after(Backoff::JOB.delay(job.attempts, random)).0,
        ),
        Failure::Transient { random } if attempts < MAX_ATTEMPTS => (
            JobStatus::Pending,
            tx.now().after(Backoff::JOB.delay(job.attempts, random)).0,
        ),
        Failure::Transient { .. } | Failure::Permanent => (JobStatus::Failed, 0),
    };
    tx.prepare_cached(
        "UPDATE dependent_jobs SET status = ?3, attempts = ?4, not_before = ?5, claimed_by = NULL, claimed_at = NULL,
             error_code = ?6, updated_at = ?7
         WHERE id = ?1 AND status = 'claimed' AND claimed_by = ?2",
    )?
    .execute(params![
        job.id,
        run_id.as_str(),
        status,
        attempts,
        not_before,
        code.as_str(),
        tx.now().0
    ])?;
    Ok(status)
}

/// Gives back what a run has claimed: jobs without scope are owed again, its own are aborted and owed
/// without scope. Called when a run ends, however it ends.
///
/// # Errors
/// A failure of the file.
pub fn release(tx: &WriteTx<'_>, run_id: &RunId, reason: &str) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE dependent_jobs SET status = 'pending', claimed_by = NULL, claimed_at = NULL, updated_at = ?2
         WHERE status = 'claimed' AND claimed_by = ?1 AND scope_run_id IS NULL",
    )?
    .execute(params![run_id.as_str(), tx.now().0])?;
    abort_scope(tx, run_id, reason)
}

/// Aborts what is left of a run's own jobs; the debt survives as jobs without scope.
fn abort_scope(tx: &WriteTx<'_>, run_id: &RunId, reason: &str) -> Result<(), Error> {
    let mut select = tx.prepare_cached(
        "SELECT id, project_id, entity_type, entity_id, iid, job_type, cause_at, attempts FROM dependent_jobs
         WHERE scope_run_id = ?1 AND status IN ('pending', 'claimed', 'failed') ORDER BY id",
    )?;
    let owed = select
        .query_map(params![run_id.as_str()], read)?
        .collect::<Result<Vec<_>, _>>()?;
    for job in owed {
        tx.prepare_cached(
            "UPDATE dependent_jobs SET status = 'aborted', aborted_reason = ?2, claimed_by = NULL, claimed_at = NULL,
                 updated_at = ?3
             WHERE id = ?1 AND status <> 'failed'",
        )?
        .execute(params![job.id, reason, tx.now().0])?;
        let Job {
            project,
            entity,
            iid,
            job_type,
            cause_at,
            ..
        } = job;
        enqueue(
            tx,
            &JobIn {
                project,
                entity,
                iid,
                job_type,
                cause_at,
                scope: None,
            },
        )?;
    }
    Ok(())
}

/// Gives back what runs that are not running have claimed.
///
/// # Errors
/// A failure of the file.
pub fn reclaim(tx: &WriteTx<'_>) -> Result<u64, Error> {
    let rows = tx
        .prepare_cached(
            "UPDATE dependent_jobs SET status = 'pending', claimed_by = NULL, claimed_at = NULL, updated_at = ?1
             WHERE status = 'claimed' AND scope_run_id IS NULL
               AND NOT EXISTS (SELECT 1 FROM sync_runs WHERE run_id = claimed_by AND status = 'running')",
        )?
        .execute(params![tx.now().0])?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// Deletes what ended more than seven days ago.
///
/// # Errors
/// A failure of the file.
pub fn prune(tx: &WriteTx<'_>) -> Result<u64, Error> {
    let rows = tx
        .prepare_cached("DELETE FROM dependent_jobs WHERE status IN ('done', 'failed', 'aborted') AND updated_at < ?1")?
        .execute(params![tx.now().0 - KEEP_FINISHED_MS])?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// How many jobs of these types a project owes, claimed ones included.
///
/// # Errors
/// A failure of the file.
pub fn owed(conn: &rusqlite::Connection, project: ProjectId, types: &[JobType]) -> Result<u64, Error> {
    let mut owed = 0;
    let mut select = conn.prepare_cached(
        "SELECT count(*) FROM dependent_jobs
         WHERE project_id = ?1 AND job_type = ?2 AND status IN ('pending', 'claimed')",
    )?;
    for job_type in types {
        owed += select.query_row(params![project.0, job_type], |row| row.get::<_, u64>(0))?;
    }
    Ok(owed)
}

/// How many jobs of a project stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct JobCounts {
    /// Done.
    pub done: u64,
    /// Owed, claimed ones included.
    pub pending: u64,
    /// Given up.
    pub failed: u64,
    /// Ended with their run.
    pub aborted: u64,
}

impl JobCounts {
    fn add(&mut self, status: JobStatus, n: u64) {
        match status {
            JobStatus::Pending | JobStatus::Claimed => self.pending += n,
            JobStatus::Done => self.done += n,
            JobStatus::Failed => self.failed += n,
            JobStatus::Aborted => self.aborted += n,
        }
    }
}

/// Counts jobs, of one project or of all.
///
/// # Errors
/// A failure of the file.
pub fn counts(conn: &rusqlite::Connection, project: Option<ProjectId>) -> Result<JobCounts, Error> {
    let mut counts = JobCounts::default();
    let mut select = conn.prepare_cached(
        "SELECT status, count(*) FROM dependent_jobs WHERE ?1 IS NULL OR project_id = ?1 GROUP BY status",
    )?;
    let rows = select.query_map(params![project.map(|project| project.0)], |row| {
        Ok((row.get::<_, JobStatus>(0)?, row.get::<_, u64>(1)?))
    })?;
    for row in rows {
        let (status, n) = row?;
        counts.add(status, n);
    }
    Ok(counts)
}

/// Counts the jobs that only this run may do or might have done.
///
/// # Errors
/// A failure of the file.
pub fn scope_counts(conn: &rusqlite::Connection, run_id: &RunId) -> Result<JobCounts, Error> {
    let mut select =
        conn.prepare_cached("SELECT status, count(*) FROM dependent_jobs WHERE scope_run_id = ?1 GROUP BY status")?;
    let rows = select.query_map(params![run_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut counts = JobCounts::default();
    for row in rows {
        let (status, n) = row?;
        counts.add(status, n);
    }
    Ok(counts)
}

/// Whether a job of this kind can concern this kind of entity.
#[must_use]
pub const fn applies(job_type: JobType, kind: EntityKind) -> bool {
    match job_type {
        JobType::Discussions | JobType::Events => true,
        JobType::Detail | JobType::Diffs | JobType::Commits | JobType::Closes => {
            matches!(kind, EntityKind::MergeRequest)
        }
    }
}
