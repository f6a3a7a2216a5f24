//! Files that are missing, foreign, newer or only to be read.

use std::path::Path;

use crate::support::Desk;

const READING: &[&str] = &[
    "search cutover",
    "show 12 --discussions --events --files --revisions",
    "issues",
    "mrs",
    "notes",
    "issues --as-of 2024-03-01",
    "notes --as-of 2024-03-01",
    "search cutover --as-of 2024-03-01",
    "show 1 --discussions --raw --as-of 2024-03-01",
    "projects",
    "sync-runs",
    "doctor",
    "migrate --check",
    "migrate",
    "version",
    "explain internal",
    "sync no/such/project",
];

#[test]
fn reading_commands_never_write() {
    let desk = Desk::with_mirror();
    let file = desk.path("annals.db");
    let before = (std::fs::read(&file).unwrap(), modified(&file));
    for line in READING.iter().filter(|line| !line.starts_with("sync no")) {
        let ended = desk.run(line);
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        assert!(
            before == (std::fs::read(&file).unwrap(), modified(&file)),
            "{line} wrote"
        );
        let log = std::fs::metadata(desk.path("annals.db-wal")).map_or(0, |log| log.len());
        assert_eq!(log, 0, "{line} left a log");
    }
}

fn modified(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_mirror_that_is_not_there_is_not_made() {
    let desk = Desk::empty();
    for line in READING
        .iter()
        .filter(|line| !line.starts_with("version") && !line.starts_with("explain") && !line.starts_with("sync no"))
    {
        let ended = desk.run(&format!("{line} --db no.db"));
        if line.starts_with("doctor") {
            assert_eq!(ended.code, 0, "an empty machine is not ill: {ended:?}");
        } else {
            assert_eq!(ended.code, 17, "{line}: {ended:?}");
            assert!(
                ended.stderr.contains("--db no.db`"),
                "the next step is about the same file: {ended:?}"
            );
            assert!(
                ended.error()["suggestion"].as_str().unwrap().contains("annals sync"),
                "{ended:?}"
            );
        }
        assert!(!desk.path("no.db").exists(), "{line}");
    }
    std::fs::write(
        desk.path("annals.toml"),
        "[forges.main]\nkind = \"gitlab\"\nbase_url = \"https://forge.example\"\nprojects = [\"a/b\"]\n",
    )
    .unwrap();
    assert_eq!(
        desk.run("issues --db no.db --config annals.toml").error()["actions"],
        serde_json::json!(["annals sync --db no.db --config annals.toml"])
    );
}

#[test]
fn migrate_refuses_newer_file_untouched() {
    let desk = Desk::with_mirror();
    desk.sql("PRAGMA user_version = 99");
    let before = std::fs::read(desk.path("annals.db")).unwrap();
    for line in [
        "issues",
        "search x",
        "migrate",
        "sync annals-sample/tidewater",
        "serve",
        "demo --exit --db annals.db",
    ] {
        let ended = desk.run(line);
        assert_eq!(
            (ended.code, ended.code_of_error().as_str()),
            (11, "schema_too_new"),
            "{line}: {ended:?}"
        );
        assert!(before == std::fs::read(desk.path("annals.db")).unwrap(), "{line} wrote");
    }
}

#[test]
fn a_file_that_is_no_mirror_is_refused() {
    let desk = Desk::empty();
    std::fs::write(
        desk.path("text.db"),
        "this is not a database, only a text that is long enough to be looked at\n".repeat(20),
    )
    .unwrap();
    for line in ["issues", "sync http://127.0.0.1:9/a/b", "demo --exit", "migrate"] {
        let ended = desk.run(&format!("{line} --db text.db"));
        assert_eq!(
            (ended.code, ended.code_of_error().as_str()),
            (10, "database_corrupt"),
            "{line}: {ended:?}"
        );
    }
    let other = rusqlite::Connection::open(desk.path("other.db")).unwrap();
    other
        .execute_batch("CREATE TABLE t (x); PRAGMA application_id = 7")
        .unwrap();
    drop(other);
    for line in ["issues", "sync http://127.0.0.1:9/a/b", "demo --exit"] {
        assert_eq!(
            desk.run(&format!("{line} --db other.db")).code_of_error(),
            "migration_failed",
            "{line}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let desk = Desk::with_mirror();
    let other = rusqlite::Connection::open(desk.path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    std::fs::write(desk.path("text.db"), "no database at all, but long enough\n".repeat(40)).unwrap();
    std::fs::copy(desk.path("annals.db"), desk.path("newer.db")).unwrap();
    let newer = rusqlite::Connection::open(desk.path("newer.db")).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(newer);
    for (file, said) in [
        (".", ". is a folder"),
        ("other.db", "other.db is not an Annals file"),
        ("text.db", "text.db is no sound database"),
        ("newer.db", "newer.db: the database has schema 99"),
    ] {
        for line in ["issues", "sync http://127.0.0.1:9/a/b"] {
            let ended = desk.run(&format!("{line} --human --db {file}"));
            assert!(ended.stderr.contains(said), "{line} {file}: {ended:?}");
            assert!(!ended.stderr.contains("the path in the message"), "{ended:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::empty();
    assert_eq!(desk.run("demo --exit").code, 0);
    let mode = std::fs::metadata(desk.path("annals-demo.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Its first page is sound, so it opens; what is behind is not.
#[test]
fn a_file_that_fails_after_it_was_opened_is_named() {
    let desk = Desk::with_mirror();
    let file = desk.path("annals.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let schema = 4096 * 20;
    bytes[schema..].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    for line in [
        "issues",
        "mrs",
        "show 12 --discussions",
        "search cutover",
        "search cutover -p tidewater",
        "sync-runs",
        "sync annals-sample/tidewater",
    ] {
        let ended = desk.run(line);
        assert_eq!(
            (ended.code, ended.code_of_error().as_str()),
            (10, "database_corrupt"),
            "{line}: {ended:?}"
        );
        let error = ended.error();
        assert!(
            error["message"].as_str().unwrap().contains("annals.db"),
            "{line}: {error}"
        );
        assert_eq!(error["details"]["path"], "annals.db", "{line}: {error}");
    }
}
