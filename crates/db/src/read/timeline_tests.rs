//! Promises of timelines.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::*;
use crate::read::fixture::{Mirror, Mr, Remark};

/// Issue 1 with two labels and a remark, merge request 1 that was pushed to and merged.
fn mirror() -> Mirror {
    let mirror = Mirror::new();
    let issue = mirror.issue(1, 1, 100);
    let mr = mirror.mr(&Mr {
        state: "merged",
        created_at: 110,
        updated_at: 400,
        merged_at: Some(300),
        merged_by: Some("cat"),
        ..Mr::default()
    });
    mirror.event(("issue_id", issue), "label", "add", Some("bug"), 120);
    mirror.event(("issue_id", issue), "label", "remove", Some("bug"), 310);
    mirror.remark(&Remark {
        parent: ("issue_id", issue),
        at: 130,
        body: "Why?\nBecause.",
        ..Remark::default()
    });
    mirror.remark(&Remark {
        parent: ("mr_id", mr),
        at: 150,
        body: "only for us",
        internal: true,
        path: Some("a"),
        ..Remark::default()
    });
    mirror.remark(&Remark {
        parent: ("mr_id", mr),
        at: 160,
        body: "mentioned in commit",
        system: true,
        ..Remark::default()
    });
    for (version, seen_at) in [(1, 110), (2, 200)] {
        mirror.run(
            "INSERT INTO mr_versions (mr_id, version, head_oid, seen_at, files) VALUES (?1, ?2, ?3, ?4, 'complete')",
            params![mr, version, format!("{version}").repeat(40), seen_at],
        );
    }
    mirror
}

fn ask(mirror: &Mirror, change: impl FnOnce(&mut TimelineQuery)) -> Timeline {
    let mut query = TimelineQuery {
        limit: 100,
        ..TimelineQuery::default()
    };
    change(&mut query);
    timeline(&mirror.conn, &Visibility::all(), &query).unwrap()
}

fn lines(timeline: &Timeline) -> Vec<String> {
    let line = |event: &TimelineEvent| {
        format!(
            "{} {} {} {} {}",
            event.at.map_or(-1, |at| at.0),
            event.kind.as_str(),
            event.actor.as_deref().unwrap_or("-"),
            event.reference.trim_start_matches("group/"),
            event.text
        )
    };
    timeline.events.iter().map(line).collect()
}

#[test]
fn timeline_tells_everything_in_order() {
    let all = ask(&mirror(), |_| ());
    assert_eq!(
        lines(&all),
        [
            "100 opened ann one#1 Issue 1",
            "110 opened ann one!1 Change 1",
            "120 label cat one#1 added label bug",
            "130 comment bob one#1 Why? Because.",
            "150 diff_note bob one!1 only for us",
            "160 system bob one!1 mentioned in commit",
            "200 push - one!1 version 2 at 222222222222",
            "300 state cat one!1 merged",
            "310 label cat one#1 removed label bug",
        ]
    );
    assert_eq!(all.total, 9);
}

#[test]
fn timeline_limit_is_of_the_newest_and_total_exact() {
    let mirror = mirror();
    let newest = ask(&mirror, |query| query.limit = 2);
    assert_eq!(
        newest
            .events
            .iter()
            .map(|event| event.at.unwrap().0)
            .collect::<Vec<_>>(),
        [300, 310]
    );
    assert_eq!(newest.total, 9);
    let between = ask(&mirror, |query| {
        query.after = Some(UnixMs(120));
        query.before = Some(UnixMs(150));
    });
    assert_eq!((between.total, lines(&between).len()), (2, 2));
    let kinds = ask(&mirror, |query| {
        query.kinds = vec![TimelineKind::Label, TimelineKind::Push]
    });
    assert_eq!(kinds.total, 3);
    let elsewhere = ask(&mirror, |query| query.projects = vec![ProjectId(2)]);
    assert_eq!((elsewhere.total, elsewhere.events), (0, vec![]));
}

#[test]
fn timeline_of_one_entity_is_told_after_it_went() {
    let mirror = mirror();
    mirror.gone("issue", 1, 500);
    let of = |entity| ask(&mirror, |query| query.entity = entity);
    let issue = of(Some(EntityId::issue(1)));
    assert_eq!(lines(&issue).last().unwrap(), "500 gone - one#1 deleted");
    assert_eq!(issue.total, 5);
    assert_eq!(of(None).total, 5, "without its name what is gone is not listed");
    let then = ask(&mirror, |query| query.as_of = Some(UnixMs(499)));
    assert_eq!(then.total, 9);
    let gone = ask(&mirror, |query| {
        query.as_of = Some(UnixMs(500));
        query.entity = Some(EntityId::issue(1));
    });
    assert_eq!(gone.total, 0, "a time at which it was gone knows nothing of it");
}

#[test]
fn as_of_timeline_leaves_out_what_was_gone_for_a_while() {
    let mirror = mirror();
    let back = json!({"title": "Issue 1", "author": "ann", "state": "open"});
    mirror.away("issue", 1, (140, 180), &back);
    mirror.away("note", 1, (190, 210), &json!({"body": "back"}));
    let total = |time| {
        ask(&mirror, |query| {
            query.as_of = Some(UnixMs(time));
            query.entity = Some(EntityId::issue(1));
        })
        .total
    };
    assert_eq!([139, 140, 179, 180, 190, 210].map(total), [3, 0, 0, 3, 2, 3]);
}

#[test]
fn as_of_timeline_before_the_first_record_has_its_words() {
    let mirror = mirror();
    mirror.revision("issue", 1, 500, &json!({"title": "First words"}));
    mirror.revision("note", 1, 500, &json!({"body": "as first seen"}));
    mirror.run("UPDATE issues SET title = 'Words of later'", []);
    mirror.run("UPDATE notes SET body = 'Words of later' WHERE id = 1", []);
    let then = ask(&mirror, |query| {
        query.as_of = Some(UnixMs(130));
        query.entity = Some(EntityId::issue(1));
    });
    assert_eq!(
        lines(&then),
        [
            "100 opened ann one#1 First words",
            "120 label cat one#1 added label bug",
            "130 comment bob one#1 as first seen",
        ]
    );
    assert_eq!(then.derived, 2, "the label is the forge's own record");
    assert_eq!(ask(&mirror, |_| ()).derived, 0);
}

#[test]
fn timeline_prefers_the_events_of_the_forge() {
    let mirror = mirror();
    mirror.event(("mr_id", 1), "state", "merged", None, 301);
    let merges = ask(&mirror, |query| query.kinds = vec![TimelineKind::State]);
    assert_eq!(lines(&merges), ["301 state cat one!1 merged"]);
}

#[test]
fn timeline_shows_only_what_the_reader_may_see() {
    let mirror = mirror();
    mirror.run("UPDATE issues SET confidential = 1", []);
    let query = TimelineQuery {
        limit: 100,
        ..TimelineQuery::default()
    };
    let seen = timeline(&mirror.conn, &Visibility::without_confidential(), &query).unwrap();
    let kinds: Vec<_> = seen.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!((kinds, seen.total), (vec!["opened", "system", "push", "state"], 4));
}

#[test]
fn as_of_timeline_hides_what_was_confidential_then() {
    let mirror = mirror();
    mirror.revision("issue", 1, 100, &json!({"title": "Issue 1", "confidential": true}));
    mirror.revision("issue", 1, 200, &json!({"title": "Issue 1", "confidential": false}));
    let total = |time| {
        let query = TimelineQuery {
            limit: 100,
            entity: Some(EntityId::issue(1)),
            as_of: Some(UnixMs(time)),
            ..TimelineQuery::default()
        };
        timeline(&mirror.conn, &Visibility::without_confidential(), &query)
            .unwrap()
            .total
    };
    assert_eq!((total(199), total(200)), (0, 3));
}

#[test]
fn as_of_timeline_ends_there() {
    let mirror = mirror();
    mirror.revision("issue", 1, 100, &json!({"title": "First words"}));
    mirror.revision("note", 1, 130, &json!({"body": "as it was"}));
    mirror.revision("note", 1, 900, &json!({"body": "Why?"}));
    mirror.run("UPDATE resource_events SET gone_at = 140 WHERE created_at = 120", []);
    let at = |time| lines(&ask(&mirror, |query| query.as_of = Some(UnixMs(time))));
    assert_eq!(
        at(130),
        [
            "100 opened ann one#1 First words",
            "110 opened ann one!1 Change 1",
            "120 label cat one#1 added label bug",
            "130 comment bob one#1 as it was",
        ]
    );
    assert_eq!(at(140).len(), 3, "an event that went is no more");
}
