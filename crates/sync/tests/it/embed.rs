//! The last phase of a run: documents get their vectors, and whatever stops that stops it between documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{World, options_for, process, sized, small};
use annals_core::config::{EmbedProvider, EmbedSettings};
use annals_core::{CancelKind, CancelReason, Code, Outcome, Signal};
use annals_db::ids::RunStatus;
use annals_db::{Db, OpenOptions};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx, RegionSpec, on_every_host};
use annals_sync::{Embedding, Error, Event, Progress, SyncOptions, SyncResult, Target};
use annals_testkit::embedder::{DIMS, EmbedderSim, Fault, MODEL};
use annals_testkit::forge::{SimOptions, Simulator};

on_every_host!(
    a_run_ends_with_vectors_for_what_it_changed,
    an_embedder_that_is_away_is_a_failure_of_the_run,
    an_embedder_that_is_away_leaves_an_unchanged_mirror_partial,
    no_embed_leaves_vectors_owed,
    vectors_by_spelling_are_kept_up_and_not_begun,
    documents_that_were_given_up_are_told,
);

pub fn through(sim: &EmbedderSim) -> Embedding {
    Embedding::With(EmbedSettings {
        provider: EmbedProvider::OpenAi,
        base_url: Some(sim.openai().parse().unwrap()),
        model: Some(MODEL.to_owned()),
        dims: Some(DIMS),
        batch: 4,
        concurrency: 1,
        ..EmbedSettings::default()
    })
}

const OWED: &str = "SELECT count(*) FROM embedding_owed";

async fn a_run_ends_with_vectors_for_what_it_changed(cx: Cx) {
    let mut world = World::new(&cx, small(61)).await;
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = through(&embedder);
    let (result, events) = world.sync_told(&cx).await;
    let result = result.unwrap();
    assert!(result.documents_embedded > 10);
    assert_eq!(result.documents_embedded, result.documents_regenerated);
    let told = events.iter().rev().find_map(|event| match event {
        Event::DocumentsEmbedded {
            embedded, remaining, ..
        } => Some((*embedded, *remaining)),
        _ => None,
    });
    assert_eq!(told, Some((result.documents_embedded, 0)));
    assert_eq!(world.number(&cx, OWED).await, 0);
    assert!(!embedder.asked().is_empty());
    // Nothing changed: nothing is asked, and nothing is written.
    let before = world.raw_dump(&cx).await;
    let again = world.sync(&cx).await.unwrap();
    assert_eq!((again.documents_embedded, embedder.asked().len()), (0, 0));
    assert_eq!(world.raw_dump(&cx).await, before);
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn an_embedder_that_is_away_is_a_failure_of_the_run(cx: Cx) {
    let mut world = World::new(&cx, small(62)).await;
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = through(&embedder);
    embedder.plan([Fault::Status(502), Fault::Status(502), Fault::Status(502)]);
    let Err(Error::Incomplete(incomplete)) = world.sync(&cx).await else {
        panic!("the failure is told");
    };
    assert_eq!(
        (incomplete.code, incomplete.result.status),
        (Code::Partial, RunStatus::Partial)
    );
    let failed: Vec<Code> = incomplete.failures.iter().map(|failure| failure.report.code).collect();
    assert_eq!(failed, [Code::EmbedderUnavailable]);
    assert!(incomplete.result.documents_regenerated > 10, "everything else is done");
    assert!(world.number(&cx, OWED).await > 10);
    let healed = world.sync(&cx).await.unwrap();
    assert!(healed.documents_embedded > 10);
    assert_eq!(world.number(&cx, OWED).await, 0);
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn an_embedder_that_is_away_leaves_an_unchanged_mirror_partial(cx: Cx) {
    let mut world = World::new(&cx, small(65)).await;
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = Embedding::Leave;
    world.sync(&cx).await.unwrap();
    world.options.embedding = through(&embedder);
    embedder.plan([Fault::Status(502), Fault::Status(502), Fault::Status(502)]);
    let Err(Error::Incomplete(incomplete)) = world.sync(&cx).await else {
        panic!("the failure is told");
    };
    assert_eq!(
        (incomplete.code, incomplete.result.documents_regenerated),
        (Code::Partial, 0)
    );
    assert_eq!(incomplete.failures[0].part.as_deref(), Some("embed"));
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn vectors_by_spelling_are_kept_up_and_not_begun(cx: Cx) {
    let mut world = World::new(&cx, small(66)).await;
    let by_default = Embedding::of(&EmbedSettings::default());
    world.options.embedding = by_default.clone();
    let (first, events) = world.sync_told(&cx).await;
    assert_eq!(first.unwrap().documents_embedded, 0);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::PhaseStarted { phase: "embed", .. }))
    );
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_sets").await, 0);
    // Somebody begins them.
    world.options.embedding = Embedding::With(EmbedSettings::default());
    assert!(world.sync(&cx).await.unwrap().documents_embedded > 10);
    world.options.embedding = by_default;
    world
        .sim
        .with_state(|state| state.retitle(annals_testkit::forge::Key::issue(1), "another title"));
    assert!(world.sync(&cx).await.unwrap().documents_embedded > 0);
    assert_eq!(world.number(&cx, OWED).await, 0);
    world.close(&cx).await;
}

async fn documents_that_were_given_up_are_told(cx: Cx) {
    let mut world = World::new(&cx, small(67)).await;
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = through(&embedder);
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        state.retitle(annals_testkit::forge::Key::issue(1), "poison");
    });
    embedder.with_manners(|manners| manners.poison = Some("poison".to_owned()));
    for _ in 0..3 {
        assert!(world.sync(&cx).await.is_err(), "a refusal is told when it happens");
    }
    embedder.asked();
    let (given_up, events) = world.sync_told(&cx).await;
    assert_eq!(given_up.unwrap().status, RunStatus::Done);
    assert!(embedder.asked().is_empty(), "nobody asks any more");
    assert!(
        events.iter().any(|event| matches!(
            event,
            Event::Warning { code: Code::EmbeddingFailed, message, .. } if message.contains("annals embed")
        )),
        "{events:?}"
    );
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn no_embed_leaves_vectors_owed(cx: Cx) {
    let mut world = World::new(&cx, small(63)).await;
    world.options.embedding = Embedding::Leave;
    assert_eq!(world.sync(&cx).await.unwrap().documents_embedded, 0);
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embeddings").await, 0);
    world.options.embedding = Embedding::With(EmbedSettings::default());
    let next = world.sync(&cx).await.unwrap();
    let documents = world.number(&cx, "SELECT count(*) FROM documents").await;
    assert_eq!(i64::try_from(next.documents_embedded).unwrap(), documents);
    world.close(&cx).await;
}

/// One run over the file at `path`, with an embedder that falls silent at the third request, or does not.
async fn run_over(cx: Cx, path: PathBuf, pid: i64, silent: bool) -> Result<SyncResult, Error> {
    let db = Db::open(&cx, &path, OpenOptions::write(process(pid))).await?;
    let at = SimOptions {
        addr: "127.0.0.1:4711".parse().unwrap(),
        ..SimOptions::default()
    };
    let sim = Simulator::start(&cx, sized(64, 8, 4), at).await.unwrap();
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    if silent {
        embedder.plan([Fault::Reversed, Fault::Reversed, Fault::Silence]);
    }
    let options = SyncOptions {
        embedding: through(&embedder),
        ..options_for(&sim)
    };
    let target = vec![Target::Url(sim.project_url())];
    let result = annals_sync::sync(&cx, &db, target, options, Progress::silent()).await;
    db.close(&cx).await?;
    let _report = sim.stop().await;
    let _report = embedder.stop().await;
    result
}

fn completed(backend: BackendKind, path: &Path, pid: i64) -> String {
    let file = path.to_owned();
    let report = LabConfig::new(7)
        .on(backend)
        .run(move |cx| run_over(cx, file, pid, false));
    report.clean().unwrap();
    report.outcome.ok().unwrap().unwrap();
    annals_db::dump::canonical(&rusqlite::Connection::open(path).unwrap()).unwrap()
}

#[test]
fn ctrl_c_during_embed() {
    for backend in BackendKind::compiled().iter().copied() {
        let folder = tempfile::tempdir().unwrap();
        let expected = completed(backend, &folder.path().join("whole.db"), 1);
        let path = folder.path().join("stopped.db");
        let file = path.clone();
        let report = LabConfig::new(7).on(backend).run(move |cx| async move {
            let region = cx.open_region(RegionSpec::collect_all("test")).unwrap();
            let shutdown = cx.shutdown().clone();
            let mut run = region.cx().spawn("run", move |cx| run_over(cx, file, 1, true)).unwrap();
            // Everything else is done within seconds; then nobody answers for half a minute.
            cx.sleep(Duration::from_secs(20)).await.unwrap();
            let reason = |kind| CancelReason::new(kind, "test", cx.now());
            shutdown.begin(reason(CancelKind::Signal(Signal::Int)));
            cx.sleep_full(Duration::from_millis(500)).await;
            region.cancel(reason(CancelKind::User));
            let outcome = run.join(&cx).await.unwrap();
            let report = region.close_within(Duration::from_secs(3)).await;
            assert!(
                report.drain.quiescent && report.drain.open_permits == 0,
                "{:?}",
                report.drain
            );
            assert!(!matches!(outcome, Outcome::Ok(_)), "it was stopped");
        });
        report.clean().unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let text = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
        let count = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(text("PRAGMA integrity_check"), "ok");
        assert_eq!(text("SELECT group_concat(status) FROM sync_runs"), "cancelled");
        assert_eq!(count("SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL"), 0);
        assert_eq!(
            count("SELECT count(DISTINCT document_id) FROM embeddings"),
            8,
            "two requests of four texts"
        );
        let both = "SELECT count(*) FROM documents d
             WHERE (SELECT count(*) FROM embeddings e WHERE e.document_id = d.id)
                 + (SELECT count(*) FROM embedding_owed o WHERE o.document_id = d.id) <> 1";
        assert_eq!(count(both), 0, "a document has its vector or is owed it");
        drop(conn);
        assert!(
            completed(backend, &path, 2) == expected,
            "{backend}: the file ends differently"
        );
    }
}
