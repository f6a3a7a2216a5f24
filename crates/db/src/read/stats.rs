//! How much of what the file holds, and whether it is sound.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::project::{self, CursorRow};
use crate::Error;
use crate::work::job::{self, JobCounts};
use crate::work::{dirty, quarantine};

/// Sizes, rows, cursors and what is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
    /// Payloads and states.
    pub blobs: BlobStats,
    /// How far streams were read.
    pub cursors: Vec<CursorRow>,
    /// Dependent jobs.
    pub jobs: JobCounts,
    /// Rows of sources whose documents must be made again.
    pub dirty: u64,
    /// Documents.
    pub documents: u64,
    /// Items that could not be read.
    pub quarantine: QuarantineStats,
    /// The number of the newest commit of content.
    pub content_seq: i64,
    /// Bytes of the file without its log.
    pub bytes: u64,
}

/// Payloads and states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlobStats {
    /// How many.
    pub count: u64,
    /// Their bytes as they were.
    pub bytes: u64,
    /// Their bytes as they are kept.
    pub stored_bytes: u64,
}

/// Items that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuarantineStats {
    /// Those that still cannot.
    pub open: u64,
    /// Those of them that are not fetched again.
    pub given_up: u64,
    /// Those that could later.
    pub resolved: u64,
}

/// Counts everything; for the owner of the file.
///
/// # Errors
/// A failure of the file.
pub fn stats(conn: &Connection) -> Result<Stats, Error> {
    let number = |sql: &str| -> Result<u64, Error> { Ok(conn.query_row(sql, [], |row| row.get(0))?) };
    let mut tables = BTreeMap::new();
    for name in tables_of(conn)? {
        tables.insert(name.clone(), number(&format!("SELECT count(*) FROM \"{name}\""))?);
    }
    let blobs = conn.query_row(
        "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(length(data)), 0) FROM blobs",
        [],
        |row| {
            Ok(BlobStats {
                count: row.get(0)?,
                bytes: row.get(1)?,
                stored_bytes: row.get(2)?,
            })
        },
    )?;
    let quarantine = conn.query_row(
        "SELECT coalesce(sum(resolved_at IS NULL), 0), coalesce(sum(resolved_at IS NULL AND attempts >= ?1), 0),
                coalesce(sum(resolved_at IS NOT NULL), 0) FROM quarantine",
        params![quarantine::MAX_ATTEMPTS],
        |row| {
            Ok(QuarantineStats {
                open: row.get(0)?,
                given_up: row.get(1)?,
                resolved: row.get(2)?,
            })
        },
    )?;
    Ok(Stats {
        blobs,
        cursors: project::cursors(conn, None)?,
        jobs: job::counts(conn, None)?,
        dirty: dirty::count(conn)?,
        documents: tables.get("documents").copied().unwrap_or(0),
        quarantine,
        content_seq: content_seq(conn)?,
        bytes: number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?,
        tables,
    })
}

/// The number of the newest commit of content.
///
/// # Errors
/// A failure of the file.
pub fn content_seq(conn: &Connection) -> Result<i64, Error> {
    Ok(conn
        .prepare_cached("SELECT content_seq FROM store WHERE id = 1")?
        .query_row([], |row| row.get(0))?)
}

/// The schema of the file.
///
/// # Errors
/// A failure of the file.
pub fn schema(conn: &Connection) -> Result<u32, Error> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// How thoroughly to look for damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Pages and their order.
    Quick,
    /// Indexes and references too.
    Full,
}

/// What is wrong with the file; nothing if it is sound.
///
/// # Errors
/// A failure of the file.
pub fn check(conn: &Connection, depth: Depth) -> Result<Vec<String>, Error> {
    let pragma = match depth {
        Depth::Quick => "PRAGMA quick_check",
        Depth::Full => "PRAGMA integrity_check",
    };
    let mut findings: Vec<String> = conn
        .prepare(pragma)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    findings.retain(|line| line != "ok");
    if depth == Depth::Full {
        let mut select = conn.prepare("SELECT \"table\", rowid, parent FROM pragma_foreign_key_check LIMIT 100")?;
        let broken = select.query_map([], |row| {
            let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!(
                "row {} of {table} refers to a row that {parent} lacks",
                id.unwrap_or_default()
            ))
        })?;
        findings.extend(broken.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(findings)
}

/// The tables of the schema, without those SQLite keeps for itself and for the text index.
pub(crate) fn tables_of(conn: &Connection) -> Result<Vec<String>, Error> {
    let mut select = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND name NOT LIKE 'documents\\_fts%' ESCAPE '\\' ORDER BY name",
    )?;
    let rows = select.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
