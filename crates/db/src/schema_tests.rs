//! Promises of the file: its steps, its pragmas, its indexes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use annals_core::{Code, UnixMs};
use rusqlite::Connection;

use crate::control::{Alive, ProcessId};
use crate::file::{self, Role};
use crate::migrate::{self, APPLICATION_ID, Keep, Migration};
use crate::tx::Patience;
use crate::{Error, WriteTx, openers};

const NOW: UnixMs = UnixMs(1_700_000_000_000);

/// The newest schema known here.
fn newest() -> u32 {
    migrate::embedded().last().unwrap().version
}

fn alive() -> Alive {
    let me = ProcessId {
        host: "here".into(),
        pid: 1,
        process_start: 1,
    };
    Alive::new(me, |_, _| false)
}

fn open(path: &Path) -> Connection {
    file::create_private(path, file::Existing::Keep).unwrap();
    file::connect(path, Role::Writer).unwrap()
}

fn migrated(path: &Path) -> Connection {
    let conn = open(path);
    migrate::run(&conn, path, migrate::embedded(), NOW, &alive(), Keep::default()).unwrap();
    conn
}

/// The file as it is on disk, with its log moved into it.
fn bytes(path: &Path, conn: Connection) -> Vec<u8> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(conn);
    std::fs::read(path).unwrap()
}

#[test]
fn migrate_fresh_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = open(&path);
    let report = migrate::run(&conn, &path, migrate::embedded(), NOW, &alive(), Keep::default()).unwrap();
    assert_eq!((report.from, report.to, report.backup), (0, newest(), None));
    let steps: Vec<_> = migrate::embedded().iter().map(|step| step.name).collect();
    assert_eq!(report.applied, steps);
    let pragma = |name: &str| {
        conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(pragma("application_id"), i64::from(APPLICATION_ID));
    assert_eq!(pragma("user_version"), i64::from(newest()));
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    #[cfg(unix)]
    {
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777,
            0o600
        );
    }
}

#[test]
fn migrate_rerun_is_noop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let before = bytes(&path, migrated(&path));
    let conn = open(&path);
    let report = migrate::run(&conn, &path, migrate::embedded(), NOW, &alive(), Keep::default()).unwrap();
    assert!(report.applied.is_empty());
    assert_eq!(bytes(&path, conn), before);
}

#[test]
fn migrate_refuses_newer_file_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    conn.execute_batch("PRAGMA user_version = 7000").unwrap();
    let before = bytes(&path, conn);
    let reader = file::connect(&path, Role::Reader).unwrap();
    let error = migrate::inspect(&reader, migrate::embedded()).unwrap_err();
    drop(reader);
    assert!(matches!(error, Error::SchemaTooNew { found: 7000, known } if known == newest()));
    assert_eq!(error.code(), Code::SchemaTooNew);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn migrate_refuses_changed_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    let mut other = migrate::embedded().to_vec();
    other[0].sql = "CREATE TABLE other (id INTEGER)";
    let error = migrate::inspect(&conn, &other).unwrap_err();
    assert_eq!(error.code(), Code::MigrationFailed);
    assert!(error.to_string().contains("foundation"), "{error}");
}

#[test]
fn migrate_refuses_foreign_application_id() {
    let dir = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("other.db", "PRAGMA application_id = 42; CREATE TABLE t (id INTEGER)"),
        ("anonymous.db", "CREATE TABLE t (id INTEGER)"),
    ] {
        let path = dir.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        let conn = file::connect(&path, Role::Reader).unwrap();
        let error = migrate::inspect(&conn, migrate::embedded()).unwrap_err();
        assert_eq!(error.code(), Code::MigrationFailed, "{name}");
        drop(conn);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_file_that_is_no_database_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    std::fs::write(
        &path,
        "this is not a database, and is long enough to be read as one ".repeat(20),
    )
    .unwrap();
    let conn = file::connect(&path, Role::Reader);
    let error = conn
        .and_then(|conn| migrate::inspect(&conn, migrate::embedded()))
        .unwrap_err();
    assert_eq!(error.code(), Code::DatabaseCorrupt);
}

const NEXT: &str = "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;";

fn with_step(sql: &'static str) -> Vec<Migration> {
    let mut steps = migrate::embedded().to_vec();
    steps.push(Migration {
        version: newest() + 1,
        name: "later",
        sql,
    });
    steps
}

#[test]
fn migrate_failure_keeps_old_version_and_backup() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    for (n, broken) in [
        "CREATE TABLE later (id INTEGER); SELECT * FROM nowhere;",
        "CREATE TABLE later (id INTEGER PRIMARY KEY, at INTEGER REFERENCES issues (id)); INSERT INTO later VALUES (1, 9);",
    ]
    .into_iter()
    .enumerate()
    {
        let steps = with_step(broken);
        let error = migrate::run(&conn, &path, &steps, UnixMs(NOW.0 + n as i64), &alive(), Keep::default()).unwrap_err();
        assert_eq!(error.code(), Code::MigrationFailed);
        let Error::Migration { backup: Some(backup), .. } = &error else {
            panic!("{error:?}");
        };
        let version = |conn: &Connection| conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(version(&conn), i64::from(newest()));
        assert!(conn.prepare("SELECT * FROM later").is_err());
        assert_eq!(version(&Connection::open(backup).unwrap()), i64::from(newest()));
    }
}

#[test]
fn newest_backups_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    for n in 0..5 {
        let conn = migrated(&path);
        let later = UnixMs(NOW.0 + n * 1000);
        migrate::run(&conn, &path, &with_step(NEXT), later, &alive(), Keep(3)).unwrap();
        drop(conn);
        std::fs::remove_file(&path).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.ends_with(".bak"));
    names.sort();
    assert_eq!(
        names,
        ["22", "23", "24"].map(|second| format!("a.db.v{}-20231114T2213{second}.000Z.bak", newest()))
    );
}

#[test]
fn no_migration_under_a_live_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    conn.execute_batch(&format!(
        "INSERT INTO sync_locks VALUES ('project:1', NULL, 'annals sync', 'elsewhere', 9, 9, 1, {0}, {0})",
        NOW.0
    ))
    .unwrap();
    let run = |at: i64| migrate::run(&conn, &path, &with_step(NEXT), UnixMs(at), &alive(), Keep::default());
    let error = run(NOW.0 + 29_000).unwrap_err();
    assert_eq!(error.code(), Code::SyncInProgress);
    assert_eq!(run(NOW.0 + 31_000).unwrap().to, newest() + 1);
}

#[test]
fn a_file_that_stays_busy_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    let other = file::connect(&path, Role::Writer).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = |patience: Patience| WriteTx::run_patiently(&conn, NOW, || patience, |tx| tx.content_seq());
    let error = run(Patience::GiveUp).unwrap_err();
    assert_eq!(error.code(), Code::DatabaseLocked);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(run(Patience::Wait).unwrap(), 1);
    let timeout: i64 = conn.query_row("PRAGMA busy_timeout", [], |row| row.get(0)).unwrap();
    assert_eq!(timeout, 5000, "the short waits are over");
}

#[test]
fn pragmas_on_every_connection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let writer = migrated(&path);
    let reader = file::connect(&path, Role::Reader).unwrap();
    for (conn, query_only) in [(&writer, "0"), (&reader, "1")] {
        let pragma = |name: &str| -> String {
            conn.query_row(
                &format!("SELECT CAST((SELECT * FROM pragma_{name}) AS TEXT)"),
                [],
                |row| row.get(0),
            )
            .unwrap()
        };
        let found = [
            "foreign_keys",
            "journal_mode",
            "synchronous",
            "busy_timeout",
            "temp_store",
            "cache_size",
            "trusted_schema",
            "query_only",
        ]
        .map(pragma);
        let stable_plans = conn.db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG);
        assert!(stable_plans.unwrap());
        assert_eq!(found, ["1", "wal", "1", "5000", "2", "-16384", "0", query_only]);
    }
    assert!(reader.execute("DELETE FROM store", []).is_err());
}

#[test]
fn every_foreign_key_is_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let conn = migrated(&dir.path().join("a.db"));
    let mut keys = conn
        .prepare(
            "SELECT t.name, k.\"from\" FROM pragma_table_list t, pragma_foreign_key_list(t.name) k
             WHERE t.schema = 'main' AND t.type = 'table'",
        )
        .unwrap();
    let keys: Vec<(String, String)> = keys
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(keys.len() > 60, "{}", keys.len());
    let mut scanning = Vec::new();
    for (table, column) in keys {
        // The plan is what counts: an index that cannot be used for the check is none.
        let plan: String = conn
            .query_row(
                &format!("EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {column} = ?1"),
                [1],
                |row| row.get(3),
            )
            .unwrap();
        if !plan.starts_with("SEARCH") {
            scanning.push(format!("{table}.{column}: {plan}"));
        }
    }
    assert!(scanning.is_empty(), "{scanning:#?}");
}

#[test]
fn content_seq_never_issued_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = migrated(&path);
    let seq = |conn: &Connection| {
        conn.query_row("SELECT content_seq FROM store", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let process = |pid: i64| ProcessId {
        host: "here".into(),
        pid,
        process_start: 1,
    };
    // Processes 1 and 2 live, 3 does not.
    let first = Alive::new(process(1), |pid, _| pid == 2);
    let second = Alive::new(process(2), |pid, _| pid == 1);

    openers::enter(&conn, "a", &first, NOW).unwrap();
    openers::enter(&conn, "b", &second, NOW).unwrap();
    openers::leave(&conn, "b").unwrap();
    openers::leave(&conn, "a").unwrap();
    openers::enter(&conn, "c", &first, NOW).unwrap();
    assert_eq!(seq(&conn), 0, "clean closes skip nothing");

    // A copy is taken, then the original goes on: its numbers must not come again from the copy.
    let copy = dir.path().join("copy.db");
    let mut steps = migrate::embedded().to_vec();
    steps.push(Migration {
        version: newest() + 1,
        name: "later",
        sql: NEXT,
    });
    openers::leave(&conn, "c").unwrap();
    let report = migrate::run(&conn, &path, &steps, NOW, &first, Keep::default()).unwrap();
    std::fs::rename(report.backup.unwrap(), &copy).unwrap();
    let restored = file::connect(&copy, Role::Writer).unwrap();
    openers::enter(&restored, "d", &first, NOW).unwrap();
    assert_eq!(seq(&restored), openers::SKIP);

    // Power went while process 3 had it open.
    openers::enter(&conn, "e", &Alive::new(process(3), |_, _| true), NOW).unwrap();
    openers::enter(&conn, "f", &first, NOW).unwrap();
    assert_eq!(seq(&conn), openers::SKIP);
    openers::leave(&conn, "f").unwrap();
    openers::enter(&conn, "g", &first, NOW).unwrap();
    assert_eq!(seq(&conn), openers::SKIP, "one unclean end skips once");
}
