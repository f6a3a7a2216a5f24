//! What every text index must keep, and that ours holds exactly the words of the documents.

use std::collections::BTreeMap;

use crate::support::{DAY, Mirror, NOW, ada, bob, discussion, issue, labels, merge_request, note, user};
use annals_core::UnixMs;
use annals_core::text::tokens;
use annals_db::content::{UserIn, mark_entity_gone};
use annals_db::ids::{EntityId, GoneReason, State};
use annals_db::{Visibility, WriteTx};
use annals_search::documents::{Text, drain_page, owe_everything};
use annals_search::index::{Fts5, Scope, TextIndex};
use annals_search::query::{self, Query};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

#[test]
fn text_index_contract() {
    contract(&Fts5);
}

/// What any engine must do; one test an engine.
fn contract(index: &dyn TextIndex) {
    let mirror = Mirror::new();
    for iid in 1..=4 {
        mirror.issue(&issue(iid, "", ""));
    }
    mirror.drain_with(index);
    let put = |id: i64, title: &str, body: &str, meta: &str| {
        let text = Text {
            title: title.to_owned(),
            body: body.to_owned(),
            meta: meta.to_owned(),
        };
        mirror.write(|tx| index.put(tx, id, &text));
    };
    put(1, "Alpha beta", "gamma delta", "");
    put(2, "", "alpha gamma beta", "Alpha");
    put(3, "数据库", "it's \"quoted\" (NEAR) AND* -x title:y", "naïve");
    put(4, "", "", "");

    let found = |text: &str| found_ids(&mirror, index, text);
    for (text, ids) in [
        ("alpha", vec![1, 2]),
        ("ALPHA beta", vec![1, 2]),
        ("\"alpha beta\"", vec![1]),
        ("\"beta gamma\"", vec![]), // not across fields
        ("\"alpha gamma\"", vec![2]),
        ("alp*", vec![1, 2]),
        ("\"alpha b\"", vec![]),
        ("alpha-b*", vec![1]),
        ("alpha -delta", vec![2]),
        ("alpha -\"gamma beta\"", vec![1]),
        ("-alpha", vec![3, 4]),
        ("-alpha -naive", vec![4]),
        ("", vec![1, 2, 3, 4]),
        ("据", vec![3]),
        ("数库", vec![]),
        ("naive", vec![3]),
        ("near and title", vec![3]),
        ("nosuch", vec![]),
    ] {
        assert_eq!(found(text), ids, "{text}");
    }

    // Putting replaces, removing removes, also twice.
    put(1, "epsilon", "", "");
    assert_eq!((found("epsilon"), found("alpha")), (vec![1], vec![2]));
    for _ in 0..2 {
        mirror.write(|tx| index.remove(tx, 1));
        assert_eq!(found("epsilon"), Vec::<i64>::new());
    }
    // What the index holds without a document is never found.
    put(77, "alpha", "", "");
    assert_eq!(found("alpha"), [2]);
    // Nothing of a transaction that failed is left.
    let failed: Result<(), _> = WriteTx::run(&mirror.conn, NOW, |tx| {
        index.clear(tx)?;
        index.put(
            tx,
            1,
            &Text {
                title: "zeta".to_owned(),
                ..Text::default()
            },
        )?;
        Err(annals_db::Error::Closed)
    });
    assert!(failed.is_err());
    assert_eq!((found("zeta"), found("alpha")), (vec![], vec![2]));
    mirror.write(|tx| index.clear(tx));
    assert_eq!((found("alpha"), found("-alpha")), (vec![], vec![1, 2, 3, 4]));
}

fn found_ids(mirror: &Mirror, index: &dyn TextIndex, text: &str) -> Vec<i64> {
    let query = query::parse(text, NOW).unwrap();
    let scope = Scope::new(&mirror.conn, &query, &Visibility::all()).unwrap();
    let mut ids = Vec::new();
    index
        .find(&mirror.conn, &query.terms, &scope, &mut |found| {
            assert_eq!(found.score.is_some(), query.is_ranked());
            ids.push(found.id);
            Ok(())
        })
        .unwrap();
    ids.sort_unstable();
    ids
}

/// Every word of the index: (document, field, place) → word.
type Words = BTreeMap<(i64, String, i64), String>;

fn words_of_index(mirror: &Mirror) -> Words {
    let sql = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING fts5vocab(main, documents_fts, instance)";
    mirror.conn.execute_batch(sql).unwrap();
    let mut rows = mirror
        .conn
        .prepare("SELECT doc, col, \"offset\", term FROM temp.words")
        .unwrap();
    let words = rows
        .query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), decoded(row.get(3)?)))
        })
        .unwrap();
    words.map(Result::unwrap).collect()
}

/// A word that is not plain ASCII is in the index as the hexadecimal digits of its bytes.
fn decoded(word: String) -> String {
    let Some(digits) = word.strip_prefix('λ') else {
        return word;
    };
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    String::from_utf8((0..digits.len()).step_by(2).map(byte).collect()).unwrap()
}

fn words_of_documents(mirror: &Mirror) -> Words {
    let mut words = Words::new();
    let mut rows = mirror
        .conn
        .prepare("SELECT id, title, body, meta FROM documents")
        .unwrap();
    let mut rows = rows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for (column, field) in ["title", "body", "meta"].iter().enumerate() {
            let text: String = row.get(column + 1).unwrap();
            for (place, token) in tokens(&text).enumerate() {
                let place = i64::try_from(place).unwrap();
                words.insert(
                    (row.get(0).unwrap(), (*field).to_owned(), place),
                    token.text.into_owned(),
                );
            }
        }
    }
    words
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        // The same cases every time: a failure must name a change, not a draw.
        rng_seed: proptest::test_runner::RngSeed::Fixed(20),
        ..ProptestConfig::default()
    })]

    #[test]
    fn tokens_equal_index_vocabulary(title in any::<String>(), body in "[\\PC\\p{M}हिน้\u{1e900}Ⓐ½]{0,60}") {
        let mirror = Mirror::new();
        mirror.issue(&issue(1, &title, &body));
        mirror.drain();
        prop_assert_eq!(words_of_index(&mirror), words_of_documents(&mirror));
        // And every word that is in it is found by asking for it.
        for token in tokens(&body) {
            prop_assert_eq!(mirror.search(&token.text).total, 1, "{}", token.text);
        }
    }
}

#[test]
fn index_rows_equal_documents_after_random_operations() {
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mirror = Mirror::new();
    for step in 0..400 {
        let iid = i64::from(rng.random_range(1..=12_u8));
        operate(&mirror, &mut rng, iid);
        if step % 7 == 0 {
            mirror.write(|tx| drain_page(tx, &Fts5));
        }
        if step % 40 == 39 {
            mirror.drain();
            assert_eq!(
                words_of_index(&mirror),
                words_of_documents(&mirror),
                "after step {step}"
            );
            assert_documents_are_rendered(&mirror);
        }
    }
    mirror
        .conn
        .execute(
            "INSERT INTO documents_fts (documents_fts) VALUES ('integrity-check')",
            [],
        )
        .unwrap();
}

fn operate(mirror: &Mirror, rng: &mut TestRng, iid: i64) {
    let mut entity = issue(iid, &text(rng), &text(rng));
    entity.updated_at = Some(UnixMs(NOW.0 - i64::from(rng.random_range(0..50_u8)) * DAY));
    entity.labels = labels(&["bug", "café", "数据"][..rng.random_range(0..=3)]);
    entity.state = if rng.random_bool(0.3) {
        State::Closed
    } else {
        State::Open
    };
    entity.confidential = rng.random_bool(0.2);
    let mr = || {
        let mut mr = merge_request(iid, &entity.title, &entity.body);
        mr.entity.labels.clone_from(&entity.labels);
        mr.draft = entity.confidential;
        mr
    };
    match rng.random_range(0..9_u8) {
        0..=2 => {
            mirror.issue(&entity);
        }
        3 | 4 => {
            mirror.merge_request(&mr());
        }
        5 | 6 => {
            let issue = mirror.issue(&entity);
            let threads = (0..rng.random_range(0..4_u8)).map(|thread| {
                let id = format!("{iid}-{thread}");
                let author = if rng.random_bool(0.5) { ada() } else { bob() };
                discussion(&id, vec![note(&id, author, &text(rng))])
            });
            let threads = threads.collect();
            mirror.discuss(issue, threads);
        }
        7 => {
            let id = mirror.issue(&entity);
            mirror.write(|tx| mark_entity_gone(tx, id, GoneReason::Deleted));
        }
        _ => {
            // The author takes another name, or everything is made anew.
            if rng.random_bool(0.5) {
                let name = format!("Name {}", rng.random_range(0..100_u8));
                entity.author = Some(UserIn {
                    display_name: Some(name),
                    ..ada()
                });
                mirror.issue(&entity);
            } else {
                mirror.write(|tx| owe_everything(tx, &Fts5));
            }
        }
    }
}

fn text(rng: &mut TestRng) -> String {
    const WORDS: &[&str] = &[
        "race",
        "Cutover",
        "數據庫",
        "Ünïcode",
        "std::vec",
        "it's",
        "हिन्दी",
        "\0",
        "—",
        "lock",
    ];
    let count = rng.random_range(0..12_usize);
    (0..count)
        .map(|_| WORDS[rng.random_range(0..WORDS.len())])
        .collect::<Vec<_>>()
        .join(" ")
}

/// Nothing is owed, so rendering again must find every document as it is.
fn assert_documents_are_rendered(mirror: &Mirror) {
    let before = mirror.number("SELECT count(*) FROM documents", &[]);
    mirror
        .conn
        .execute_batch(
            "INSERT INTO dirty_sources (source_kind, source_id, reason, created_at)
             SELECT 'issue', id, 'check', 0 FROM issues UNION ALL
             SELECT 'merge_request', id, 'check', 0 FROM merge_requests UNION ALL
             SELECT 'discussion', id, 'check', 0 FROM discussions",
        )
        .unwrap();
    let drained = mirror.drain();
    assert_eq!(
        (drained.changed, drained.moved, drained.removed),
        (0, 0, 0),
        "{drained:?}"
    );
    assert_eq!(mirror.number("SELECT count(*) FROM documents", &[]), before);
}

#[test]
fn an_empty_entity_is_a_document_without_words() {
    let mirror = Mirror::new();
    let mut empty = issue(1, "", "");
    empty.author = Some(UserIn {
        display_name: None,
        ..user("", "")
    });
    let id: EntityId = mirror.issue(&empty);
    mirror.drain();
    assert_eq!(mirror.search("").total, 1);
    assert_eq!(mirror.search("").hits[0].title, "");
    assert_eq!(id.row, 1);
    let nothing: Query = query::parse("-x", NOW).unwrap();
    assert!(!nothing.is_ranked());
    assert_eq!(mirror.search("-x").total, 1);
}
