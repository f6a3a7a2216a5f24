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
    put(
        3,
        "数据库",
        "it's \"quoted\" (NEAR) AND* -x title:y 100 10µs",
        "naïve Seyðisfjörður",
    );
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
        ("100*", vec![3]),
        ("10*", vec![3]), // both `100` and `10μs`
        ("10µ*", vec![3]),
        ("sey*", vec![3]),
        ("\"naive sey\"", vec![]),
        ("naive-sey*", vec![3]),
        ("alpha -sey* -delta", vec![2]),
        ("-sey*", vec![1, 2, 4]),
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_equal_index_vocabulary(title in any::<String>(), body in body()) {
        let mirror = Mirror::new();
        assert_index_holds_the_words(&mirror, &title, &body)?;
    }
}

/// Text of every script, and much of what is folded, composed, joined or younger than somebody's tables.
fn body() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[\\PC\\p{M}हिน้\u{1e900}Ⓐ½]{1,20}",
        1 => "[\\p{M}ẛſßıİΣςﬃﷺΐ]{1,6}",
        1 => "[\\p{Nd}\\p{No}\\p{Nl}]{1,6}",
        1 => "[\\p{Lt}\\p{Lm}]{1,6}",
        1 => "[\u{1100}-\u{11ff}\u{a960}-\u{a97f}\u{d7b0}-\u{d7ff}\u{3131}-\u{318e}가각]{1,6}",
        1 => "[\u{2e80}-\u{33ff}\u{f900}-\u{faff}\u{ff00}-\u{ffef}]{1,8}",
        1 => "[\u{16fe0}-\u{16fff}\u{17000}-\u{17010}\u{1aff0}-\u{1b2ff}\u{20000}-\u{20010}\u{2f800}-\u{33fff}]{1,6}",
        1 => "[\u{d7f0}-\u{d7ff}\u{e000}-\u{e00f}\u{fff0}-\u{ffff}\u{f0000}-\u{f0010}\u{10fff0}-\u{10ffff}]{1,6}",
        1 => "[\u{10d40}-\u{10d8f}\u{11380}-\u{113ff}\u{16100}-\u{1613f}\u{16d40}-\u{16d7f}\u{1e5d0}-\u{1e5ff}]{1,6}",
        1 => "[a\u{e9}क\u{200c}\u{200d}\u{ad}\u{34f}\u{2060}\u{feff}\u{fe0f}\u{e0100}\u{301}]{1,8}",
        1 => "(AND|OR|NOT|NEAR|title|λ|λ61|[a-zA-Z0-9λ\"*^:{}()+-]{1,4})",
        1 => "[ \n\t]",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Exactly the words of the text are in the index, and each of them is found by asking for it.
fn assert_index_holds_the_words(mirror: &Mirror, title: &str, body: &str) -> Result<(), TestCaseError> {
    mirror.issue(&issue(1, title, body));
    mirror.drain();
    prop_assert_eq!(words_of_index(mirror), words_of_documents(mirror));
    for token in tokens(body)
        .chain(tokens(title))
        .filter(|token| token.text.chars().count() < 100)
    {
        let word = token.text.as_ref();
        prop_assert_eq!(mirror.search(word).total, 1, "{:?}", word);
        for (at, _) in word.char_indices().skip(1) {
            let beginning = format!("{}*", &word[..at]);
            prop_assert_eq!(mirror.search(&beginning).total, 1, "{:?} of {:?}", beginning, word);
        }
    }
    Ok(())
}

/// What random draws have found, or nearly.
#[test]
fn words_that_once_could_not_be_asked_for() {
    for body in [
        "ゟ",                                             // was one word of two letters: typed, two words
        "ヿ",                                             // the same
        "ﾞ",                                               // became a mark without a letter, which is no word
        "aﾞ ﾟb",                                            // the same within and before a word
        "\u{345} abc",                                    // a mark without a letter widened the next word
        "\u{16ff0}\u{301}",                               // two such marks, which composition puts into another order
        "\u{16d67}\u{16d67} \u{16d63}\u{16d67}\u{16d67}", // vowels of Kirat Rai are letters that compose
        "\u{16d67}\u{16d68} \u{16d68}\u{16d67}",          // of which one is made of two
        "10µs Seyðisfjörður",                             // a plain beginning of a word that is not plain
        "हिन्दी",                                          // a beginning that ends with a mark
        "λ λ61 a",                                        // looks like what stands for `a` in the index
        "AND OR NOT NEAR(a b) title:x ^y {z}",
        "\u{1e900}\u{11384}\u{113bb}",
        "ŉ ǅ ﬃ ẞ İı Σς ㍿ ㆒ ㈀ Ⅷ ½ ①",
        "\u{1112}\u{1161}\u{11ab} \u{115f}\u{1160} ﾡ ㅤ",
        "葛\u{e0100} ｶﾞ カ\u{3099}",
    ] {
        let mirror = Mirror::new();
        assert_index_holds_the_words(&mirror, "", body).unwrap();
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
