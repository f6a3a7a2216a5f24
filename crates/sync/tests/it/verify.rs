//! Verification: a clean mirror has no finding, and each kind of damage is found by name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;

use annals_core::EntityKind;
use annals_db::ids::Finding;
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::verify::{Depth, Level, Named, Reach, Repair, SampleSize, VerifyOptions, VerifyResult, verify};
use annals_sync::{Error, Progress};
use annals_testkit::forge::Key;

use crate::common::{World, small};

on_every_host!(
    verify_clean_reports_bound,
    verify_local_asks_nobody,
    verify_finds_missing_there,
    verify_finds_stale,
    verify_finds_differs,
    verify_finds_set_differs,
    verify_finds_drift,
    verify_finds_corrupt,
    verify_finds_missing_here,
    verify_repair_goes_through_surgical,
    verify_ignores_moving_entities,
    verify_exit_19_when_left,
    a_rehearsal_leaves_the_file_as_it_was,
);

/// Everything, fetched and compared with its sets.
fn thorough(world: &World) -> VerifyOptions {
    VerifyOptions {
        sync: world.options.clone(),
        reach: Reach::Forge,
        sample: SampleSize::All,
        kinds: Vec::new(),
        depth: Depth::Sets,
        seed: 1,
        repair: Repair::Leave,
    }
}

/// The result, whether it is clean or not.
async fn look(cx: &Cx, world: &World, options: VerifyOptions) -> VerifyResult {
    match verify(cx, &world.db, Vec::new(), options, Progress::silent()).await {
        Ok(result) => {
            assert_eq!(result.left(), 0);
            result
        }
        Err(Error::Findings(result)) => {
            assert!(result.left() > 0);
            *result
        }
        Err(error) => panic!("{error}"),
    }
}

fn named(finding: &Named) -> (Finding, Option<EntityKind>, Option<i64>, String) {
    (
        finding.finding,
        finding.entity_type,
        finding.iid.map(|iid| iid.0),
        finding.fields.join(","),
    )
}

/// A mirror of everything, half a minute after the forge last changed.
async fn mirrored(cx: &Cx, seed: u64) -> World {
    let world = World::new(cx, small(seed)).await;
    world.sync(cx).await.unwrap();
    world
}

/// Changes the file behind everybody's back.
async fn tamper(cx: &Cx, world: &World, sql: &'static str) {
    let changed = world.db.write(cx, move |tx| Ok(tx.execute(sql, ())?)).await.unwrap();
    assert!(changed > 0, "{sql}");
}

async fn verify_clean_reports_bound(cx: Cx) {
    let world = mirrored(&cx, 71).await;
    let result = look(&cx, &world, thorough(&world)).await;
    assert_eq!(result.findings, []);
    assert_eq!(result.bound, Some(3.0 / 20.0), "a clean sample of twenty");
    let checked: Vec<_> = result
        .levels
        .iter()
        .map(|level| (level.level, level.checked > 0))
        .collect();
    assert_eq!(
        checked,
        [
            (Level::Local, true),
            (Level::Index, true),
            (Level::Sample, true),
            (Level::Deep, true)
        ]
    );
    assert!(
        result.levels.iter().all(|level| level.left_out == 0),
        "{:?}",
        result.levels
    );
    world.close(&cx).await;
}

async fn verify_local_asks_nobody(cx: Cx) {
    let world = mirrored(&cx, 72).await;
    world.sim.clear_log();
    let options = VerifyOptions {
        reach: Reach::Local,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    assert_eq!(
        (result.findings.len(), result.requests, world.sim.stats().requests),
        (0, 0, 0)
    );
    assert_eq!(result.bound, None, "nothing was sampled");
    world.close(&cx).await;
}

async fn verify_finds_missing_there(cx: Cx) {
    let world = mirrored(&cx, 73).await;
    assert!(world.sim.with_state(|state| state.delete(Key::issue(3))));
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    assert_eq!(
        found,
        [(Finding::MissingThere, Some(EntityKind::Issue), Some(3), String::new())]
    );
    assert_eq!(result.bound, None, "the sample was not clean");
    world.close(&cx).await;
}

async fn verify_finds_missing_here(cx: Cx) {
    let world = mirrored(&cx, 82).await;
    // As if a sync had lost it, which a sample of what is here cannot notice.
    tamper(&cx, &world, "UPDATE issues SET iid = iid + 1000 WHERE iid = 7").await;
    let options = VerifyOptions {
        sample: SampleSize::Count(0),
        depth: Depth::Entity,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    let mut found: Vec<_> = result.findings.iter().map(named).collect();
    found.sort();
    assert_eq!(
        found,
        [
            (Finding::MissingHere, Some(EntityKind::Issue), Some(7), String::new()),
            (
                Finding::MissingThere,
                Some(EntityKind::Issue),
                Some(1007),
                String::new()
            ),
        ]
    );
    world.close(&cx).await;
}

async fn verify_repair_goes_through_surgical(cx: Cx) {
    let world = mirrored(&cx, 83).await;
    tamper(
        &cx,
        &world,
        "UPDATE issues SET updated_at = updated_at - 1000 WHERE iid = 4",
    )
    .await;
    tamper(&cx, &world, "DELETE FROM entity_references").await;
    assert!(world.sim.with_state(|state| {
        let retitled = state.edit_quietly(Key::issue(5), |issue| issue.head.title = "Other".to_owned());
        retitled && state.delete(Key::issue(2))
    }));
    let found = look(&cx, &world, thorough(&world)).await;
    let kinds: BTreeSet<_> = found.findings.iter().map(|finding| finding.finding).collect();
    let planted = [
        Finding::Drift,
        Finding::MissingThere,
        Finding::StaleHere,
        Finding::Differs,
        Finding::SetDiffers,
    ];
    assert_eq!(kinds, planted.into_iter().collect());
    let options = VerifyOptions {
        repair: Repair::Mend,
        ..thorough(&world)
    };
    let mended = look(&cx, &world, options).await;
    assert_eq!(
        (mended.left(), mended.repaired),
        (0, found.findings.len() as u64),
        "{:?}",
        mended.findings
    );
    let surgical = world
        .number(&cx, "SELECT count(*) FROM sync_runs WHERE mode = 'surgical'")
        .await;
    assert_eq!(surgical, 1, "entities are mended by surgical sync");
    let clean = look(&cx, &world, thorough(&world)).await;
    assert_eq!(clean.findings, []);
    world.assert_whole(&cx, "after the repair").await;
    world.close(&cx).await;
}

async fn verify_finds_stale(cx: Cx) {
    let world = mirrored(&cx, 74).await;
    // As if the sync had missed the last change.
    tamper(
        &cx,
        &world,
        "UPDATE issues SET updated_at = updated_at - 1000 WHERE iid = 4",
    )
    .await;
    tamper(&cx, &world, "UPDATE documents SET updated_at = updated_at - 1000 WHERE kind = 'issue' AND source_id = (SELECT id FROM issues WHERE iid = 4)").await;
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    assert_eq!(
        found,
        [(Finding::StaleHere, Some(EntityKind::Issue), Some(4), String::new())]
    );
    world.close(&cx).await;
}

async fn verify_finds_differs(cx: Cx) {
    let world = mirrored(&cx, 75).await;
    // The forge changes what it says without saying when.
    assert!(
        world
            .sim
            .with_state(|state| state.edit_quietly(Key::issue(5), |issue| issue.head.title = "Other".to_owned()))
    );
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    assert_eq!(
        found,
        [(Finding::Differs, Some(EntityKind::Issue), Some(5), "title".to_owned())]
    );
    let kept = world
        .text(
            &cx,
            "SELECT finding || iid || field || length(local_hash) || length(remote_hash) FROM verify_findings",
        )
        .await;
    assert_eq!(kept.as_deref(), Some("differs5title3232"));
    world.close(&cx).await;
}

async fn verify_finds_set_differs(cx: Cx) {
    let world = mirrored(&cx, 76).await;
    tamper(&cx, &world, "DELETE FROM entity_references WHERE 0 OR id < 0 OR 1 = 0 OR source_id IN (SELECT source_id FROM entity_references LIMIT 1)").await;
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result
        .findings
        .iter()
        .map(named)
        .map(|(finding, kind, _, set)| (finding, kind, set))
        .collect();
    assert_eq!(
        found,
        [(Finding::SetDiffers, Some(EntityKind::MergeRequest), "closes".to_owned())]
    );
    world.close(&cx).await;
}

async fn verify_finds_drift(cx: Cx) {
    for (sql, says) in [
        (
            "UPDATE documents SET state = 'closed' WHERE id = (SELECT min(id) FROM documents WHERE state = 'open')",
            "the document of",
        ),
        (
            "UPDATE cursors SET at = at + 1000 WHERE stream = 'issues'",
            "the cursor of issues is ahead",
        ),
        (
            "UPDATE revisions SET observed_at = observed_at + 5, seq = 3 WHERE id = 2",
            "does not follow",
        ),
        (
            "UPDATE mr_file_changes SET to_at = from_at - 1 WHERE id = 1",
            "overlaps",
        ),
        (
            "UPDATE issues SET revision_id = (SELECT revision_id FROM issues WHERE iid = 2) WHERE iid = 1",
            "newest revision",
        ),
    ] {
        let world = mirrored(&cx, 77).await;
        tamper(&cx, &world, sql).await;
        let options = VerifyOptions {
            reach: Reach::Local,
            ..thorough(&world)
        };
        let result = look(&cx, &world, options).await;
        let is_found = result
            .findings
            .iter()
            .any(|finding| finding.finding == Finding::Drift && finding.detail.contains(says));
        assert!(is_found, "{sql}: {:?}", result.findings);
        world.close(&cx).await;
    }
}

async fn verify_finds_corrupt(cx: Cx) {
    let world = mirrored(&cx, 78).await;
    tamper(
        &cx,
        &world,
        "UPDATE blobs SET data = x'00' WHERE hash = (SELECT min(hash) FROM blobs)",
    )
    .await;
    let options = VerifyOptions {
        reach: Reach::Local,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    let found: Vec<_> = result.findings.iter().map(|finding| finding.finding).collect();
    assert_eq!(found, [Finding::Corrupt]);
    world.close(&cx).await;
}

async fn verify_ignores_moving_entities(cx: Cx) {
    let world = mirrored(&cx, 79).await;
    // It changes in the very moment the verification begins, and after.
    let began = cx.unix_ms();
    assert!(world.sim.with_state(|state| state.edit_quietly(Key::issue(6), |issue| {
        issue.head.title = "In motion".to_owned();
        issue.head.updated_at = annals_core::UnixMs(began.0 + 60_000);
    })));
    let result = look(&cx, &world, thorough(&world)).await;
    assert_eq!(result.findings, []);
    let sample = result.levels.iter().find(|level| level.level == Level::Sample).unwrap();
    assert_eq!(sample.left_out, 1);
    assert_eq!(result.bound, Some(3.0 / 19.0), "what is left out proves nothing");
    world.close(&cx).await;
}

async fn verify_exit_19_when_left(cx: Cx) {
    let world = mirrored(&cx, 80).await;
    assert!(world.sim.with_state(|state| state.delete(Key::issue(2))));
    let ended = verify(&cx, &world.db, Vec::new(), thorough(&world), Progress::silent()).await;
    let report = ended.unwrap_err().report();
    assert_eq!((report.code.as_str(), report.exit_code(None)), ("check_failed", 19));
    assert_eq!(report.details["findings"][0]["iid"], 2);
    let run = world
        .text(&cx, "SELECT status || error_code FROM sync_runs WHERE mode = 'verify'")
        .await;
    assert_eq!(run.as_deref(), Some("donecheck_failed"));
    world.close(&cx).await;
}

async fn a_rehearsal_leaves_the_file_as_it_was(cx: Cx) {
    let world = mirrored(&cx, 81).await;
    assert!(world.sim.with_state(|state| state.retitle(Key::issue(1), "New")));
    let before = world.raw_dump(&cx).await;
    look(&cx, &world, thorough(&world)).await;
    assert!(world.raw_dump(&cx).await == before, "a verification wrote content");
    world.close(&cx).await;
}
