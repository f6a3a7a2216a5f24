//! Sets, jobs and items put aside, where a forge or a clock does what none should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::review_support::{Mirror, discussion, issue};
use annals_net_adapter::{Cx, on_every_host};
use serde_json::{Value, json};

on_every_host!(
    an_unreadable_note_is_not_gone,
    an_unreadable_file_or_reference_is_not_gone,
    a_clock_that_was_ahead_does_not_freeze_sets,
    events_left_out_stay_owed,
    a_late_detail_is_asked_for_again,
    a_page_of_a_million_items_is_refused,
    labels_and_milestones_of_long_lists_go_away,
    a_label_renamed_behind_its_list_is_linked_once,
    one_entity_without_a_list_of_events_switches_nothing_off,
    an_outage_uses_up_no_attempts,
    children_put_aside_are_in_the_summary,
);

async fn an_unreadable_note_is_not_gone(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1), discussion(2)]);
    mirror.sync(&cx).await.unwrap();
    let mut bad = discussion(2);
    bad["notes"][0]["body"] = json!(17);
    mirror.set("issues", vec![issue(1, "2023-01-02T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1), bad]);
    for _ in 0..3 {
        mirror.sync(&cx).await.ok();
    }
    let absent = "SELECT native_id FROM notes WHERE gone_at IS NOT NULL OR missing_since IS NOT NULL";
    assert_eq!(mirror.texts(&cx, absent).await, Vec::<String>::new());
    // Once everything can be read again, an absent note is gone as ever.
    mirror.set("issues", vec![issue(1, "2023-01-03T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1)]);
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, absent).await, ["1002"]);
}

fn merge_request(at: &str, head: char) -> Value {
    json!({"id": 900, "iid": 1, "title": at, "state": "opened", "created_at": "2020-01-01T00:00:00Z",
           "updated_at": at, "labels": [], "sha": head.to_string().repeat(40),
           "source_branch": "s", "target_branch": "t"})
}

fn detail(at: &str, head: char) -> Value {
    let mut detail = merge_request(at, head);
    let (head, base) = (head.to_string().repeat(40), "b".repeat(40));
    detail["diff_refs"] = json!({"base_sha": base, "head_sha": head, "start_sha": base});
    detail
}

fn show_detail(mirror: &Mirror, detail: Value) {
    let key = "7/merge_requests/1".to_owned();
    mirror.forge.contents().objects.insert(key, detail);
}

async fn an_unreadable_file_or_reference_is_not_gone(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let file = |path: &str| {
        json!({"old_path": path, "new_path": path, "diff": "@@ -1 +1 @@\n-a\n+b",
               "a_mode": "100644", "b_mode": "100644"})
    };
    let closes = |n: i64| json!({"id": 100 + n, "iid": n, "references": {"full": format!("g/p#{n}")}});
    mirror.set("merge_requests", vec![merge_request("2023-01-01T00:00:00Z", 'a')]);
    show_detail(&mirror, detail("2023-01-01T00:00:00Z", 'a'));
    mirror.set("merge_requests/1/diffs", vec![file("a"), file("b")]);
    mirror.set("merge_requests/1/closes_issues", vec![closes(1), closes(2)]);
    mirror.sync(&cx).await.unwrap();
    mirror.set("merge_requests", vec![merge_request("2023-01-02T00:00:00Z", 'c')]);
    show_detail(&mirror, detail("2023-01-02T00:00:00Z", 'c'));
    let (mut bad_file, mut bad_reference) = (file("b"), closes(2));
    bad_file["diff"] = json!(17);
    bad_reference["references"] = json!(null);
    mirror.set("merge_requests/1/diffs", vec![file("a"), bad_file]);
    mirror.set("merge_requests/1/closes_issues", vec![closes(1), bad_reference]);
    mirror.sync(&cx).await.ok();
    let files = "SELECT new_path FROM mr_file_changes WHERE to_at IS NULL ORDER BY 1";
    assert_eq!(mirror.texts(&cx, files).await, ["a", "b"]);
    let targets = "SELECT CAST(target_iid AS TEXT) FROM entity_references ORDER BY 1";
    assert_eq!(mirror.texts(&cx, targets).await, ["1", "2"]);
    assert_eq!(
        mirror.texts(&cx, "SELECT files FROM merge_requests").await,
        ["truncated"]
    );
}

async fn a_clock_that_was_ahead_does_not_freeze_sets(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1)]);
    mirror.sync(&cx).await.unwrap();
    let ahead = mirror.db.write(&cx, |tx| {
        tx.prepare_cached("UPDATE dependent_sets SET fetched_at = fetched_at + 86400000")?
            .execute(())?;
        Ok(())
    });
    ahead.await.unwrap();
    mirror.set("issues", vec![issue(1, "2023-01-02T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1), discussion(2)]);
    mirror.sync(&cx).await.unwrap();
    assert_eq!(
        mirror.texts(&cx, "SELECT native_id FROM notes ORDER BY 1").await,
        ["1001", "1002"]
    );
}

async fn events_left_out_stay_owed(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.events = false;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    let event = json!({"id": 5, "state": "closed", "created_at": "2020-01-02T00:00:00Z",
                       "user": {"id": 1, "username": "u"}});
    mirror.set("issues/1/resource_state_events", vec![event]);
    let result = mirror.sync(&cx).await.unwrap();
    assert_eq!(result.projects[0].jobs.pending, 0, "it does not wait for this run");
    let events = "SELECT native_id FROM resource_events";
    assert_eq!(mirror.texts(&cx, events).await, Vec::<String>::new());
    mirror.events = true;
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, events).await, ["5"]);
}

async fn a_late_detail_is_asked_for_again(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("merge_requests", vec![merge_request("2023-01-02T00:00:00Z", 'a')]);
    show_detail(&mirror, detail("2023-01-01T00:00:00Z", 'a'));
    let result = mirror.sync(&cx).await.unwrap();
    assert_eq!(result.projects[0].jobs.pending, 1, "nothing failed, and it is owed");
    let details = "SELECT detail FROM merge_requests";
    assert_ne!(mirror.texts(&cx, details).await, ["complete"]);
    show_detail(&mirror, detail("2023-01-02T00:00:00Z", 'a'));
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, details).await, ["complete"]);
}

async fn a_page_of_a_million_items_is_refused(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let page = Value::from(vec![json!(0); 1_000_000]);
    mirror.forge.contents().objects.insert("7/issues".to_owned(), page);
    mirror.sync(&cx).await.ok();
    let aside = mirror.texts(&cx, "SELECT native_ref FROM quarantine").await;
    assert_eq!(aside, Vec::<String>::new());
}

fn label(id: i64, name: &str) -> Value {
    json!({"id": id, "name": name, "color": "#fff"})
}

async fn labels_and_milestones_of_long_lists_go_away(cx: Cx) {
    let mut mirror = Mirror::new(&cx).await;
    mirror.page_size = 2;
    let milestone = |n: i64| json!({"id": n, "iid": n, "title": format!("m{n}"), "state": "active"});
    mirror.set("labels", (1..=5).map(|n| label(n, &format!("l{n}"))).collect());
    mirror.set("milestones", (1..=5).map(milestone).collect());
    mirror.sync(&cx).await.unwrap();
    mirror.set("labels", (1..=4).map(|n| label(n, &format!("l{n}"))).collect());
    mirror.set("milestones", (1..=4).map(milestone).collect());
    let here =
        "SELECT name FROM labels WHERE gone_at IS NULL UNION ALL SELECT title FROM milestones WHERE gone_at IS NULL";
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, here).await.len(), 10, "once may be a slip");
    // An unreadable row may be any of them: that list proves nothing.
    let mut rows: Vec<_> = (1..=4).map(|n| label(n, &format!("l{n}"))).collect();
    rows.push(json!({"id": "?"}));
    mirror.set("labels", rows);
    mirror.sync(&cx).await.unwrap();
    assert_eq!(
        mirror.texts(&cx, here).await,
        ["l1", "l2", "l3", "l4", "l5", "m1", "m2", "m3", "m4"]
    );
    mirror.set("labels", (1..=4).map(|n| label(n, &format!("l{n}"))).collect());
    mirror.sync(&cx).await.unwrap();
    assert_eq!(
        mirror.texts(&cx, here).await,
        ["l1", "l2", "l3", "l4", "m1", "m2", "m3", "m4"]
    );
}

async fn a_label_renamed_behind_its_list_is_linked_once(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let wearing = |iid, at, name: &str| {
        let mut issue = issue(iid, at);
        issue["labels"] = json!([name]);
        issue
    };
    mirror.set("labels", vec![label(1, "old")]);
    mirror.set("issues", vec![wearing(1, "2023-01-01T00:00:00Z", "old")]);
    mirror.sync(&cx).await.unwrap();
    mirror.set(
        "issues",
        vec![
            wearing(1, "2023-01-02T00:00:00Z", "new"),
            wearing(2, "2023-02-02T00:00:00Z", "new"),
        ],
    );
    mirror.sync(&cx).await.unwrap();
    mirror.set("labels", vec![label(1, "new")]);
    mirror.sync(&cx).await.unwrap();
    let worn = "SELECT i.iid || ' ' || l.native_id || ' ' || l.name || ' ' || coalesce(l.gone_at, 'here')
                FROM issues i JOIN issue_labels x ON x.issue_id = i.id JOIN labels l ON l.id = x.label_id ORDER BY 1";
    assert_eq!(mirror.texts(&cx, worn).await, ["1 1 new here", "2 1 new here"]);
}

async fn one_entity_without_a_list_of_events_switches_nothing_off(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let list = |n: i64| format!("issues/{n}/resource_state_events");
    let event = |n: i64| {
        json!({"id": n, "state": "closed", "created_at": "2020-01-02T00:00:00Z",
               "user": {"id": 1, "username": "u"}})
    };
    mirror.forge.contents().status.insert(format!("7/{}", list(1)), 404);
    for n in 1..=3 {
        let row = issue(n, &format!("2023-01-0{n}T00:00:00Z"));
        mirror.forge.contents().objects.insert(format!("7/issues/{n}"), row);
        mirror.set(&list(n), vec![event(n)]);
    }
    // Alone it proves nothing, and the next run finds the others.
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.sync(&cx).await.unwrap();
    mirror.set(
        "issues",
        (1..=3).map(|n| issue(n, &format!("2023-01-0{n}T00:00:00Z"))).collect(),
    );
    mirror.sync(&cx).await.unwrap();
    assert_eq!(
        mirror.texts(&cx, "SELECT capabilities FROM forges").await,
        [r#"{"without":{"events":[],"keyset":["issues","merge_requests"]}}"#]
    );
    let events = "SELECT native_id FROM resource_events ORDER BY 1";
    assert_eq!(mirror.texts(&cx, events).await, ["2", "3"]);
}

async fn an_outage_uses_up_no_attempts(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![discussion(1)]);
    let path = "7/issues/1/discussions".to_owned();
    mirror.forge.contents().status.insert(path.clone(), 502);
    for _ in 0..3 {
        mirror.sync(&cx).await.unwrap_err();
    }
    let jobs =
        "SELECT status || ' ' || attempts || ' ' || error_code FROM dependent_jobs WHERE job_type = 'discussions'";
    assert_eq!(mirror.texts(&cx, jobs).await, ["pending 0 network"]);
    mirror.forge.contents().status.remove(&path);
    mirror.sync(&cx).await.unwrap();
    assert_eq!(mirror.texts(&cx, "SELECT native_id FROM notes").await, ["1001"]);
}

async fn children_put_aside_are_in_the_summary(cx: Cx) {
    let mirror = Mirror::new(&cx).await;
    let mut bad = discussion(1);
    bad["notes"][0]["body"] = json!(17);
    mirror.set("issues", vec![issue(1, "2023-01-01T00:00:00Z")]);
    mirror.set("issues/1/discussions", vec![bad]);
    let result = mirror.sync(&cx).await.unwrap();
    let aside: Vec<_> = result.projects[0]
        .streams
        .iter()
        .map(|stream| stream.quarantined)
        .collect();
    assert_eq!(aside, [1, 0]);
    let ledger = "SELECT stream || ' ' || quarantined FROM sync_run_streams ORDER BY stream";
    assert_eq!(mirror.texts(&cx, ledger).await, ["issues 1", "merge_requests 0"]);
}
