//! Verification: a clean mirror has no finding, and each kind of damage is found by name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;

use annals_core::config::{EmbedProvider, EmbedSettings};
use annals_core::{EntityKind, Secret};
use annals_db::ids::Finding;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::verify::{Depth, Level, Named, Reach, Repair, SampleSize, VerifyOptions, VerifyResult, verify};
use annals_sync::{Embedding, Error, Progress};
use annals_testkit::embedder::{EmbedderSim, MODEL};
use annals_testkit::forge::{Face, Fault, FaultPlan, Key, Rule, When};

use crate::common::{World, process, small};

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
    verify_repair_makes_derived_data_anew,
    verify_repair_mends_the_others_of_a_batch,
    verify_keeps_its_findings_when_the_forge_fails,
    verify_leaves_out_what_alone_cannot_be_had,
    verify_leaves_out_what_breaks_the_server,
    verify_ends_where_the_server_breaks_at_many,
    verify_reads_the_lists_where_a_query_is_declined_half_way,
    verify_repair_counts_nothing_that_it_could_not_look_at_again,
    verify_repair_sends_nothing_to_an_embedder,
    verify_of_a_project_that_is_not_shown_says_so,
    verify_says_nothing_of_what_is_hidden,
    verify_compares_beside_damage,
    verify_names_damaged_pages,
    a_cursor_beyond_what_was_put_aside_is_no_drift,
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
    // A repair sends nothing to an embedder.
    world.sync(&cx).await.unwrap();
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
            "is not what its rows give",
        ),
        (
            "UPDATE documents SET body = 'spoilt' WHERE id = (SELECT min(id) FROM documents)",
            "is not what its rows give",
        ),
        (
            "DELETE FROM documents_fts WHERE rowid = (SELECT min(id) FROM documents)",
            "is not in the text index",
        ),
        (
            "INSERT INTO documents_fts (rowid, title, body, meta) VALUES (4711, 'stray', '', '')",
            "belong to no document",
        ),
        (
            "UPDATE embeddings SET vector = x'00000000' WHERE id = (SELECT min(id) FROM embeddings)",
            "has 1 numbers",
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

async fn verify_repair_makes_derived_data_anew(cx: Cx) {
    let world = mirrored(&cx, 84).await;
    let whole = world.canonical_dump(&cx).await;
    for sql in [
        "UPDATE documents SET title = 'spoilt' WHERE id = (SELECT min(id) FROM documents)",
        "DELETE FROM documents_fts WHERE rowid = (SELECT max(id) FROM documents)",
        "INSERT INTO documents_fts (rowid, title, body, meta) VALUES (4711, 'stray', '', '')",
        "UPDATE embeddings SET vector = x'00000000' WHERE id = (SELECT min(id) FROM embeddings)",
    ] {
        tamper(&cx, &world, sql).await;
    }
    let local = VerifyOptions {
        reach: Reach::Local,
        ..thorough(&world)
    };
    assert_eq!(look(&cx, &world, local.clone()).await.left(), 4);
    let repair = VerifyOptions {
        repair: Repair::Mend,
        ..local.clone()
    };
    let mended = look(&cx, &world, repair).await;
    assert_eq!((mended.left(), mended.repaired), (0, 4), "{:?}", mended.findings);
    assert_eq!(look(&cx, &world, local).await.findings, []);
    // A vector was owed; who embeds next makes it.
    world.sync(&cx).await.unwrap();
    assert_eq!(world.canonical_dump(&cx).await, whole);
    world.close(&cx).await;
}

async fn verify_repair_mends_the_others_of_a_batch(cx: Cx) {
    let world = mirrored(&cx, 85).await;
    tamper(
        &cx,
        &world,
        "UPDATE issues SET updated_at = updated_at - 1000 WHERE iid IN (4, 5)",
    )
    .await;
    let plan = FaultPlan::none().with(Rule::new(Fault::Forbidden, "*/issues/5", When::Always));
    world.sim.set_faults(plan);
    let options = VerifyOptions {
        repair: Repair::Mend,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    // Beside those of the entities there may be one of the cursor, which is of no entity.
    let left = result
        .findings
        .iter()
        .filter(|finding| !finding.repaired && finding.iid.is_some());
    let left: Vec<_> = left.map(named).collect();
    assert_eq!(
        left,
        [(Finding::StaleHere, Some(EntityKind::Issue), Some(5), String::new())]
    );
    let runs =
        "SELECT group_concat(status) FROM (SELECT status FROM sync_runs WHERE mode = 'surgical' ORDER BY status)";
    assert_eq!(world.text(&cx, runs).await.as_deref(), Some("done,failed"));
    world.close(&cx).await;
}

async fn verify_keeps_its_findings_when_the_forge_fails(cx: Cx) {
    let world = mirrored(&cx, 86).await;
    tamper(
        &cx,
        &world,
        "UPDATE blobs SET data = x'00' WHERE hash = (SELECT min(hash) FROM blobs)",
    )
    .await;
    tamper(&cx, &world, "UPDATE issues SET iid = iid + 1000 WHERE iid = 7").await;
    // The index can still be read, and then a token is asked for.
    let plan = FaultPlan::none().with(Rule::new(Fault::Unauthorized, "*/issues/5", When::Always));
    world.sim.set_faults(plan);
    let ended = verify(&cx, &world.db, Vec::new(), thorough(&world), Progress::silent()).await;
    let Err(Error::Unverified { cause, result }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(cause.code().as_str(), "token_missing");
    let found: BTreeSet<_> = result.findings.iter().map(|finding| finding.finding).collect();
    assert!(
        found.contains(&Finding::Corrupt) && found.contains(&Finding::MissingHere),
        "{found:?}"
    );
    assert_eq!(result.bound, None);
    let report = Error::Unverified { cause, result }.report();
    assert_eq!(report.code.as_str(), "token_missing");
    assert!(report.details["findings"].as_array().unwrap().len() >= 2, "{report:?}");
    let kept = "SELECT count(DISTINCT finding) FROM verify_findings WHERE finding IN ('corrupt', 'missing_here')";
    assert_eq!(world.number(&cx, kept).await, 2, "the ledger has them too");
    let run = world
        .text(&cx, "SELECT status || error_code FROM sync_runs WHERE mode = 'verify'")
        .await;
    assert_eq!(run.as_deref(), Some("failedtoken_missing"));
    world.close(&cx).await;
}

async fn verify_leaves_out_what_alone_cannot_be_had(cx: Cx) {
    let world = mirrored(&cx, 87).await;
    let plan = FaultPlan::none()
        .with(Rule::new(Fault::HtmlPage, "*/issues/6", When::Always))
        .with(Rule::new(Fault::HtmlPage, "*/issues/5/discussions*", When::Always));
    world.sim.set_faults(plan);
    assert!(
        world
            .sim
            .with_state(|state| state.edit_quietly(Key::issue(4), |issue| issue.head.title = "Other".to_owned()))
    );
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    assert_eq!(
        found,
        [(Finding::Differs, Some(EntityKind::Issue), Some(4), "title".to_owned())],
        "the others were compared all the same"
    );
    let left_out: Vec<_> = result
        .levels
        .iter()
        .map(|level| (level.level, level.left_out))
        .collect();
    assert_eq!(
        left_out,
        [
            (Level::Local, 0),
            (Level::Index, 0),
            (Level::Sample, 1),
            (Level::Deep, 1)
        ]
    );
    world.close(&cx).await;
}

async fn verify_leaves_out_what_breaks_the_server(cx: Cx) {
    let world = mirrored(&cx, 92).await;
    let plan = FaultPlan::none()
        .with(Rule::new(Fault::InternalError, "*/issues/6", When::Always))
        .with(Rule::new(Fault::InternalError, "*/issues/5/discussions*", When::Always));
    world.sim.set_faults(plan);
    assert!(
        world
            .sim
            .with_state(|state| state.edit_quietly(Key::issue(4), |issue| issue.head.title = "Other".to_owned()))
    );
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    assert_eq!(
        found,
        [(Finding::Differs, Some(EntityKind::Issue), Some(4), "title".to_owned())],
        "the others were compared all the same"
    );
    for level in [Level::Sample, Level::Deep] {
        let level = result.levels.iter().find(|one| one.level == level).unwrap();
        assert_eq!(level.left_out, 1, "{level:?}");
    }
    world.close(&cx).await;
}

async fn verify_ends_where_the_server_breaks_at_many(cx: Cx) {
    let world = mirrored(&cx, 93).await;
    let rules = [3, 4, 5, 6].map(|iid| Rule::new(Fault::InternalError, &format!("*/issues/{iid}"), When::Always));
    let plan = rules.into_iter().fold(FaultPlan::none(), FaultPlan::with);
    world.sim.set_faults(plan);
    let ended = verify(&cx, &world.db, Vec::new(), thorough(&world), Progress::silent()).await;
    assert_eq!(ended.unwrap_err().code().as_str(), "network");
    world.close(&cx).await;
}

async fn verify_reads_the_lists_where_a_query_is_declined_half_way(cx: Cx) {
    let mut world = World::new(&cx, small(94)).await;
    world.options.settings.page_size = 5;
    let forges: Vec<_> = world
        .options
        .forges
        .values()
        .map(|forge| forge.base_url.clone())
        .collect();
    for base_url in forges {
        world
            .options
            .credentials
            .insert(base_url, Secret::new("glpat-anything"));
    }
    world.sync(&cx).await.unwrap();
    assert!(world.sim.with_state(|state| state.delete(Key::issue(3))));
    let second = Rule::new(Fault::Forbidden, "*/api/graphql", When::Nth(2));
    world.sim.set_faults(FaultPlan::none().with(second));
    let result = look(&cx, &world, thorough(&world)).await;
    let found: Vec<_> = result.findings.iter().map(named).collect();
    // What closed the issue closes one less.
    assert_eq!(
        found,
        [
            (Finding::MissingThere, Some(EntityKind::Issue), Some(3), String::new()),
            (
                Finding::SetDiffers,
                Some(EntityKind::MergeRequest),
                Some(5),
                "closes".to_owned()
            ),
        ]
    );
    world.close(&cx).await;
}

async fn verify_repair_counts_nothing_that_it_could_not_look_at_again(cx: Cx) {
    let world = mirrored(&cx, 95).await;
    assert!(
        world
            .sim
            .with_state(|state| state.edit_quietly(Key::issue(4), |issue| issue.head.title = "Other".to_owned()))
    );
    // The sample asks for it, and then the repair; the look after that has no answer.
    let third = Rule::new(Fault::HtmlPage, "*/issues/4", When::Nth(3));
    world.sim.set_faults(FaultPlan::none().with(third));
    let options = VerifyOptions {
        depth: Depth::Entity,
        repair: Repair::Mend,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options.clone()).await;
    let runs = "SELECT group_concat(status) FROM sync_runs WHERE mode = 'surgical'";
    assert_eq!(world.text(&cx, runs).await.as_deref(), Some("done"));
    assert_eq!((result.left(), result.repaired), (1, 0), "{:?}", result.findings);
    assert_eq!(look(&cx, &world, options).await.findings, []);
    world.close(&cx).await;
}

async fn verify_repair_sends_nothing_to_an_embedder(cx: Cx) {
    let mut world = World::new(&cx, small(96)).await;
    world.options.embedding = Embedding::Leave;
    world.sync(&cx).await.unwrap();
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = Embedding::With(EmbedSettings {
        provider: EmbedProvider::OpenAi,
        base_url: Some(embedder.openai().parse().unwrap()),
        model: Some(MODEL.to_owned()),
        ..EmbedSettings::default()
    });
    assert!(world.sim.with_state(|state| {
        let retitled = state.edit_quietly(Key::issue(5), |issue| issue.head.title = "Other".to_owned());
        retitled && state.delete(Key::issue(2))
    }));
    let options = VerifyOptions {
        repair: Repair::Mend,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    assert_eq!((result.left(), result.repaired), (0, 2), "{:?}", result.findings);
    assert!(embedder.asked().is_empty());
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn verify_of_a_project_that_is_not_shown_says_so(cx: Cx) {
    let world = mirrored(&cx, 97).await;
    for (face, code) in [(Face::Hidden, "forbidden"), (Face::Missing, "not_found_remote")] {
        world.sim.with_state(|state| state.show_as(face));
        let options = VerifyOptions {
            repair: Repair::Mend,
            ..thorough(&world)
        };
        let error = verify(&cx, &world.db, Vec::new(), options, Progress::silent())
            .await
            .unwrap_err();
        assert_eq!(error.code().as_str(), code, "{error}");
        let kept = "SELECT count(*) FROM verify_findings";
        assert_eq!(world.number(&cx, kept).await, 0, "nothing of it is known to be gone");
    }
    world.close(&cx).await;
}

async fn verify_says_nothing_of_what_is_hidden(cx: Cx) {
    let world = mirrored(&cx, 88).await;
    assert!(world.sim.with_state(|state| state.delete(Key::issue(3))));
    let plan = FaultPlan::none().with(Rule::new(Fault::Forbidden, "*/issues/3", When::Always));
    world.sim.set_faults(plan);
    let result = look(&cx, &world, thorough(&world)).await;
    assert_eq!(result.findings, []);
    for level in [Level::Index, Level::Sample] {
        let level = result.levels.iter().find(|one| one.level == level).unwrap();
        assert_eq!(level.left_out, 1, "{level:?}");
    }
    world.close(&cx).await;
}

async fn verify_compares_beside_damage(cx: Cx) {
    let world = mirrored(&cx, 89).await;
    tamper(
        &cx,
        &world,
        "UPDATE blobs SET data = x'00' WHERE hash = (SELECT r.state_hash FROM issues e
             JOIN revisions r ON r.id = e.revision_id WHERE e.iid = 5)",
    )
    .await;
    tamper(&cx, &world, "UPDATE issues SET revision_id = NULL WHERE iid = 6").await;
    assert!(world.sim.with_state(|state| {
        [4, 5]
            .iter()
            .all(|iid| state.edit_quietly(Key::issue(*iid), |issue| issue.head.title = "Other".to_owned()))
    }));
    let result = look(&cx, &world, thorough(&world)).await;
    let found: BTreeSet<_> = result.findings.iter().map(named).collect();
    let issue = Some(EntityKind::Issue);
    for expected in [
        (Finding::Corrupt, None, None, String::new()),
        (Finding::Differs, issue, Some(4), "title".to_owned()),
        // In what cannot be said any more.
        (Finding::Differs, issue, Some(5), String::new()),
    ] {
        assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
    }
    assert!(
        result
            .findings
            .iter()
            .any(|finding| finding.finding == Finding::Drift && finding.detail.contains("newest revision"))
    );
    let sample = result.levels.iter().find(|level| level.level == Level::Sample).unwrap();
    assert_eq!((sample.checked, sample.left_out), (20, 1), "the one without a revision");
    world.close(&cx).await;
}

async fn verify_names_damaged_pages(cx: Cx) {
    let mut world = mirrored(&cx, 90).await;
    world.db.close(&cx).await.unwrap();
    let path = world.place.path.clone();
    let (root, size): (u64, u64) = {
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
            .unwrap();
        let root: i64 = conn
            .query_row(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'revisions'",
                (),
                |row| row.get(0),
            )
            .unwrap();
        let size: i64 = conn.query_row("PRAGMA page_size", (), |row| row.get(0)).unwrap();
        (root.unsigned_abs(), size.unsigned_abs())
    };
    let mut bytes = std::fs::read(&path).unwrap();
    let begin = usize::try_from((root - 1) * size).unwrap();
    bytes[begin..begin + usize::try_from(size).unwrap()].fill(0);
    std::fs::write(&path, bytes).unwrap();
    world.db = Db::open(&cx, &path, OpenOptions::write(process(2))).await.unwrap();
    let options = VerifyOptions {
        reach: Reach::Local,
        ..thorough(&world)
    };
    let result = look(&cx, &world, options).await;
    let said: Vec<_> = result
        .findings
        .iter()
        .filter(|finding| finding.finding == Finding::Corrupt)
        .map(|finding| finding.detail.as_str())
        .collect();
    assert!(
        said.iter()
            .any(|detail| detail.starts_with("the revisions cannot be read to the end")),
        "{said:?}"
    );
    // Others went on: what SQLite itself says of the pages is told too.
    assert!(
        said.iter().any(|detail| !detail.contains("cannot be read to the end")),
        "{said:?}"
    );
    let _closed = world.db.close(&cx).await;
    let _report = world.sim.stop().await;
}

async fn a_cursor_beyond_what_was_put_aside_is_no_drift(cx: Cx) {
    let world = mirrored(&cx, 91).await;
    tamper(&cx, &world, "UPDATE cursors SET at = at + 1000 WHERE stream = 'issues'").await;
    let options = VerifyOptions {
        reach: Reach::Local,
        ..thorough(&world)
    };
    assert_eq!(look(&cx, &world, options.clone()).await.left(), 1);
    // The newest row of the list could not be read: it has no row here.
    tamper(
        &cx,
        &world,
        "INSERT INTO quarantine (project_id, stream, native_ref, code, message, attempts, first_at, last_at)
         SELECT id, 'issues', '4711', 'transform', 'planted', 0, 0, 0 FROM projects",
    )
    .await;
    assert_eq!(look(&cx, &world, options).await.findings, []);
    world.close(&cx).await;
}
