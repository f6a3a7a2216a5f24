//! Promises that hold for whatever is written.

use super::*;

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
        store.write(|tx| replace_labels(tx, project, &labels, SetShape::Unproven));
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
