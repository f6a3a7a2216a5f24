//! How far a stream of a project was read: the last row stored, and nothing beyond it.

use std::cmp::Ordering;

use annals_core::{NativeId, ProjectId, UnixMs};
use rusqlite::{Connection, OptionalExtension, params};

use crate::ids::Pass;
use crate::{Error, WriteTx};

/// A place in a stream: rows are taken in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorPoint {
    /// `updated_at` of the row.
    pub at: UnixMs,
    /// Its native id, which orders rows of one millisecond.
    pub tie_id: NativeId,
}

impl Ord for CursorPoint {
    /// By time, then by id: as numbers where both are, else as text.
    fn cmp(&self, other: &Self) -> Ordering {
        self.at
            .cmp(&other.at)
            .then_with(|| self.tie_id.tie_order(&other.tie_id))
    }
}

impl PartialOrd for CursorPoint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A cursor as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last row stored; `None` before the first.
    pub point: Option<CursorPoint>,
    /// Where a first pass began, if not at the beginning.
    pub floor_at: Option<UnixMs>,
    /// Rows stored on the way.
    pub rows: u64,
    /// When it last moved.
    pub updated_at: UnixMs,
}

/// The cursor of a stream.
///
/// # Errors
/// A failure of the file.
pub fn get(conn: &Connection, project: ProjectId, stream: &str, pass: Pass) -> Result<Option<Cursor>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT at, tie_id, floor_at, rows, updated_at FROM cursors
             WHERE project_id = ?1 AND stream = ?2 AND pass = ?3",
        )?
        .query_row(params![project.0, stream, pass], |row| {
            let at: Option<i64> = row.get(0)?;
            let tie_id: Option<String> = row.get(1)?;
            Ok(Cursor {
                point: at.map(|at| CursorPoint {
                    at: UnixMs(at),
                    tie_id: NativeId(tie_id.unwrap_or_default()),
                }),
                floor_at: row.get::<_, Option<i64>>(2)?.map(UnixMs),
                rows: row.get::<_, i64>(3)?.unsigned_abs(),
                updated_at: UnixMs(row.get(4)?),
            })
        })
        .optional()?;
    Ok(found)
}

/// Begins a pass at a floor, unless it has begun. As long as no row was stored its floor may still be lowered; it is
/// never raised, because what lies between the two would be missing.
///
/// # Errors
/// A failure of the file.
pub fn begin(
    tx: &WriteTx<'_>,
    project: ProjectId,
    stream: &str,
    pass: Pass,
    floor_at: Option<UnixMs>,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO cursors (project_id, stream, pass, floor_at, rows, updated_at) VALUES (?1, ?2, ?3, ?4, 0, ?5)
         ON CONFLICT DO UPDATE SET floor_at = excluded.floor_at, updated_at = excluded.updated_at
             WHERE at IS NULL AND floor_at > excluded.floor_at",
    )?
    .execute(params![project.0, stream, pass, floor_at.map(|at| at.0), tx.now().0])?;
    Ok(())
}

/// Moves the cursor to the last row of a page, never backwards; a page that brought nothing new
/// leaves it untouched. `rows` is how many rows the page wrote. True if anything was written.
///
/// # Errors
/// A failure of the file.
pub fn advance(
    tx: &WriteTx<'_>,
    project: ProjectId,
    stream: &str,
    pass: Pass,
    to: Option<&CursorPoint>,
    rows: u64,
) -> Result<bool, Error> {
    let known = get(tx, project, stream, pass)?;
    let from = known.as_ref().and_then(|cursor| cursor.point.as_ref());
    let to = to.max(from);
    if (to == from && rows == 0) || (to.is_none() && known.is_none()) {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO cursors (project_id, stream, pass, at, tie_id, rows, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET at = excluded.at, tie_id = excluded.tie_id, rows = rows + excluded.rows,
             updated_at = excluded.updated_at",
    )?
    .execute(params![
        project.0,
        stream,
        pass,
        to.map(|point| point.at.0),
        to.map(|point| point.tie_id.as_str()),
        i64::try_from(rows).unwrap_or(i64::MAX),
        tx.now().0
    ])?;
    Ok(true)
}

/// Ends a pass; the next one begins at its floor.
///
/// # Errors
/// A failure of the file.
pub fn end(tx: &WriteTx<'_>, project: ProjectId, stream: &str, pass: Pass) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM cursors WHERE project_id = ?1 AND stream = ?2 AND pass = ?3")?
        .execute(params![project.0, stream, pass])?;
    Ok(())
}
