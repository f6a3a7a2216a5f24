//! Documents are what the rows of their sources say, no more, no less, and no older.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{DAY, Mirror, NOW, ada, bob, discussion, issue, labels, merge_request, milestone, note};
use annals_core::{NativeId, UnixMs};
use annals_db::WriteTx;
use annals_db::content::{LabelIn, mark_entity_gone, upsert_label};
use annals_db::ids::{GoneReason, SourceKind, State};
use annals_db::work::dirty;
use annals_search::documents::{
    Flags, Rendered, Source, Text, check_index, check_page, owe_anew, owe_everything, remove_strays, render,
};
use annals_search::index::{Found, Fts5, Scope, TextIndex};
use annals_search::query::Term;
use rusqlite::Connection;

fn rendered(mirror: &Mirror, kind: SourceKind, id: i64) -> Rendered {
    render(&mirror.conn, Source { kind, id }).unwrap().unwrap()
}

#[test]
fn document_golden_issue() {
    let mirror = Mirror::new();
    let mut given = issue(12, "Cutover\r\n  race  ", "Lines\r\nof e\u{301}te\u{301}\0\u{1b}[1m");
    given.labels = labels(&["zeta", "backend bug"]);
    given.milestone = Some(milestone("Version 2"));
    given.confidential = true;
    let id = mirror.issue(&given);
    assert_eq!(
        rendered(&mirror, SourceKind::Issue, id.row),
        Rendered {
            doc_key: "gitlab.example:100:issue:9012".to_owned(),
            project_id: mirror.project.0,
            source: Source {
                kind: SourceKind::Issue,
                id: id.row
            },
            text: Text {
                title: "Cutover race".to_owned(),
                // The store has put a replacement character for NUL before a document sees the text.
                body: "Lines\nof été\u{fffd}[1m".to_owned(),
                meta: "backend bug, zeta\nVersion 2\nAda Lovelace @ada".to_owned(),
            },
            author_id: Some(1),
            state: Some("open".to_owned()),
            created_at: Some(NOW.0 - 30 * DAY),
            updated_at: Some(NOW.0 - 12 * DAY),
            flags: Flags::CONFIDENTIAL,
        }
    );
}

#[test]
fn document_golden_merge_request() {
    let mirror = Mirror::new();
    let mut given = merge_request(7, "Speed up", "Because.");
    given.draft = true;
    given.entity.state = State::Merged;
    given.entity.labels = labels(&["perf"]);
    let id = mirror.merge_request(&given);
    assert_eq!(
        rendered(&mirror, SourceKind::MergeRequest, id.row),
        Rendered {
            doc_key: "gitlab.example:100:merge_request:8007".to_owned(),
            project_id: mirror.project.0,
            source: Source {
                kind: SourceKind::MergeRequest,
                id: id.row
            },
            text: Text {
                title: "Speed up".to_owned(),
                body: "Because.".to_owned(),
                meta: "perf\nAda Lovelace @ada\nfeature-7 main".to_owned(),
            },
            author_id: Some(1),
            state: Some("merged".to_owned()),
            created_at: Some(NOW.0 - 30 * DAY),
            updated_at: Some(NOW.0 - 7 * DAY),
            flags: Flags::DRAFT,
        }
    );
}

#[test]
fn document_golden_discussion() {
    let mirror = Mirror::new();
    let id = mirror.merge_request(&merge_request(7, "Speed up", ""));
    let mut system = note("1", bob(), "changed the description");
    system.system = true;
    let mut reply = note("3", ada(), "Not here.\n\nOn ARM?");
    reply.updated_at = Some(UnixMs(NOW.0 - DAY));
    let mut unnamed = bob();
    unnamed.display_name = None;
    let mut thread = discussion("abc", vec![system, note("2", unnamed, "It races."), reply]);
    thread.resolvable = true;
    mirror.discuss(id, vec![thread]);
    let row = mirror.number("SELECT id FROM discussions", &[]);
    let bob_row = mirror.number("SELECT id FROM users WHERE username = 'bob'", &[]);
    assert_eq!(
        rendered(&mirror, SourceKind::Discussion, row),
        Rendered {
            doc_key: "gitlab.example:100:discussion:abc".to_owned(),
            project_id: mirror.project.0,
            source: Source {
                kind: SourceKind::Discussion,
                id: row
            },
            text: Text {
                title: String::new(),
                body: "Bob: It races.\n\nAda Lovelace: Not here.\n\nOn ARM?".to_owned(),
                meta: "@bob @ada".to_owned(),
            },
            author_id: Some(bob_row),
            state: Some("open".to_owned()),
            created_at: Some(NOW.0 - 2 * DAY),
            updated_at: Some(NOW.0 - DAY),
            flags: Flags::UNRESOLVED,
        }
    );
}

#[test]
fn document_golden_commit() {
    let mirror = Mirror::new();
    let oid = "0123456789abcdef0123456789abcdef01234567";
    mirror
        .conn
        .execute(
            "INSERT INTO commits (project_id, oid, title, message, author_name, author_at, committer_at, parents)
             VALUES (?1, ?2, 'Fix the lock', 'Fix the lock\n\nIt was held too long.\n', 'Ada Lovelace', 1, 2, '[]')",
            rusqlite::params![mirror.project.0, oid],
        )
        .unwrap();
    assert_eq!(
        rendered(&mirror, SourceKind::Commit, 1),
        Rendered {
            doc_key: format!("gitlab.example:100:commit:{oid}"),
            project_id: mirror.project.0,
            source: Source {
                kind: SourceKind::Commit,
                id: 1
            },
            text: Text {
                title: "Fix the lock".to_owned(),
                body: "It was held too long.\n".to_owned(),
                meta: "Ada Lovelace".to_owned(),
            },
            author_id: None,
            state: None,
            created_at: Some(1),
            updated_at: Some(2),
            flags: Flags::default(),
        }
    );
    mirror.write(|tx| dirty::mark(tx, SourceKind::Commit, 1, "new"));
    mirror.drain();
    let hit = mirror.search("held kind:commit").hits.remove(0);
    assert_eq!(hit.reference, "group/app@0123456789ab");
    assert_eq!(
        hit.url,
        Some(format!("https://gitlab.example/group/app/-/commit/{oid}"))
    );
}

#[test]
fn a_thread_in_which_nobody_spoke_is_no_document() {
    let mirror = Mirror::new();
    let id = mirror.issue(&issue(1, "Quiet", ""));
    let mut system = note("1", bob(), "closed");
    system.system = true;
    mirror.discuss(id, vec![discussion("abc", vec![system.clone()])]);
    mirror.drain();
    assert_eq!(mirror.number("SELECT count(*) FROM documents", &[]), 1);

    // Somebody speaks, then takes it back; what was said stays as that of any other gone source does.
    mirror.discuss(
        id,
        vec![discussion("abc", vec![system.clone(), note("2", ada(), "hasty words")])],
    );
    mirror.drain();
    assert_eq!(mirror.found("hasty"), "~#1");
    mirror.discuss(id, vec![discussion("abc", vec![system])]);
    mirror.drain();
    assert_eq!(mirror.found("hasty"), "");
    assert_eq!(mirror.found("hasty is:gone"), "~#1");
}

#[test]
fn a_long_thread_is_cut_between_characters_and_still_whole_in_its_facts() {
    let mirror = Mirror::new();
    let id = mirror.issue(&issue(1, "Long", ""));
    let mut notes: Vec<_> = (0..5)
        .map(|n| note(&n.to_string(), ada(), &"é".repeat(150_000)))
        .collect();
    notes[4].internal = true;
    notes[4].updated_at = Some(NOW);
    mirror.discuss(id, vec![discussion("abc", notes)]);
    let row = mirror.number("SELECT id FROM discussions", &[]);
    let document = rendered(&mirror, SourceKind::Discussion, row);
    assert!(document.text.body.len() <= 1024 * 1024 && document.text.body.len() > 1024 * 1024 - 4);
    assert!(document.flags.contains(Flags::CONFIDENTIAL));
    assert_eq!(document.updated_at, Some(NOW.0));
}

/// An index during whose writing somebody else changes the source.
struct Interrupted {
    done: AtomicBool,
}

impl TextIndex for Interrupted {
    fn put(&self, tx: &WriteTx<'_>, id: i64, text: &Text) -> Result<(), annals_db::Error> {
        if !self.done.swap(true, Ordering::SeqCst) {
            let source: i64 = tx.query_row("SELECT source_id FROM documents WHERE id = ?1", [id], |row| row.get(0))?;
            dirty::mark(tx, SourceKind::Issue, source, "later")?;
        }
        Fts5.put(tx, id, text)
    }

    fn remove(&self, tx: &WriteTx<'_>, id: i64) -> Result<(), annals_db::Error> {
        Fts5.remove(tx, id)
    }

    fn clear(&self, tx: &WriteTx<'_>) -> Result<(), annals_db::Error> {
        Fts5.clear(tx)
    }

    fn find(
        &self,
        conn: &Connection,
        terms: &[Term],
        scope: &Scope,
        found: &mut dyn FnMut(&Found<'_>) -> Result<(), annals_db::Error>,
    ) -> Result<(), annals_db::Error> {
        Fts5.find(conn, terms, scope, found)
    }
}

#[test]
fn dirty_row_arriving_during_render_survives() {
    let mirror = Mirror::new();
    let id = mirror.issue(&issue(1, "Once", ""));
    mirror.write(|tx| dirty::mark(tx, SourceKind::Issue, id.row, "again"));
    let index = Interrupted {
        done: AtomicBool::new(false),
    };
    let page = mirror.write(|tx| annals_search::documents::drain_page(tx, &index));
    assert_eq!((page.sources, page.changed), (1, 1));
    let left: Vec<String> = {
        let mut rows = mirror.conn.prepare("SELECT reason FROM dirty_sources").unwrap();
        rows.query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(left, ["later"]);
    assert_eq!(mirror.search("once").stale.dirty, 1);
    let page = mirror.drain();
    assert_eq!((page.sources, page.unchanged), (1, 1));
    assert_eq!(mirror.search("once").stale.dirty, 0);
}

#[test]
fn unchanged_hash_moves_only_dates() {
    let mirror = Mirror::new();
    let mut given = issue(1, "Same text", "Body");
    mirror.issue(&given);
    mirror.drain();
    let index_before = mirror.number("SELECT count(*) FROM documents_fts_data", &[]);
    let bytes_before = index_bytes(&mirror);
    let text_before = mirror.text("SELECT hex(content_hash) FROM documents", &[]);

    given.updated_at = Some(NOW);
    given.state = State::Closed;
    mirror.issue(&given);
    let page = mirror.drain();
    assert_eq!((page.moved, page.changed), (1, 0));
    assert_eq!(mirror.number("SELECT updated_at FROM documents", &[]), NOW.0);
    assert_eq!(mirror.text("SELECT state FROM documents", &[]), "closed");
    assert_eq!(mirror.text("SELECT hex(content_hash) FROM documents", &[]), text_before);
    assert_eq!(
        mirror.number("SELECT count(*) FROM documents_fts_data", &[]),
        index_before
    );
    assert_eq!(index_bytes(&mirror), bytes_before);

    // The same row once more: nothing is written, and no number is issued.
    let seq = mirror.number("SELECT content_seq FROM store", &[]);
    mirror.write(|tx| dirty::mark(tx, SourceKind::Issue, 1, "again"));
    assert_eq!(mirror.drain().unchanged, 1);
    assert_eq!(mirror.number("SELECT content_seq FROM store", &[]), seq);
}

fn index_bytes(mirror: &Mirror) -> String {
    mirror.text(
        "SELECT group_concat(hex(block), '') FROM (SELECT block FROM documents_fts_data ORDER BY id)",
        &[],
    )
}

#[test]
fn a_documents_number_is_that_of_the_commit_that_changed_it() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "One", ""));
    mirror.issue(&issue(2, "Two", ""));
    mirror.drain();
    let before = mirror.number("SELECT changed_seq FROM documents WHERE source_id = 1", &[]);
    mirror.issue(&issue(2, "Two, edited", ""));
    mirror.drain();
    assert_eq!(
        mirror.number("SELECT changed_seq FROM documents WHERE source_id = 1", &[]),
        before
    );
    let seq = mirror.number("SELECT content_seq FROM store", &[]);
    assert_eq!(
        mirror.number("SELECT changed_seq FROM documents WHERE source_id = 2", &[]),
        seq
    );
}

#[test]
fn gone_source_hidden_unless_asked() {
    let mirror = Mirror::new();
    let gone = mirror.issue(&issue(1, "Vanished thing", "text"));
    mirror.issue(&issue(2, "Present thing", "text"));
    mirror.discuss(
        gone,
        vec![discussion("abc", vec![note("1", bob(), "a remark on the thing")])],
    );
    mirror.drain();
    assert_eq!(mirror.found("thing"), "#1 #2 ~#1");
    mirror.write(|tx| mark_entity_gone(tx, gone, GoneReason::Deleted));
    mirror.drain();
    assert_eq!(mirror.found("thing"), "#2");
    assert_eq!(mirror.search("thing").total, 1);
    assert_eq!(mirror.found("thing is:gone"), "#1 ~#1");
    assert_eq!(mirror.found("thing -is:gone"), "#2");
    assert_eq!(mirror.number("SELECT count(*) FROM documents_fts", &[]), 3);
    // It comes back.
    mirror.issue(&issue(1, "Vanished thing", "text"));
    mirror.drain();
    assert_eq!(mirror.found("thing is:gone"), "");
    assert_eq!(mirror.search("thing").total, 3);
}

#[test]
fn label_rename_dirties_its_documents() {
    let mirror = Mirror::new();
    let native = |name: &str| LabelIn {
        native_id: Some(NativeId("77".to_owned())),
        name: name.to_owned(),
        color: None,
        description: None,
    };
    mirror.write(|tx| upsert_label(tx, mirror.project, &native("bug")));
    let mut given = issue(1, "One", "");
    given.labels = vec![native("bug")];
    mirror.issue(&given);
    mirror.issue(&issue(2, "Two", ""));
    mirror.drain();
    assert_eq!(mirror.found("bug"), "#1");

    mirror.write(|tx| upsert_label(tx, mirror.project, &native("defect")));
    let page = mirror.drain();
    assert_eq!((page.sources, page.changed), (1, 1));
    assert_eq!(mirror.found("bug"), "");
    assert_eq!(mirror.found("defect"), "#1");
    assert_eq!(mirror.found("label:defect"), "#1");
}

#[test]
fn one_discussion_id_under_two_parents_loses_neither() {
    let mirror = Mirror::new();
    for iid in [1, 2] {
        let id = mirror.issue(&issue(iid, "Parent", ""));
        mirror.discuss(
            id,
            vec![discussion("same", vec![note(&format!("n{iid}"), ada(), "twin words")])],
        );
    }
    mirror.drain();
    let mut found = mirror.refs("twin");
    found.sort();
    assert_eq!(found, ["group/app#1", "group/app#2"]);
    // Making them again keeps their keys.
    let keys = "SELECT group_concat(doc_key) FROM (SELECT doc_key FROM documents ORDER BY id)";
    let before = mirror.text(keys, &[]);
    mirror.write(|tx| owe_everything(tx, &Fts5));
    mirror.drain();
    assert_eq!(mirror.text(keys, &[]), before);
}

#[test]
fn rebuild_restores_what_was_lost_and_survives_its_own_interruption() {
    let mirror = Mirror::new();
    for iid in 1..=5 {
        mirror.issue(&issue(iid, &format!("Word{iid} common"), ""));
    }
    mirror.drain();
    let before = mirror.search("common");
    // Somebody spoilt the file: one document reads otherwise, one has no source, and the index is empty.
    mirror
        .conn
        .execute(
            "UPDATE documents SET title = 'x', content_hash = x'00' WHERE source_id = 1",
            [],
        )
        .unwrap();
    mirror
        .conn
        .execute(
            "INSERT INTO documents (doc_key, project_id, kind, source_id, title, body, meta, content_hash, flags, changed_seq)
             VALUES ('stray', ?1, 'issue', 99, 'common', '', '', x'', 0, 1)",
            [mirror.project.0],
        )
        .unwrap();
    assert_eq!(mirror.search("").total, 6);
    mirror.write(|tx| Fts5.clear(tx));

    mirror.write(|tx| owe_everything(tx, &Fts5));
    // Killed here: what is missing is said, and the next drain of any kind finishes it.
    assert_eq!(mirror.search("common").total, 0);
    assert!(mirror.search("common").stale.dirty >= 6);
    let page = mirror.drain();
    assert_eq!((page.sources, page.changed, page.unchanged, page.removed), (6, 1, 4, 1));
    let after = mirror.search("common");
    assert_eq!(after.hits, before.hits);
}

#[test]
fn a_drain_takes_more_than_one_page() {
    let mirror = Mirror::new();
    for iid in 1..=450 {
        mirror.issue(&issue(iid, "many", ""));
    }
    let first = mirror.write(|tx| annals_search::documents::drain_page(tx, &Fts5));
    assert_eq!(first.sources, 200);
    assert_eq!(mirror.drain().sources, 250);
    assert_eq!(mirror.search("many").total, 450);
}

#[test]
fn a_spoilt_text_is_found_whatever_its_hash_says_and_made_anew() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "One", "as it was"));
    mirror.issue(&issue(2, "Two", ""));
    mirror.drain();
    let drifted = || check_page(&mirror.conn, SourceKind::Issue, 0, 100).unwrap().drifted;
    assert_eq!(drifted(), []);
    for column in ["title", "body", "meta"] {
        let spoil = format!("UPDATE documents SET {column} = 'spoilt' WHERE source_id = 1");
        assert_eq!(mirror.conn.execute(&spoil, []).unwrap(), 1);
        let found = drifted();
        let spoilt = Source {
            kind: SourceKind::Issue,
            id: 1,
        };
        assert_eq!(found, [spoilt], "{column}");
        mirror.write(|tx| owe_anew(tx, &found));
        assert_eq!(drifted(), [], "what is owed is no drift");
        assert_eq!(mirror.drain().changed, 1, "{column}");
        assert_eq!(drifted(), [], "{column}");
        assert_eq!(
            mirror.text("SELECT body FROM documents WHERE source_id = 1", &[]),
            "as it was"
        );
    }
}

#[test]
fn the_index_has_the_documents_and_nothing_else() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "One word", ""));
    mirror.issue(&issue(2, "Another word", ""));
    mirror.drain();
    let clean = check_index(&mirror.conn).unwrap();
    assert_eq!((clean.documents, clean.unindexed.len(), clean.strays.len()), (2, 0, 0));
    let spoil = "DELETE FROM documents_fts WHERE rowid = (SELECT id FROM documents WHERE source_id = 2);
                 INSERT INTO documents_fts (rowid, title, body, meta) VALUES (4711, 'stray', '', '');";
    mirror.conn.execute_batch(spoil).unwrap();
    let found = check_index(&mirror.conn).unwrap();
    let lost = Source {
        kind: SourceKind::Issue,
        id: 2,
    };
    assert_eq!(
        (found.unindexed.as_slice(), found.strays.as_slice()),
        ([lost].as_slice(), [4711].as_slice())
    );
    assert_eq!(mirror.search("word").total, 1);
    mirror.write(|tx| {
        owe_anew(tx, &found.unindexed)?;
        remove_strays(tx)
    });
    mirror.drain();
    assert_eq!(check_index(&mirror.conn).unwrap(), clean);
    assert_eq!(mirror.search("word").total, 2);
}
