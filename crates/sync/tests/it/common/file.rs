//! The file that a run leaves, looked at by SQLite alone.

use std::path::{Path, PathBuf};

/// What two files that saw the same forge have in common.
pub fn dump(path: &Path) -> String {
    let conn = rusqlite::Connection::open(path).unwrap();
    annals_db::dump::canonical(&conn).unwrap()
}

/// What must hold in the file however a run ended.
pub fn assert_whole_batches(path: &Path, why: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let text = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
    let count = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok", "{why}");
    assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check"), 0, "{why}");
    for table in ["issues", "merge_requests"] {
        // The cursor is the last row, and every row up to it is there with what it owes.
        let behind = format!(
            "SELECT count(*) FROM {table} e WHERE NOT EXISTS (SELECT 1 FROM cursors c
               WHERE c.stream = '{table}' AND (c.at > e.updated_at OR c.at = e.updated_at))"
        );
        assert_eq!(count(&behind), 0, "{why}: rows of {table} beyond the cursor");
        let last = format!(
            "SELECT count(*) FROM cursors c WHERE stream = '{table}'
               AND NOT EXISTS (SELECT 1 FROM {table} e WHERE e.updated_at = c.at AND e.native_id = c.tie_id)"
        );
        assert_eq!(count(&last), 0, "{why}: the cursor of {table} names no row");
    }
    let unowed = "SELECT count(*) FROM issues e WHERE NOT EXISTS (SELECT 1 FROM dependent_jobs j
        WHERE j.entity_type = 'issue' AND j.entity_id = e.id AND j.job_type = 'discussions')";
    assert_eq!(count(unowed), 0, "{why}: an issue without its job");
    let unmarked = "SELECT count(*) FROM issues e WHERE NOT EXISTS (SELECT 1 FROM dirty_sources d
        WHERE d.source_kind = 'issue' AND d.source_id = e.id)
        AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.kind = 'issue' AND d.source_id = e.id)";
    assert_eq!(count(unmarked), 0, "{why}: an issue that no document will ever show");
    let half = "SELECT count(*) FROM dependent_sets s WHERE s.job_type = 'discussions' AND NOT EXISTS (
        SELECT 1 FROM dependent_jobs j WHERE j.entity_type = s.entity_type AND j.entity_id = s.entity_id
          AND j.job_type = 'discussions' AND j.status = 'done')";
    assert_eq!(count(half), 0, "{why}: a set whose job is still open");
}

/// Nothing is left for another run to heal.
pub fn assert_let_go(path: &Path, why: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let count = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        count("SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL"),
        0,
        "{why}: a lock is held"
    );
    assert_eq!(
        count("SELECT count(*) FROM dependent_jobs WHERE status = 'claimed'"),
        0,
        "{why}: a claim is open"
    );
    assert_eq!(
        count("SELECT count(*) FROM sync_runs WHERE status = 'running'"),
        0,
        "{why}: a run is open"
    );
}

/// A folder for one mirror.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("annals.db")
    }
}
