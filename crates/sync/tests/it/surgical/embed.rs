//! Vectors: of what the run itself has made, unless it was told to leave them; and a failure of theirs is recorded.

use annals_core::Code;
use annals_core::config::{EmbedProvider, EmbedSettings};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{Embedding, EntityRef, Error, Progress, retry_failed};
use annals_testkit::embedder::{DIMS, EmbedderSim, Fault, MODEL};
use annals_testkit::forge::Key;

use super::{THREE, edited, ledger, only_run, options, plant, run_with};
use crate::common::World;

on_every_host!(
    surgical_embeds_exactly_what_it_made,
    a_retry_embeds_only_if_its_run_was_to,
    an_embedder_that_is_away_is_recorded_for_a_target_of_which_only_a_set_changed,
);

/// A world in which [`THREE`] were edited since the last sync, with an embedder that tells what it was asked.
async fn with_embedder(cx: &Cx, seed: u64) -> (World, EmbedderSim) {
    let mut world = edited(cx, seed).await;
    let embedder = EmbedderSim::start(cx).await.unwrap();
    world.options.embedding = Embedding::With(EmbedSettings {
        provider: EmbedProvider::OpenAi,
        base_url: Some(embedder.openai().parse().unwrap()),
        model: Some(MODEL.to_owned()),
        dims: Some(DIMS),
        concurrency: 1,
        ..EmbedSettings::default()
    });
    (world, embedder)
}

/// Documents that have a vector of the embedder.
const EMBEDDED: &str = "SELECT count(DISTINCT e.document_id) FROM embeddings e
    JOIN embedding_sets s ON s.id = e.set_id WHERE s.provider = 'openai'";

async fn surgical_embeds_exactly_what_it_made(cx: Cx) {
    let (world, embedder) = with_embedder(&cx, 601).await;
    let done = run_with(&cx, &world, &THREE, Extent::Whole, options(&world))
        .await
        .unwrap();
    assert!(done.documents_regenerated > 0, "{done:?}");
    assert_eq!(done.documents_embedded, done.documents_regenerated);
    let embedded = world.number(&cx, EMBEDDED).await;
    assert_eq!(
        embedded.unsigned_abs(),
        done.documents_embedded,
        "nothing of anybody else"
    );
    world.close(&cx).await;
    let _report = embedder.stop().await;
}

async fn a_retry_embeds_only_if_its_run_was_to(cx: Cx) {
    for (seed, is_wanted) in [(602, false), (603, true)] {
        let (world, embedder) = with_embedder(&cx, seed).await;
        plant(
            &cx,
            &world,
            "CREATE TRIGGER planted BEFORE UPDATE OF title ON issues WHEN NEW.title = 'another title'
             BEGIN SELECT RAISE(ABORT, 'planted'); END",
        )
        .await;
        let mut given = options(&world);
        if !is_wanted {
            given.sync.embedding = Embedding::Leave;
        }
        assert!(run_with(&cx, &world, &THREE, Extent::Whole, given).await.is_err());
        let parent = only_run(&cx, &world).await;
        plant(&cx, &world, "DROP TRIGGER planted").await;
        // The retry is given an embedder, as whoever runs it has one.
        let again = retry_failed(&cx, &world.db, parent, options(&world), Progress::silent()).await;
        let again = again.unwrap();
        assert!(again.documents_regenerated > 0, "{again:?}");
        assert_eq!(again.documents_embedded > 0, is_wanted, "{again:?}");
        assert_eq!(embedder.asked().is_empty(), !is_wanted);
        world.close(&cx).await;
        let _report = embedder.stop().await;
    }
}

async fn an_embedder_that_is_away_is_recorded_for_a_target_of_which_only_a_set_changed(cx: Cx) {
    let (world, embedder) = with_embedder(&cx, 604).await;
    // Everything is here, and then a note comes of which the issue itself shows nothing.
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        let at = state.entity(Key::issue(2)).unwrap().head.updated_at;
        state.add_note(Key::issue(2), 0, "more");
        state.edit_quietly(Key::issue(2), |issue| issue.head.updated_at = at);
    });
    embedder.plan([Fault::Status(500), Fault::Status(500), Fault::Status(500)]);
    let targets = [EntityRef::issue(2)];
    let ended = run_with(&cx, &world, &targets, Extent::Whole, options(&world)).await;
    let Err(Error::Incomplete(incomplete)) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(incomplete.code, Code::Partial);
    assert!(incomplete.result.documents_regenerated > 0, "{:?}", incomplete.result);
    assert_eq!(
        incomplete.result.projects[0].streams[0].written, 0,
        "the issue has no news"
    );
    let rows = ledger(&cx, &world, &incomplete.result.run_id).await;
    assert!(
        rows.contains(&"issue 2 embed failed embedder_unavailable".to_owned()),
        "{rows:?}"
    );
    world.close(&cx).await;
    let _report = embedder.stop().await;
}
