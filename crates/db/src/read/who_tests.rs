//! Promises of who knows.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::read::fixture::{Mirror, Mr, Remark};

const DAY: i64 = 86_400_000;
const NOW: i64 = 1000 * DAY;

fn ask(mirror: &Mirror, matter: Matter, change: impl FnOnce(&mut WhoQuery)) -> Who {
    let mut query = WhoQuery {
        matter,
        after: None,
        limit: 10,
        evidence: Part::LeftOut,
        now: UnixMs(NOW),
        as_of: None,
    };
    change(&mut query);
    who(&mirror.conn, &Visibility::all(), &query).unwrap()
}

fn file(path: &str) -> Matter {
    Matter::File {
        project: ProjectId(1),
        path: path.to_owned(),
    }
}

fn scores(who: &Who) -> Vec<(&str, f64)> {
    who.people
        .iter()
        .map(|person| (person.user.as_str(), person.score))
        .collect()
}

/// Merge request 1 renamed `a` to `b` today: by ann, merged by cat, asked of dan and eve; dan wrote on a line
/// of it and eve nothing, bob a remark, a bot too.
fn mirror() -> Mirror {
    let mirror = Mirror::new();
    let mr = mirror.mr(&Mr {
        state: "merged",
        created_at: NOW,
        updated_at: NOW,
        merged_at: Some(NOW),
        merged_by: Some("cat"),
        ..Mr::default()
    });
    mirror.change(mr, "renamed", ("a", "b"), (NOW, None));
    for name in ["dan", "eve"] {
        let user = mirror.user(name);
        mirror.run(
            "INSERT INTO mr_reviewers (mr_id, user_id) VALUES (?1, ?2)",
            params![mr, user],
        );
    }
    for (author, path, system) in [
        ("dan", Some("a"), false),
        ("dan", Some("other"), false),
        ("bob", None, false),
        ("ci-bot", None, false),
        ("zoe", None, true),
    ] {
        mirror.remark(&Remark {
            parent: ("mr_id", mr),
            author,
            path,
            system,
            at: NOW,
            ..Remark::default()
        });
    }
    mirror
}

#[test]
fn who_knows_a_file_across_its_renames() {
    let mirror = mirror();
    // Reviewed 2 and a note on a line 2; the note on another file is none of this one's.
    let expected = [("dan", 4.0), ("cat", 3.0), ("ann", 2.0), ("bob", 1.0)];
    for path in ["a", "b"] {
        assert_eq!(scores(&ask(&mirror, file(path), |_| ())), expected, "{path}");
    }
    assert_eq!(ask(&mirror, file("c"), |_| ()), NOBODY);
    let mr = Matter::Entities(vec![EntityId::merge_request(1)]);
    assert_eq!(
        scores(&ask(&mirror, mr, |_| ()))[0],
        ("dan", 6.0),
        "of a merge request every line counts"
    );
}

#[test]
fn who_counts_half_after_180_days() {
    let mirror = mirror();
    let old = mirror.mr(&Mr {
        iid: 2,
        author: "bob",
        created_at: NOW - 360 * DAY,
        updated_at: NOW - 360 * DAY,
        ..Mr::default()
    });
    mirror.change(old, "modified", ("a", "a"), (10, None));
    let found = ask(&mirror, file("a"), |query| query.evidence = Part::Included);
    let bob = found.people.iter().find(|person| person.user == "bob").unwrap();
    assert!((bob.score - 1.5).abs() < f64::EPSILON, "{bob:?}");
    let reasons: Vec<_> = bob
        .reasons
        .iter()
        .map(|reason| (reason.reason, reason.count, reason.score))
        .collect();
    assert_eq!(reasons, [(Deed::Comment, 1, 1.0), (Deed::Authored, 1, 0.5)]);
    let evidence: Vec<_> = bob
        .evidence
        .iter()
        .flatten()
        .map(|one| (one.reference.as_str(), one.score))
        .collect();
    assert_eq!(evidence, [("group/one!1", 1.0), ("group/one!2", 0.5)]);
    let lately = ask(&mirror, file("a"), |query| query.after = Some(UnixMs(NOW - DAY)));
    assert!(
        lately
            .people
            .iter()
            .any(|person| person.user == "bob" && person.score == 1.0)
    );
}

#[test]
fn who_is_ranked_the_same_every_time_and_counted() {
    let mirror = Mirror::new();
    for (iid, author) in [(1, "dan"), (2, "ann"), (3, "cat"), (4, "ann")] {
        mirror.mr(&Mr {
            iid,
            author,
            created_at: NOW,
            ..Mr::default()
        });
    }
    let all = Matter::Entities((1..=4).map(EntityId::merge_request).collect());
    let two = ask(&mirror, all, |query| query.limit = 2);
    assert_eq!((scores(&two), two.total), (vec![("ann", 4.0), ("cat", 2.0)], 3));
}

#[test]
fn who_shows_only_what_the_reader_may_see() {
    let mirror = mirror();
    let issue = mirror.issue(1, 5, NOW);
    mirror.run("UPDATE issues SET confidential = 1", []);
    let query = WhoQuery {
        matter: Matter::Entities(vec![EntityId::issue(issue)]),
        after: None,
        limit: 10,
        evidence: Part::LeftOut,
        now: UnixMs(NOW),
        as_of: None,
    };
    let ask = |visibility: &Visibility| who(&mirror.conn, visibility, &query).unwrap().total;
    assert_eq!(
        (ask(&Visibility::all()), ask(&Visibility::without_confidential())),
        (1, 0)
    );
    let elsewhere = Visibility {
        projects: crate::read::VisibleProjects::Only([ProjectId(2)].into()),
        ..Visibility::all()
    };
    assert_eq!(ask(&elsewhere), 0);
}

#[test]
fn as_of_who_counts_what_had_happened() {
    let mirror = mirror();
    let early = mirror.mr(&Mr {
        iid: 2,
        author: "zoe",
        created_at: NOW - 400 * DAY,
        updated_at: NOW - 400 * DAY,
        ..Mr::default()
    });
    mirror.change(early, "modified", ("a", "a"), (NOW - 400 * DAY, Some(NOW - 10 * DAY)));
    let at = |time| ask(&mirror, file("a"), |query| query.as_of = Some(UnixMs(time)));
    assert_eq!(scores(&at(NOW - 400 * DAY)), [("zoe", 2.0)]);
    assert_eq!(scores(&at(NOW - 220 * DAY)), [("zoe", 1.0)]);
    assert_eq!(scores(&at(NOW - DAY)), [], "it no longer touched the file");
}

#[test]
fn as_of_who_knows_no_review_of_later() {
    let mirror = Mirror::new();
    let mr = mirror.mr(&Mr {
        created_at: NOW - 10 * DAY,
        updated_at: NOW,
        ..Mr::default()
    });
    let dan = mirror.user("dan");
    mirror.run(
        "INSERT INTO mr_reviewers (mr_id, user_id, state) VALUES (?1, ?2, 'approved')",
        params![mr, dan],
    );
    let state = |said: Option<&str>| serde_json::json!({"author": "ann", "state": "open", "reviewers": [{"name": "Dan", "state": said}]});
    mirror.revision("merge_request", mr, NOW - 10 * DAY, &state(None));
    mirror.revision("merge_request", mr, NOW - 5 * DAY, &state(Some("approved")));
    let of = |as_of| {
        let matter = Matter::Entities(vec![EntityId::merge_request(mr)]);
        let found = ask(&mirror, matter, |query| query.as_of = as_of);
        found.people.into_iter().map(|person| person.user).collect::<Vec<_>>()
    };
    assert_eq!(of(Some(UnixMs(NOW - 6 * DAY))), ["ann"], "asked, and nothing said yet");
    assert_eq!(of(Some(UnixMs(NOW - 5 * DAY))), ["dan", "ann"]);
    assert_eq!(of(None), ["dan", "ann"]);
}

#[test]
fn what_closes_is_linked_both_ways_within_its_forge() {
    let mirror = mirror();
    let issue = mirror.issue(2, 5, NOW);
    mirror.run(
        "INSERT INTO entity_references (project_id, source_kind, source_id, kind, target_path, target_kind, target_iid)
         VALUES (1, 'merge_request', 1, 'closes', 'group/two', 'issue', 5)",
        [],
    );
    let linked = |entity| crate::read::linked(&mirror.conn, &Visibility::all(), entity).unwrap();
    assert_eq!(linked(EntityId::merge_request(1)), [EntityId::issue(issue)]);
    assert_eq!(linked(EntityId::issue(issue)), [EntityId::merge_request(1)]);
    // It has moved since; the reference was written before.
    mirror.run(
        "UPDATE projects SET path = 'moved/two', path_folded = 'moved/two' WHERE id = 2",
        [],
    );
    mirror.run(
        "INSERT INTO project_paths (project_id, path_folded, until_at) VALUES (2, 'group/two', 5)",
        [],
    );
    assert_eq!(linked(EntityId::merge_request(1)), [EntityId::issue(issue)]);
    assert_eq!(linked(EntityId::issue(issue)), [EntityId::merge_request(1)]);
    // And what has its old name now is another project.
    mirror.run(
        "UPDATE projects SET path = 'group/two', path_folded = 'group/two' WHERE id = 1",
        [],
    );
    assert_eq!(linked(EntityId::merge_request(1)), []);
    assert_eq!(linked(EntityId::issue(issue)), []);
    mirror.run(
        "UPDATE projects SET path = 'group/one', path_folded = 'group/one' WHERE id = 1",
        [],
    );
    mirror.run("UPDATE issues SET confidential = 1", []);
    let hidden = crate::read::linked(
        &mirror.conn,
        &Visibility::without_confidential(),
        EntityId::merge_request(1),
    );
    assert_eq!(hidden.unwrap(), []);
}
