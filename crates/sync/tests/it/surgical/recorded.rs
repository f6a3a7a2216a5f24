//! Who is recorded where a stage fails that is about what was made, and not about what was fetched.

use annals_core::Code;
use annals_core::config::{EmbedProvider, EmbedSettings};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{Embedding, EntityRef, Error};
use annals_testkit::embedder::{DIMS, EmbedderSim, Fault, MODEL};
use annals_testkit::forge::Key;

use super::{edited, ledger, options, run_with};

on_every_host!(an_embedder_that_is_away_is_recorded_for_a_target_of_which_only_a_set_changed);

async fn an_embedder_that_is_away_is_recorded_for_a_target_of_which_only_a_set_changed(cx: Cx) {
    let mut world = edited(&cx, 604).await;
    let embedder = EmbedderSim::start(&cx).await.unwrap();
    world.options.embedding = Embedding::With(EmbedSettings {
        provider: EmbedProvider::OpenAi,
        base_url: Some(embedder.openai().parse().unwrap()),
        model: Some(MODEL.to_owned()),
        dims: Some(DIMS),
        concurrency: 1,
        ..EmbedSettings::default()
    });
    // Everything is here, and then a note comes of which the issue itself shows nothing.
    world.sync(&cx).await.unwrap();
    world.sim.with_state(|state| {
        let at = state.entity(Key::issue(2)).unwrap().head.updated_at;
        state.add_note(Key::issue(2), 0, "more");
        state.edit_quietly(Key::issue(2), |issue| issue.head.updated_at = at);
    });
    embedder.plan([Fault::Status(502), Fault::Status(502), Fault::Status(502)]);
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
