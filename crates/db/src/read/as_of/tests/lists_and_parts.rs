//! Lists, threads and what else hangs on an entity.

use super::*;

#[test]
fn as_of_edited_note_shows_old_text() {
    let store = Store::new();
    let id = store.put(12, &issue(1, 10, "one"));
    let edited = |updated: i64, body: &str| vec![discussion("d", vec![note("n", 5, updated, body)])];
    store.put_notes(12, id, edited(5, "as it was said"));
    store.put_notes(32, id, edited(30, "as it was edited"));
    assert_eq!(store.bodies(id, 29), ["as it was said"]);
    assert_eq!(store.bodies(id, 30), ["as it was edited"]);
    // A note that was deleted says what it said until then; the discussion went with it.
    store.put_notes(42, id, Vec::new());
    assert_eq!(store.bodies(id, 29), ["as it was said"]);
    assert_eq!(store.bodies(id, 41), ["as it was edited"]);
    assert!(store.bodies(id, 42).is_empty());
}

#[test]
fn what_is_confidential_now_or_was_then_is_hidden_from_who_may_not_see_it() {
    let store = Store::new();
    let public = Visibility::without_confidential();
    let secret = |updated, confidential| IssueIn {
        confidential,
        ..issue(1, updated, "one")
    };
    store.put(12, &secret(10, true));
    store.put(32, &secret(30, false));
    store.put(12, &issue(2, 10, "two"));
    store.put(
        32,
        &IssueIn {
            confidential: true,
            ..issue(2, 30, "two")
        },
    );
    let sees = |visibility: &Visibility, iid: i64, at: i64| {
        let one = store.seen_by(visibility, EntityKind::Issue, iid, at).is_some();
        let query = ListQuery::of(EntityKind::Issue);
        let list = list(&store.conn, visibility, &query, minute(at)).unwrap();
        assert_eq!(list.total, list.items.len() as u64);
        assert_eq!(list.items.iter().any(|item| item.iid.0 == iid), one);
        one
    };
    let all = Visibility::all();
    for (iid, at, shown) in [(1, 20, false), (1, 30, true), (2, 20, false), (2, 30, false)] {
        assert!(sees(&all, iid, at));
        assert_eq!(sees(&public, iid, at), shown, "issue {iid} at minute {at}");
    }
    let internal = NoteIn {
        internal: true,
        ..note("n2", 6, 6, "internal")
    };
    let id = EntityId::issue(store.issue(1, 40).unwrap().item.row);
    store.put_notes(
        33,
        id,
        vec![discussion("d", vec![note("n1", 5, 5, "public"), internal])],
    );
    let count = |visibility: &Visibility| {
        let threads = threads(&store.conn, visibility, id, NotePage::ALL, minute(40)).unwrap();
        let listed = notes(&store.conn, visibility, &NotesQuery::default(), minute(40)).unwrap();
        (threads.total_notes, listed.total)
    };
    assert_eq!((count(&all), count(&public)), ((2, 2), (1, 1)));
}

#[test]
fn a_count_is_that_of_the_list_of_then() {
    let store = Store::new();
    let first = store.put(12, &issue(1, 10, "one"));
    store.at(40, |tx| content::mark_entity_gone(tx, first, GoneReason::Hidden));
    store.put(60, &issue(1, 55, "back"));
    let closed = IssueIn {
        state: State::Closed,
        closed_at: Some(minute(30)),
        milestone: Some(milestone("2.0")),
        ..issue(2, 50, "closed without an event")
    };
    let second = store.put(51, &closed);
    store.put_events(
        51,
        second,
        vec![
            event(1, 15, EventKind::Milestone, "add", Some("1.0")),
            event(2, 25, EventKind::Milestone, "add", Some("2.0")),
        ],
    );
    let unknown = IssueIn {
        created_at: None,
        ..issue(3, 45, "of unknown beginning")
    };
    store.put(46, &unknown);
    let secret = IssueIn {
        confidential: true,
        ..issue(4, 20, "for members")
    };
    store.put(21, &secret);
    store.put(36, &issue(4, 35, "for all"));
    let mut seen = std::collections::BTreeSet::new();
    for at in (0..=70).step_by(5) {
        for visibility in [Visibility::all(), Visibility::without_confidential()] {
            for (state, milestone) in [
                (None, None),
                (Some(State::Open), None),
                (Some(State::Closed), None),
                (None, Some("1.0")),
                (None, Some("2.0")),
            ] {
                let query = ListQuery {
                    states: state.into_iter().collect(),
                    milestone: milestone.map(NameFilter::parse),
                    ..ListQuery::of(EntityKind::Issue)
                };
                let listed = list(&store.conn, &visibility, &query, minute(at)).unwrap().total;
                let query = read::CountQuery {
                    lists: vec![query],
                    by: None,
                    as_of: Some(minute(at)),
                };
                let counted = read::count(&store.conn, &visibility, &query).unwrap().total;
                assert_eq!(counted, listed, "{at} {visibility:?} {state:?} {milestone:?}");
                seen.insert(counted);
            }
        }
    }
    assert!(seen.len() > 3, "{seen:?}");
}

#[test]
fn lists_are_paged_and_walked_in_the_order_of_then() {
    let store = Store::new();
    for iid in 1..=9 {
        store.put(12, &issue(iid, iid, "one"));
    }
    // The first was the last to change.
    store.put(32, &issue(1, 30, "changed"));
    let newest = |at: i64, offset: usize| {
        store.list(at, |query| {
            query.sort = Sort::Updated;
            query.direction = Direction::Descending;
            query.slice = Slice::Offset { offset, limit: 4 };
        })
    };
    assert_eq!(newest(20, 0), (vec![9, 8, 7, 6], 9));
    assert_eq!(newest(20, 8), (vec![1], 9));
    assert_eq!(newest(30, 0), (vec![1, 9, 8, 7], 9));
    let (mut after, mut walked) = (None, Vec::new());
    loop {
        let query = ListQuery {
            slice: Slice::Walk {
                seq: 0,
                after,
                limit: 4,
            },
            ..ListQuery::of(EntityKind::Issue)
        };
        let page = list(&store.conn, &Visibility::all(), &query, minute(30)).unwrap();
        walked.extend(page.items.iter().map(|item| item.iid.0));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(walked, [1, 9, 8, 7, 6, 5, 4, 3, 2]);
}

#[test]
fn a_thread_was_not_resolved_before_it_was() {
    let store = Store::new();
    let id = store.put_mr(52, &mr(7, 50, "one"));
    let position = content::DiffPositionIn {
        new_path: Some("src/lib.rs".to_owned()),
        new_line: Some(3),
        ..content::DiffPositionIn::default()
    };
    let on_file = NoteIn {
        kind: NoteKind::DiffNote,
        position: Some(position),
        ..note("n1", 5, 5, "why?")
    };
    let resolved = DiscussionIn {
        resolved: true,
        resolved_by: Some(user("dan")),
        resolved_at: Some(minute(40)),
        ..discussion("d1", vec![on_file, note("n2", 6, 6, "because")])
    };
    let system = NoteIn {
        system: true,
        ..note("n3", 7, 7, "assigned to dan")
    };
    let plain = DiscussionIn {
        resolvable: false,
        ..discussion("d2", vec![system])
    };
    store.put_notes(52, id, vec![resolved, plain]);
    let seen = |at: i64| {
        let threads = threads(&store.conn, &Visibility::all(), id, NotePage::ALL, minute(at)).unwrap();
        let thread = &threads.discussions[0];
        (thread.resolved, thread.resolved_by.clone(), thread.resolved_at)
    };
    assert_eq!(seen(39), (false, None, None));
    assert_eq!(seen(40), (true, Some("dan".to_owned()), Some(minute(40))));
    let none: Vec<String> = Vec::new();
    let resolved = |query: &mut NotesQuery, how| query.resolved = Some(how);
    assert_eq!(
        store.notes(39, |query| resolved(query, Resolved::No)),
        ["why?", "because"]
    );
    assert_eq!(store.notes(39, |query| resolved(query, Resolved::Yes)), none);
    assert_eq!(store.notes(40, |query| resolved(query, Resolved::No)), none);
    let on = |path: &str| store.notes(40, |query| query.path = Some(PathPattern::parse(path)));
    assert_eq!((on("src/"), on("lib.rs")), (vec!["why?".to_owned()], none.clone()));
    let everybody = |query: &mut NotesQuery| query.origin = NoteOrigin::Anybody;
    assert_eq!(store.notes(40, everybody), ["why?", "because", "assigned to dan"]);
    assert_eq!(
        store.notes(40, |query| query.under = Some((EntityKind::Issue, Iid(7)))),
        none
    );
    let under = |query: &mut NotesQuery| query.under = Some((EntityKind::MergeRequest, Iid(7)));
    assert_eq!(store.notes(40, under).len(), 2);
    assert_eq!(
        store
            .notes(40, |query| query.author = Some(NameFilter::parse("Bob")))
            .len(),
        2
    );
    assert_eq!(
        store
            .notes(40, |query| query.author = Some(NameFilter::parse("none")))
            .len(),
        0
    );

    // Now and as of now are the same.
    for change in [everybody, under, |query: &mut NotesQuery| {
        query.resolved = Some(Resolved::Yes)
    }] {
        let mut query = NotesQuery::default();
        change(&mut query);
        let now = read::notes(&store.conn, &Visibility::all(), &query).unwrap();
        let mut then = notes(&store.conn, &Visibility::all(), &query, minute(60)).unwrap();
        then.notes.iter_mut().for_each(|listed| listed.note.certainty = None);
        assert_eq!(now, then);
    }
}

#[test]
fn events_files_revisions_and_payload_are_those_of_then() {
    let store = Store::new();
    let id = store.put_mr(12, &mr(7, 10, "first"));
    store.put_mr(32, &mr(7, 30, "second"));
    let file = |path: &str| FileChangeIn {
        old_path: path.to_owned(),
        new_path: path.to_owned(),
        change: FileChange::Modified,
        additions: None,
        deletions: None,
        binary: false,
        too_large: false,
        patch_hash: None,
    };
    let files_at = |seen: i64, from: i64, paths: &[&str]| {
        let set = FileSetIn {
            files: paths.iter().map(|path| file(path)).collect(),
            extent: Files::Complete,
            shape: SetShape::OnePage,
            head_oid: None,
            at: Some(minute(from)),
        };
        store.at(seen, |tx| content::replace_file_changes(tx, store.project, id, &set));
    };
    files_at(12, 10, &["a", "b"]);
    files_at(32, 30, &["b", "c"]);
    let paths = |at: i64| -> Vec<String> {
        let files = files(&store.conn, id, minute(at)).unwrap();
        files.into_iter().map(|file| file.new_path).collect()
    };
    assert_eq!(paths(9), Vec::<String>::new());
    assert_eq!(paths(29), ["a", "b"]);
    assert_eq!(paths(30), ["b", "c"]);

    store.put_events(12, id, vec![event(1, 5, EventKind::Label, "add", Some("bug"))]);
    store.put_events(40, id, vec![event(2, 20, EventKind::Label, "add", Some("late"))]);
    let subjects = |at: i64| -> Vec<String> {
        let events = events(&store.conn, id, minute(at)).unwrap();
        assert!(events.iter().all(|event| event.gone_at.is_none()));
        events.into_iter().filter_map(|event| event.subject).collect()
    };
    assert_eq!((subjects(4), subjects(19)), (vec![], vec!["bug".to_owned()]));
    assert_eq!(subjects(39), ["bug", "late"]);
    assert_eq!(subjects(40), ["late"]);

    assert_eq!(revisions(&store.conn, id, minute(29)).unwrap().len(), 1);
    assert_eq!(revisions(&store.conn, id, minute(30)).unwrap().len(), 2);
    let payload = |at: i64| raw(&store.conn, id, minute(at)).unwrap().unwrap()["title"].clone();
    assert_eq!((payload(29), payload(30)), ("first".into(), "second".into()));
    // Before anybody saw it, what was first seen.
    assert_eq!(payload(5), "first");

    let diff = read::diff(&store.conn, id, 1, 2).unwrap().unwrap();
    let fields: Vec<_> = diff.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["body", "title"]);
    assert_eq!(
        (&diff.changes[1].before, &diff.changes[1].after),
        (&"first".into(), &"second".into())
    );
    assert_eq!(read::diff(&store.conn, id, 1, 3).unwrap(), None);
}

#[test]
fn the_newest_revision_by_then_is_one_seek_away() {
    let store = Store::new();
    store.put(12, &issue(1, 10, "one"));
    let sql = format!(
        "EXPLAIN QUERY PLAN {} WHERE e.project_id = 1",
        super::super::item::select(EntityKind::Issue)
    );
    let mut plan = store.conn.prepare(&sql).unwrap();
    let steps = plan.query_map([0], |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    let seek = "SEARCH x USING COVERING INDEX revisions_as_of (subject_kind=? AND subject_id=? AND valid_from<?)";
    assert!(steps.iter().any(|step| step == seek), "{steps:#?}");
    assert!(
        !steps
            .iter()
            .any(|step| step.contains("SCAN") || step.contains("TEMP B-TREE")),
        "{steps:#?}"
    );
}
