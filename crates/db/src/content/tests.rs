//! Promises of the content functions, on a database in memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::{Code, EntityKind, Iid, NativeId, Oid, ProjectId, UnixMs};
use rusqlite::Connection;

use super::*;
use crate::ids::{
    DiscussionKind, EntityId, EventKind, EventOrigin, FileChange, Files, ForgeKind, GoneReason, JobType, NoteKind,
    ProjectState, Side, State, UserKind,
};
use crate::work::{self, cursor, job, quarantine, set};
use crate::{Error, WriteTx, migrate};

const T0: i64 = 1_700_000_000_000;

struct Store {
    conn: Connection,
    now: i64,
}

impl Store {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        Self { conn, now: T0 }
    }

    /// One transaction, a second after the one before.
    fn write<T>(&mut self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> T {
        self.try_write(f).unwrap()
    }

    fn try_write<T>(&mut self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.now += 1000;
        WriteTx::run(&self.conn, UnixMs(self.now), f)
    }

    fn project(&mut self) -> ProjectId {
        self.write(|tx| {
            let (forge, _) = upsert_forge(tx, &forge("https://forge.example"))?;
            Ok(upsert_project(tx, forge, &project("1", "group/one"))?.0)
        })
    }

    fn int(&self, sql: &str) -> i64 {
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn text(&self, sql: &str) -> String {
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn seq(&self) -> i64 {
        self.int("SELECT content_seq FROM store")
    }

    fn ops(&self, kind: &str) -> String {
        self.text(&format!(
            "SELECT coalesce(group_concat(op, ' '), '') FROM (SELECT op FROM revisions WHERE subject_kind = '{kind}'
             ORDER BY subject_id, seq)"
        ))
    }

    fn dirty(&self) -> i64 {
        self.int("SELECT count(*) FROM dirty_sources")
    }
}

fn forge(base_url: &str) -> ForgeIn {
    ForgeIn {
        name: base_url.to_owned(),
        kind: ForgeKind::Gitlab,
        base_url: base_url.to_owned(),
        api_url: format!("{base_url}/api/v4"),
    }
}

fn project(native_id: &str, path: &str) -> ProjectIn {
    ProjectIn {
        native_id: NativeId(native_id.to_owned()),
        path: path.to_owned(),
        title: path.to_owned(),
        description: None,
        default_branch: Some("main".to_owned()),
        visibility: Some("public".to_owned()),
        archived: false,
        web_url: None,
        created_at: Some(UnixMs(T0 - 9000)),
        updated_at: Some(UnixMs(T0 - 5000)),
        payload: Some(Payload::raw(*b"{}")),
    }
}

fn user(name: &str) -> UserIn {
    UserIn {
        native_id: NativeId(format!("u-{name}")),
        username: name.to_owned(),
        display_name: None,
        kind: UserKind::Human,
        web_url: None,
    }
}

fn issue(iid: i64, title: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId(format!("i{iid}")),
        iid: Iid(iid),
        title: title.to_owned(),
        body: "the body".to_owned(),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: Some(user("ann")),
        milestone: None,
        closed_by: None,
        labels: vec![LabelIn::named("bug"), LabelIn::named("later")],
        assignees: vec![user("bob")],
        created_at: Some(UnixMs(T0 - 3000)),
        updated_at: Some(UnixMs(T0 - 2000)),
        closed_at: None,
        due_at: None,
        web_url: Some("https://forge.example/1".to_owned()),
        moved_to: None,
        flags: 0,
        payload: Some(Payload::from_parts([(
            "issue",
            format!("{{\"title\":\"{title}\"}}").as_bytes(),
        )])),
    }
}

fn oid(digit: char) -> Oid {
    digit.to_string().repeat(40).parse().unwrap()
}

fn mr(iid: i64, head: char) -> MergeRequestIn {
    MergeRequestIn {
        entity: EntityIn {
            native_id: NativeId(format!("m{iid}")),
            ..issue(iid, "merge me")
        },
        draft: false,
        source_branch: Some("topic".to_owned()),
        target_branch: Some("main".to_owned()),
        source_project: None,
        head_oid: Some(oid(head)),
        merge_commit_oid: None,
        squash_oid: None,
        merged_at: None,
        merged_by: None,
        reviewers: vec![ReviewerIn {
            user: user("cat"),
            state: Some("approved".to_owned()),
        }],
        detail: None,
    }
}

fn note(id: &str, body: &str) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(user("ann")),
        body: body.to_owned(),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(UnixMs(T0 - 1000)),
        updated_at: Some(UnixMs(T0 - 1000)),
        flags: 0,
        position: None,
        payload: Some(Payload::raw(format!("{{\"id\":\"{id}\"}}"))),
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

fn thread(shape: SetShape, discussions: Vec<DiscussionIn>) -> DiscussionSetIn {
    DiscussionSetIn { discussions, shape }
}

#[test]
fn two_forges_same_path_do_not_mix() {
    let mut store = Store::new();
    let (a, b) = store.write(|tx| {
        let (one, _) = upsert_forge(tx, &forge("https://a.example"))?;
        let (two, _) = upsert_forge(tx, &forge("https://b.example"))?;
        let (a, _) = upsert_project(tx, one, &project("1", "group/one"))?;
        let (b, _) = upsert_project(tx, two, &project("1", "group/one"))?;
        upsert_issue(tx, a, &issue(1, "at a"))?;
        upsert_issue(tx, b, &issue(1, "at b"))?;
        Ok((a, b))
    });
    assert_ne!(a, b);
    let titles = store.text("SELECT group_concat(title, '|') FROM (SELECT title FROM issues ORDER BY project_id)");
    assert_eq!(titles, "at a|at b");
    assert_eq!(store.int("SELECT count(*) FROM users WHERE username = 'ann'"), 2);
    assert_eq!(store.int("SELECT count(*) FROM labels WHERE name = 'bug'"), 2);
}

#[test]
fn blob_stored_once_and_hash_checked() {
    let mut store = Store::new();
    let long = "long enough to be compressed ".repeat(100);
    let (short, packed) = store.write(|tx| {
        let short = blob::put(tx, b"short")?;
        let packed = blob::put(tx, long.as_bytes())?;
        assert_eq!(blob::put(tx, long.as_bytes())?, packed);
        Ok((short, packed))
    });
    assert_eq!(store.int("SELECT count(*) FROM blobs"), 2);
    assert_eq!(
        store.text("SELECT group_concat(codec, '') FROM (SELECT codec FROM blobs ORDER BY size)"),
        "01"
    );
    assert!(store.int("SELECT length(data) FROM blobs WHERE codec = 1") < 200);
    assert_eq!(blob::get(&store.conn, &short).unwrap(), b"short");
    assert_eq!(blob::get(&store.conn, &packed).unwrap(), long.as_bytes());

    store
        .conn
        .execute_batch("UPDATE blobs SET data = x'00' WHERE codec = 0")
        .unwrap();
    let error = blob::get(&store.conn, &short).unwrap_err();
    assert_eq!(error.code(), Code::DatabaseCorrupt);
    assert_eq!(
        blob::get(&store.conn, &[7; 32]).unwrap_err().code(),
        Code::DatabaseCorrupt
    );
}

#[test]
fn revision_only_when_state_changes() {
    let mut store = Store::new();
    let project = store.project();
    let new = store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    assert_eq!((new.change, new.updated_at_moved), (Change::New, true));
    let before = store.seq();
    let blobs = store.int("SELECT count(*) FROM blobs");
    let same = store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    assert_eq!((same.change, same.updated_at_moved), (Change::Unchanged, false));
    assert_eq!((store.seq(), store.dirty()), (before, 1));

    let edits: [fn(&mut IssueIn); 8] = [
        |issue| issue.title = "second".to_owned(),
        |issue| issue.body = "another".to_owned(),
        |issue| issue.state = State::Closed,
        |issue| issue.labels = vec![LabelIn::named("bug")],
        |issue| issue.assignees.clear(),
        |issue| issue.author = None,
        |issue| issue.confidential = true,
        |issue| issue.due_at = Some(UnixMs(T0)),
    ];
    let mut edited = issue(1, "first");
    for (n, edit) in edits.iter().enumerate() {
        edit(&mut edited);
        edited.updated_at = Some(UnixMs(T0 + n as i64));
        edited.payload = Some(Payload::raw(format!("{n}")));
        let applied = store.write(|tx| upsert_issue(tx, project, &edited));
        assert_eq!(applied.change, Change::Changed, "edit {n}");
        assert_eq!(applied.id, new.id);
    }
    assert_eq!(
        store.ops("issue"),
        "first changed changed changed changed changed changed changed changed"
    );
    assert_eq!(
        store.int("SELECT count(*) FROM blobs"),
        blobs + 2 * 8,
        "a state and a payload each"
    );
    assert_eq!(
        store.int("SELECT count(*) FROM issue_labels"),
        1,
        "the removed label is unlinked"
    );
    assert_eq!(store.int("SELECT count(*) FROM labels"), 2, "but it is not forgotten");
    assert_eq!(store.dirty(), 9);
    let newest = store.int("SELECT revision_id FROM issues");
    assert_eq!(
        newest,
        store.int("SELECT max(id) FROM revisions WHERE subject_kind = 'issue'")
    );
    assert_eq!(store.int("SELECT changed_seq FROM issues"), store.seq());
}

#[test]
fn touch_writes_no_revision() {
    let mut store = Store::new();
    let project = store.project();
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    let (revisions, blobs) = (store.ops("issue"), store.int("SELECT count(*) FROM blobs"));
    let mut touched = issue(1, "first");
    touched.updated_at = Some(UnixMs(T0 + 5));
    touched.web_url = Some("https://forge.example/moved".to_owned());
    touched.payload = Some(Payload::raw("votes: 7"));
    let before = store.seq();
    let applied = store.write(|tx| upsert_issue(tx, project, &touched));
    assert_eq!((applied.change, applied.updated_at_moved), (Change::Touched, true));
    assert_eq!(
        (store.ops("issue"), store.int("SELECT count(*) FROM blobs")),
        (revisions, blobs)
    );
    assert_eq!(store.int("SELECT updated_at FROM issues"), T0 + 5);
    assert_eq!((store.seq(), store.dirty()), (before + 1, 2));
}

#[test]
fn revision_times_follow_the_forge() {
    let mut store = Store::new();
    let project = store.project();
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    let mut edited = issue(1, "edited without a new time");
    store.write(|tx| upsert_issue(tx, project, &edited));
    edited.title = "edited".to_owned();
    edited.updated_at = Some(UnixMs(store.now + 500));
    store.write(|tx| upsert_issue(tx, project, &edited));
    let times = store.text(
        "SELECT group_concat(valid_from || ' ' || observed_at, ', ') FROM
         (SELECT * FROM revisions WHERE subject_kind = 'issue' ORDER BY seq)",
    );
    let (first, second, third) = (T0 + 2000, T0 + 3000, T0 + 4000);
    assert_eq!(
        times,
        format!("{} {first}, {second} {second}, {} {third}", T0 - 2000, second + 500)
    );
}

#[test]
fn content_seq_moves_iff_a_row_changed() {
    let mut store = Store::new();
    let project = store.project();
    let issue_id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    let threads = thread(SetShape::OnePage, vec![discussion("d1", vec![note("n1", "hello")])]);
    let events = EventSetIn {
        kinds: vec![EventKind::State],
        events: vec![ResourceEventIn {
            native_id: NativeId("e1".to_owned()),
            kind: EventKind::State,
            action: "closed".to_owned(),
            subject: None,
            actor: Some(user("bob")),
            created_at: Some(UnixMs(T0)),
            origin: EventOrigin::Forge,
        }],
        shape: SetShape::OnePage,
    };
    let labels = [LabelIn {
        native_id: Some(NativeId("l1".to_owned())),
        name: "bug".to_owned(),
        color: Some("#fff".to_owned()),
        description: None,
    }];
    let bad = quarantine::QuarantineIn {
        project,
        stream: "issues".to_owned(),
        native_ref: "x".to_owned(),
        payload: Payload::raw("?"),
        code: Code::Transform,
        message: "no id".to_owned(),
    };
    for round in 0..2 {
        let mut last = store.seq();
        let mut moved = |store: &Store| {
            let before = std::mem::replace(&mut last, store.seq());
            store.seq() - before
        };
        let expected = i64::from(round == 0);
        store.write(|tx| replace_discussions(tx, project, issue_id, &threads));
        assert_eq!(moved(&store), expected);
        store.write(|tx| replace_events(tx, project, issue_id, &events));
        assert_eq!(moved(&store), expected);
        store.write(|tx| replace_labels(tx, project, &labels, SetShape::ManyPages));
        assert_eq!(moved(&store), expected);
        store.write(|tx| quarantine::put(tx, &bad));
        assert_eq!(moved(&store), expected);
        // Work and control rows are none of its business.
        store.write(|tx| {
            work::dirty::mark(tx, crate::ids::SourceKind::Issue, issue_id.row, "test")?;
            let to = work::CursorPoint {
                at: UnixMs(T0 + round),
                tie_id: NativeId("1".to_owned()),
            };
            cursor::advance(tx, project, "issues", crate::ids::Pass::Incremental, Some(&to), 1)?;
            let job_type = JobType::Discussions;
            job::enqueue(
                tx,
                &job::JobIn {
                    project,
                    entity: issue_id,
                    iid: Iid(1),
                    job_type,
                    cause_at: UnixMs(round),
                    scope: None,
                },
            )?;
            work::validator::put(
                tx,
                project,
                "issues",
                &[1; 32],
                &work::StoredValidators {
                    etag: Some("e".to_owned()),
                    last_modified: None,
                },
            )
        });
        assert_eq!(moved(&store), 0);
    }
    let before = store.seq();
    let failed = store.try_write(|tx| {
        upsert_issue(tx, project, &issue(2, "second"))?;
        Err::<(), _>(Error::Closed)
    });
    assert!(failed.is_err());
    assert_eq!(store.seq(), before, "what was undone issued no number");
}

#[test]
fn rename_raises_changed_seq_of_what_shows_it() {
    let mut store = Store::new();
    let project = store.project();
    let label = |name: &str| LabelIn {
        native_id: Some(NativeId("7".to_owned())),
        name: name.to_owned(),
        color: None,
        description: None,
    };
    let milestone = |title: &str| MilestoneIn {
        native_id: NativeId("3".to_owned()),
        iid: Some(Iid(1)),
        title: title.to_owned(),
        description: None,
        state: None,
        start_at: None,
        due_at: None,
    };
    let mut shown = issue(1, "first");
    shown.labels = vec![LabelIn::named("bug")];
    shown.milestone = Some(milestone("1.0"));
    let other = EntityIn {
        author: Some(user("zoe")),
        labels: vec![],
        assignees: vec![],
        ..issue(2, "second")
    };
    store.write(|tx| {
        upsert_label(tx, project, &label("bug"))?;
        let id = upsert_issue(tx, project, &shown)?.id;
        upsert_issue(tx, project, &other)?;
        replace_discussions(
            tx,
            project,
            id,
            &thread(SetShape::OnePage, vec![discussion("d", vec![note("n", "x")])]),
        )?;
        tx.execute("DELETE FROM dirty_sources", [])?;
        Ok(())
    });
    type Rename<'a> = &'a dyn Fn(&WriteTx<'_>) -> Result<Change, Error>;
    let changes: [(&str, Rename<'_>, &str); 3] = [
        (
            "label",
            &|tx| Ok(upsert_label(tx, project, &label("defect"))?.1),
            "issue",
        ),
        (
            "milestone",
            &|tx| Ok(upsert_milestone(tx, project, &milestone("2.0"))?.1),
            "issue",
        ),
        (
            "user",
            &|tx| {
                let renamed = UserIn {
                    username: "anne".to_owned(),
                    ..user("ann")
                };
                Ok(upsert_user(tx, tx.forge_of(project)?, &renamed)?.1)
            },
            "issue discussion",
        ),
    ];
    for (what, rename, dirtied) in changes {
        let before = store.seq();
        assert_eq!(store.write(|tx| rename(tx)), Change::Changed, "{what}");
        assert_eq!(store.seq(), before + 1, "{what}");
        assert_eq!(
            store.int("SELECT changed_seq FROM issues WHERE iid = 1"),
            before + 1,
            "{what}"
        );
        assert!(
            store.int("SELECT changed_seq FROM issues WHERE iid = 2") < before + 1,
            "{what}"
        );
        let dirty = store.text("SELECT group_concat(source_kind, ' ') FROM (SELECT * FROM dirty_sources ORDER BY id)");
        assert_eq!(dirty, dirtied, "{what}");
        store.conn.execute_batch("DELETE FROM dirty_sources").unwrap();
        assert_eq!(store.write(|tx| rename(tx)), Change::Unchanged, "{what}");
    }
    assert_eq!(store.int("SELECT changed_seq FROM notes"), store.seq());
    assert_eq!(
        store.text("SELECT username_folded FROM users WHERE username = 'anne'"),
        "anne"
    );
}

#[test]
fn a_named_label_takes_its_native_id_when_it_is_told() {
    let mut store = Store::new();
    let project = store.project();
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    let told = ["bug", "later"].map(|name| LabelIn {
        native_id: Some(NativeId(format!("id-{name}"))),
        name: name.to_owned(),
        color: Some("#123456".to_owned()),
        description: None,
    });
    store.write(|tx| replace_labels(tx, project, &told, SetShape::OnePage));
    let native = "SELECT group_concat(native_id || color) FROM (SELECT * FROM labels ORDER BY name)";
    assert_eq!(store.text(native), "id-bug#123456,id-later#123456");
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    assert_eq!(
        store.text(native),
        "id-bug#123456,id-later#123456",
        "naming it loses nothing"
    );
    let gone = store.write(|tx| replace_labels(tx, project, &told[..1], SetShape::OnePage));
    assert_eq!(gone.gone, 1);
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    assert_eq!(
        store.int("SELECT count(*) FROM labels WHERE gone_at IS NULL"),
        2,
        "an entity wears it: it is back"
    );
    assert_eq!(store.ops("label"), "first changed first changed gone back");
}

#[test]
fn iid_conflict_writes_nothing() {
    let mut store = Store::new();
    let project = store.project();
    store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    let before = store.seq();
    let other = EntityIn {
        native_id: NativeId("other".to_owned()),
        author: Some(user("new")),
        ..issue(1, "claims the same")
    };
    let error = store.write(|tx| Ok(upsert_issue(tx, project, &other).unwrap_err()));
    assert_eq!(error.code(), Code::IidConflict);
    assert_eq!(store.seq(), before);
    store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a')));
    assert_eq!(
        store.int("SELECT count(*) FROM merge_requests"),
        1,
        "a merge request counts apart"
    );
}

#[test]
fn detail_completes_a_merge_request() {
    let mut store = Store::new();
    let project = store.project();
    let listed = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a')));
    assert_eq!(
        (listed.change, listed.heads_moved, listed.detail_owed),
        (Change::New, true, true)
    );
    let mut detailed = mr(1, 'a');
    detailed.detail = Some(MrDetailIn {
        base_oid: Some(oid('b')),
        start_oid: Some(oid('c')),
    });
    let applied = store.write(|tx| upsert_merge_request(tx, project, &detailed));
    assert_eq!(
        (applied.change, applied.heads_moved, applied.detail_owed),
        (Change::Changed, false, false)
    );
    let again = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a')));
    assert_eq!(
        (again.change, again.detail_owed),
        (Change::Unchanged, false),
        "a list row takes nothing back"
    );
    let pushed = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'd')));
    assert_eq!(
        (pushed.change, pushed.heads_moved, pushed.detail_owed),
        (Change::Changed, true, true)
    );
    assert_eq!(
        store.text("SELECT detail || ' ' || files FROM merge_requests"),
        "pending pending"
    );
    assert_eq!(store.text("SELECT state FROM mr_reviewers"), "approved");
}

#[test]
fn gone_and_back() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    assert_eq!(
        store.write(|tx| mark_entity_gone(tx, id, GoneReason::Missing)),
        Change::Changed
    );
    assert_eq!(
        store.write(|tx| mark_entity_gone(tx, id, GoneReason::Missing)),
        Change::Unchanged
    );
    assert_eq!(store.text("SELECT gone_reason FROM issues"), "missing");
    let back = store.write(|tx| upsert_issue(tx, project, &issue(1, "first")));
    assert_eq!(back.change, Change::Changed);
    assert_eq!(
        store.int("SELECT count(*) FROM issues WHERE gone_at IS NULL AND gone_reason IS NULL"),
        1
    );
    assert_eq!(store.ops("issue"), "first gone back");
}

#[test]
fn one_page_set_marks_absent_children_gone() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    let all = vec![
        discussion("d1", vec![note("n1", "a"), note("n2", "b")]),
        discussion("d2", vec![note("n3", "c")]),
    ];
    let applied = store.write(|tx| replace_discussions(tx, project, id, &thread(SetShape::OnePage, all.clone())));
    assert_eq!((applied.discussions.new, applied.notes.new), (2, 3));
    let same = store.write(|tx| replace_discussions(tx, project, id, &thread(SetShape::OnePage, all)));
    assert!(!same.is_written());
    let dirty = store.dirty();
    let fewer = thread(SetShape::OnePage, vec![discussion("d1", vec![note("n2", "b, edited")])]);
    let applied = store.write(|tx| replace_discussions(tx, project, id, &fewer));
    assert_eq!(
        (applied.discussions.gone, applied.notes.gone, applied.notes.changed),
        (1, 2, 1)
    );
    assert!(store.dirty() > dirty);
    assert_eq!(
        store.text("SELECT group_concat(native_id) FROM notes WHERE gone_at IS NULL"),
        "n2"
    );
    assert_eq!(store.ops("note"), "first gone first changed first gone");
}

#[test]
fn multi_page_set_needs_two_absences() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    let all = thread(
        SetShape::ManyPages,
        vec![discussion("d1", vec![note("n1", "a"), note("n2", "b")])],
    );
    let fewer = thread(SetShape::ManyPages, vec![discussion("d1", vec![note("n1", "a")])]);
    store.write(|tx| replace_discussions(tx, project, id, &all));
    let once = store.write(|tx| replace_discussions(tx, project, id, &fewer));
    assert_eq!((once.notes.missing, once.notes.gone), (1, 0));
    let back = store.write(|tx| replace_discussions(tx, project, id, &all));
    assert_eq!((back.notes.touched, back.notes.unchanged), (1, 1));
    assert_eq!(store.ops("note"), "first first", "it never went");
    store.write(|tx| replace_discussions(tx, project, id, &fewer));
    let twice = store.write(|tx| replace_discussions(tx, project, id, &fewer));
    assert_eq!((twice.notes.missing, twice.notes.gone), (0, 1));
    assert_eq!(store.ops("note"), "first first gone");
}

#[test]
fn diff_notes_keep_their_place() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a'))).id;
    let position = DiffPositionIn {
        old_path: Some("src/a.rs".to_owned()),
        new_path: Some("src/b.rs".to_owned()),
        new_line: Some(7),
        side: Some(Side::New),
        ..DiffPositionIn::default()
    };
    let diff_note = NoteIn {
        kind: NoteKind::DiffNote,
        position: Some(position.clone()),
        ..note("n1", "here")
    };
    let set = |note: NoteIn| thread(SetShape::OnePage, vec![discussion("d1", vec![note])]);
    store.write(|tx| replace_discussions(tx, project, id, &set(diff_note.clone())));
    assert_eq!(
        store.text("SELECT new_path || ':' || new_line FROM diff_note_positions"),
        "src/b.rs:7"
    );
    let again = store.write(|tx| replace_discussions(tx, project, id, &set(diff_note.clone())));
    assert!(!again.is_written());
    let outdated = DiffPositionIn {
        outdated: true,
        ..position.clone()
    };
    let touched = store.write(|tx| {
        replace_discussions(
            tx,
            project,
            id,
            &set(NoteIn {
                position: Some(outdated),
                ..diff_note.clone()
            }),
        )
    });
    assert_eq!(touched.notes.touched, 1);
    let moved = DiffPositionIn {
        new_line: Some(8),
        ..position
    };
    let changed = store.write(|tx| {
        replace_discussions(
            tx,
            project,
            id,
            &set(NoteIn {
                position: Some(moved),
                ..diff_note
            }),
        )
    });
    assert_eq!(changed.notes.changed, 1);
}

fn file(old: &str, new: &str, additions: i64) -> FileChangeIn {
    FileChangeIn {
        old_path: old.to_owned(),
        new_path: new.to_owned(),
        change: if old == new {
            FileChange::Modified
        } else {
            FileChange::Renamed
        },
        additions: Some(additions),
        deletions: Some(0),
        binary: false,
        too_large: false,
        patch_hash: None,
    }
}

#[test]
fn file_changes_are_intervals() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a'))).id;
    let set = |at: i64, head: char, files: Vec<FileChangeIn>| FileSetIn {
        files,
        extent: Files::Complete,
        head_oid: Some(oid(head)),
        at: Some(UnixMs(at)),
    };
    let first = set(T0, 'a', vec![file("a", "a", 1), file("b", "c", 2)]);
    store.write(|tx| {
        let version = MrVersionIn {
            head_oid: oid('a'),
            base_oid: None,
            start_oid: None,
            seen_at: None,
        };
        assert_eq!(record_mr_version(tx, id, &version)?, Change::New);
        assert_eq!(record_mr_version(tx, id, &version)?, Change::Unchanged);
        let based = MrVersionIn {
            base_oid: Some(oid('b')),
            ..version
        };
        assert_eq!(
            record_mr_version(tx, id, &based)?,
            Change::Touched,
            "the base became known"
        );
        assert_eq!(record_mr_version(tx, id, &based)?, Change::Unchanged);
        let applied = replace_file_changes(tx, project, id, &first)?;
        assert_eq!(applied.new, 2);
        Ok(())
    });
    assert_eq!(store.text("SELECT files FROM merge_requests"), "complete");
    assert_eq!(store.text("SELECT files FROM mr_versions"), "complete");
    let again = store.write(|tx| replace_file_changes(tx, project, id, &first));
    assert!(!again.is_written());
    let second = set(
        T0 + 500,
        'a',
        vec![file("a", "a", 1), file("b", "c", 9), file("d", "d", 1)],
    );
    let applied = store.write(|tx| replace_file_changes(tx, project, id, &second));
    assert_eq!(
        (applied.unchanged, applied.changed, applied.new, applied.gone),
        (1, 1, 1, 0)
    );
    let rows = store.text(
        "SELECT group_concat(new_path || additions || ':' || (from_at - 1700000000000) || '-'
                || coalesce(to_at - 1700000000000, ''), ' ')
         FROM (SELECT * FROM mr_file_changes ORDER BY new_path, from_at)",
    );
    assert_eq!(rows, "a1:0- c2:0-500 c9:500- d1:500-");

    // The branch moved on after the fetch began: its own list is still owed.
    store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'e')));
    store.write(|tx| replace_file_changes(tx, project, id, &second));
    assert_eq!(store.text("SELECT files FROM merge_requests"), "pending");
}

#[test]
fn project_rename_keeps_identity() {
    let mut store = Store::new();
    let id = store.project();
    let forge = store.write(|tx| tx.forge_of(id));
    let (again, change) = store.write(|tx| upsert_project(tx, forge, &project("1", "group/Two")));
    assert_eq!((again, change), (id, Change::Changed));
    assert_eq!(store.text("SELECT path_folded FROM project_paths"), "group/one");
    let (other, _) = store.write(|tx| upsert_project(tx, forge, &project("2", "GROUP/two")));
    assert_ne!(other, id, "nothing is merged by name");
    assert_eq!(
        store.text("SELECT state FROM projects WHERE native_id = '1'"),
        "missing"
    );
    let back = store.write(|tx| upsert_project(tx, forge, &project("1", "group/three")));
    assert_eq!(back, (id, Change::Changed));
    assert_eq!(store.ops("project"), "first changed gone back first");
    assert_eq!(
        store.write(|tx| mark_project(tx, id, ProjectState::Hidden)),
        Change::Changed
    );
    assert_eq!(store.write(|tx| set_tracked(tx, id, Tracking::Off)), Change::Touched);
    assert_eq!(store.write(|tx| set_tracked(tx, id, Tracking::Off)), Change::Unchanged);
}

#[test]
fn a_set_drops_the_pages_of_the_fetch_before() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    let record = |store: &mut Store, at: i64, pages: &str| {
        let pages = Payload::raw(pages);
        store.write(|tx| set::record(tx, id, JobType::Events, UnixMs(at), UnixMs(0), 1, Some(&pages)));
    };
    record(&mut store, 10, "[1]");
    let blobs = store.int("SELECT count(*) FROM blobs");
    record(&mut store, 20, "[1,2]");
    record(&mut store, 30, "[1,2]");
    assert_eq!(store.int("SELECT count(*) FROM blobs"), blobs);
    assert!(set::has_newer(&store.conn, id, JobType::Events, UnixMs(29)).unwrap());
    assert!(!set::has_newer(&store.conn, id, JobType::Events, UnixMs(30)).unwrap());
    assert!(!set::has_newer(&store.conn, id, JobType::Discussions, UnixMs(0)).unwrap());
}

#[test]
fn hostile_text_is_stored_as_text() {
    let mut store = Store::new();
    let project = store.project();
    let mut hostile = issue(1, "a\0b\u{202e}'; DROP TABLE issues; --");
    hostile.body = "x".repeat(crate::text::MAX_TEXT + 1);
    hostile.author = Some(UserIn {
        username: String::new(),
        ..user("nobody")
    });
    let id = store.write(|tx| upsert_issue(tx, project, &hostile)).id;
    assert_eq!(
        store.text("SELECT title FROM issues"),
        "a\u{fffd}b\u{202e}'; DROP TABLE issues; --"
    );
    assert_eq!(
        store.int("SELECT length(body) FROM issues"),
        crate::text::MAX_TEXT as i64
    );
    assert_eq!(store.int("SELECT flags FROM issues"), flag::BODY_TRUNCATED);
    assert_eq!(
        id,
        EntityId {
            kind: EntityKind::Issue,
            row: 1
        }
    );
    let same = store.write(|tx| upsert_issue(tx, project, &hostile));
    assert_eq!(same.change, Change::Unchanged);
}

/// Two issues, a merge request and a thread, in transactions of `per_page` items.
fn fill(store: &mut Store, per_page: usize) {
    let project = store.project();
    let items: Vec<i64> = (1..=6).collect();
    for page in items.chunks(per_page) {
        store.write(|tx| {
            for iid in page {
                upsert_issue(tx, project, &issue(*iid, "same everywhere"))?;
            }
            Ok(())
        });
    }
    let mr = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a'))).id;
    let threads = thread(
        SetShape::OnePage,
        vec![discussion("d1", vec![note("n1", "hello"), note("n2", "there")])],
    );
    store.write(|tx| replace_discussions(tx, project, mr, &threads));
    store.write(|tx| set::record(tx, mr, JobType::Discussions, tx.now(), UnixMs(7), 1, None));
}

#[test]
fn second_write_leaves_raw_dump_equal() {
    let mut store = Store::new();
    fill(&mut store, 2);
    let project = ProjectId(1);
    let raw = crate::dump::raw(&store.conn).unwrap();
    store.write(|tx| {
        for iid in 1..=6 {
            upsert_issue(tx, project, &issue(iid, "same everywhere"))?;
        }
        Ok(())
    });
    assert_eq!(crate::dump::raw(&store.conn).unwrap(), raw);
    store.write(|tx| upsert_issue(tx, project, &issue(1, "another title")));
    assert_ne!(crate::dump::raw(&store.conn).unwrap(), raw);
}

#[test]
fn canonical_dump_does_not_depend_on_when_or_in_which_pages() {
    let (mut one, mut other) = (Store::new(), Store::new());
    fill(&mut one, 6);
    other.now += 86_400_000;
    // Local ids differ from the start.
    other
        .conn
        .execute_batch("INSERT INTO sqlite_sequence (name, seq) VALUES ('revisions', 500)")
        .unwrap();
    fill(&mut other, 1);
    assert_ne!(
        crate::dump::raw(&one.conn).unwrap(),
        crate::dump::raw(&other.conn).unwrap()
    );
    let canonical = crate::dump::canonical(&one.conn).unwrap();
    assert_eq!(canonical, crate::dump::canonical(&other.conn).unwrap());
    for kind in ["issue ", "merge_request ", "note ", "revision ", "user ", "owed "] {
        assert!(canonical.lines().any(|line| line.starts_with(kind)), "{kind}");
    }
    other.write(|tx| upsert_issue(tx, ProjectId(1), &issue(1, "another title")));
    assert_ne!(canonical, crate::dump::canonical(&other.conn).unwrap());
}

#[test]
fn a_rename_within_one_transaction_is_seen() {
    let mut store = Store::new();
    let project = store.project();
    let told = |name: &str| LabelIn {
        native_id: Some(NativeId("7".to_owned())),
        name: name.to_owned(),
        color: None,
        description: None,
    };
    store.write(|tx| {
        let (first, _) = upsert_label(tx, project, &told("bug"))?;
        assert_eq!(
            upsert_label(tx, project, &LabelIn::named("bug"))?,
            (first, Change::Unchanged)
        );
        assert_eq!(upsert_label(tx, project, &told("defect"))?, (first, Change::Changed));
        let (other, change) = upsert_label(tx, project, &LabelIn::named("bug"))?;
        assert_eq!(change, Change::New);
        assert_ne!(other, first);
        Ok(())
    });
}
