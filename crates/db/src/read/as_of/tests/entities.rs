//! One issue or merge request: recorded, derived or absent.

use super::*;

#[test]
fn as_of_recorded() {
    let store = Store::new();
    let first = IssueIn {
        labels: labels(&["bug", "Later"]),
        assignees: vec![user("bob")],
        milestone: Some(milestone("1.0")),
        ..issue(1, 10, "first")
    };
    store.put(12, &first);
    // What a list shows of it now is what it shows of it now as it was.
    let now = read::entity(
        &store.conn,
        &Visibility::all(),
        EntityKind::Issue,
        store.project,
        Iid(1),
    );
    let mut as_of_now = store.issue(1, 12);
    let certainty = as_of_now.as_mut().unwrap().item.certainty.take();
    assert_eq!((now.unwrap(), Some(Certainty::Recorded)), (as_of_now, certainty));

    store.put(32, &issue(1, 30, "second"));
    store.put(52, &issue(1, 50, "third"));
    for (at, title) in [
        (10, "first"),
        (29, "first"),
        (30, "second"),
        (49, "second"),
        (50, "third"),
        (99, "third"),
    ] {
        let was = store.issue(1, at);
        assert_eq!(title_of(was.as_ref()), Some(title), "at minute {at}");
        let was = was.unwrap();
        assert_eq!(was.body, format!("body of {title}"));
        assert_eq!(was.item.certainty, Some(Certainty::Recorded));
        assert!(was.item.updated_at.unwrap() <= minute(at));
    }
    let first = store.issue(1, 29).unwrap();
    assert_eq!(first.item.labels, ["bug", "Later"]);
    assert_eq!(first.item.assignees, ["bob"]);
    assert_eq!(first.item.milestone.as_deref(), Some("1.0"));
    assert_eq!(first.item.updated_at, Some(minute(10)));
    assert!(store.issue(1, 30).unwrap().item.labels.is_empty());
}

#[test]
fn as_of_derived() {
    let store = Store::new();
    let id = store.put(101, &issue(1, 100, "as first seen"));
    let was = store.issue(1, 50).unwrap();
    assert_eq!(was.item.certainty, Some(Certainty::Derived));
    assert!(!Certainty::Derived.text_is_recorded());
    assert_eq!(title_of(Some(&was)), Some("as first seen"));
    assert_eq!(was.item.updated_at, Some(minute(0)));
    assert_eq!(store.issue(1, 0).unwrap().item.certainty, Some(Certainty::Derived));
    assert_eq!(store.issue(1, 100).unwrap().item.certainty, Some(Certainty::Recorded));
    // A note that was edited before anybody saw it.
    store.put_notes(101, id, vec![discussion("d", vec![note("n", 40, 90, "edited")])]);
    let threads = threads(&store.conn, &Visibility::all(), id, NotePage::ALL, minute(50)).unwrap();
    let seen = &threads.discussions[0].notes[0];
    assert_eq!(
        (seen.body.as_str(), seen.certainty),
        ("edited", Some(Certainty::Derived))
    );
}

#[test]
fn as_of_absent() {
    let store = Store::new();
    let id = store.put(12, &issue(1, 10, "one"));
    store.put(
        12,
        &IssueIn {
            created_at: Some(minute(5)),
            ..issue(2, 10, "two")
        },
    );
    assert_eq!(store.issue(1, -1), None);
    assert_eq!(store.issue(2, 4), None);
    assert_eq!(store.issue(3, 12), None);
    assert_eq!(store.mr(1, 12), None);
    assert_eq!(store.list(4, |_| {}), (vec![1], 1));
    assert_eq!(store.list(5, |_| {}), (vec![1, 2], 2));
    // Written later: not said yet.
    store.put_notes(
        31,
        id,
        vec![discussion(
            "d",
            vec![note("n1", 20, 20, "said"), note("n2", 30, 30, "answered")],
        )],
    );
    assert!(store.bodies(id, 19).is_empty());
    assert_eq!(store.bodies(id, 20), ["said"]);
    assert_eq!(store.bodies(id, 30), ["said", "answered"]);
    // Nothing is known of when it began: it was not there before it was seen.
    store.put(
        40,
        &IssueIn {
            created_at: None,
            ..issue(4, 35, "unknown beginning")
        },
    );
    assert_eq!(store.issue(4, 34), None);
    assert!(store.issue(4, 35).is_some());
}

#[test]
fn as_of_folds_state_labels_milestone_back() {
    use EventKind::{Label, Milestone, State as StateEvent};
    let store = Store::new();
    let seen = IssueIn {
        state: State::Closed,
        state_reason: Some("done".to_owned()),
        closed_at: Some(minute(60)),
        closed_by: Some(user("dan")),
        labels: labels(&["kept", "added", "again"]),
        milestone: Some(milestone("2.0")),
        ..issue(1, 100, "as first seen")
    };
    let id = store.put(101, &seen);
    store.put_events(
        101,
        id,
        vec![
            event(1, 10, StateEvent, "closed", None),
            event(2, 20, StateEvent, "reopened", None),
            event(3, 60, StateEvent, "closed", None),
            event(4, 30, Label, "add", Some("added")),
            event(5, 30, Label, "remove", Some("removed")),
            event(6, 30, Label, "remove", Some("again")),
            event(7, 70, Label, "add", Some("again")),
            event(8, 30, Label, "add", None),
            event(9, 15, Milestone, "add", Some("1.0")),
            // The forge says no word of 1.0 when 2.0 replaces it.
            event(10, 40, Milestone, "add", Some("2.0")),
        ],
    );
    let was = |at: i64| {
        let item = store.issue(1, at).unwrap().item;
        assert_eq!(item.certainty, Some(Certainty::Derived));
        (item.state, item.labels.join(" "), item.milestone.unwrap_or_default())
    };
    let row = |state, labels: &str, milestone: &str| (state, labels.to_owned(), milestone.to_owned());
    assert_eq!(was(5), row(State::Open, "again kept removed", ""));
    assert_eq!(was(12), row(State::Closed, "again kept removed", ""));
    assert_eq!(was(17), row(State::Closed, "again kept removed", "1.0"));
    assert_eq!(was(25), row(State::Open, "again kept removed", "1.0"));
    assert_eq!(was(35), row(State::Open, "added kept", "1.0"));
    assert_eq!(was(45), row(State::Open, "added kept", "2.0"));
    assert_eq!(was(65), row(State::Closed, "added kept", "2.0"));
    assert_eq!(was(75), row(State::Closed, "added again kept", "2.0"));
    // When it was closed follows its state.
    let closed = |at: i64| {
        store
            .issue(1, at)
            .map(|was| (was.item.closed_at, was.closed_by))
            .unwrap()
    };
    assert_eq!(closed(25), (None, None));
    assert_eq!(closed(12), (Some(minute(10)), Some("dan".to_owned())));
    assert_eq!(closed(65), (Some(minute(60)), Some("dan".to_owned())));
    assert_eq!(store.issue(1, 5).unwrap().item.state_reason, None);
    // Filters are on what was.
    assert_eq!(store.list(25, |query| query.states = vec![State::Open]).1, 1);
    assert_eq!(store.list(12, |query| query.states = vec![State::Open]).1, 0);
    let label = |name: &str| vec![NameFilter::parse(name)];
    assert_eq!(store.list(12, |query| query.labels = label("REMOVED")).1, 1);
    assert_eq!(store.list(35, |query| query.labels = label("removed")).1, 0);
    assert_eq!(
        store
            .list(17, |query| query.milestone = Some(NameFilter::parse("1.0")))
            .1,
        1
    );
    assert_eq!(
        store
            .list(45, |query| query.milestone = Some(NameFilter::parse("1.0")))
            .1,
        0
    );
}

#[test]
fn a_merge_is_folded_back_too() {
    let store = Store::new();
    let merged = MergeRequestIn {
        entity: EntityIn {
            state: State::Merged,
            ..mr(7, 100, "merged").entity
        },
        merge_commit_oid: Some("b".repeat(40).parse().unwrap()),
        merged_at: Some(minute(60)),
        merged_by: Some(user("dan")),
        ..mr(7, 100, "merged")
    };
    let id = store.put_mr(101, &merged);
    store.put_events(101, id, vec![event(1, 60, EventKind::State, "merged", None)]);
    let before = store.mr(7, 59).unwrap();
    let part = before.merge_request.unwrap();
    assert_eq!((before.item.state, before.item.merged_at), (State::Open, None));
    assert_eq!((part.merged_by, part.merge_commit_oid), (None, None));
    assert_eq!(part.reviewers[0].user, "Cat");
    let after = store.mr(7, 60).unwrap();
    assert_eq!(
        (after.item.state, after.item.merged_at),
        (State::Merged, Some(minute(60)))
    );
    assert_eq!(after.merge_request.unwrap().merged_by.as_deref(), Some("dan"));
}

#[test]
fn what_ended_later_without_an_event_was_open() {
    let store = Store::new();
    let closed = IssueIn {
        state: State::Closed,
        closed_at: Some(minute(60)),
        ..issue(1, 100, "closed")
    };
    store.put(101, &closed);
    let was = |at: i64| {
        let item = store.issue(1, at).unwrap().item;
        (item.state, item.closed_at)
    };
    assert_eq!(was(59), (State::Open, None));
    assert_eq!(was(60), (State::Closed, Some(minute(60))));
    let merged = MergeRequestIn {
        entity: EntityIn {
            state: State::Merged,
            ..mr(7, 100, "merged").entity
        },
        merged_at: Some(minute(60)),
        merge_commit_oid: Some("b".repeat(40).parse().unwrap()),
        ..mr(7, 100, "merged")
    };
    let id = store.put_mr(101, &merged);
    let before = store.mr(7, 59).unwrap();
    assert_eq!((before.item.state, before.item.merged_at), (State::Open, None));
    assert_eq!(before.merge_request.unwrap().merge_commit_oid, None);
    assert_eq!(store.mr(7, 60).unwrap().item.state, State::Merged);
    // It had been closed and reopened before: then too it was merged later.
    store.put_events(102, id, vec![event(1, 30, EventKind::State, "reopened", None)]);
    let before = store.mr(7, 20).unwrap().item;
    assert_eq!((before.state, before.merged_at), (State::Closed, None));
}

#[test]
fn as_of_gone_issue_readable_before_it_went() {
    let store = Store::new();
    let id = store.put(12, &issue(1, 10, "one"));
    store.put_notes(12, id, vec![discussion("d", vec![note("n", 5, 5, "said")])]);
    store.at(40, |tx| content::mark_entity_gone(tx, id, GoneReason::Deleted));
    let was = store.issue(1, 39).unwrap();
    assert_eq!(title_of(Some(&was)), Some("one"));
    // It was not gone then.
    assert_eq!((was.item.gone_at, was.item.gone_reason), (None, None));
    assert_eq!(store.bodies(id, 39), ["said"]);
    assert_eq!(store.list(39, |_| {}), (vec![1], 1));
    assert_eq!(store.notes(39, |_| {}), ["said"]);
    assert_eq!(store.issue(1, 40), None);
    assert_eq!(store.list(40, |_| {}), (vec![], 0));
    assert!(store.notes(40, |_| {}).is_empty());
    store.put(60, &issue(1, 55, "back"));
    assert_eq!(store.issue(1, 50), None);
    // It came back when the forge last changed it, which is after it went.
    assert_eq!(title_of(store.issue(1, 60).as_ref()), Some("back"));
}
