//! Projects, labels, issues and merge requests.

use super::*;

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

fn told(id: &str, name: &str) -> LabelIn {
    LabelIn {
        native_id: Some(NativeId(id.to_owned())),
        ..LabelIn::named(name)
    }
}

#[test]
fn labels_of_several_pages_need_two_absences() {
    let mut store = Store::new();
    let project = store.project();
    let all = [told("1", "a"), told("2", "b")];
    store.write(|tx| replace_labels(tx, project, &all, SetShape::ManyPages));
    let once = store.write(|tx| replace_labels(tx, project, &all[..1], SetShape::ManyPages));
    assert_eq!((once.missing, once.gone), (1, 0));
    let back = store.write(|tx| replace_labels(tx, project, &all, SetShape::ManyPages));
    assert_eq!((back.touched, back.unchanged), (1, 1));
    for shape in [SetShape::ManyPages, SetShape::Unproven, SetShape::ManyPages] {
        store.write(|tx| replace_labels(tx, project, &all[..1], shape));
    }
    assert_eq!(
        store.text("SELECT group_concat(name) FROM labels WHERE gone_at IS NULL"),
        "a"
    );
    assert_eq!(store.ops("label"), "first first gone");
}

#[test]
fn milestones_of_several_pages_need_two_absences() {
    let mut store = Store::new();
    let project = store.project();
    let all = ["1", "2"].map(|id| MilestoneIn {
        native_id: NativeId(id.to_owned()),
        iid: None,
        title: format!("m{id}"),
        description: None,
        state: None,
        start_at: None,
        due_at: None,
    });
    store.write(|tx| replace_milestones(tx, project, &all, SetShape::ManyPages));
    let once = store.write(|tx| replace_milestones(tx, project, &all[..1], SetShape::ManyPages));
    assert_eq!((once.missing, once.gone), (1, 0));
    let back = store.write(|tx| replace_milestones(tx, project, &all, SetShape::ManyPages));
    assert_eq!((back.touched, back.unchanged), (1, 1));
    for shape in [SetShape::ManyPages, SetShape::Unproven, SetShape::ManyPages] {
        store.write(|tx| replace_milestones(tx, project, &all[..1], shape));
    }
    assert_eq!(
        store.text("SELECT group_concat(title) FROM milestones WHERE gone_at IS NULL"),
        "m1"
    );
    assert_eq!(store.ops("milestone"), "first first gone");
}

/// A label is renamed between the list of labels and the list of issues, which name it only.
#[test]
fn what_wears_a_renamed_label_is_linked_to_it_once() {
    let mut store = Store::new();
    let project = store.project();
    let wearing = |name: &str| IssueIn {
        labels: vec![LabelIn::named(name)],
        ..issue(1, "first")
    };
    store.write(|tx| replace_labels(tx, project, &[told("1", "old")], SetShape::OnePage));
    store.write(|tx| upsert_issue(tx, project, &wearing("old")));
    store.write(|tx| upsert_issue(tx, project, &wearing("new")));
    let dirty = store.dirty();
    let applied = store.write(|tx| {
        let applied = replace_labels(tx, project, &[told("1", "new")], SetShape::OnePage)?;
        // The same transaction already sees the label where the twin was.
        upsert_issue(tx, project, &wearing("new"))?;
        Ok(applied)
    });
    assert!(applied.is_written() && store.dirty() > dirty);
    let worn = "SELECT group_concat(l.native_id || ' ' || l.name || ' ' || (l.gone_at IS NULL))
                FROM issue_labels x JOIN labels l ON l.id = x.label_id";
    assert_eq!(store.text(worn), "1 new 1");
    let again = store.write(|tx| replace_labels(tx, project, &[told("1", "new")], SetShape::OnePage));
    assert!(!again.is_written(), "{again:?}");
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
