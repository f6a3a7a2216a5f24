//! The content plane as text, for comparing files.
//!
//! [`raw`] has every row as it is, so that "nothing was written" can be shown byte for byte.
//! [`canonical`] has natural keys instead of local ids and leaves out what depends on when and in how
//! many attempts something was fetched, so that two files that saw the same forge are equal.

mod canonical;

use std::fmt::Write as _;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::Error;
use crate::content::blob;

/// The tables of the content plane. Validators are not part of it: they are renewed by any answer.
const CONTENT: [&str; 35] = [
    "store",
    "forges",
    "projects",
    "project_paths",
    "users",
    "labels",
    "milestones",
    "issues",
    "merge_requests",
    "issue_labels",
    "mr_labels",
    "issue_assignees",
    "mr_assignees",
    "mr_reviewers",
    "discussions",
    "notes",
    "diff_note_positions",
    "resource_events",
    "entity_references",
    "commits",
    "mr_versions",
    "mr_commits",
    "mr_file_changes",
    "commit_file_changes",
    "refs",
    "revisions",
    "documents",
    "embedding_sets",
    "embeddings",
    "embedding_owed",
    "cursors",
    "dirty_sources",
    "dependent_jobs",
    "dependent_sets",
    "quarantine",
];

/// Every content row in the order of its key. Of a blob its hash stands for its bytes.
///
/// # Errors
/// A failure of the file.
pub fn raw(conn: &Connection) -> Result<String, Error> {
    let mut out = String::new();
    for table in CONTENT {
        let mut keys = conn.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
        let keys = keys
            .query_map([table], |row| row.get(0))?
            .collect::<Result<Vec<String>, _>>()?;
        append(
            conn,
            &mut out,
            table,
            &format!("SELECT * FROM {table} ORDER BY {}", keys.join(", ")),
        )?;
    }
    append(conn, &mut out, "blobs", "SELECT hash, size FROM blobs ORDER BY hash")?;
    Ok(out)
}

/// Every content row in natural keys, without local ids, commit numbers, times of observation,
/// attempt counts and finished jobs.
///
/// # Errors
/// A failure of the file.
pub fn canonical(conn: &Connection) -> Result<String, Error> {
    let mut out = String::new();
    for (name, sql) in canonical::QUERIES {
        append(conn, &mut out, name, &format!("{}{sql}", canonical::KEYED))?;
    }
    Ok(out)
}

/// One line per row: the name, then each column with its value.
fn append(conn: &Connection, out: &mut String, name: &str, sql: &str) -> Result<(), Error> {
    let mut select = conn.prepare(sql)?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        out.push_str(name);
        for (at, column) in columns.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => "null".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) => serde_json::Value::from(String::from_utf8_lossy(text)).to_string(),
                ValueRef::Blob(bytes) => blob::hex(bytes),
            };
            write!(out, " {column}={value}").map_err(|_| Error::corrupt("a dump that cannot be written"))?;
        }
        out.push('\n');
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::read::tables_of;

    /// Tables that tell how the mirroring went, not what was mirrored.
    const CONTROL: [&str; 9] = [
        "http_validators",
        "store_openers",
        "sweep_seen",
        "sweeps",
        "sync_locks",
        "sync_run_entities",
        "sync_run_streams",
        "sync_runs",
        "verify_findings",
    ];

    #[test]
    fn every_table_is_dumped_or_left_out_by_name() {
        let conn = Connection::open_in_memory().unwrap();
        for step in crate::migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        let mut known: Vec<&str> = CONTENT.iter().chain(&CONTROL).copied().collect();
        known.push("blobs");
        known.sort_unstable();
        assert_eq!(tables_of(&conn).unwrap(), known);
        for (_, sql) in canonical::QUERIES {
            conn.prepare(&format!("{}{sql}", canonical::KEYED)).unwrap();
        }
    }
}
