//! Promises of counts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::EntityKind;
use rusqlite::params;
use serde_json::json;

use super::*;
use crate::ids::State;
use crate::read::NameFilter;
use crate::read::fixture::{Mirror, Mr};

const FEBRUARY: i64 = 1_707_000_000_000;
const MARCH: i64 = 1_710_000_000_000;

/// Issues 1 with two labels and 2 with one, 3 gone; merge requests 1 merged and 2 of another project.
fn mirror() -> Mirror {
    let mirror = Mirror::new();
    for iid in 1..=3 {
        mirror.issue(1, iid, FEBRUARY);
    }
    mirror.gone("issue", 3, MARCH);
    for (id, name) in [(1, "bug"), (2, "search")] {
        mirror.run(
            "INSERT INTO labels (id, project_id, native_id, name, name_folded, changed_seq) VALUES (?1, 1, ?2, ?2, ?2, 0)",
            params![id, name],
        );
    }
    for (issue, label) in [(1, 1), (1, 2), (2, 1)] {
        mirror.run(
            "INSERT INTO issue_labels (issue_id, label_id) VALUES (?1, ?2)",
            [issue, label],
        );
    }
    mirror.mr(&Mr {
        author: "bob",
        state: "merged",
        created_at: FEBRUARY,
        updated_at: MARCH,
        merged_at: Some(MARCH),
        ..Mr::default()
    });
    mirror.mr(&Mr {
        project: 2,
        iid: 2,
        created_at: MARCH,
        updated_at: MARCH,
        ..Mr::default()
    });
    mirror
}

fn ask(mirror: &Mirror, by: CountBy, change: impl FnOnce(&mut CountQuery)) -> (u64, Vec<String>) {
    let mut query = CountQuery {
        lists: vec![
            ListQuery::of(EntityKind::Issue),
            ListQuery::of(EntityKind::MergeRequest),
        ],
        by: Some(by),
        as_of: None,
    };
    change(&mut query);
    let found = count(&mirror.conn, &Visibility::all(), &query).unwrap();
    let groups = found
        .groups
        .iter()
        .map(|group| format!("{} {}", group.value.as_deref().unwrap_or("–"), group.count));
    (found.total, groups.collect())
}

#[test]
fn count_groups_are_exact() {
    let mirror = mirror();
    for (by, groups) in [
        (CountBy::Kind, &["issue 2", "merge_request 2"][..]),
        (CountBy::Project, &["group/one 3", "group/two 1"]),
        (CountBy::State, &["open 3", "merged 1"]),
        (CountBy::Author, &["ann 3", "bob 1"]),
        (CountBy::Assignee, &["– 4"]),
        (CountBy::Label, &["bug 2", "– 2", "search 1"]),
        (CountBy::Milestone, &["– 4"]),
        (CountBy::Created, &["2024-02 3", "2024-03 1"]),
        (CountBy::Updated, &["2024-02 2", "2024-03 2"]),
        (CountBy::Closed, &["– 3", "2024-03 1"]),
    ] {
        let (total, found) = ask(&mirror, by, |_| ());
        assert_eq!(
            (total, found.iter().map(String::as_str).collect::<Vec<_>>()),
            (4, groups.to_vec()),
            "{by:?}"
        );
    }
}

#[test]
fn count_filters_like_the_list() {
    let mirror = mirror();
    let bugs = ask(&mirror, CountBy::Label, |query| {
        query.lists.truncate(1);
        query.lists[0].labels = vec![NameFilter::parse("search")];
    });
    assert_eq!(bugs, (1, vec!["bug 1".to_owned(), "search 1".to_owned()]));
    let whole = ask(&mirror, CountBy::State, |query| {
        query.by = None;
        query.lists.iter_mut().for_each(|list| list.states = vec![State::Open]);
    });
    assert_eq!(whole, (3, vec![]));
    let query = CountQuery {
        lists: vec![ListQuery::of(EntityKind::Issue)],
        by: Some(CountBy::Kind),
        as_of: None,
    };
    mirror.run("UPDATE issues SET confidential = 1 WHERE iid = 1", []);
    let seen = |as_of| {
        let query = CountQuery { as_of, ..query.clone() };
        count(&mirror.conn, &Visibility::without_confidential(), &query)
            .unwrap()
            .total
    };
    assert_eq!((seen(None), seen(Some(UnixMs(MARCH)))), (1, 1));
}

#[test]
fn as_of_count_is_of_what_was_recorded() {
    let mirror = mirror();
    let state =
        |state: &str, labels: &[&str]| json!({"author": "ann", "state": state, "labels": labels, "assignees": ["dan"]});
    mirror.revision("issue", 1, FEBRUARY + 50, &state("open", &["bug"]));
    mirror.revision("issue", 1, MARCH, &state("closed", &["bug", "search"]));
    let mut late = state("closed", &["late"]);
    late["milestone"] = json!("2.0");
    mirror.revision("issue", 2, MARCH, &late);
    mirror.event(("issue_id", 2), "milestone", "add", Some("2.0"), FEBRUARY + 90);
    mirror.event(("issue_id", 2), "label", "add", Some("late"), FEBRUARY + 70);
    mirror.event(("issue_id", 2), "label", "remove", Some("early"), FEBRUARY + 60);
    mirror.event(("issue_id", 2), "milestone", "add", Some("1.0"), FEBRUARY + 80);
    mirror.event(("issue_id", 2), "state", "closed", None, FEBRUARY + 90);
    mirror.run("UPDATE issues SET updated_at = ?1 WHERE iid < 3", [MARCH]);
    mirror.run("DELETE FROM revisions WHERE op = 'gone'", []);
    mirror.gone("issue", 3, FEBRUARY + 10);
    let at = |time: i64, by| {
        ask(&mirror, by, |query| {
            query.as_of = Some(UnixMs(time));
            query.lists.truncate(1);
        })
    };
    assert_eq!(at(FEBRUARY - 1, CountBy::State), (0, vec![]), "not yet written");
    assert_eq!(
        at(FEBRUARY, CountBy::State),
        (3, vec!["open 3".to_owned()]),
        "the third had not gone"
    );
    assert_eq!(
        at(FEBRUARY + 55, CountBy::Label).1,
        ["bug 1", "early 1"],
        "undone one by one"
    );
    assert_eq!(at(FEBRUARY + 65, CountBy::Label).1, ["bug 1", "– 1"]);
    assert_eq!(at(FEBRUARY + 95, CountBy::State).1, ["closed 1", "open 1"]);
    assert_eq!(
        at(FEBRUARY + 85, CountBy::Milestone).1,
        ["1.0 1", "– 1"],
        "2.0 replaced it"
    );
    assert_eq!(at(FEBRUARY + 95, CountBy::Milestone).1, ["2.0 1", "– 1"]);
    assert_eq!(at(MARCH, CountBy::State).1, ["closed 2"]);
    assert_eq!(at(MARCH, CountBy::Label).1, ["bug 1", "late 1", "search 1"]);
    let dan = |time: i64| {
        ask(&mirror, CountBy::Updated, |query| {
            query.as_of = Some(UnixMs(time));
            query.lists.truncate(1);
            query.lists[0].assignee = Some(NameFilter::parse("DAN"));
            query.lists[0].states = vec![State::Closed];
        })
    };
    assert_eq!(dan(FEBRUARY + 60), (0, vec![]));
    assert_eq!(dan(MARCH), (2, vec!["2024-03 2".to_owned()]));
}
