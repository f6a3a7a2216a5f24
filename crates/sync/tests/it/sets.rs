//! Sets and pages are whole or absent: what a failure in the middle leaves, and what a late answer may not do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::common::{World, small};
use crate::review_support::{Mirror, discussion, issue};
use annals_net_adapter::{Cx, on_every_host};
use serde_json::{Value, json};

on_every_host!(
    paging_set,
    set_never_mixes_two_fetches,
    validator_absent_after_rolled_back_page,
    page_422_and_keyset_405_switch_strategy,
);

const NOTES: &str = "SELECT body FROM notes WHERE gone_at IS NULL ORDER BY body";

/// `n` discussions whose notes say `word`.
fn talk(n: i64, word: &str) -> Vec<Value> {
    let rows = (1..=n).map(|n| {
        let mut row = discussion(n);
        row["notes"][0]["body"] = json!(format!("{word} {n}"));
        row
    });
    rows.collect()
}

async fn paging_set(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 3;
    mirror.set("issues", vec![issue(1, "2023-02-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", talk(7, "a"));
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, NOTES).await.len(), 7);
    let pages = mirror.forge.contents().log.clone();
    let pages = pages.iter().filter(|url| url.contains("/issues/1/discussions"));
    assert_eq!(pages.count(), 3);
    let set = "SELECT items || ' ' || (SELECT count(*) FROM dependent_jobs WHERE status <> 'done')
               FROM dependent_sets WHERE job_type = 'discussions'";
    assert_eq!(mirror.texts(&cx, set).await, ["7 0"], "all pages, then one set");
    mirror.db.close(&cx).await.unwrap();
}

async fn set_never_mixes_two_fetches(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 3;
    mirror.set("issues", vec![issue(1, "2023-02-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", talk(7, "a"));
    // The third page is no list, once.
    mirror.forge.contents().hook = Some(Box::new(|contents, url| {
        let is_third = url.contains("/issues/1/discussions") && url.contains("&page=3");
        let path = "7/issues/1/discussions".to_owned();
        if is_third {
            contents.objects.insert(path, json!({"message": "try later"}));
        } else {
            contents.objects.remove(&path);
        }
    }));
    mirror.sync(&cx).await.unwrap_err();
    assert_eq!(
        mirror.texts(&cx, NOTES).await,
        Vec::<String>::new(),
        "two pages are no set"
    );
    // Meanwhile everybody rewrites what they said.
    mirror.set("issues/1/discussions", talk(7, "b"));
    let again = mirror.forge.contents().hook.take();
    assert!(again.is_some());
    mirror.forge.contents().objects.remove("7/issues/1/discussions");
    mirror.forge.contents().log.clear();
    mirror.sync(&cx).await.unwrap();
    let notes = mirror.texts(&cx, NOTES).await;
    assert!(
        notes.len() == 7 && notes.iter().all(|note| note.starts_with("b ")),
        "{notes:?}"
    );
    let log = mirror.forge.contents().log.clone();
    let first = log.iter().find(|url| url.contains("/issues/1/discussions")).unwrap();
    assert!(!first.contains("&page="), "it begins at its first page: {first}");
    mirror.db.close(&cx).await.unwrap();
}

async fn validator_absent_after_rolled_back_page(cx: Cx) {
    let world = World::new(&cx, small(92)).await;
    let trigger = world.db.write(&cx, |tx| {
        tx.execute_batch(
            "CREATE TRIGGER refused BEFORE INSERT ON issues WHEN NEW.iid = 7
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )?;
        Ok(())
    });
    trigger.await.unwrap();
    world.sync(&cx).await.unwrap_err();
    for what in [
        "issues",
        "cursors WHERE stream = 'issues'",
        "http_validators WHERE scope = 'issues'",
    ] {
        let count = world.db.read(&cx, move |conn| {
            let sql = format!("SELECT count(*) FROM {what}");
            Ok(conn.query_row(&sql, (), |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(count.await.unwrap(), 0, "{what}");
    }
    let dropped = world.db.write(&cx, |tx| {
        tx.execute_batch("DROP TRIGGER refused")?;
        Ok(())
    });
    dropped.await.unwrap();
    world.sync(&cx).await.unwrap();
    world.assert_whole(&cx, "once nothing is refused").await;
    let kept = "SELECT count(*) FROM http_validators WHERE scope = 'issues'";
    assert_eq!(world.number(&cx, kept).await, 1);
    world.close(&cx).await;
}

/// The stand-in refuses keyset with 405, and page numbers above one with 422.
async fn page_422_and_keyset_405_switch_strategy(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    let rows = (1..=7).map(|n| issue(n, &format!("2023-02-01T00:00:0{n}Z")));
    mirror.set("issues", rows.collect());
    mirror.forge.contents().hook = Some(Box::new(|contents, url| {
        let is_refused = url.contains("/7/issues?") && url.contains("order_by=updated_at") && url.contains("&page=");
        if is_refused {
            contents.status.insert("7/issues".to_owned(), 422);
        } else {
            contents.status.remove("7/issues");
        }
    }));
    mirror.sync(&cx).await.unwrap();
    let iids = "SELECT CAST(iid AS TEXT) FROM issues ORDER BY iid";
    assert_eq!(mirror.texts(&cx, iids).await, ["1", "2", "3", "4", "5", "6", "7"]);
    let log = mirror.forge.contents().log.clone();
    let asked = |part: &str| {
        log.iter()
            .filter(|url| url.contains("/7/issues?") && url.contains(part))
            .count()
    };
    assert_eq!(asked("pagination=keyset"), 1, "asked once");
    assert!(
        asked("&page=2") > 0 && asked("updated_after=") > 1,
        "went on by time: {log:?}"
    );
    mirror.db.close(&cx).await.unwrap();
}
