//! Promises of reading what was, on a store in memory whose clock the tests move.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::{EntityKind, Iid, NativeId, ProjectId, UnixMs};
use rusqlite::Connection;

use super::*;
use crate::content::{
    self, DiscussionIn, DiscussionSetIn, EntityIn, EventSetIn, FileChangeIn, FileSetIn, ForgeIn, IssueIn, LabelIn,
    MergeRequestIn, MilestoneIn, NoteIn, Payload, ProjectIn, ResourceEventIn, ReviewerIn, SetShape, UserIn,
};
use crate::ids::{
    DiscussionKind, EntityId, EventKind, EventOrigin, FileChange, Files, ForgeKind, GoneReason, NoteKind, State,
    UserKind,
};
use crate::read::{
    self, Direction, Entity, ListQuery, NameFilter, NoteOrigin, NotePage, NotesQuery, PathPattern, Resolved, Slice,
    Sort, Visibility,
};
use crate::{Error, WriteTx, migrate};

/// Minute 0 of the forge's time.
const T0: i64 = 1_700_000_000_000;

/// A minute of the forge's time.
const fn minute(n: i64) -> UnixMs {
    UnixMs(T0 + n * 60_000)
}

struct Store {
    conn: Connection,
    project: ProjectId,
}

impl Store {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        let project = WriteTx::run(&conn, minute(-1_000), |tx| {
            let forge = ForgeIn {
                name: "forge".to_owned(),
                kind: ForgeKind::Gitlab,
                base_url: "https://forge.example".to_owned(),
                api_url: "https://forge.example/api/v4".to_owned(),
            };
            let (forge, _) = content::upsert_forge(tx, &forge)?;
            let project = ProjectIn {
                native_id: NativeId("1".to_owned()),
                path: "group/app".to_owned(),
                title: "App".to_owned(),
                description: None,
                default_branch: None,
                visibility: None,
                archived: false,
                web_url: None,
                created_at: None,
                updated_at: None,
                payload: None,
            };
            Ok(content::upsert_project(tx, forge, &project)?.0)
        })
        .unwrap();
        Self { conn, project }
    }

    /// Writes what a sync at minute `seen` finds.
    fn at<T>(&self, seen: i64, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> T {
        WriteTx::run(&self.conn, minute(seen), f).unwrap()
    }

    fn put(&self, seen: i64, issue: &IssueIn) -> EntityId {
        self.at(seen, |tx| content::upsert_issue(tx, self.project, issue)).id
    }

    fn put_mr(&self, seen: i64, mr: &MergeRequestIn) -> EntityId {
        self.at(seen, |tx| content::upsert_merge_request(tx, self.project, mr))
            .id
    }

    fn put_notes(&self, seen: i64, of: EntityId, discussions: Vec<DiscussionIn>) {
        let shape = SetShape::OnePage;
        let set = DiscussionSetIn { discussions, shape };
        self.at(seen, |tx| content::replace_discussions(tx, self.project, of, &set));
    }

    fn put_events(&self, seen: i64, of: EntityId, events: Vec<ResourceEventIn>) {
        let set = EventSetIn {
            kinds: vec![EventKind::State, EventKind::Label, EventKind::Milestone],
            events,
            shape: SetShape::OnePage,
        };
        self.at(seen, |tx| content::replace_events(tx, self.project, of, &set));
    }

    fn issue(&self, iid: i64, at: i64) -> Option<Entity> {
        self.seen_by(&Visibility::all(), EntityKind::Issue, iid, at)
    }

    fn mr(&self, iid: i64, at: i64) -> Option<Entity> {
        self.seen_by(&Visibility::all(), EntityKind::MergeRequest, iid, at)
    }

    fn seen_by(&self, visibility: &Visibility, kind: EntityKind, iid: i64, at: i64) -> Option<Entity> {
        entity(&self.conn, visibility, kind, self.project, Iid(iid), minute(at)).unwrap()
    }

    fn bodies(&self, of: EntityId, at: i64) -> Vec<String> {
        let threads = threads(&self.conn, &Visibility::all(), of, NotePage::ALL, minute(at)).unwrap();
        let notes = threads.discussions.into_iter().flat_map(|discussion| discussion.notes);
        notes.map(|note| note.body).collect()
    }

    fn list(&self, at: i64, change: impl FnOnce(&mut ListQuery)) -> (Vec<i64>, u64) {
        let mut query = ListQuery {
            sort: Sort::Iid,
            direction: Direction::Ascending,
            ..ListQuery::of(EntityKind::Issue)
        };
        change(&mut query);
        let list = list(&self.conn, &Visibility::all(), &query, minute(at)).unwrap();
        (list.items.iter().map(|item| item.iid.0).collect(), list.total)
    }

    fn notes(&self, at: i64, change: impl FnOnce(&mut NotesQuery)) -> Vec<String> {
        let mut query = NotesQuery {
            sort: Sort::Created,
            direction: Direction::Ascending,
            ..NotesQuery::default()
        };
        change(&mut query);
        let list = notes(&self.conn, &Visibility::all(), &query, minute(at)).unwrap();
        assert_eq!(list.total, list.notes.len() as u64);
        list.notes.into_iter().map(|listed| listed.note.body).collect()
    }
}

fn user(name: &str) -> UserIn {
    UserIn {
        native_id: NativeId(name.to_owned()),
        username: name.to_owned(),
        display_name: None,
        kind: UserKind::Human,
        web_url: None,
    }
}

fn milestone(title: &str) -> MilestoneIn {
    MilestoneIn {
        native_id: NativeId(title.to_owned()),
        iid: None,
        title: title.to_owned(),
        description: None,
        state: None,
        start_at: None,
        due_at: None,
    }
}

fn labels(names: &[&str]) -> Vec<LabelIn> {
    names.iter().copied().map(LabelIn::named).collect()
}

/// An issue created at minute 0 that last changed at `updated`.
fn issue(iid: i64, updated: i64, title: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId(format!("i{iid}")),
        iid: Iid(iid),
        title: title.to_owned(),
        body: format!("body of {title}"),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: Some(user("ann")),
        milestone: None,
        closed_by: None,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: Some(minute(0)),
        updated_at: Some(minute(updated)),
        closed_at: None,
        due_at: None,
        web_url: Some(format!("https://forge.example/group/app/-/issues/{iid}")),
        moved_to: None,
        flags: 0,
        payload: Some(Payload::raw(format!("{{\"title\":\"{title}\"}}"))),
    }
}

fn mr(iid: i64, updated: i64, title: &str) -> MergeRequestIn {
    MergeRequestIn {
        entity: EntityIn {
            native_id: NativeId(format!("m{iid}")),
            ..issue(iid, updated, title)
        },
        draft: false,
        source_branch: Some("topic".to_owned()),
        target_branch: Some("main".to_owned()),
        source_project: None,
        head_oid: Some("a".repeat(40).parse().unwrap()),
        merge_commit_oid: None,
        squash_oid: None,
        merged_at: None,
        merged_by: None,
        reviewers: vec![ReviewerIn {
            user: user("Cat"),
            state: None,
        }],
        detail: None,
    }
}

fn note(id: &str, created: i64, updated: i64, body: &str) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(user("bob")),
        body: body.to_owned(),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(minute(created)),
        updated_at: Some(minute(updated)),
        flags: 0,
        position: None,
        payload: None,
    }
}

fn discussion(id: &str, notes: Vec<NoteIn>) -> DiscussionIn {
    DiscussionIn {
        native_id: NativeId(id.to_owned()),
        kind: DiscussionKind::Thread,
        resolvable: true,
        resolved: false,
        resolved_by: None,
        resolved_at: None,
        notes,
        payload: None,
    }
}

fn event(id: i64, at: i64, kind: EventKind, action: &str, subject: Option<&str>) -> ResourceEventIn {
    ResourceEventIn {
        native_id: NativeId(id.to_string()),
        kind,
        action: action.to_owned(),
        subject: subject.map(str::to_owned),
        actor: Some(user("dan")),
        created_at: Some(minute(at)),
        origin: EventOrigin::Forge,
    }
}

fn title_of(entity: Option<&Entity>) -> Option<&str> {
    entity.map(|entity| entity.item.title.as_str())
}

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
        super::item::select(EntityKind::Issue)
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
