//! Sweeps: how far the index of a project's issues or merge requests was walked, and what it showed.
//!
//! The walk may take several runs, so its position and what it has seen are rows. Whatever is here and was not seen
//! once the walk is over is a [`candidate`](candidates): the forge is asked about each before anything is marked.

use annals_core::{EntityKind, Iid, ProjectId, UnixMs};
use rusqlite::{Connection, OptionalExtension, params};

use super::lock::{Lock, check_fence};
use crate::ids::{EntityId, entity_table};
use crate::{Error, WriteTx};

/// Which sweep: of which kind of which project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepOf {
    /// The project.
    pub project: ProjectId,
    /// Issues or merge requests.
    pub kind: EntityKind,
}

/// A sweep as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Where it goes on, in the words of whoever sweeps; `None` at its beginning.
    pub position: Option<String>,
    /// When it began.
    pub started_at: UnixMs,
    /// When it ended, if it did.
    pub finished_at: Option<UnixMs>,
    /// How many the index has shown.
    pub seen: u64,
    /// The newest row of the mirror when it began.
    pub up_to: i64,
}

/// Something that is here and that the index did not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its row.
    pub entity: EntityId,
    /// Its number.
    pub iid: Iid,
}

/// The sweep under way, or the last one.
///
/// # Errors
/// A failure of the file.
pub fn get(conn: &Connection, of: SweepOf) -> Result<Option<Sweep>, Error> {
    let found = conn
        .prepare_cached(
            "SELECT position, started_at, finished_at, seen, up_to FROM sweeps WHERE project_id = ?1 AND kind = ?2",
        )?
        .query_row(params![of.project.0, of.kind.as_str()], |row| {
            Ok(Sweep {
                position: row.get(0)?,
                started_at: UnixMs(row.get(1)?),
                finished_at: row.get::<_, Option<i64>>(2)?.map(UnixMs),
                seen: row.get::<_, i64>(3)?.unsigned_abs(),
                up_to: row.get(4)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Begins a sweep anew; what one before it had seen is forgotten.
///
/// # Errors
/// [`Error::LockLost`], or a failure of the file.
pub fn begin(tx: &WriteTx<'_>, lock: &Lock, of: SweepOf) -> Result<Sweep, Error> {
    check_fence(tx, lock)?;
    forget(tx, of)?;
    let newest = format!("SELECT coalesce(max(id), 0) FROM {}", entity_table(of.kind));
    let up_to: i64 = tx.prepare_cached(&newest)?.query_row([], |row| row.get(0))?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO sweeps (project_id, kind, position, started_at, finished_at, seen, up_to)
         VALUES (?1, ?2, NULL, ?3, NULL, 0, ?4)",
    )?
    .execute(params![of.project.0, of.kind.as_str(), tx.now().0, up_to])?;
    Ok(Sweep {
        position: None,
        started_at: tx.now(),
        finished_at: None,
        seen: 0,
        up_to,
    })
}

/// Notes what turned out to be there, and where the sweep goes on.
///
/// # Errors
/// [`Error::LockLost`], or a failure of the file.
pub fn step(tx: &WriteTx<'_>, lock: &Lock, of: SweepOf, iids: &[Iid], position: &str) -> Result<(), Error> {
    let new = see(tx, lock, of, iids)?;
    tx.prepare_cached("UPDATE sweeps SET position = ?3, seen = seen + ?4 WHERE project_id = ?1 AND kind = ?2")?
        .execute(params![of.project.0, of.kind.as_str(), position, new])?;
    Ok(())
}

/// Notes numbers that were asked for, so that the walk does not do so again. Returns how many were news.
///
/// # Errors
/// [`Error::LockLost`], or a failure of the file.
pub fn see(tx: &WriteTx<'_>, lock: &Lock, of: SweepOf, iids: &[Iid]) -> Result<i64, Error> {
    check_fence(tx, lock)?;
    let mut insert =
        tx.prepare_cached("INSERT OR IGNORE INTO sweep_seen (project_id, kind, iid) VALUES (?1, ?2, ?3)")?;
    let mut new = 0;
    for iid in iids {
        new += i64::from(insert.execute(params![of.project.0, of.kind.as_str(), iid.0])? > 0);
    }
    Ok(new)
}

/// Whether the index showed a number, or it was asked for.
///
/// # Errors
/// A failure of the file.
pub fn is_seen(conn: &Connection, of: SweepOf, iid: Iid) -> Result<bool, Error> {
    let mut select = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sweep_seen WHERE project_id = ?1 AND kind = ?2 AND iid = ?3)")?;
    Ok(select.query_row(params![of.project.0, of.kind.as_str(), iid.0], |row| row.get(0))?)
}

/// Ends a sweep: everything here was seen, or asked about.
///
/// # Errors
/// [`Error::LockLost`], or a failure of the file.
pub fn finish(tx: &WriteTx<'_>, lock: &Lock, of: SweepOf) -> Result<(), Error> {
    check_fence(tx, lock)?;
    forget(tx, of)?;
    tx.prepare_cached("UPDATE sweeps SET position = NULL, finished_at = ?3 WHERE project_id = ?1 AND kind = ?2")?
        .execute(params![of.project.0, of.kind.as_str(), tx.now().0])?;
    Ok(())
}

fn forget(tx: &WriteTx<'_>, of: SweepOf) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM sweep_seen WHERE project_id = ?1 AND kind = ?2")?
        .execute(params![of.project.0, of.kind.as_str()])?;
    Ok(())
}

/// What is here, was here when the sweep began, and was not seen: the first `limit` by number, and how many in all.
///
/// # Errors
/// A failure of the file.
pub fn candidates(conn: &Connection, of: SweepOf, up_to: i64, limit: usize) -> Result<(Vec<Candidate>, u64), Error> {
    let unseen = format!(
        "FROM {} e WHERE e.project_id = ?1 AND e.id <= ?3 AND e.gone_at IS NULL AND NOT EXISTS (
             SELECT 1 FROM sweep_seen s WHERE s.project_id = ?1 AND s.kind = ?2 AND s.iid = e.iid)",
        entity_table(of.kind)
    );
    let all: i64 = conn
        .prepare_cached(&format!("SELECT count(*) {unseen}"))?
        .query_row(params![of.project.0, of.kind.as_str(), up_to], |row| row.get(0))?;
    let mut select = conn.prepare_cached(&format!("SELECT e.id, e.iid {unseen} ORDER BY e.iid LIMIT ?4"))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![of.project.0, of.kind.as_str(), up_to, limit], |row| {
        Ok(Candidate {
            entity: EntityId {
                kind: of.kind,
                row: row.get(0)?,
            },
            iid: Iid(row.get(1)?),
        })
    })?;
    Ok((rows.collect::<Result<_, _>>()?, all.unsigned_abs()))
}

/// How many entities of a kind are here and not gone.
///
/// # Errors
/// A failure of the file.
pub fn living(conn: &Connection, of: SweepOf) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM {} WHERE project_id = ?1 AND gone_at IS NULL",
        entity_table(of.kind)
    );
    let n: i64 = conn
        .prepare_cached(&sql)?
        .query_row(params![of.project.0], |row| row.get(0))?;
    Ok(n.unsigned_abs())
}

/// How many of them were updated at a time or later.
///
/// # Errors
/// A failure of the file.
pub fn living_since(conn: &Connection, of: SweepOf, since: UnixMs) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM {} WHERE project_id = ?1 AND gone_at IS NULL AND updated_at >= ?2",
        entity_table(of.kind)
    );
    let n: i64 = conn
        .prepare_cached(&sql)?
        .query_row(params![of.project.0, since.0], |row| row.get(0))?;
    Ok(n.unsigned_abs())
}

/// Whether an entity is not here as it is at the forge: unknown, gone, or older than `updated_at`.
///
/// # Errors
/// A failure of the file.
pub fn is_news(conn: &Connection, of: SweepOf, iid: Iid, updated_at: Option<UnixMs>) -> Result<bool, Error> {
    let sql = format!(
        "SELECT gone_at IS NULL, updated_at FROM {} WHERE project_id = ?1 AND iid = ?2",
        entity_table(of.kind)
    );
    let known: Option<(bool, Option<i64>)> = conn
        .prepare_cached(&sql)?
        .query_row(params![of.project.0, iid.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match known {
        None | Some((false, _)) => true,
        // A time that cannot be trusted is not compared.
        Some((true, known)) => known.zip(updated_at).is_some_and(|(known, there)| there.0 > known),
    })
}
