//! Doing again exactly what failed.

use annals_core::{Code, RunId};
use annals_db::control::{self, NewRun};
use annals_db::ids::{RunMode, RunOrigin};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{EntityRef, Error, Progress, SyncResult, retry_failed};
use annals_testkit::forge::Key;

use super::{THREE, edited, ledger, only_run, options, plant, preflight_failed, run, run_with};
use crate::common::{World, process};

on_every_host!(
    retry_failed_picks_exactly_the_failed_set,
    retry_failed_nothing,
    retry_failed_unknown_run,
    retry_failed_active_run,
    a_retry_of_a_preflight_is_a_preflight,
    a_retry_makes_the_documents_that_its_run_could_not,
);

async fn again(cx: &Cx, world: &World, run_id: &RunId) -> Result<SyncResult, Error> {
    retry_failed(cx, &world.db, run_id.clone(), options(world), Progress::silent()).await
}

/// One target goes well, one is stale, one fails, and one waits behind it.
async fn retry_failed_picks_exactly_the_failed_set(cx: Cx) {
    let world = edited(&cx, 501).await;
    world.sim.with_state(|state| {
        state.add_note(Key::issue(3), 0, "poison");
        state.touch(Key::mr(1));
    });
    plant(
        &cx,
        &world,
        "UPDATE issues SET updated_at = 4102444800000 WHERE iid = 2;
         CREATE TRIGGER planted BEFORE INSERT ON notes WHEN NEW.body = 'poison' BEGIN SELECT RAISE(ABORT, 'planted'); END",
    )
    .await;
    let targets = [THREE.as_slice(), &[EntityRef::issue(1)]].concat();
    let error = run(&cx, &world, &targets).await.unwrap_err();
    assert_eq!(error.code(), Code::Partial);
    let parent = only_run(&cx, &world).await;
    plant(&cx, &world, "DROP TRIGGER planted").await;
    let result = again(&cx, &world, &parent).await.unwrap();
    assert_eq!(result.status.as_str(), "done");
    let rows = ledger(&cx, &world, &result.run_id).await;
    let begun: Vec<&String> = rows.iter().filter(|row| row.contains("preflight")).collect();
    // By type, then number; neither the stale one nor one whose last stage went well.
    assert_eq!(begun, ["issue 3 preflight ok", "merge_request 1 preflight ok"]);
    let row = "SELECT origin || ' ' || mode || ' ' || parent_run_id FROM sync_runs WHERE origin = 'retry'";
    assert_eq!(world.text(&cx, row).await, Some(format!("retry surgical {parent}")));
    // A second retry of the same run is about the same targets: that run has not changed.
    assert!(again(&cx, &world, &parent).await.is_ok());
    // What the retry did is done: nothing of it is left to be tried again.
    let nothing = again(&cx, &world, &result.run_id).await.unwrap();
    assert_eq!(nothing.projects[0].streams, []);
    world.close(&cx).await;
}

async fn retry_failed_nothing(cx: Cx) {
    let world = edited(&cx, 502).await;
    let done = run(&cx, &world, &THREE).await.unwrap();
    world.sim.clear_log();
    let before = world.raw_dump(&cx).await;
    let result = again(&cx, &world, &done.run_id).await.unwrap();
    assert_eq!((result.status.as_str(), result.requests), ("done", 0));
    assert!(result.failed_iids.is_empty() && ledger(&cx, &world, &result.run_id).await.is_empty());
    assert_eq!(world.sim.stats().requests, 0);
    assert_eq!(world.raw_dump(&cx).await, before);
    // Nor is there anything in a run that named nothing.
    let normal = RunId(
        world
            .text(&cx, "SELECT run_id FROM sync_runs WHERE mode = 'normal'")
            .await
            .unwrap(),
    );
    assert_eq!(again(&cx, &world, &normal).await.unwrap().requests, 0);
    world.close(&cx).await;
}

async fn retry_failed_unknown_run(cx: Cx) {
    let world = edited(&cx, 503).await;
    let error = again(&cx, &world, &RunId("0190-no-such".to_owned())).await.unwrap_err();
    assert!(matches!(error, Error::UnknownRun { .. }), "{error:?}");
    assert_eq!((error.code(), error.code().exit_code()), (Code::NotFound, Some(17)));
    world.close(&cx).await;
}

async fn retry_failed_active_run(cx: Cx) {
    let world = edited(&cx, 504).await;
    let begin = |alive: control::Alive, random| {
        let (world, cx) = (&world, &cx);
        async move {
            let row = NewRun {
                run_id: RunId::new(cx.unix_ms(), [random; 10]),
                parent: None,
                mode: RunMode::Surgical,
                origin: RunOrigin::Webhook,
                project: None,
                requested: serde_json::json!({}),
            };
            let run_id = row.run_id.clone();
            world
                .db
                .write(cx, move |tx| control::begin_run(tx, &row, &alive))
                .await
                .unwrap();
            run_id
        }
    };
    let elsewhere = control::Alive::new(
        control::ProcessId {
            host: "elsewhere".to_owned(),
            pid: 9,
            process_start: 1,
        },
        |_, _| true,
    );
    let active = begin(elsewhere, 3).await;
    let error = again(&cx, &world, &active).await.unwrap_err();
    assert!(matches!(error, Error::RunActive { .. }), "{error:?}");
    assert_eq!((error.code(), error.code().exit_code()), (Code::RunActive, Some(21)));
    assert_eq!(error.report().actions, [format!("annals sync-runs --run-id {active}")]);
    // One whose process is gone only seems to be.
    let dead = begin(process(4711), 4).await;
    assert_eq!(again(&cx, &world, &dead).await.unwrap().status.as_str(), "done");
    world.close(&cx).await;
}

async fn a_retry_of_a_preflight_is_a_preflight(cx: Cx) {
    let world = edited(&cx, 505).await;
    let targets = [EntityRef::issue(2), EntityRef::issue(7)];
    let failed = preflight_failed(run_with(&cx, &world, &targets, Extent::PreflightOnly, options(&world)).await);
    world
        .sim
        .with_state(|state| state.add_issue(0, "now there is one", "more"));
    let before = world.raw_dump(&cx).await;
    let result = again(&cx, &world, &failed.run_id).await.unwrap();
    assert_eq!(result.status.as_str(), "done");
    assert_eq!(ledger(&cx, &world, &result.run_id).await, ["issue 7 preflight ok"]);
    assert_eq!(world.raw_dump(&cx).await, before);
    world.close(&cx).await;
}

async fn a_retry_makes_the_documents_that_its_run_could_not(cx: Cx) {
    let world = edited(&cx, 506).await;
    plant(
        &cx,
        &world,
        "CREATE TRIGGER planted BEFORE UPDATE ON documents BEGIN SELECT RAISE(ABORT, 'planted'); END",
    )
    .await;
    run(&cx, &world, &THREE).await.unwrap_err();
    let parent = only_run(&cx, &world).await;
    let told = ledger(&cx, &world, &parent).await;
    assert!(
        told.iter().any(|row| row.starts_with("issue 2 documents failed")),
        "{told:?}"
    );
    plant(&cx, &world, "DROP TRIGGER planted").await;
    let (waiting, owed) = (
        "SELECT count(*) FROM dirty_sources",
        "SELECT count(*) FROM embedding_owed",
    );
    assert!(world.number(&cx, waiting).await > 0);
    let result = again(&cx, &world, &parent).await.unwrap();
    assert_eq!(result.status.as_str(), "done");
    assert!(result.documents_regenerated >= 3, "{result:?}");
    assert_eq!(
        (world.number(&cx, waiting).await, world.number(&cx, owed).await),
        (0, 0)
    );
    let found = "SELECT count(*) FROM documents WHERE title = 'another title'";
    assert!(world.number(&cx, found).await >= 3);
    world.close(&cx).await;
}
