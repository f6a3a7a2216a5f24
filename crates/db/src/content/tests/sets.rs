//! Discussions, files and the other sets below an entity.

use super::*;

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
fn events_of_several_pages_need_two_absences() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_issue(tx, project, &issue(1, "first"))).id;
    let set = |shape, ids: &[&str]| EventSetIn {
        kinds: vec![EventKind::State],
        events: ids
            .iter()
            .map(|id| ResourceEventIn {
                native_id: NativeId((*id).to_owned()),
                kind: EventKind::State,
                action: "closed".to_owned(),
                subject: None,
                actor: None,
                created_at: Some(UnixMs(T0)),
                origin: EventOrigin::Forge,
            })
            .collect(),
        shape,
    };
    let (all, fewer) = (["1", "2"], ["1"]);
    store.write(|tx| replace_events(tx, project, id, &set(SetShape::ManyPages, &all)));
    let once = store.write(|tx| replace_events(tx, project, id, &set(SetShape::ManyPages, &fewer)));
    assert_eq!((once.missing, once.gone), (1, 0));
    let back = store.write(|tx| replace_events(tx, project, id, &set(SetShape::ManyPages, &all)));
    assert_eq!((back.written(), back.unchanged), (1, 1));
    for shape in [SetShape::ManyPages, SetShape::Unproven, SetShape::ManyPages] {
        store.write(|tx| replace_events(tx, project, id, &set(shape, &fewer)));
    }
    assert_eq!(
        store.text("SELECT group_concat(native_id) FROM resource_events WHERE gone_at IS NULL"),
        "1"
    );
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
        shape: SetShape::OnePage,
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
fn a_file_list_without_a_time_begins_no_earlier_than_the_one_before() {
    let mut store = Store::new();
    let project = store.project();
    let id = store.write(|tx| upsert_merge_request(tx, project, &mr(1, 'a'))).id;
    for (at, files) in [
        (T0 + 500, vec![file("a", "a", 1), file("b", "b", 1)]),
        (0, vec![file("a", "a", 5)]),
        (0, vec![file("a", "a", 5), file("b", "b", 2)]),
    ] {
        let set = FileSetIn {
            files,
            extent: Files::Complete,
            shape: SetShape::OnePage,
            head_oid: Some(oid('a')),
            at: Some(UnixMs(at)),
        };
        store.write(|tx| replace_file_changes(tx, project, id, &set));
    }
    let rows = store.text(
        "SELECT group_concat(new_path || additions || ':' || (from_at - 1700000000000) || '-'
                || coalesce(to_at - 1700000000000, ''), ' ')
         FROM (SELECT * FROM mr_file_changes ORDER BY new_path, id)",
    );
    assert_eq!(rows, "a1:500-500 a5:500- b1:500-500 b2:500-");
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
    assert!(set::has_newer(&store.conn, id, JobType::Events, UnixMs(29), UnixMs(30)).unwrap());
    assert!(!set::has_newer(&store.conn, id, JobType::Events, UnixMs(30), UnixMs(30)).unwrap());
    assert!(!set::has_newer(&store.conn, id, JobType::Events, UnixMs(0), UnixMs(29)).unwrap());
    assert!(!set::has_newer(&store.conn, id, JobType::Discussions, UnixMs(0), UnixMs(30)).unwrap());
}
