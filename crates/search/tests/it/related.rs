//! What has to do with an entity, and why.

use crate::support::{Mirror, bob, discussion, issue, labels, merge_request, note};
use annals_core::{EntityKind, Iid};
use annals_db::Visibility;
use annals_db::ids::EntityId;
use annals_search::embed::Hashing;
use annals_search::related::{Evidence, Related, Subject, related};
use annals_search::vector::{Exact, to_bytes};
use rusqlite::params;

/// Merge request 10 closes issue 1 and changes files of 11, 12 and 13; issues 2 and 3 have its rare label, issue 4 the
/// text of issue 1.
fn mirror() -> Mirror {
    let mirror = Mirror::new();
    let text = "the cutover races with the writer of the index";
    let one = mirror.issue(&issue(1, "Cutover race", text));
    for (iid, name) in [(2, "rare"), (3, "rare"), (5, "bug"), (6, "bug")] {
        let mut labelled = issue(iid, &format!("Other {iid}"), "nothing in common, at all");
        labelled.labels = labels(&[name]);
        mirror.issue(&labelled);
    }
    mirror.issue(&issue(4, "Race at cutover", text));
    let mut ten = merge_request(10, "Take the lock first", "Closes it.");
    ten.entity.labels = labels(&["rare"]);
    let ten = mirror.merge_request(&ten);
    mirror.change_files(
        ten,
        &[
            ("src/lock.rs", "src/lock.rs"),
            ("src/a.rs", "src/b.rs"),
            ("Cargo.toml", "Cargo.toml"),
        ],
    );
    for (iid, files) in [
        (11, &[("src/lock.rs", "src/lock.rs"), ("src/b.rs", "src/b.rs")][..]),
        (12, &[("Cargo.toml", "Cargo.toml")]),
        (13, &[("Cargo.toml", "Cargo.toml"), ("src/z.rs", "src/a.rs")]),
        (14, &[("src/far.rs", "src/far.rs")]),
    ] {
        let mr = mirror.merge_request(&merge_request(iid, &format!("Change {iid}"), ""));
        mirror.change_files(mr, files);
    }
    mirror.write(|tx| {
        tx.execute(
            "INSERT INTO entity_references (project_id, source_kind, source_id, kind, target_path, target_kind, target_iid)
             VALUES (?1, 'merge_request', ?2, 'closes', 'group/app', 'issue', 1),
                    (?1, 'issue', ?3, 'mentions', 'group/app', 'merge_request', 11)",
            params![mirror.project.0, ten.row, one.row],
        )?;
        Ok(())
    });
    mirror.drain();
    mirror
}

fn ask(mirror: &Mirror, kind: EntityKind, iid: i64, visibility: &Visibility) -> Vec<Related> {
    let table = match kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "merge_requests",
    };
    let row = mirror.number(&format!("SELECT id FROM {table} WHERE iid = {iid}"), &[]);
    let subject = Subject {
        id: EntityId { kind, row },
        project: mirror.project,
        iid: Iid(iid),
    };
    related(&mirror.conn, &Exact, visibility, subject, 10).unwrap()
}

fn told(items: &[Related]) -> Vec<String> {
    items
        .iter()
        .map(|item| {
            let why: Vec<&str> = item.why.iter().map(|why| why.detail.as_str()).collect();
            format!("{}: {}", item.reference.trim_start_matches("group/app"), why.join("; "))
        })
        .collect()
}

#[test]
fn related_reasons_and_order() {
    let mirror = mirror();
    // Without vectors. !11 shares three names of two files with !10, and nobody else has them; !13 one file and a name.
    let found = ask(&mirror, EntityKind::MergeRequest, 10, &Visibility::all());
    assert_eq!(
        told(&found),
        [
            "#1: is closed by this one",
            "#3: has the rare label rare",
            "!11: changes src/b.rs, src/lock.rs",
            "#2: has the rare label rare",
            "!13: changes src/a.rs, Cargo.toml",
            "!12: changes Cargo.toml",
        ]
    );
    // 1/61 for the first of a list, 1/62 for the second.
    let scores: Vec<f64> = found.iter().map(|item| item.score).collect();
    assert_eq!(
        scores,
        [0.016_393_4, 0.016_393_4, 0.016_393_4, 0.016_129, 0.016_129, 0.015_873]
    );

    let found = ask(&mirror, EntityKind::Issue, 1, &Visibility::all());
    assert_eq!(told(&found), ["!10: closes this one", "!11: is mentioned here"]);
    assert_eq!(found[0].why[0].kind, Evidence::Reference);
    assert_eq!(
        ask(&mirror, EntityKind::Issue, 1, &Visibility::all()),
        found,
        "the same every time"
    );
    // The reference is one in both directions.
    let found = ask(&mirror, EntityKind::MergeRequest, 11, &Visibility::all());
    assert!(
        told(&found).contains(&"#1: mentions this one".to_owned()),
        "{:?}",
        told(&found)
    );
}

/// Issue 1 names, in a note, an issue of another project that has its path from a dead one; !2 names issue 1 in a note, and
/// issue 3, which is confidential, does in its text.
fn in_notes() -> Mirror {
    let mirror = Mirror::new();
    let one = mirror.issue(&issue(1, "One", ""));
    let two = mirror.merge_request(&merge_request(2, "Two", ""));
    let three = mirror.issue(&issue(3, "Three", ""));
    mirror.discuss(one, vec![discussion("d-1", vec![note("n-1", bob(), "see there")])]);
    mirror.discuss(two, vec![discussion("d-2", vec![note("n-2", bob(), "see here")])]);
    let dead = mirror.add_project("group/dead", "300");
    let other = mirror.add_project("group/other", "301");
    mirror.write(|tx| {
        for (project, native) in [(dead, 40), (other, 41)] {
            let mut seven = issue(7, "Seven", "");
            seven.native_id = annals_core::NativeId(native.to_string());
            annals_db::content::upsert_issue(tx, project, &seven)?;
        }
        tx.execute_batch("UPDATE issues SET confidential = 1 WHERE title = 'Three'")?;
        tx.execute(
            "UPDATE projects SET path = 'group/other', path_folded = 'group/other', state = 'missing' WHERE id = ?1",
            params![dead.0],
        )?;
        tx.execute(
            "INSERT INTO entity_references (project_id, source_kind, source_id, kind, target_path, target_kind, target_iid)
             SELECT ?1, 'note', id, 'mentions', 'Group/Other', 'issue', 7 FROM notes WHERE native_id = 'n-1'
             UNION ALL
             SELECT ?1, 'note', id, 'mentions', 'group/app', 'issue', 1 FROM notes WHERE native_id = 'n-2'
             UNION ALL SELECT ?1, 'issue', ?2, 'relates', 'group/app', 'issue', 1",
            params![mirror.project.0, three.row],
        )?;
        Ok(())
    });
    mirror.drain();
    mirror
}

#[test]
fn what_notes_and_other_projects_say_is_a_reference() {
    let mirror = in_notes();
    let mut found = told(&ask(&mirror, EntityKind::Issue, 1, &Visibility::all()));
    found.sort();
    assert_eq!(
        found,
        [
            "!2: mentions this one",
            "#3: is linked to this one",
            "group/other#7: is mentioned here",
        ],
        "the dead project lends nothing"
    );
    assert_eq!(
        told(&ask(&mirror, EntityKind::MergeRequest, 2, &Visibility::all())),
        ["#1: is mentioned here"]
    );
    let mut shown = told(&ask(&mirror, EntityKind::Issue, 1, &Visibility::without_confidential()));
    shown.sort();
    assert_eq!(shown, ["!2: mentions this one", "group/other#7: is mentioned here"]);
    // What an internal note says is for those who may read it, and what is gone is said no more.
    for hide in ["internal = 1", "gone_at = 1"] {
        let mirror = in_notes();
        mirror.write(|tx| Ok(tx.execute_batch(&format!("UPDATE notes SET {hide}"))?));
        let shown = told(&ask(&mirror, EntityKind::Issue, 1, &Visibility::without_confidential()));
        assert_eq!(shown, Vec::<String>::new(), "{hide}");
    }
}

#[test]
fn several_reasons_come_before_one() {
    let mirror = mirror();
    embed(&mirror);
    let found = ask(&mirror, EntityKind::Issue, 1, &Visibility::all());
    let similar = found.iter().find(|item| item.reference == "group/app#4").unwrap();
    assert_eq!(similar.why[0].kind, Evidence::Text);
    assert!(
        similar.why[0].detail.starts_with("a similar text (0."),
        "{:?}",
        similar.why
    );
    assert!(
        found.iter().all(|item| item.reference != "group/app#1"),
        "it is not related to itself"
    );
    let strongest = found.iter().map(|item| item.why.len()).max().unwrap();
    assert_eq!(found[0].why.len(), strongest);
    assert!(found[0].why.windows(2).all(|pair| pair[0].kind < pair[1].kind));
}

#[test]
fn what_may_not_be_seen_or_is_gone_is_not_related() {
    let mirror = mirror();
    embed(&mirror);
    mirror.write(|tx| {
        Ok(tx.execute_batch(
            "UPDATE issues SET confidential = 1 WHERE iid = 4;
             UPDATE merge_requests SET gone_at = 1, gone_reason = 'deleted' WHERE iid = 11;",
        )?)
    });
    let found = ask(&mirror, EntityKind::Issue, 1, &Visibility::without_confidential());
    let told = told(&found);
    assert!(
        told.iter()
            .all(|line| !line.starts_with("#4:") && !line.starts_with("!11:")),
        "{told:?}"
    );
    assert!(told[0].starts_with("!10: closes this one"), "{told:?}");
}

/// Gives every document its hashed vector.
fn embed(mirror: &Mirror) {
    let embedder = Hashing::new();
    let kind = annals_net_adapter::BackendKind::compiled()[0];
    let texts: Vec<(i64, String)> = {
        let mut select = mirror
            .conn
            .prepare("SELECT id, title || char(10) || body FROM documents")
            .unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let vectors = std::sync::Mutex::new(Vec::new());
    annals_net_adapter::testing::real(kind, async |cx| {
        let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        let made = annals_search::embed::Embedder::embed(&embedder, &cx, &texts)
            .await
            .unwrap();
        *vectors.lock().unwrap() = made;
    });
    mirror.write(|tx| {
        tx.execute_batch(
            "INSERT INTO embedding_sets (provider, model, dims, chunking, active) VALUES ('hashing', 'm', 256, 'x', 1)",
        )?;
        for ((document, _), vector) in texts.iter().zip(vectors.lock().unwrap().iter()) {
            tx.execute(
                "INSERT INTO embeddings (document_id, set_id, chunk, content_hash, vector) VALUES (?1, 1, 0, x'00', ?2)",
                params![document, to_bytes(vector)],
            )?;
        }
        Ok(())
    });
}
