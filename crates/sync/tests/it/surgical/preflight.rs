//! What is fetched before anything is written, and what becomes of a run that cannot have it all.

use annals_core::Code;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::{self, Extent, request::PREFLIGHT_BYTES};
use annals_sync::{EntityRef, Error, Event};
use annals_testkit::forge::{Fault, FaultPlan, Key, Rule, When};

use super::{THREE, TITLE_OF_2, edited, ledger, only_run, options, preflight_failed, request, run, run_told, run_with};

on_every_host!(
    a_surgical_run_brings_its_targets_and_tells_its_stages,
    preflight_only_writes_ledger_and_no_content,
    surgical_dry_run_leaves_file_equal_and_sends_nothing,
    preflight_404_on_one_of_three_changes_no_content,
    preflight_collects_all_failures,
    preflight_over_256_mib_refused,
    a_project_that_is_not_mirrored_is_not_found,
);

async fn a_surgical_run_brings_its_targets_and_tells_its_stages(cx: Cx) {
    let world = edited(&cx, 101).await;
    world
        .sim
        .with_state(|state| state.add_issue(0, "brand new", "and not here yet"));
    world.sim.clear_log();
    let targets = [THREE.as_slice(), &[EntityRef::issue(7)]].concat();
    let (result, told) = run_told(&cx, &world, &targets).await;
    let result = result.unwrap();
    assert_eq!(result.status.as_str(), "done");
    assert_eq!((result.skipped_stale, result.failed_iids.len()), (0, 0));
    let project = &result.projects[0];
    let read: Vec<_> = project
        .streams
        .iter()
        .map(|s| (s.stream.as_str(), s.rows, s.written))
        .collect();
    assert_eq!(read, [("issues", 3, 3), ("merge_requests", 1, 1)]);
    // Two sets for each issue; discussions, events, files, commits and what it closes for the other.
    assert_eq!(
        (project.jobs.done, project.jobs.failed, project.jobs.aborted),
        (11, 0, 0)
    );
    assert_eq!(result.requests, world.sim.stats().requests);
    assert!(
        !result.dirty_source_ids.is_empty() && result.documents_regenerated > 0,
        "{result:?}"
    );
    let phases: Vec<&str> = told
        .iter()
        .filter_map(|event| match event {
            Event::PhaseStarted { phase, .. } => Some(*phase),
            _ => None,
        })
        .collect();
    assert_eq!(phases, ["preflight", "ingest", "dependents", "documents"]);
    assert!(matches!(told.first(), Some(Event::RunStarted { .. })), "{told:?}");
    assert!(
        matches!(told.last(), Some(Event::RunFinished { status: "done", .. })),
        "{told:?}"
    );
    let sets = told
        .iter()
        .filter(|event| matches!(event, Event::SetStored { .. }))
        .count();
    assert_eq!(sets, 11);
    let stages = |of: &str| ["preflight", "ingest", "dependents", "documents"].map(|stage| format!("{of} {stage} ok"));
    let rows = ledger(&cx, &world, &result.run_id).await;
    for of in ["issue 2", "issue 3", "issue 7", "merge_request 1"] {
        assert!(stages(of).iter().all(|stage| rows.contains(stage)), "{rows:?}");
    }
    assert_eq!(rows.len(), 16, "{rows:?}");
    world.assert_whole(&cx, "everything that had changed was named").await;
    assert_eq!(world.number(&cx, "SELECT count(*) FROM dirty_sources").await, 0);
    world.close(&cx).await;
}

async fn preflight_only_writes_ledger_and_no_content(cx: Cx) {
    let world = edited(&cx, 102).await;
    let before = world.raw_dump(&cx).await;
    world.sim.clear_log();
    let result = run_with(&cx, &world, &THREE, Extent::PreflightOnly, options(&world))
        .await
        .unwrap();
    assert_eq!(result.status.as_str(), "done");
    assert!(world.sim.stats().requests > 3, "it has fetched");
    assert_eq!(world.raw_dump(&cx).await, before);
    let rows = ledger(&cx, &world, &result.run_id).await;
    let expected = ["issue 2", "issue 3", "merge_request 1"].map(|of| format!("{of} preflight ok"));
    assert_eq!(rows, expected);
    let row = world.text(
        &cx,
        "SELECT mode || ' ' || status FROM sync_runs WHERE mode = 'surgical'",
    );
    assert_eq!(row.await.as_deref(), Some("surgical done"));
    let locks = world
        .number(&cx, "SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL")
        .await;
    assert_eq!(locks, 0);
    world.close(&cx).await;
}

async fn surgical_dry_run_leaves_file_equal_and_sends_nothing(cx: Cx) {
    let world = edited(&cx, 103).await;
    world.db.close(&cx).await.unwrap();
    let folder = world.place.path.parent().unwrap().to_owned();
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.metadata().is_ok_and(|data| data.len() > 0))
            // How readers of one file find each other; a reader makes it, and it holds no content.
            .filter(|path| !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    world.sim.clear_log();
    let db = Db::open(&cx, &world.place.path, OpenOptions::read()).await.unwrap();
    let request = request(
        &world,
        &[EntityRef::issue(2), EntityRef::merge_request(99)],
        Extent::Whole,
    );
    let plan = surgical::plan(&cx, &db, &request, &world.options).await.unwrap();
    let three = super::request(&world, &THREE, Extent::Whole);
    let announced = surgical::plan(&cx, &db, &three, &world.options).await.unwrap().requests;
    db.close(&cx).await.unwrap();
    assert!(files() == before, "a dry run has written");
    assert_eq!(world.sim.stats().requests, 0);
    let targets: Vec<_> = plan
        .targets
        .iter()
        .map(|t| (t.iid.0, t.known, t.updated_at.is_some(), t.sets))
        .collect();
    assert_eq!(targets, [(2, true, true, 2), (99, false, false, 5)]);
    // What it announces is what a run sends.
    let db = Db::open(&cx, &world.place.path, OpenOptions::write(crate::common::process(2)))
        .await
        .unwrap();
    let ran = annals_sync::surgical(&cx, &db, three, options(&world), annals_sync::Progress::silent()).await;
    assert_eq!(ran.unwrap().requests, announced);
    db.close(&cx).await.unwrap();
    let _report = world.sim.stop().await;
}

async fn preflight_404_on_one_of_three_changes_no_content(cx: Cx) {
    let world = edited(&cx, 104).await;
    let before = world.raw_dump(&cx).await;
    let targets = [EntityRef::issue(2), EntityRef::issue(999), EntityRef::merge_request(1)];
    let failed = preflight_failed(run(&cx, &world, &targets).await);
    assert_eq!(world.raw_dump(&cx).await, before, "nothing may change");
    assert_eq!((failed.total, failed.failures.len()), (3, 1));
    let failure = &failed.failures[0];
    assert_eq!(
        (failure.target, failure.http_status, failure.report.code),
        (EntityRef::issue(999), Some(404), Code::NotFoundRemote)
    );
    assert_eq!(
        (failed.code(), failed.code().exit_code()),
        (Code::SurgicalPreflightFailed, Some(6))
    );
    let run_id = only_run(&cx, &world).await;
    assert_eq!(failed.run_id, run_id);
    assert_eq!(
        ledger(&cx, &world, &run_id).await,
        [
            "issue 2 preflight ok",
            "merge_request 1 preflight ok",
            "issue 999 preflight failed not_found_remote",
        ]
    );
    let row = "SELECT status || ' ' || error_code FROM sync_runs WHERE mode = 'surgical'";
    assert_eq!(
        world.text(&cx, row).await.as_deref(),
        Some("failed surgical_preflight_failed")
    );
    world.close(&cx).await;
}

async fn preflight_collects_all_failures(cx: Cx) {
    let world = edited(&cx, 105).await;
    let before = world.raw_dump(&cx).await;
    let faults = FaultPlan::none()
        .with(Rule::new(Fault::Forbidden, "*/issues/3/discussions?*", When::Always))
        .with(Rule::new(Fault::HtmlPage, "*/merge_requests/1/commits?*", When::Always));
    world.sim.set_faults(faults);
    let targets = [
        THREE.as_slice(),
        &[EntityRef::issue(998), EntityRef::merge_request(999)],
    ]
    .concat();
    let failed = preflight_failed(run(&cx, &world, &targets).await);
    let told: Vec<_> = failed
        .failures
        .iter()
        .map(|failure| (failure.target.to_string(), failure.report.code, failure.http_status))
        .collect();
    assert_eq!(
        told,
        [
            ("#3".to_owned(), Code::Forbidden, Some(403)),
            ("#998".to_owned(), Code::NotFoundRemote, Some(404)),
            ("!1".to_owned(), Code::Protocol, None),
            ("!999".to_owned(), Code::NotFoundRemote, Some(404)),
        ]
    );
    assert_eq!((failed.total, failed.code()), (5, Code::SurgicalPreflightFailed));
    assert_eq!(ledger(&cx, &world, &failed.run_id).await.len(), 5);
    assert_eq!(world.raw_dump(&cx).await, before);
    world.close(&cx).await;
}

async fn preflight_over_256_mib_refused(cx: Cx) {
    assert_eq!(PREFLIGHT_BYTES, 256 * 1024 * 1024);
    let world = edited(&cx, 106).await;
    assert_eq!(options(&world).preflight_bytes, PREFLIGHT_BYTES);
    let before = world.raw_dump(&cx).await;
    // Each target fits, all of them together do not.
    let within = async |targets: &[EntityRef], bytes| {
        let mut options = options(&world);
        options.preflight_bytes = bytes;
        run_with(&cx, &world, targets, Extent::PreflightOnly, options).await
    };
    let mut bytes = 4_096;
    while within(&THREE[..1], bytes).await.is_err() || within(&THREE[1..2], bytes).await.is_err() {
        bytes *= 2;
    }
    let many: Vec<EntityRef> = (1..=6)
        .map(EntityRef::issue)
        .chain((1..=3).map(EntityRef::merge_request))
        .collect();
    let failed = preflight_failed(within(&many, bytes).await);
    assert_eq!(
        (failed.code(), failed.code().exit_code()),
        (Code::PreflightTooLarge, Some(6))
    );
    assert!(failed.report().suggestion.unwrap().contains("fewer"));
    assert_eq!(world.raw_dump(&cx).await, before);
    world.close(&cx).await;
}

async fn a_project_that_is_not_mirrored_is_not_found(cx: Cx) {
    let world = crate::common::World::new(&cx, crate::common::small(107)).await;
    let error = run(&cx, &world, &THREE).await.unwrap_err();
    assert!(matches!(error, Error::UnknownProject { .. }), "{error:?}");
    assert_eq!(world.sim.stats().requests, 0);
    assert_eq!(world.number(&cx, "SELECT count(*) FROM sync_runs").await, 0);
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| state.retitle(Key::issue(2), "now it is"));
    run(&cx, &world, &[EntityRef::issue(2)]).await.unwrap();
    assert_eq!(world.text(&cx, TITLE_OF_2).await.as_deref(), Some("now it is"));
    world.close(&cx).await;
}
