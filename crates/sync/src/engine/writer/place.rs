//! Where and for whom a transaction writes, the fence before it, and what it did.

use annals_core::{Code, ProjectId};
use annals_db::control::{Lock, check_fence};
use annals_db::ids::JobType;
use annals_db::work::CursorPoint;
use annals_db::{Error, WriteTx};
use rusqlite::OptionalExtension;

/// Whether resource events are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// They are.
    Mirror,
    /// They are left out.
    Leave,
}

impl Events {
    /// The jobs that this run does.
    pub fn jobs(self) -> Vec<JobType> {
        JobType::ALL
            .iter()
            .copied()
            .filter(|job| *job != JobType::Events || self == Self::Mirror)
            .collect()
    }
}

/// Where and for whom a transaction writes.
#[derive(Debug, Clone)]
pub struct Place {
    /// The project.
    pub project: ProjectId,
    /// The proof that it may.
    pub lock: Lock,
    /// Whether events are owed.
    pub events: Events,
}

/// What one transaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrote {
    /// Rows that were there.
    pub rows: u64,
    /// Rows that were written.
    pub written: u64,
    /// Rows that were as they are.
    pub unchanged: u64,
    /// Items put aside, or still aside.
    pub quarantined: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Where the cursor is now.
    pub cursor: Option<CursorPoint>,
    /// The last row that could be trusted, which the cursor may not have been allowed to follow.
    pub reached: Option<CursorPoint>,
    /// Items put aside that were not known before, for one warning each.
    pub news: Vec<(String, Code)>,
}

impl Wrote {
    /// Adds what another transaction did after this one.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.written += other.written;
        self.unchanged += other.unchanged;
        self.quarantined += other.quarantined;
        self.revisions += other.revisions;
        self.cursor = other.cursor.or(self.cursor.take());
        self.reached = other.reached.max(self.reached.take());
        self.news.extend(other.news);
    }
}

/// Runs `f` behind the fence and counts the revisions it wrote.
///
/// # Errors
/// A lost lock, or what `f` returned.
pub fn fenced(
    tx: &WriteTx<'_>,
    place: &Place,
    f: impl FnOnce(&mut Wrote) -> Result<(), Error>,
) -> Result<Wrote, Error> {
    check_fence(tx, &place.lock)?;
    let before = last_revision(tx)?;
    let mut wrote = Wrote::default();
    f(&mut wrote)?;
    wrote.revisions = last_revision(tx)?.saturating_sub(before);
    Ok(wrote)
}

/// Revision numbers are given out once, so their difference is their count.
fn last_revision(tx: &WriteTx<'_>) -> Result<u64, Error> {
    let seq: Option<i64> = tx
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'revisions'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or_default().unsigned_abs())
}
