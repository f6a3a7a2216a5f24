//! `annals related REF`, over the sample project.

use crate::support::Desk;

#[test]
fn what_has_to_do_with_an_entity_is_said_with_reasons() {
    let desk = Desk::with_mirror();
    let ended = desk.run_words(["related", "#12", "-n", "5"]);
    let items = ended.data()["items"].as_array().unwrap().clone();
    assert!((1..=5).contains(&items.len()), "{ended:?}");
    for item in &items {
        assert_ne!(item["ref"], "annals-sample/tidewater#12", "it is not related to itself");
        assert!(!item["why"].as_array().unwrap().is_empty(), "{item}");
    }
    let scores: Vec<f64> = items.iter().map(|item| item["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert_eq!(
        desk.run_words(["related", "#12", "-n", "5"]).data(),
        ended.data(),
        "the same every time"
    );
    let human = desk.run_words(["related", "#12", "--human"]).stdout;
    assert!(human.contains("a similar text ("), "{human}");
}

#[test]
fn what_is_not_there_has_no_relations() {
    let desk = Desk::with_mirror();
    assert_eq!(desk.run_words(["related", "#9999"]).code, 17);
    assert_eq!(desk.run_words(["related", "nonsense"]).code, 2);
    assert_eq!(desk.run_words(["related", "#12", "-n", "0"]).code, 2);
}

#[test]
fn without_vectors_it_says_what_is_missing() {
    let desk = Desk::with_mirror();
    let with = desk.run_words(["related", "#12"]).envelope();
    assert_eq!(with["meta"]["warnings"], serde_json::json!([]));
    let conn = rusqlite::Connection::open(desk.path("annals.db")).unwrap();
    conn.execute_batch("DELETE FROM embedding_owed; DELETE FROM embeddings; DELETE FROM embedding_sets")
        .unwrap();
    drop(conn);
    let without = desk.run_words(["related", "#12"]).envelope();
    let warning = without["meta"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("annals embed"), "{warning}");
    let kinds = without["data"]["items"].to_string();
    assert!(!kinds.contains("a similar text"), "{kinds}");
}
