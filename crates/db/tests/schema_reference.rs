//! The schema reference is made from the migrations, so it cannot say anything else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use annals_db::migrate;
use rusqlite::Connection;

const HEAD: &str = "# Schema reference

The tables of `annals.db`, made from `crates/db/migrations`. Read them with any SQLite client while Annals runs; write nothing: only Annals keeps rows,
revisions and index in step. Times are milliseconds since 1970 in UTC; enumerations are the words that their CHECK lists; `gone_at` marks what the forge
no longer shows; `changed_seq` is the commit that last changed a row. Payloads and states are in `blobs` under their SHA-256, `codec` 1 is zstd.

The file has `PRAGMA user_version` = ";

/// The remarks above each table, and under which heading it stands, in the order of the migrations.
fn remarks() -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    for step in migrate::embedded() {
        let (mut heading, mut remark) = (String::new(), String::new());
        for line in step.sql.lines() {
            if let Some(rest) = line.strip_prefix("-- ── ") {
                heading = rest.trim_end_matches(['─', ' ']).to_owned();
                remark.clear();
            } else if let Some(rest) = line.strip_prefix("-- ") {
                writeln!(remark, "{rest}").unwrap();
            } else if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                let name = rest.split([' ', '(']).next().unwrap_or_default().to_owned();
                found.insert(name, (heading.clone(), std::mem::take(&mut remark)));
            } else {
                remark.clear();
            }
        }
    }
    found
}

fn made() -> String {
    let conn = Connection::open_in_memory().unwrap();
    for step in migrate::embedded() {
        conn.execute_batch(step.sql).unwrap();
    }
    let version = migrate::embedded().last().map_or(0, |step| step.version);
    let mut text = format!("{HEAD}{version}.\n");
    let remarks = remarks();
    let mut tables = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .unwrap();
    let tables = tables
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .unwrap();
    let mut under = String::new();
    for table in tables {
        let (name, sql) = table.unwrap();
        // The tables that a virtual one keeps itself.
        let Some((heading, remark)) = remarks.get(&name) else {
            continue;
        };
        if *heading != under && !heading.is_empty() {
            writeln!(text, "\n## {}", capitalised(heading)).unwrap();
            under.clone_from(heading);
        }
        writeln!(text, "\n### {name}\n").unwrap();
        if !remark.is_empty() {
            writeln!(text, "{}\n", remark.trim_end()).unwrap();
        }
        writeln!(text, "```sql\n{sql};").unwrap();
        let mut indexes = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY rowid")
            .unwrap();
        for index in indexes.query_map([&name], |row| row.get::<_, String>(0)).unwrap() {
            writeln!(text, "{};", index.unwrap()).unwrap();
        }
        writeln!(text, "```").unwrap();
    }
    text
}

fn capitalised(heading: &str) -> String {
    let mut letters = heading.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Run with `ANNALS_WRITE_DOCS=1` after a migration was added.
#[test]
fn docs_schema_is_made_from_the_migrations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema.md");
    let made = made();
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/schema.md is old: ANNALS_WRITE_DOCS=1 cargo test -p annals-db --test schema_reference"
    );
}
