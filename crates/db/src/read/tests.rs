//! Promises of the queries, on a small project in memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use annals_core::{EntityKind, Iid, NativeId, ProjectId, RunId, UnixMs};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::*;
use crate::content::{
    self, DiscussionIn, DiscussionSetIn, EntityIn, FileChangeIn, FileSetIn, ForgeIn, IssueIn, LabelIn, MergeRequestIn,
    MilestoneIn, NoteIn, Payload, ProjectIn, SetShape, UserIn,
};
use crate::control::{self, Alive, NewRun, ProcessId, RunEnd, StreamRow};
use crate::ids::{
    DiscussionKind, FileChange, Files, ForgeKind, GoneReason, NoteKind, RunMode, RunOrigin, RunStatus, State,
    StreamStatus, UserKind,
};
use crate::{WriteTx, migrate};

const T0: i64 = 1_700_000_000_000;

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

fn entity(iid: i64) -> IssueIn {
    EntityIn {
        native_id: NativeId(iid.to_string()),
        iid: Iid(iid),
        title: format!("number {iid}"),
        body: "body".to_owned(),
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
        created_at: Some(UnixMs(T0 - 100 * iid)),
        updated_at: Some(UnixMs(T0 + 100 * iid)),
        closed_at: None,
        due_at: None,
        web_url: None,
        moved_to: None,
        flags: 0,
        payload: Some(Payload::raw(format!("{{\"iid\":{iid}}}"))),
    }
}

fn note(id: &str, at: i64) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(user("bob")),
        body: format!("note {id}"),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(UnixMs(T0 + at)),
        updated_at: Some(UnixMs(T0 + at)),
        flags: 0,
        position: None,
        payload: None,
    }
}

fn discussion(id: &str, notes: Vec<NoteIn>) -> DiscussionIn {
    DiscussionIn {
        native_id: NativeId(id.to_owned()),
        kind: DiscussionKind::Comment,
        resolvable: false,
        resolved: false,
        resolved_by: None,
        resolved_at: None,
        notes,
        payload: None,
    }
}

fn project(native_id: &str, path: &str) -> ProjectIn {
    ProjectIn {
        native_id: NativeId(native_id.to_owned()),
        path: path.to_owned(),
        title: path.to_owned(),
        description: None,
        default_branch: None,
        visibility: None,
        archived: false,
        web_url: Some(format!("https://forge.example/{path}")),
        created_at: None,
        updated_at: None,
        payload: None,
    }
}

/// Project 1 with five issues and a merge request, project 2 with one issue.
///
/// 1 plain · 2 labelled `Bug`, assigned to bob, milestone `Größe` · 3 confidential · 4 closed by the
/// ghost · 5 gone.
fn filled() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
    for step in migrate::embedded() {
        conn.execute_batch(step.sql).unwrap();
    }
    WriteTx::run(&conn, UnixMs(T0 + 5000), |tx| {
        let forge = ForgeIn {
            name: "forge".to_owned(),
            kind: ForgeKind::Gitlab,
            base_url: "https://forge.example".to_owned(),
            api_url: "https://forge.example/api/v4".to_owned(),
        };
        let (forge, _) = content::upsert_forge(tx, &forge)?;
        let (one, _) = content::upsert_project(tx, forge, &project("p1", "group/one"))?;
        let (two, _) = content::upsert_project(tx, forge, &project("p2", "group/two"))?;
        let first = content::upsert_issue(tx, one, &entity(1))?.id;
        let labels = vec![LabelIn::named("Bug"), LabelIn::named("later")];
        let (assignees, milestone) = (vec![user("bob")], Some(milestone("Größe")));
        content::upsert_issue(
            tx,
            one,
            &EntityIn {
                labels,
                assignees,
                milestone,
                ..entity(2)
            },
        )?;
        let secret = content::upsert_issue(
            tx,
            one,
            &EntityIn {
                confidential: true,
                ..entity(3)
            },
        )?
        .id;
        content::upsert_issue(
            tx,
            one,
            &EntityIn {
                state: State::Closed,
                author: None,
                ..entity(4)
            },
        )?;
        let gone = content::upsert_issue(tx, one, &entity(5))?.id;
        content::mark_entity_gone(tx, gone, GoneReason::Deleted)?;
        content::upsert_issue(
            tx,
            two,
            &EntityIn {
                updated_at: None,
                ..entity(1)
            },
        )?;
        let mr = MergeRequestIn {
            entity: EntityIn {
                state: State::Merged,
                ..entity(1)
            },
            draft: true,
            source_branch: Some("topic".to_owned()),
            target_branch: Some("main".to_owned()),
            source_project: None,
            head_oid: None,
            merge_commit_oid: None,
            squash_oid: None,
            merged_at: Some(UnixMs(T0)),
            merged_by: Some(user("cat")),
            reviewers: vec![content::ReviewerIn {
                user: user("cat"),
                state: None,
            }],
            detail: None,
        };
        let mr = content::upsert_merge_request(tx, one, &mr)?.id;
        let file = FileChangeIn {
            old_path: "a".to_owned(),
            new_path: "b".to_owned(),
            change: FileChange::Renamed,
            additions: Some(1),
            deletions: None,
            binary: false,
            too_large: false,
            patch_hash: None,
        };
        let files = FileSetIn {
            files: vec![file],
            extent: Files::Complete,
            shape: SetShape::OnePage,
            head_oid: None,
            at: None,
        };
        content::replace_file_changes(tx, one, mr, &files)?;
        let internal = NoteIn {
            internal: true,
            ..note("n2", 20)
        };
        let discussions = vec![
            discussion("d2", vec![note("n3", 30), note("n4", 40)]),
            discussion("d1", vec![note("n1", 10), internal]),
        ];
        let shape = SetShape::OnePage;
        content::replace_discussions(tx, one, first, &DiscussionSetIn { discussions, shape })?;
        let hidden = vec![discussion("d3", vec![note("n5", 50)])];
        content::replace_discussions(
            tx,
            one,
            secret,
            &DiscussionSetIn {
                discussions: hidden,
                shape,
            },
        )?;
        Ok(())
    })
    .unwrap();
    conn
}

fn all() -> Visibility {
    Visibility::all()
}

fn only(project: i64) -> Visibility {
    Visibility {
        projects: VisibleProjects::Only(BTreeSet::from([ProjectId(project)])),
        ..all()
    }
}

fn refs(conn: &Connection, visibility: &Visibility, change: impl FnOnce(&mut ListQuery)) -> Vec<String> {
    let mut query = ListQuery::of(EntityKind::Issue);
    query.sort = Sort::Iid;
    query.direction = Direction::Ascending;
    query.projects = vec![ProjectId(1)];
    change(&mut query);
    let list = list(conn, visibility, &query).unwrap();
    let refs: Vec<_> = list
        .items
        .iter()
        .map(|item| item.reference.replace("group/", ""))
        .collect();
    if matches!(query.slice, Slice::Offset { offset: 0, limit: 20 }) {
        assert_eq!(list.total, refs.len() as u64);
    }
    refs
}

#[test]
fn list_filters() {
    let conn = filled();
    let of = |text: &str| Some(NameFilter::parse(text));
    type Case<'a> = (&'a str, &'a dyn Fn(&mut ListQuery), &'a [&'a str]);
    let cases: [Case<'_>; 19] = [
        ("all", &|_| {}, &["one#1", "one#2", "one#3", "one#4"]),
        (
            "gone",
            &|q| q.gone = GoneRows::Shown,
            &["one#1", "one#2", "one#3", "one#4", "one#5"],
        ),
        ("closed", &|q| q.states = vec![State::Closed], &["one#4"]),
        (
            "state",
            &|q| q.states = vec![State::Closed, State::Open],
            &["one#1", "one#2", "one#3", "one#4"],
        ),
        ("author", &|q| q.author = of("ANN"), &["one#1", "one#2", "one#3"]),
        ("ghost", &|q| q.author = of("none"), &["one#4"]),
        ("named", &|q| q.author = of("any"), &["one#1", "one#2", "one#3"]),
        ("nobody", &|q| q.author = of("bob"), &[]),
        ("assignee", &|q| q.assignee = of("zoe,Bob"), &["one#2"]),
        ("unassigned", &|q| q.assignee = of("none"), &["one#1", "one#3", "one#4"]),
        ("label", &|q| q.labels = vec![NameFilter::parse("bug")], &["one#2"]),
        (
            "labels",
            &|q| q.labels = vec![NameFilter::parse("bug"), NameFilter::parse("later")],
            &["one#2"],
        ),
        (
            "no such pair",
            &|q| q.labels = vec![NameFilter::parse("bug"), NameFilter::parse("x")],
            &[],
        ),
        (
            "unlabelled",
            &|q| q.labels = vec![NameFilter::None],
            &["one#1", "one#3", "one#4"],
        ),
        ("milestone", &|q| q.milestone = of("grosse,GROẞE,größe"), &["one#2"]),
        ("unplanned", &|q| q.milestone = of("none"), &["one#1", "one#3", "one#4"]),
        ("after", &|q| q.after = Some(UnixMs(T0 + 300)), &["one#3", "one#4"]),
        ("before", &|q| q.before = Some(UnixMs(T0 + 300)), &["one#1", "one#2"]),
        (
            "everywhere",
            &|q| q.projects.clear(),
            &["one#1", "two#1", "one#2", "one#3", "one#4"],
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(refs(&conn, &all(), change), expected, "{name}");
    }
    assert_eq!(
        refs(&conn, &all(), |q| q.sort = Sort::Created),
        ["one#4", "one#3", "one#2", "one#1"]
    );
    let newest = |q: &mut ListQuery| {
        (q.sort, q.direction) = (Sort::Updated, Direction::Descending);
        q.projects.clear();
    };
    assert_eq!(
        refs(&conn, &all(), newest),
        ["one#4", "one#3", "one#2", "one#1", "two#1"],
        "unknown times last"
    );
    let second = |q: &mut ListQuery| q.slice = Slice::Offset { offset: 1, limit: 2 };
    assert_eq!(refs(&conn, &all(), second), ["one#2", "one#3"]);
}

#[test]
fn walk_returns_each_unchanged_row_once() {
    let conn = filled();
    for (sort, direction) in [
        (Sort::Updated, Direction::Descending),
        (Sort::Updated, Direction::Ascending),
        (Sort::Iid, Direction::Ascending),
    ] {
        let seq = content_seq(&conn).unwrap();
        let (mut after, mut walked) = (None, Vec::new());
        for round in 0.. {
            let slice = Slice::Walk { seq, after, limit: 2 };
            let page = list(
                &conn,
                &all(),
                &ListQuery {
                    sort,
                    direction,
                    slice,
                    ..ListQuery::of(EntityKind::Issue)
                },
            )
            .unwrap();
            walked.extend(page.items.iter().map(|item| item.reference.clone()));
            assert_eq!(page.changed_during_walk, u64::from(round > 0));
            after = page.next;
            if after.is_none() {
                break;
            }
            // A row that changes while the list is walked is counted, not shown twice or skipped silently.
            let title = format!("{sort:?} {direction:?} {round}");
            let edited = EntityIn {
                title,
                updated_at: Some(UnixMs(T0 + 200)),
                ..entity(2)
            };
            WriteTx::run(&conn, UnixMs(T0 + 9000), |tx| {
                content::upsert_issue(tx, ProjectId(1), &edited)
            })
            .unwrap();
        }
        let distinct: BTreeSet<_> = walked.iter().collect();
        assert_eq!(distinct.len(), walked.len(), "{walked:?}");
        assert!(walked.len() >= 4, "{walked:?}");
    }
}

#[test]
fn visibility_excludes_confidential_on_every_read_path() {
    let conn = filled();
    let public = Visibility::without_confidential();
    assert_eq!(refs(&conn, &public, |_| {}), ["one#1", "one#2", "one#4"]);
    assert_eq!(entity_of(&conn, &public, 3), None);
    assert!(entity_of(&conn, &all(), 3).is_some());
    let first = entity_of(&conn, &public, 1).unwrap().id();
    let ids = |visibility: &Visibility| {
        let threads = threads(&conn, visibility, first, NotePage::ALL).unwrap();
        let notes: Vec<_> = threads
            .discussions
            .iter()
            .flat_map(|thread| thread.notes.iter().map(|note| note.id.clone()))
            .collect();
        assert_eq!(threads.total_notes, notes.len() as u64);
        notes
    };
    assert_eq!(ids(&all()), ["n1", "n2", "n3", "n4"]);
    assert_eq!(ids(&public), ["n1", "n3", "n4"]);
    let listed = |visibility: &Visibility| {
        let list = notes(&conn, visibility, &NotesQuery::default()).unwrap();
        let mut ids: Vec<_> = list.notes.into_iter().map(|listed| listed.note.id).collect();
        assert_eq!(list.total, ids.len() as u64);
        ids.sort();
        ids
    };
    assert_eq!(listed(&all()), ["n1", "n2", "n3", "n4", "n5"]);
    assert_eq!(listed(&public), ["n1", "n3", "n4"]);
    assert_eq!(listed(&only(2)), [""; 0]);
    let counts = |visibility: &Visibility| projects(&conn, visibility).unwrap()[0].counts;
    let expected = |issues, open_issues, discussions, notes| ProjectCounts {
        issues,
        open_issues,
        merge_requests: 1,
        open_merge_requests: 0,
        discussions,
        notes,
    };
    assert_eq!(counts(&all()), expected(4, 3, 3, 5));
    assert_eq!(counts(&public), expected(3, 2, 2, 3));

    // A project outside the scope does not exist either.
    assert_eq!(refs(&conn, &only(2), |_| {}), [""; 0]);
    assert_eq!(entity_of(&conn, &only(2), 1), None);
    assert_eq!(projects(&conn, &only(2)).unwrap().len(), 1);
    assert!(super::project(&conn, &only(2), ProjectId(1)).unwrap().is_none());
    assert!(find_projects(&conn, &only(2), "group/one").unwrap().is_empty());
}

fn entity_of(conn: &Connection, visibility: &Visibility, iid: i64) -> Option<Entity> {
    super::entity(conn, visibility, EntityKind::Issue, ProjectId(1), Iid(iid)).unwrap()
}

#[test]
fn projects_are_found_by_what_people_call_them() {
    let conn = filled();
    let ids = |text: &str| -> Vec<i64> {
        find_projects(&conn, &all(), text)
            .unwrap()
            .into_iter()
            .map(|project| project.id.0)
            .collect()
    };
    for text in [
        "1",
        "group/one",
        "Group/ONE",
        "forge.example/group/one",
        "https://forge.example/group/one/",
        " group/one.git ",
    ] {
        assert_eq!(ids(text), [1], "{text}");
    }
    assert_eq!(ids("group/three"), [0; 0]);
    assert_eq!(ids("one"), [0; 0]);
    // The first is renamed, another takes its old path.
    let rename = |native: &str, path: &str| {
        WriteTx::run(&conn, UnixMs(T0 + 6000), |tx| {
            let forge = tx.forge_of(ProjectId(1))?;
            content::upsert_project(tx, forge, &project(native, path))
        })
        .unwrap()
    };
    rename("p1", "group/three");
    assert_eq!(
        (ids("group/one"), ids("group/three")),
        (vec![1], vec![1]),
        "the old name still resolves"
    );
    let (new, _) = rename("p3", "group/one");
    assert_eq!(ids("group/one"), [new.0]);
}

#[test]
fn entity_page_has_everything_that_hangs_on_it() {
    let conn = filled();
    let mr = super::entity(&conn, &all(), EntityKind::MergeRequest, ProjectId(1), Iid(1))
        .unwrap()
        .unwrap();
    let json = serde_json::to_value(&mr).unwrap();
    for (member, expected) in [
        ("ref", json!("group/one!1")),
        ("kind", json!("merge_request")),
        ("project_id", json!("1")),
        ("iid", json!(1)),
        ("state", json!("merged")),
        ("draft", json!(true)),
        ("merged_at", json!("2023-11-14T22:13:20.000Z")),
        ("gone_at", Value::Null),
        ("body", json!("body")),
    ] {
        assert_eq!(json[member], expected, "{member}");
    }
    assert_eq!(json["merge_request"]["merged_by"], "cat");
    assert_eq!(
        json["merge_request"]["reviewers"],
        json!([{"user": "cat", "state": null}])
    );
    let files = serde_json::to_value(files(&conn, mr.id()).unwrap()).unwrap();
    assert_eq!(files[0]["change"], "renamed");
    let edited = EntityIn {
        title: "edited".to_owned(),
        updated_at: Some(UnixMs(T0 + 5500)),
        ..entity(1)
    };
    WriteTx::run(&conn, UnixMs(T0 + 6000), |tx| {
        content::upsert_issue(tx, ProjectId(1), &edited)
    })
    .unwrap();
    let issue = entity_of(&conn, &all(), 1).unwrap();
    assert!(serde_json::to_value(&issue).unwrap().get("merge_request").is_none());
    let revisions = serde_json::to_value(revisions(&conn, issue.id()).unwrap()).unwrap();
    assert_eq!(
        revisions,
        json!([
            {"seq": 1, "op": "first", "valid_from": "2023-11-14T22:13:20.100Z", "observed_at": "2023-11-14T22:13:25.000Z", "changed": []},
            {"seq": 2, "op": "changed", "valid_from": "2023-11-14T22:13:25.500Z", "observed_at": "2023-11-14T22:13:26.000Z", "changed": ["title"]}
        ])
    );
    assert_eq!(raw(&conn, issue.id()).unwrap(), Some(json!({"iid": 1})));
    assert!(events(&conn, issue.id()).unwrap().is_empty());
    let known = entity_updated_at(&conn, ProjectId(1), EntityKind::Issue, Iid(1)).unwrap();
    assert_eq!(known, Some((issue.id(), Some(UnixMs(T0 + 5500)))));
    let gone = entity_of(&conn, &all(), 5).unwrap();
    assert_eq!(gone.item.gone_reason, Some(GoneReason::Deleted));
}

#[test]
fn threads_come_in_pages_of_notes() {
    let conn = filled();
    let first = entity_of(&conn, &all(), 1).unwrap().id();
    let page = |offset, limit| {
        let page = threads(&conn, &all(), first, NotePage { offset, limit }).unwrap();
        assert_eq!(page.total_notes, 4);
        let text: Vec<_> = page
            .discussions
            .iter()
            .map(|thread| {
                let notes: Vec<_> = thread.notes.iter().map(|note| note.id.as_str()).collect();
                format!("{}:{}", thread.id, notes.join(","))
            })
            .collect();
        text.join(" ")
    };
    assert_eq!(page(0, 100), "d1:n1,n2 d2:n3,n4", "by their first note");
    assert_eq!(
        (page(0, 3), page(3, 3), page(6, 3)),
        ("d1:n1,n2 d2:n3".into(), "d2:n4".into(), String::new())
    );
}

#[test]
fn runs_tell_what_happened_to_which_project() {
    let conn = filled();
    let alive = Alive::new(
        ProcessId {
            host: "here".to_owned(),
            pid: 1,
            process_start: 1,
        },
        |_, _| true,
    );
    let ids = [1, 2].map(|n| RunId::new(UnixMs(T0 + n), [7; 10]));
    WriteTx::run(&conn, UnixMs(T0), |tx| {
        for (run_id, project) in ids.iter().zip([1, 2]) {
            let run = NewRun {
                run_id: run_id.clone(),
                parent: None,
                mode: RunMode::Normal,
                origin: RunOrigin::Cli,
                project: None,
                requested: json!({}),
            };
            control::begin_run(tx, &run, &alive)?;
            let stream = StreamRow {
                project: ProjectId(project),
                stream: "issues".to_owned(),
                status: StreamStatus::Done,
                pages: 1,
                rows: 2,
                written: 2,
                unchanged: 0,
                quarantined: 0,
                cursor_from: None,
                cursor_to: Some("x".to_owned()),
                error_code: None,
            };
            control::put_stream(tx, run_id, &stream)?;
        }
        let end = RunEnd {
            status: RunStatus::Done,
            counters: json!({"pages": 1}),
            error_code: None,
            error: None,
        };
        control::finish_run(tx, &ids[0], &end)
    })
    .unwrap();
    let listed = |visibility: &Visibility, status| -> Vec<RunId> {
        runs(&conn, visibility, status, 10)
            .unwrap()
            .into_iter()
            .map(|run| run.run_id)
            .collect()
    };
    assert_eq!(
        listed(&all(), None),
        [ids[1].clone(), ids[0].clone()],
        "the newest first"
    );
    assert_eq!(listed(&all(), Some(RunStatus::Done)), [ids[0].clone()]);
    assert_eq!(listed(&only(1), None), [ids[0].clone()]);
    assert!(run(&conn, &only(1), &ids[1]).unwrap().is_none());
    let detail = serde_json::to_value(run(&conn, &all(), &ids[0]).unwrap().unwrap()).unwrap();
    assert_eq!(detail["run"]["status"], "done");
    assert_eq!(detail["run"]["counters"], json!({"pages": 1}));
    assert_eq!(detail["streams"][0]["project"], "group/one");
    assert_eq!(detail["entities"], json!([]));
    let listed = projects(&conn, &all()).unwrap();
    assert_eq!(listed[0].last_synced_at, Some(UnixMs(T0)));
    assert_eq!(listed[1].last_run.as_ref().unwrap().status, RunStatus::Running);
    assert_eq!(listed[1].last_synced_at, None);
}

#[test]
fn stats_count_every_table() {
    let conn = filled();
    let stats = serde_json::to_value(stats(&conn).unwrap()).unwrap();
    assert_eq!(stats["tables"]["issues"], 6);
    assert_eq!(stats["tables"]["notes"], 5);
    assert_eq!(stats["quarantine"], json!({"open": 0, "given_up": 0, "resolved": 0}));
    assert!(stats["blobs"]["count"].as_u64().unwrap() > 6);
    assert!(stats["dirty"].as_u64().unwrap() > 6);
    assert!(check(&conn, Depth::Full).unwrap().is_empty());
}
