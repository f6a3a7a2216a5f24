//! Items put aside: nothing that the forge sent is forgotten before it can be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use annals_net_adapter::{Cx, on_every_host};
use serde_json::{Value, json};

use crate::review_support::{Mirror, discussion, issue};

on_every_host!(
    an_item_without_a_number_stays_aside_when_its_bytes_change,
    an_item_without_a_number_is_found_behind_a_crowd,
    an_item_without_a_number_is_found_at_the_head_of_a_page,
    an_item_that_got_its_number_comes_out,
    a_changed_bad_item_of_a_known_number_is_kept_as_it_is_now,
    an_outage_is_no_attempt_at_an_item,
);

const OPEN: &str = "SELECT native_ref FROM quarantine WHERE resolved_at IS NULL ORDER BY native_ref";

fn numberless(n: i64, at: &str) -> Value {
    let mut odd = issue(n, at);
    odd.as_object_mut().unwrap().remove("iid");
    odd["upvotes"] = json!(0);
    odd
}

/// The bytes that are aside now.
async fn aside(cx: &Cx, mirror: &Mirror) -> Vec<String> {
    let open = mirror.db.read(cx, |conn| {
        let mut select = conn.prepare("SELECT payload_hash FROM quarantine WHERE resolved_at IS NULL ORDER BY id")?;
        let hashes = select.query_map((), |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
        hashes
            .iter()
            .map(|hash| Ok(String::from_utf8(annals_db::content::blob::get(conn, hash)?).unwrap()))
            .collect()
    });
    open.await.unwrap()
}

async fn an_item_without_a_number_stays_aside_when_its_bytes_change(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let mut odd = numberless(2, "2023-01-02T00:00:00Z");
    let list = |odd: &Value| {
        vec![
            issue(1, "2023-01-01T00:00:00Z"),
            odd.clone(),
            issue(3, "2023-01-03T00:00:00Z"),
        ]
    };
    mirror.set("issues", list(&odd));
    mirror.sync(&cx).await.unwrap();
    assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
    odd["upvotes"] = json!(1);
    mirror.set("issues", list(&odd));
    for _ in 0..3 {
        mirror.sync(&cx).await.unwrap();
        assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
    }
    // Updated, and still without a number: it is looked for where it is now.
    odd["updated_at"] = json!("2023-01-04T00:00:00Z");
    mirror.set("issues", list(&odd));
    for _ in 0..3 {
        mirror.sync(&cx).await.unwrap();
        assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
    }
}

async fn an_item_without_a_number_is_found_behind_a_crowd(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    let odd = numberless(4, "2023-01-01T00:00:01.000Z");
    mirror.set(
        "issues",
        vec![
            issue(1, "2023-01-01T00:00:00.000Z"),
            issue(2, "2023-01-01T00:00:00.100Z"),
            issue(3, "2023-01-01T00:00:00.200Z"),
            odd.clone(),
            issue(5, "2023-01-03T00:00:00.000Z"),
        ],
    );
    for _ in 0..2 {
        mirror.sync(&cx).await.ok();
    }
    assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
    assert_eq!(
        mirror.texts(&cx, "SELECT CAST(attempts AS TEXT) FROM quarantine").await,
        ["1"],
        "it was found again, as it was"
    );
}

/// The rows before it are on the page before.
async fn an_item_without_a_number_is_found_at_the_head_of_a_page(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    let odd = numberless(3, "2023-01-01T00:00:00.900Z");
    mirror.set(
        "issues",
        vec![
            issue(1, "2023-01-01T00:00:00.000Z"),
            issue(2, "2023-01-01T00:00:00.100Z"),
            odd.clone(),
            issue(4, "2023-01-01T00:00:01.000Z"),
            issue(5, "2023-01-03T00:00:00.000Z"),
        ],
    );
    for _ in 0..3 {
        mirror.sync(&cx).await.ok();
        assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
    }
}

async fn an_item_that_got_its_number_comes_out(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    let before = [
        issue(1, "2023-01-01T00:00:00.000Z"),
        issue(2, "2023-01-01T00:00:00.100Z"),
    ];
    let after = [
        issue(4, "2023-01-01T00:00:01.000Z"),
        issue(5, "2023-01-03T00:00:00.000Z"),
    ];
    let list = |odd: Value| [&before[..], &[odd], &after[..]].concat();
    mirror.set("issues", list(numberless(3, "2023-01-01T00:00:00.900Z")));
    mirror.sync(&cx).await.unwrap();
    mirror.set("issues", list(issue(3, "2023-01-01T00:00:00.900Z")));
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, OPEN).await, Vec::<String>::new());
    let issues = "SELECT CAST(iid AS TEXT) FROM issues ORDER BY iid";
    assert_eq!(mirror.texts(&cx, issues).await, ["1", "2", "3", "4", "5"]);
}

async fn a_changed_bad_item_of_a_known_number_is_kept_as_it_is_now(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let mut odd = issue(2, "2023-01-02T00:00:00Z");
    odd["title"] = json!([1]);
    mirror.set("issues", vec![odd.clone(), issue(3, "2023-01-03T00:00:00Z")]);
    mirror
        .forge
        .contents()
        .objects
        .insert("7/issues/2".to_owned(), odd.clone());
    mirror.sync(&cx).await.unwrap();
    odd["title"] = json!([2]);
    mirror
        .forge
        .contents()
        .objects
        .insert("7/issues/2".to_owned(), odd.clone());
    mirror.sync(&cx).await.unwrap();
    assert_eq!(aside(&cx, &mirror).await, [odd.to_string()]);
}

async fn an_outage_is_no_attempt_at_an_item(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let mut odd = issue(2, "2023-01-02T00:00:00Z");
    odd["title"] = json!([1]);
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z"), odd]);
    let mut bad = discussion(1);
    bad["notes"][0]["body"] = json!(17);
    mirror.set("issues/1/discussions", vec![bad]);
    mirror.sync(&cx).await.ok();
    for path in ["7/issues/2", "7/issues/1/discussions"] {
        mirror.forge.contents().status.insert(path.to_owned(), 502);
    }
    mirror.sync(&cx).await.ok();
    let attempts = "SELECT CAST(attempts AS TEXT) FROM quarantine ORDER BY id";
    assert_eq!(mirror.texts(&cx, attempts).await, ["0", "0"]);
}
