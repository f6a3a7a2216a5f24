//! A look into the file, by SQLite alone.

use std::path::{Path, PathBuf};

use annals_testkit::forge::model::sql;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};

/// A mirror, opened for reading: looking changes nothing, not even what a crash left in its log.
pub struct Mirror {
    conn: Connection,
    /// The copy that is looked at instead, where looking would change the file.
    _copy: Option<tempfile::TempDir>,
}

/// A row of the ledger of runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: String,
    /// Why it did not end as done.
    pub error: Option<String>,
}

impl Mirror {
    /// Opens it. A file that was killed while it was made has a journal that only a writer can undo, so a copy of both
    /// is opened for that.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let journal = beside(path, "-journal");
        if !journal.exists() {
            return Self {
                conn: connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
                _copy: None,
            };
        }
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        for (from, to) in [(path, &*copy), (&*journal, &*beside(&copy, "-journal"))] {
            std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
        Self {
            conn: connect(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE),
            _copy: Some(folder),
        }
    }

    /// One value.
    pub fn one<T: FromSql>(&self, query: &str) -> T {
        let found = self.conn.query_row(query, [], |row| row.get(0));
        found.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// How many rows of a table hold this.
    #[must_use]
    pub fn count(&self, table: &str, condition: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {table} WHERE {condition}"))
    }

    /// Whether the tables are there at all; a file that was killed in its first milliseconds has none.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.one::<i64>("SELECT count(*) FROM sqlite_schema WHERE name = 'sync_runs'") > 0
    }

    /// The file is whole, every reference in it leads somewhere, and each cursor stands at the last row that was stored,
    /// or before it where a sweep stored more.
    ///
    /// # Panics
    /// Otherwise.
    pub fn check(&self) {
        assert_eq!(self.one::<String>("PRAGMA integrity_check"), "ok");
        assert_eq!(
            self.one::<i64>("SELECT count(*) FROM pragma_foreign_key_check"),
            0,
            "dangling references"
        );
        if !self.is_made() {
            return;
        }
        for table in ["issues", "merge_requests"] {
            let last: Option<i64> = self.one(&format!("SELECT max(updated_at) FROM {table}"));
            let cursor: Option<i64> = self.one(&format!("SELECT max(at) FROM cursors WHERE stream = '{table}'"));
            assert!(cursor <= last, "the cursor of {table} is past the last stored row");
            // A sweep stores what a stream was not shown, ahead of its cursor.
            if self.count("sweeps", "1") == 0 {
                assert_eq!(cursor, last, "the cursor of {table} is not at the last stored row");
            }
        }
    }

    /// Every content row, byte for byte.
    #[must_use]
    pub fn raw(&self) -> String {
        annals_db::dump::raw(&self.conn).unwrap()
    }

    /// Every content row, without what depends on when and how often it was fetched. Where the forge listened is
    /// replaced, so that mirrors of two processes can be compared.
    #[must_use]
    pub fn canonical(&self, forge_url: &str) -> String {
        annals_db::dump::canonical(&self.conn)
            .unwrap()
            .replace(forge_url, "FORGE")
    }

    /// The same by the queries of the model, for [`annals_testkit::forge::model::expected_dump`].
    #[must_use]
    pub fn model(&self, native_id: &str) -> String {
        let id = self.project(native_id);
        let lines = |query| self.conn.prepare(query)?.query_map([id], |row| row.get(0))?.collect();
        sql::dump::<rusqlite::Error>(lines).unwrap()
    }

    /// What a finished mirror owes nobody: waiting jobs, items set aside, documents to make.
    #[must_use]
    pub fn owed(&self, native_id: &str) -> i64 {
        self.conn
            .query_row(sql::OWED, [self.project(native_id)], |row| row.get(0))
            .unwrap()
    }

    /// The ledger of runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        let mut select = self
            .conn
            .prepare("SELECT run_id, status, error_code FROM sync_runs ORDER BY started_at, run_id")
            .unwrap();
        let rows = select.query_map([], |row| {
            Ok(Run {
                id: row.get(0)?,
                status: row.get(1)?,
                error: row.get(2)?,
            })
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Locks that somebody holds.
    #[must_use]
    pub fn locks(&self) -> i64 {
        self.count("sync_locks", "holder IS NOT NULL")
    }

    fn project(&self, native_id: &str) -> i64 {
        self.conn
            .query_row(sql::PROJECT, [native_id], |row| row.get(0))
            .unwrap()
    }
}

/// Panics with the first difference of two dumps.
///
/// # Panics
/// When there is one.
pub fn assert_same(what: &str, expected: &str, found: &str) {
    if let Some(difference) = annals_testkit::forge::model::first_difference(expected, found) {
        panic!("{what}: {difference}");
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Connection {
    let opened = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let conn = opened.unwrap_or_else(|error| panic!("{} cannot be opened: {error}", path.display()));
    conn.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    conn
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
