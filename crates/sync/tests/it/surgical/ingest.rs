//! The one transaction: all or none, and never an older state over a newer one.

use std::time::Duration;

use annals_core::{Code, RunId};
use annals_db::control::{self, Acquired, Alive, LockRequest, NewRun, ProcessId};
use annals_db::ids::{RunMode, RunOrigin};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{EntityRef, Error, Progress};
use annals_testkit::forge::Key;

use super::{THREE, TITLE_OF_2, edited, ledger, only_run, options, plant, request, rows, run};
use crate::common::{World, project_id, row_of, sized};

on_every_host!(
    preflight_success_then_ingest_failure_rolls_back_all_content_writes,
    stale_payload_is_skipped_when_local_updated_at_is_newer,
    stale_entity_leaves_its_sets_alone,
    equal_updated_at_is_written,
    rollback_marks_innocent_targets_rolled_back,
    ledger_survives_rollback,
    normal_sync_between_preflight_and_ingest_wins,
    a_held_lock_is_told_with_its_holder,
);

/// Refuses what a surgical run writes about the merge request.
const REFUSE_MR: &str = "CREATE TRIGGER planted BEFORE UPDATE ON merge_requests WHEN NEW.iid = 1
                         BEGIN SELECT RAISE(ABORT, 'planted'); END";

async fn preflight_success_then_ingest_failure_rolls_back_all_content_writes(cx: Cx) {
    let world = edited(&cx, 201).await;
    plant(&cx, &world, REFUSE_MR).await;
    let before = world.raw_dump(&cx).await;
    let error = run(&cx, &world, &THREE).await.unwrap_err();
    let Error::Incomplete(incomplete) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (incomplete.code, incomplete.result.status.as_str()),
        (Code::Database, "failed")
    );
    assert_eq!(incomplete.failures[0].part.as_deref(), Some("!1"));
    assert_eq!(
        world.raw_dump(&cx).await,
        before,
        "the issues before it must be undone too"
    );
    // The preflight had gone well, so it was the transaction.
    let rows = ledger(&cx, &world, &incomplete.result.run_id).await;
    assert_eq!(
        rows.iter().filter(|row| row.ends_with("preflight ok")).count(),
        3,
        "{rows:?}"
    );
    plant(&cx, &world, "DROP TRIGGER planted").await;
    run(&cx, &world, &THREE).await.unwrap();
    world.assert_whole(&cx, "without the obstacle").await;
    world.close(&cx).await;
}

/// Makes the file's issue 2 newer than anything the forge has.
const NEWER_HERE: &str = "UPDATE issues SET updated_at = 4102444800000, title = 'newer' WHERE iid = 2";

async fn stale_payload_is_skipped_when_local_updated_at_is_newer(cx: Cx) {
    let world = edited(&cx, 202).await;
    plant(&cx, &world, NEWER_HERE).await;
    let result = run(&cx, &world, &THREE).await.unwrap();
    assert_eq!((result.status.as_str(), result.skipped_stale), ("done", 1));
    assert_eq!(result.skipped_stale_iids, [EntityRef::issue(2)]);
    assert_eq!(world.text(&cx, TITLE_OF_2).await.as_deref(), Some("newer"));
    let other = "SELECT title FROM issues WHERE iid = 3";
    assert_eq!(world.text(&cx, other).await.as_deref(), Some("another title"));
    let rows = ledger(&cx, &world, &result.run_id).await;
    assert!(rows.contains(&"issue 2 ingest skipped_stale".to_owned()), "{rows:?}");
    assert!(rows.contains(&"issue 3 ingest ok".to_owned()), "{rows:?}");
    assert!(
        !rows.iter().any(|row| row.starts_with("issue 2 dependents")),
        "{rows:?}"
    );
    world.close(&cx).await;
}

async fn stale_entity_leaves_its_sets_alone(cx: Cx) {
    const SETS_OF_2: &str = "SELECT s.job_type, s.fetched_at, s.items FROM dependent_sets s
        JOIN issues e ON e.id = s.entity_id WHERE s.entity_type = 'issue' AND e.iid = 2 ORDER BY s.job_type";
    const NOTES_OF_2: &str = "SELECT n.native_id, n.body FROM notes n JOIN discussions d ON d.id = n.discussion_id
        JOIN issues e ON e.id = d.issue_id WHERE e.iid = 2 ORDER BY n.id";
    let world = edited(&cx, 203).await;
    plant(&cx, &world, NEWER_HERE).await;
    let before = (rows(&cx, &world, SETS_OF_2).await, rows(&cx, &world, NOTES_OF_2).await);
    let raw = world.raw_dump(&cx).await;
    let result = run(&cx, &world, &[EntityRef::issue(2)]).await.unwrap();
    assert_eq!(result.skipped_stale_iids, [EntityRef::issue(2)]);
    let after = (rows(&cx, &world, SETS_OF_2).await, rows(&cx, &world, NOTES_OF_2).await);
    assert_eq!(after, before, "the forge has a new note, which waits for its entity");
    assert_eq!(world.raw_dump(&cx).await, raw);
    world.close(&cx).await;
}

async fn equal_updated_at_is_written(cx: Cx) {
    let world = World::new(&cx, sized(204, 6, 3)).await;
    world.sync(&cx).await.unwrap();
    // An edit that the forge's lists do not show: only whoever asks for the entity sees it.
    world.sim.with_state(|state| {
        let quiet = state.edit_quietly(Key::issue(2), |entity| "quiet".clone_into(&mut entity.head.title));
        assert!(quiet);
    });
    world.sync(&cx).await.unwrap();
    assert_ne!(world.text(&cx, TITLE_OF_2).await.as_deref(), Some("quiet"));
    let result = run(&cx, &world, &[EntityRef::issue(2)]).await.unwrap();
    assert_eq!(result.skipped_stale, 0);
    assert_eq!(world.text(&cx, TITLE_OF_2).await.as_deref(), Some("quiet"));
    assert_eq!(result.projects[0].streams[0].written, 1);
    world.close(&cx).await;
}

async fn rollback_marks_innocent_targets_rolled_back(cx: Cx) {
    let world = edited(&cx, 205).await;
    plant(&cx, &world, REFUSE_MR).await;
    let error = run(&cx, &world, &THREE).await.unwrap_err();
    assert_eq!(error.code(), Code::Database);
    let run_id = only_run(&cx, &world).await;
    let ingest: Vec<String> = ledger(&cx, &world, &run_id)
        .await
        .into_iter()
        .filter(|row| row.contains(" ingest "))
        .collect();
    assert_eq!(
        ingest,
        [
            "issue 2 ingest failed rolled_back",
            "issue 3 ingest failed rolled_back",
            "merge_request 1 ingest failed database",
        ]
    );
    world.close(&cx).await;
}

async fn ledger_survives_rollback(cx: Cx) {
    let world = edited(&cx, 206).await;
    // Another item of the project has the number.
    plant(&cx, &world, "UPDATE issues SET native_id = '77' WHERE iid = 3").await;
    let before = world.raw_dump(&cx).await;
    let error = run(&cx, &world, &THREE).await.unwrap_err();
    // The code of one item is no end of a command.
    assert_eq!((error.code(), error.code().exit_code()), (Code::Transform, Some(13)));
    assert_eq!(world.raw_dump(&cx).await, before);
    let run_id = only_run(&cx, &world).await;
    assert_eq!(
        ledger(&cx, &world, &run_id).await,
        [
            "issue 2 preflight ok",
            "issue 3 preflight ok",
            "merge_request 1 preflight ok",
            "issue 2 ingest failed rolled_back",
            "issue 3 ingest failed iid_conflict",
            "merge_request 1 ingest failed rolled_back",
        ]
    );
    let row =
        "SELECT status || ' ' || error_code || ' ' || (finished_at IS NOT NULL) FROM sync_runs WHERE mode = 'surgical'";
    assert_eq!(world.text(&cx, row).await.as_deref(), Some("failed transform 1"));
    world.close(&cx).await;
}

/// Whoever knows of no other process of `host` that runs.
pub fn of(host: &str, pid: i64) -> Alive {
    let me = ProcessId {
        host: host.to_owned(),
        pid,
        process_start: 1,
    };
    Alive::new(me, |_, _| false)
}

/// Somebody at `host` holds the project's lock.
async fn hold(cx: &Cx, db: &Db, project: i64, host: &'static str) {
    let alive = of(host, 4711);
    let run_id = RunId::new(cx.unix_ms(), [7; 10]);
    let project = row_of(project);
    let row = NewRun {
        run_id: run_id.clone(),
        parent: None,
        mode: RunMode::Normal,
        origin: RunOrigin::Schedule,
        project: Some(project),
        requested: serde_json::json!({}),
    };
    let request = LockRequest {
        project,
        run_id,
        holder: "annals-server".to_owned(),
    };
    let held = db.write(cx, move |tx| {
        control::begin_run(tx, &row, &alive)?;
        Ok(matches!(control::acquire(tx, &request, &alive)?, Acquired::Yes(_)))
    });
    assert!(held.await.unwrap());
}

/// Of what the normal sync fetches: files, commits and what a merge closes have not changed, so it leaves them alone.
const SETS: &str = "SELECT * FROM dependent_sets WHERE job_type NOT IN ('diffs', 'commits', 'closes')
                    ORDER BY entity_type, entity_id, job_type";

/// A surgical run that has fetched everything waits for the lock; a normal sync that sees a later state
/// comes before it. The lock is held by a process of the normal sync's machine that is gone: that sync
/// takes it at once, and the surgical run, of another machine, cannot know.
async fn normal_sync_between_preflight_and_ingest_wins(cx: Cx) {
    let world = edited(&cx, 207).await;
    let project = project_id(&cx, &world.db).await;
    hold(&cx, &world.db, project, "here").await;
    let there = Db::open(&cx, &world.place.path, OpenOptions::write(of("there", 1)))
        .await
        .unwrap();
    let (db, asked, how) = (there.clone(), request(&world, &THREE, Extent::Whole), options(&world));
    let mut surgical = cx
        .spawn("surgical", move |cx| async move {
            annals_sync::surgical(&cx, &db, asked, how, Progress::silent()).await
        })
        .unwrap();
    let waiting = "SELECT count(*) FROM sync_runs WHERE mode = 'surgical' AND phase = 'ingest'";
    while world.number(&cx, waiting).await == 0 {
        cx.sleep(Duration::from_millis(5)).await.unwrap();
    }
    world.sim.with_state(|state| state.retitle(Key::issue(2), "the latest"));
    world.sync(&cx).await.unwrap();
    let after_sync = rows(&cx, &world, SETS).await;
    let result = surgical.join(&cx).await.unwrap().ok().unwrap();
    assert_eq!(result.skipped_stale_iids, [EntityRef::issue(2)]);
    assert_eq!(world.text(&cx, TITLE_OF_2).await.as_deref(), Some("the latest"));
    let after = rows(&cx, &world, SETS).await;
    assert_eq!(after, after_sync, "an older fetch never replaces a newer one");
    world.assert_whole(&cx, "after both").await;
    there.close(&cx).await.unwrap();
    world.close(&cx).await;
}

async fn a_held_lock_is_told_with_its_holder(cx: Cx) {
    let world = edited(&cx, 208).await;
    let project = project_id(&cx, &world.db).await;
    hold(&cx, &world.db, project, "elsewhere").await;
    let before = world.raw_dump(&cx).await;
    let mut options = options(&world);
    assert_eq!(options.sync.lock_wait, Duration::from_secs(30));
    options.sync.lock_wait = Duration::ZERO;
    let error = super::run_with(&cx, &world, &THREE, Extent::Whole, options)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.code().exit_code()),
        (Code::SyncInProgress, Some(9))
    );
    assert!(error.to_string().contains("annals-server"), "{error}");
    assert_eq!(world.raw_dump(&cx).await, before);
    world.close(&cx).await;
}
