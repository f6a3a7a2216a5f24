//! Cursors, validators and endings, where a forge or a file does what none should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::common::{World, sized};
use crate::review_support::{Mirror, discussion, issue, project};
use annals_net_adapter::{Cx, on_every_host, on_every_runtime};
use serde_json::json;

on_every_host!(
    rows_that_slipped_are_owed_until_the_window_was_clean,
    a_changed_set_is_read_after_it_had_several_pages,
    two_spellings_of_a_renamed_project_are_one,
    a_full_last_page_behind_a_cursor_is_no_loop,
);

// Once, and not for every seed of the lab: it really computes for seconds.
on_every_runtime!(a_slow_last_write_is_no_request_to_stop);

/// While a crowded window is paged, row 1 is updated and row 3 slips to the page already read. The
/// forge then fails, so that the re-read is left to a later run.
async fn rows_that_slipped_are_owed_until_the_window_was_clean(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    mirror.set(
        "issues",
        vec![
            issue(1, "2023-01-01T00:00:00.000Z"),
            issue(2, "2023-01-01T00:00:00.500Z"),
            issue(3, "2023-01-01T00:00:01.000Z"),
            issue(4, "2023-01-01T01:00:00.000Z"),
            issue(5, "2023-01-01T02:00:00.000Z"),
        ],
    );
    let mut pages = 0;
    mirror.forge.contents().hook = Some(Box::new(move |contents, uri| {
        if !uri.contains("/issues?") || uri.contains("keyset") {
            return;
        }
        pages += 1;
        if pages == 2 {
            contents.lists.get_mut("issues").unwrap()[0]["updated_at"] = json!("2023-01-01T03:00:00.000Z");
        }
        if pages == 3 {
            contents.status.insert("7/issues".to_owned(), 500);
        }
    }));
    mirror.sync(&cx).await.expect_err("the forge failed in the middle");
    {
        let mut contents = mirror.forge.contents();
        contents.hook = None;
        contents.status.clear();
    }
    mirror.sync(&cx).await.unwrap();
    let stored = mirror
        .texts(&cx, "SELECT CAST(iid AS TEXT) FROM issues ORDER BY iid")
        .await;
    assert_eq!(stored, ["1", "2", "3", "4", "5"]);
    let cursor = mirror
        .texts(&cx, "SELECT tie_id FROM cursors WHERE stream = 'issues'")
        .await;
    assert_eq!(cursor, ["101"], "the cap is lifted once the window was clean");
}

async fn a_changed_set_is_read_after_it_had_several_pages(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 5;
    mirror.forge.contents().etags = true;
    for (at, notes) in [
        ("2023-01-01T00:00:00Z", 3),
        ("2023-01-02T00:00:00Z", 6),
        ("2023-01-03T00:00:00Z", 3),
        ("2023-01-04T00:00:00Z", 3),
    ] {
        mirror.set("issues", vec![issue(1, at)]);
        mirror.set("issues/1/discussions", (1..=notes).map(discussion).collect());
        mirror.sync(&cx).await.unwrap();
    }
    let there = "SELECT native_id FROM notes WHERE gone_at IS NULL AND missing_since IS NULL ORDER BY 1";
    assert_eq!(mirror.texts(&cx, there).await, ["1001", "1002", "1003"]);
}

async fn a_slow_last_write_is_no_request_to_stop(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    let slow = mirror.db.write(&cx, |tx| {
        Ok(tx.execute_batch(
            "CREATE TRIGGER slow AFTER UPDATE OF holder ON sync_locks WHEN NEW.holder IS NULL BEGIN
               SELECT (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000000)
                       SELECT max(x) FROM c);
             END",
        )?)
    });
    slow.await.unwrap();
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, "SELECT status FROM sync_runs").await, ["done"]);
}

async fn two_spellings_of_a_renamed_project_are_one(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.sync(&cx).await.unwrap();
    for key in ["7", "g%2Fp", "g%2Fq"] {
        mirror
            .forge
            .contents()
            .objects
            .insert(key.to_owned(), project(7, "g/q"));
    }
    mirror.set(
        "issues",
        (1..50).map(|iid| issue(iid, "2023-01-02T00:00:00Z")).collect(),
    );
    mirror.sync_paths(&cx, &["g/p", "g/q"]).await.unwrap();
    let stored = mirror.texts(&cx, "SELECT CAST(count(*) AS TEXT) FROM issues").await;
    assert_eq!(stored, ["49"]);
}

/// Two full pages by cursor, and no link behind the last: page two by number would be the same rows again.
async fn a_full_last_page_behind_a_cursor_is_no_loop(cx: Cx) {
    for issues in [4, 6, 8] {
        let world = World::new(&cx, sized(52, issues, 0)).await;
        let mut options = world.options.clone();
        options.settings.page_size = 2;
        world.sync_as(&cx, options).await.unwrap();
        world.assert_whole(&cx, "after pages that were all full").await;
        world.close(&cx).await;
    }
}
