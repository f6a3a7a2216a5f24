//! Files that an older Annals wrote, read by this one.
//!
//! A file is made by the steps of its time and filled by SQL of its time, for every schema there ever was.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use annals_core::{Code, EntityKind, Iid, ProjectId, UnixMs};
use annals_db::content::blob;
use annals_db::control::{Alive, ProcessId};
use annals_db::migrate::{self, Keep, Migration};
use annals_db::read::{self, Certainty, Depth, ListQuery, NotePage, NotesQuery, Visibility};
use annals_db::{Access, AutoMigrate, Db, OpenOptions, ReadConn};
use annals_net_adapter::{Cx, on_every_runtime};
use serde_json::{Value, json};

on_every_runtime!(
    migrate_every_step,
    a_reading_command_asks_for_the_migration_of_an_older_file,
);

fn alive() -> Alive {
    let me = ProcessId {
        host: "here".to_owned(),
        pid: 1,
        process_start: 1,
    };
    Alive::new(me, |_, _| false)
}

/// The steps that led to a schema.
fn steps_to(version: u32) -> Vec<Migration> {
    let known = migrate::embedded().iter().copied();
    known.take_while(|step| step.version <= version).collect()
}

/// What the first schema could hold: an issue that was seen twice, with a note, an event and its documents' debt.
const CONTENT: &str = r#"
    INSERT INTO forges (id, name, kind, base_url, api_url)
        VALUES (1, 'forge', 'gitlab', 'https://forge.example', 'https://forge.example/api/v4');
    INSERT INTO projects (id, forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
        VALUES (1, 1, '7', 'group/App', 'group/app', 'App', 0, 1, 'active', 1);
    INSERT INTO users (id, forge_id, native_id, username, username_folded, kind) VALUES (1, 1, '1', 'Ada', 'ada', 'human');
    INSERT INTO labels (id, project_id, native_id, name, name_folded, changed_seq) VALUES (1, 1, '5', 'Bug', 'bug', 1);
    INSERT INTO issues (id, project_id, native_id, iid, title, body, state, confidential, locked, author_id, created_at,
                        updated_at, flags, changed_seq)
        VALUES (1, 1, '70', 12, 'second title', 'second body', 'open', 0, 0, 1, 1000, 3000, 0, 1);
    INSERT INTO issue_labels (issue_id, label_id) VALUES (1, 1);
    INSERT INTO discussions (id, project_id, issue_id, native_id, kind, resolvable, resolved, first_note_at, last_note_at,
                             changed_seq)
        VALUES (1, 1, 1, 'd1', 'thread', 0, 0, 1500, 1500, 1);
    INSERT INTO notes (id, discussion_id, project_id, native_id, position, author_id, body, kind, system, internal,
                       created_at, updated_at, flags, changed_seq)
        VALUES (1, 1, 1, 'n1', 0, 1, 'said', 'note', 0, 0, 1500, 1500, 0, 1);
    INSERT INTO resource_events (id, project_id, issue_id, native_id, kind, action, subject, actor_id, created_at, origin,
                                 changed_seq)
        VALUES (1, 1, 1, 'e1', 'label', 'add', 'Bug', 1, 1200, 'forge', 1);
    INSERT INTO dirty_sources (source_kind, source_id, reason, created_at) VALUES ('issue', 1, 'new', 3000);
    UPDATE store SET content_seq = 1;
"#;

/// The states of its revisions: subject, number, since when, what.
fn states() -> [(&'static str, i64, i64, Value); 4] {
    let issue = |title: &str, body: &str| {
        json!({"assignees": [], "author": "Ada", "body": body, "confidential": false, "due_at": null,
               "issue_type": null, "labels": ["Bug"], "locked": false, "milestone": null, "state": "open",
               "state_reason": null, "title": title})
    };
    let discussion = json!({"kind": "thread", "resolvable": false, "resolved": false, "resolved_at": null,
                            "resolved_by": null});
    let note = json!({"author": "Ada", "body": "said", "internal": false, "kind": "note", "position": null,
                      "system": false});
    [
        ("issue", 1, 2000, issue("first title", "first body")),
        ("issue", 2, 3000, issue("second title", "second body")),
        ("discussion", 1, 1500, discussion),
        ("note", 1, 1500, note),
    ]
}

/// A file as an Annals of that schema left it.
fn made_at(folder: &Path, version: u32) -> PathBuf {
    let path = folder.join(format!("v{version}.db"));
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let report = migrate::run(&conn, &path, &steps_to(version), UnixMs(1), &alive(), Keep::default()).unwrap();
    assert_eq!(report.to, version);
    conn.execute_batch(CONTENT).unwrap();
    for (kind, seq, valid_from, state) in states() {
        let bytes = serde_json::to_vec(&state).unwrap();
        let hash = blob::hash(&bytes);
        conn.execute(
            "INSERT INTO blobs (hash, codec, size, data) VALUES (?1, 0, ?2, ?3)",
            rusqlite::params![hash, i64::try_from(bytes.len()).unwrap(), bytes],
        )
        .unwrap();
        let op = if seq == 1 { "first" } else { "changed" };
        conn.execute(
            "INSERT INTO revisions (subject_kind, subject_id, seq, op, valid_from, observed_at, state_hash, projection)
             VALUES (?1, 1, ?2, ?3, ?4, 4000, ?5, 1)",
            rusqlite::params![kind, seq, op, valid_from, hash],
        )
        .unwrap();
        let table = format!("{kind}s");
        let newest = format!("UPDATE {table} SET revision_id = ?1 WHERE id = 1");
        conn.execute(&newest, [conn.last_insert_rowid()]).unwrap();
    }
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    path
}

/// What a reader is told of it, now and as of before its second title.
fn told(conn: &ReadConn<'_>) -> Result<Value, annals_db::Error> {
    let (all, project) = (Visibility::all(), ProjectId(1));
    let now = read::entity(conn, &all, EntityKind::Issue, project, Iid(12))?.unwrap();
    let then = read::as_of::entity(conn, &all, EntityKind::Issue, project, Iid(12), UnixMs(2500))?.unwrap();
    let id = now.id();
    assert_eq!(then.item.certainty, Some(Certainty::Recorded));
    Ok(json!({
        "now": now,
        "then": then,
        "threads": read::threads(conn, &all, id, NotePage::ALL)?.discussions,
        "events": read::events(conn, id)?,
        "revisions": read::revisions(conn, id)?,
        "list": read::list(conn, &all, &ListQuery::of(EntityKind::Issue))?.items,
        "list_then": read::as_of::list(conn, &all, &ListQuery::of(EntityKind::Issue), UnixMs(2500))?.items,
        "notes": read::notes(conn, &all, &NotesQuery::default())?.notes,
        "projects": read::projects(conn, &all)?.len(),
        "faults": read::check(conn, Depth::Full)?,
    }))
}

async fn migrate_every_step(cx: Cx) {
    let folder = tempfile::tempdir().unwrap();
    let newest = migrate::embedded().last().unwrap().version;
    let mut first = None;
    for version in 1..=newest {
        let path = made_at(folder.path(), version);
        let db = Db::open(&cx, &path, OpenOptions::write(alive())).await.unwrap();
        let migrated = db.migrated().cloned();
        let steps = migrated.as_ref().map_or(0, |report| report.applied.len());
        assert_eq!(
            steps,
            usize::try_from(newest - version).unwrap(),
            "from schema {version}"
        );
        let copy = migrated.and_then(|report| report.backup);
        assert_eq!(copy.is_some(), version < newest, "from schema {version}");
        let told = db.read(&cx, told).await.unwrap();
        assert_eq!(told["now"]["title"], "second title");
        assert_eq!(
            (&told["then"]["title"], &told["then"]["body"]),
            (&json!("first title"), &json!("first body"))
        );
        assert_eq!(told["threads"][0]["notes"][0]["body"], "said");
        assert_eq!(told["faults"], json!([]));
        // It reads the same wherever it began.
        let first = first.get_or_insert_with(|| told.clone());
        assert!(
            told == *first,
            "from schema {version}:\n{told:#}\nfrom schema 1:\n{first:#}"
        );
        db.close(&cx).await.unwrap();
        // Now it is a file of this Annals: a reader may have it, and another writer has nothing to do.
        let db = Db::open(&cx, &path, OpenOptions::read()).await.unwrap();
        db.close(&cx).await.unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let status = migrate::inspect(&conn, migrate::embedded()).unwrap();
        assert_eq!((status.found, status.is_behind()), (newest, false));
        let Some(copy) = copy else { continue };
        let copy = rusqlite::Connection::open(copy).unwrap();
        let status = migrate::inspect(&copy, migrate::embedded()).unwrap();
        assert_eq!(status.found, version, "the copy is of before");
    }
}

async fn a_reading_command_asks_for_the_migration_of_an_older_file(cx: Cx) {
    let folder = tempfile::tempdir().unwrap();
    let newest = migrate::embedded().last().unwrap().version;
    for version in 1..newest {
        let path = made_at(folder.path(), version);
        let before = std::fs::read(&path).unwrap();
        let unwilling = OpenOptions {
            access: Access::Write {
                alive: alive(),
                migrate: AutoMigrate::Off,
            },
            ..OpenOptions::read()
        };
        for options in [OpenOptions::read(), unwilling] {
            let error = Db::open(&cx, &path, options).await.unwrap_err();
            assert_eq!(error.code(), Code::MigrationNeeded, "schema {version}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before, "schema {version}");
    }
}
