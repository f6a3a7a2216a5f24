//! Documents and an embedder between them and their vectors: what goes well, and what does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::world::World;
use crate::support::{issue, labels};
use annals_core::{CancelKind, CancelReason, Code, Coded, Outcome, TaskError};
use annals_db::content::IssueIn;
use annals_net_adapter::{Cx, RegionSpec, on_every_host};
use annals_search::answer::Mode;
use annals_search::embed::{self, Again, BoxFuture, EmbedError, Embedded, Embedder, EmbedderId, Plan};
use annals_search::vector::unit;
use annals_testkit::embedder::{DIMS, Fault, vector};

on_every_host!(
    edit_one_regeneration_one_embedding,
    exactly_the_asked_documents_are_embedded,
    purge_leaves_no_index_row_or_vector,
    openai_results_reordered_by_index,
    openai_is_asked_for_floats_and_dimensions,
    ollama_model_missing_is_told_with_what_helps,
    ollama_is_never_told_to_cut,
    context_overflow_halves_chunk,
    a_long_document_has_several_vectors,
    failed_embedding_keeps_old_vectors,
    what_is_no_vector_fails_its_document_only,
    a_short_answer_is_asked_again_one_by_one,
    a_server_error_is_tried_again,
    an_embedder_that_refuses_everything_is_left_alone,
    a_wait_is_waited_and_a_long_one_is_told,
    an_embedder_that_is_away_leaves_all_owed,
    a_key_is_wanted_and_none_is_set,
    model_change_requeues_all,
    full_embeds_what_has_vectors_already,
    full_goes_on_where_it_was,
    what_is_too_slow_is_sent_in_halves,
    a_text_that_is_too_slow_or_breaks_the_server_fails_alone,
    what_was_embedded_before_the_end_is_counted,
    what_another_has_embedded_is_not_written_again,
    another_width_of_the_same_model_is_another_set,
    a_set_of_another_width_is_still_asked,
    a_cancelled_run_leaves_whole_documents,
);

fn issues(count: i64) -> Vec<IssueIn> {
    (1..=count)
        .map(|iid| {
            issue(
                iid,
                &format!("Title {iid}"),
                &format!("The app crashes {iid} times in the dialog"),
            )
        })
        .collect()
}

/// What the model makes of a text, as it is kept.
fn expected(text: &str) -> Vec<f32> {
    unit(&vector(text)).unwrap()
}

async fn edit_one_regeneration_one_embedding(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(5)).await;
    let first = world.embed(&cx).await.unwrap();
    assert_eq!((first.embedded, first.failed, first.remaining), (5, 0, 0));
    world.sim.asked();

    let mut edited = issue(3, "Title 3", "It is slow now");
    assert_eq!(world.store(&cx, vec![edited.clone()]).await.changed, 1);
    let again = world.embed(&cx).await.unwrap();
    assert_eq!((again.embedded, again.remaining), (1, 0));
    let asked = world.sim.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].texts, ["Title 3\n\nIt is slow now"]);

    // A name around the text is in the document and not in what is embedded.
    edited.labels = labels(&["bug"]);
    assert_eq!(world.store(&cx, vec![edited]).await.changed, 1);
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_owed").await, 1);
    let named = world.embed(&cx).await.unwrap();
    assert_eq!((named.embedded, named.remaining), (0, 0));
    assert!(world.sim.asked().is_empty());
    let nothing = world.embed(&cx).await.unwrap();
    assert_eq!((nothing.embedded, nothing.remaining), (0, 0));
    world.close(&cx).await;
}

async fn exactly_the_asked_documents_are_embedded(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(6)).await;
    let ids: Vec<i64> = world
        .db
        .read(&cx, |conn| {
            let mut select = conn.prepare("SELECT id FROM documents WHERE source_id IN (2, 5) ORDER BY id DESC")?;
            let rows = select.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    let embedder = world.embedder(&cx);
    let mut done = Embedded::default();
    embed::documents(&cx, &world.db, &embedder, &ids, &mut done)
        .await
        .unwrap();
    assert_eq!((done.embedded, done.remaining), (2, 4));
    let kept: Vec<i64> = world.vectors(&cx).await.into_iter().map(|vector| vector.0).collect();
    assert_eq!(kept, [2, 5]);
    let mut nothing = Embedded::default();
    embed::documents(&cx, &world.db, &embedder, &[], &mut nothing)
        .await
        .unwrap();
    assert_eq!(nothing.embedded, 0);
    world.close(&cx).await;
}

async fn purge_leaves_no_index_row_or_vector(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(3)).await;
    world.embed(&cx).await.unwrap();
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embeddings").await, 3);
    // The source goes with all its rows, and the document with it.
    world
        .sql(
            &cx,
            "PRAGMA defer_foreign_keys = ON;
             DELETE FROM revisions WHERE subject_kind = 'issue' AND subject_id = 1; DELETE FROM issues WHERE id = 1;
             INSERT INTO dirty_sources (source_kind, source_id, reason, created_at) VALUES ('issue', 1, 'purge', 0);",
        )
        .await;
    let drained = annals_search::documents::drain(&cx, &world.db).await.unwrap();
    assert_eq!(drained.removed, 1);
    // An empty row stays where another index must hear of it.
    world
        .sql(
            &cx,
            "UPDATE documents SET title = '', body = '', meta = '', content_hash = x'00', flags = flags | 2
              WHERE source_id = 2; DELETE FROM documents_fts WHERE rowid = (SELECT id FROM documents WHERE source_id = 2);",
        )
        .await;
    for (what, sql) in [
        ("vectors", "SELECT count(*) FROM embeddings"),
        ("index rows", "SELECT count(*) FROM documents_fts"),
    ] {
        assert_eq!(world.number(&cx, sql).await, 1, "{what}");
    }
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_owed").await, 0);
    let later = world.embed(&cx).await.unwrap();
    assert_eq!((later.embedded, later.remaining), (0, 0));
    world.close(&cx).await;
}

async fn openai_results_reordered_by_index(cx: Cx) {
    let world = World::openai(&cx).await;
    let texts = ["The login", "A slow picture", "No network", "Another locale"];
    let stored = texts.iter().zip(1..).map(|(text, iid)| issue(iid, text, "")).collect();
    world.store(&cx, stored).await;
    // One request learns the dimensions, the next brings all four in reverse.
    world.sim.plan([Fault::Reversed, Fault::Reversed]);
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 4);
    let asked = world.sim.asked();
    assert_eq!(asked.last().unwrap().texts.len(), 4);
    for ((iid, chunk, _, kept), text) in world.vectors(&cx).await.into_iter().zip(texts) {
        assert_eq!((chunk, kept), (0, expected(text)), "issue {iid}");
    }
    world.close(&cx).await;
}

async fn openai_is_asked_for_floats_and_dimensions(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(annals_testkit::embedder::DIMS);
    world.settings.batch = 2;
    world.store(&cx, issues(5)).await;
    world.embed(&cx).await.unwrap();
    let asked = world.sim.asked();
    let mut sizes: Vec<usize> = asked.iter().map(|asked| asked.texts.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2], "nothing is asked to learn what is known");
    for asked in asked {
        assert_eq!(asked.path, "/v1/embeddings");
        assert_eq!(asked.others["encoding_format"], "float");
        assert_eq!(asked.others["dimensions"], annals_testkit::embedder::DIMS);
    }
    world.close(&cx).await;
}

async fn ollama_model_missing_is_told_with_what_helps(cx: Cx) {
    let mut world = World::ollama(&cx).await;
    world.settings.model = Some("nowhere".to_owned());
    world.store(&cx, issues(2)).await;
    let error = world.embed(&cx).await.unwrap_err();
    let report = error.report();
    assert_eq!((report.code, report.exit_code(None)), (Code::ModelMissing, 15));
    assert!(report.suggestion.unwrap().contains("ollama pull nowhere"));
    assert_eq!(report.details["model"], "nowhere");
    world.close(&cx).await;
}

async fn ollama_is_never_told_to_cut(cx: Cx) {
    let world = World::ollama(&cx).await;
    world.store(&cx, issues(2)).await;
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 2);
    for asked in world.sim.asked() {
        assert_eq!(
            (asked.path.as_str(), &asked.others["truncate"]),
            ("/api/embed", &false.into())
        );
    }
    assert_eq!(
        world.vectors(&cx).await[0].3,
        expected("Title 1\n\nThe app crashes 1 times in the dialog")
    );
    world.close(&cx).await;
}

async fn context_overflow_halves_chunk(cx: Cx) {
    for world in [World::openai(&cx).await, World::ollama(&cx).await] {
        let body = "crash ".repeat(500);
        world
            .store(&cx, vec![issue(1, "T", &body), issue(2, "short", "slow")])
            .await;
        world.sim.with_manners(|manners| manners.longest = 1_000);
        let done = world.embed(&cx).await.unwrap();
        assert_eq!((done.embedded, done.failed), (2, 0));
        // 3,003 bytes are too many for a thousand at a time; so are halves of them, and quarters are not.
        let asked: Vec<String> = world.sim.asked().into_iter().flat_map(|asked| asked.texts).collect();
        let parts: Vec<&String> = asked
            .iter()
            .filter(|text| text.contains("crash") && text.len() <= 1_000)
            .collect();
        assert_eq!(parts.len(), 4);
        let whole: String = parts.into_iter().map(String::as_str).collect();
        assert_eq!(
            whole,
            format!("T\n\n{body}"),
            "no character is lost, and none is sent twice"
        );
        let kept: Vec<(i64, i64)> = world.vectors(&cx).await.iter().map(|v| (v.0, v.1)).collect();
        assert_eq!(kept, [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]);
        world.close(&cx).await;
    }
}

async fn a_long_document_has_several_vectors(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, vec![issue(1, "T", &"crash ".repeat(2_500))]).await;
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
    assert_eq!(world.vectors(&cx).await.len(), 3);
    // Fewer pieces now: those that are no longer there go with the others.
    world.store(&cx, vec![issue(1, "T", "slow")]).await;
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
    let kept = world.vectors(&cx).await;
    assert_eq!((kept.len(), &kept[0].3), (1, &expected("T\n\nslow")));
    world.close(&cx).await;
}

async fn failed_embedding_keeps_old_vectors(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(4)).await;
    world.embed(&cx).await.unwrap();
    let before = world.vectors(&cx).await;
    world
        .sim
        .with_manners(|manners| manners.poison = Some("poison".to_owned()));
    world
        .store(&cx, vec![issue(2, "poison", "slow"), issue(3, "Title 3", "slow")])
        .await;
    let done = world.embed(&cx).await.unwrap();
    assert_eq!((done.embedded, done.failed, done.remaining), (1, 1, 1));
    assert_eq!(done.failure.unwrap().code(), Code::EmbeddingFailed);
    let after = world.vectors(&cx).await;
    assert_eq!(after[1], before[1], "what it had stays, to the bit");
    assert_eq!(after[2].3, expected("Title 3\n\nslow"));
    // Once it can be done, it is.
    world.sim.with_manners(|manners| manners.poison = None);
    let healed = world.embed(&cx).await.unwrap();
    assert_eq!((healed.embedded, healed.remaining), (1, 0));
    world.close(&cx).await;
}

async fn what_is_no_vector_fails_its_document_only(cx: Cx) {
    for fault in [Fault::Nulls, Fault::Zeros] {
        let mut world = World::openai(&cx).await;
        world.settings.dims = Some(annals_testkit::embedder::DIMS);
        world.store(&cx, issues(3)).await;
        world.sim.plan([fault.clone()]);
        let done = world.embed(&cx).await.unwrap();
        assert_eq!((done.embedded, done.failed, done.remaining), (2, 1, 1), "{fault:?}");
        assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
        world.close(&cx).await;
    }
}

async fn a_short_answer_is_asked_again_one_by_one(cx: Cx) {
    for fault in [Fault::OneTooFew, Fault::NotANumber] {
        let mut world = World::ollama(&cx).await;
        world.settings.dims = Some(annals_testkit::embedder::DIMS);
        world.store(&cx, issues(3)).await;
        // Of the three that are then sent alone the first goes well: one item in reverse is as it was.
        world.sim.plan([fault.clone(), Fault::Reversed, fault.clone()]);
        let done = world.embed(&cx).await.unwrap();
        assert_eq!((done.embedded, done.failed), (2, 1), "{fault:?}");
        let sizes: Vec<usize> = world.sim.asked().iter().map(|asked| asked.texts.len()).collect();
        assert_eq!(sizes, [3, 1, 1, 1], "{fault:?}");
        world.close(&cx).await;
    }
}

async fn a_server_error_is_tried_again(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(2)).await;
    world.sim.plan([Fault::Status(500), Fault::Closed]);
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 2);
    // Three times in a row is enough.
    world.store(&cx, vec![issue(1, "new", "")]).await;
    world
        .sim
        .plan([Fault::Status(502), Fault::Status(502), Fault::Status(502)]);
    let error = world.embed(&cx).await.unwrap_err();
    assert_eq!(error.code(), Code::EmbedderUnavailable);
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
    world.close(&cx).await;
}

async fn an_embedder_that_refuses_everything_is_left_alone(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(3);
    world.store(&cx, issues(100)).await;
    let error = world.embed(&cx).await.unwrap_err();
    assert_eq!(
        (error.code(), error.report().exit_code(None)),
        (Code::EmbeddingFailed, 16)
    );
    assert!(world.sim.asked().len() < 10, "it is not asked a hundred times");
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_owed").await, 100);
    world.close(&cx).await;
}

async fn a_wait_is_waited_and_a_long_one_is_told(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(1)).await;
    world.sim.plan([Fault::RateLimited("1")]);
    let began = cx.now();
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
    assert!(cx.now().since(began).as_millis() >= 1_000);
    world.store(&cx, vec![issue(1, "new", "")]).await;
    world.sim.plan([Fault::RateLimited("3600")]);
    let report = world.embed(&cx).await.unwrap_err().report();
    assert_eq!(
        (report.code, report.retry_after_ms),
        (Code::RateLimited, Some(3_600_000))
    );
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_owed").await, 1);
    world.close(&cx).await;
}

async fn an_embedder_that_is_away_leaves_all_owed(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.store(&cx, issues(3)).await;
    world.embed_some(&cx, Some(1)).await.unwrap();
    let here = world
        .settings
        .base_url
        .replace("http://127.0.0.1:1/v1".parse().unwrap());
    let error = world.embed(&cx).await.unwrap_err();
    assert_eq!(
        (error.code(), error.report().exit_code(None)),
        (Code::EmbedderUnavailable, 14)
    );
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_owed").await, 2);
    world.settings.base_url = here;
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 2);
    world.close(&cx).await;
}

async fn a_key_is_wanted_and_none_is_set(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(1)).await;
    world
        .sim
        .with_manners(|manners| manners.key = Some("sk-s3cret".to_owned()));
    let report = world.embed(&cx).await.unwrap_err().report();
    assert_eq!((report.code, report.exit_code(None)), (Code::TokenMissing, 4));
    assert!(report.suggestion.unwrap().contains("ANNALS_TOKEN_EMBED"));
    world.close(&cx).await;
}

async fn model_change_requeues_all(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world
        .sim
        .with_manners(|manners| manners.models.push("newer".to_owned()));
    world.store(&cx, issues(20)).await;
    let old = world.embed(&cx).await.unwrap().set.unwrap();
    assert!(old.active);
    world.settings.model = Some("newer".to_owned());
    world.settings.batch = 1;
    world.settings.concurrency = 1;
    world.sim.asked();

    let begun = world.embed_some(&cx, Some(18)).await.unwrap();
    let new = begun.set.unwrap();
    assert_eq!(
        (begun.embedded, begun.remaining, new.active),
        (18, 2, false),
        "18 of 20 are 90 %"
    );
    assert_eq!(
        world.number(&cx, "SELECT count(*) FROM embeddings").await,
        38,
        "the old ones still answer"
    );
    world.sim.asked();
    let mode = annals_core::config::SearchMode::Semantic;
    world.search(&cx, mode, "crash").await.unwrap();
    assert_eq!(world.sim.asked()[0].model, old.model);

    let taken = world.embed_some(&cx, Some(1)).await.unwrap();
    assert!(taken.set.unwrap().active, "19 of 20 are 95 %");
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_sets").await, 1);
    assert_eq!(
        world.number(&cx, "SELECT count(*) FROM embeddings").await,
        19,
        "nothing of the old set is left"
    );
    world.sim.asked();
    let found = world.search(&cx, mode, "crash").await.unwrap();
    assert_eq!(world.sim.asked()[0].model, "newer");
    assert_eq!((found.total, found.stale.unembedded), (19, Some(1)));
    assert_eq!(world.embed(&cx).await.unwrap().remaining, 0);
    world.close(&cx).await;
}

async fn full_embeds_what_has_vectors_already(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(3)).await;
    world.embed(&cx).await.unwrap();
    embed::owe_all(&cx, &world.db, &world.embedder(&cx)).await.unwrap();
    let half = world.embed_some(&cx, Some(1)).await.unwrap();
    assert_eq!((half.embedded, half.remaining), (1, 2));
    let rest = world.embed(&cx).await.unwrap();
    assert_eq!(
        (rest.embedded, rest.remaining),
        (2, 0),
        "what was left of it is still to be done"
    );
    world.close(&cx).await;
}

async fn full_goes_on_where_it_was(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(5)).await;
    world.embed(&cx).await.unwrap();
    let before = world.vectors(&cx).await;
    assert_eq!(before.len(), 5);
    // A document that has vectors is found by them while they are made once more.
    let mode = annals_core::config::SearchMode::Semantic;
    for (left, expected) in [(3, 2), (1, 2), (0, 1)] {
        embed::owe_all(&cx, &world.db, &world.embedder(&cx)).await.unwrap();
        let some = world.embed_some(&cx, Some(2)).await.unwrap();
        assert_eq!((some.embedded, some.remaining), (expected, left));
        let found = world.search(&cx, mode, "crash").await.unwrap();
        assert_eq!((found.stale.unembedded, found.warnings.len()), (Some(0), 0));
    }
    world.close(&cx).await;
}

async fn what_is_too_slow_is_sent_in_halves(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(DIMS);
    world.settings.timeout = Duration::from_secs(2);
    world.store(&cx, issues(4)).await;
    world.sim.plan([Fault::Silence]);
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 4);
    let sizes: Vec<usize> = world.sim.asked().iter().map(|asked| asked.texts.len()).collect();
    assert_eq!(sizes, [4, 2, 2]);
    // A single text is sent again.
    world.store(&cx, vec![issue(1, "new", "")]).await;
    world.sim.plan([Fault::Silence]);
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
    assert_eq!(world.sim.asked().len(), 2);
    // And where that does not help, what helps is named.
    world.store(&cx, vec![issue(1, "newer", "")]).await;
    world.sim.plan(vec![Fault::Silence; 6]);
    let report = world.embed(&cx).await.unwrap_err().report();
    assert_eq!(report.code, Code::EmbedderUnavailable);
    let help = report.suggestion.unwrap();
    assert!(
        help.contains("embed.timeout_s") && help.contains("embed.batch"),
        "{help}"
    );
    world.close(&cx).await;
}

async fn a_text_that_is_too_slow_or_breaks_the_server_fails_alone(cx: Cx) {
    for (fault, of_a_batch) in [(Fault::Silence, 1), (Fault::Status(500), 3)] {
        let mut world = World::openai(&cx).await;
        world.settings.dims = Some(DIMS);
        world.settings.timeout = Duration::from_secs(2);
        world.store(&cx, issues(4)).await;
        // All four, the first two, and then the first by itself.
        world.sim.plan(vec![fault.clone(); of_a_batch * 2 + 3]);
        let done = world.embed(&cx).await.unwrap();
        assert_eq!((done.embedded, done.failed, done.remaining), (3, 1, 1), "{fault:?}");
        assert_eq!(done.failure.unwrap().code(), Code::EmbedderUnavailable);
        let failed = "SELECT attempts FROM embedding_owed";
        assert_eq!(world.number(&cx, failed).await, 1, "{fault:?}");
        // At the next time it may be otherwise.
        assert_eq!(world.embed(&cx).await.unwrap().embedded, 1);
        world.close(&cx).await;
    }
}

async fn what_was_embedded_before_the_end_is_counted(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(DIMS);
    world.settings.batch = 1;
    world.settings.concurrency = 1;
    world.store(&cx, issues(3)).await;
    let ids = [1, 2, 3];
    let fails = [Fault::Status(502), Fault::Status(502), Fault::Status(502)];
    world.sim.plan([Fault::Reversed].into_iter().chain(fails));
    let mut total = Embedded::default();
    let ended = embed::documents(&cx, &world.db, &world.embedder(&cx), &ids, &mut total).await;
    assert_eq!(ended.unwrap_err().code(), Code::EmbedderUnavailable);
    assert_eq!(total.embedded, 1);
    world.close(&cx).await;
}

/// An embedder that is overtaken: before it answers for the first time, somebody else has embedded everything.
#[derive(Debug)]
struct Overtaken {
    by: Arc<dyn Embedder>,
    db: annals_db::Db,
    was: AtomicBool,
}

const ALL: Plan = Plan {
    limit: None,
    again: Again::Always,
};

impl Embedder for Overtaken {
    fn identity(&self) -> &EmbedderId {
        self.by.identity()
    }

    fn embed<'a>(&'a self, cx: &'a Cx, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            if !self.was.swap(true, Ordering::Relaxed) {
                let mut total = Embedded::default();
                embed::owed(cx, &self.db, &self.by, ALL, &mut total, &|_| {})
                    .await
                    .unwrap();
                assert_eq!(total.embedded, 3);
            }
            self.by.embed(cx, texts).await
        })
    }
}

async fn what_another_has_embedded_is_not_written_again(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(DIMS);
    world.store(&cx, issues(3)).await;
    let slow: Arc<dyn Embedder> = Arc::new(Overtaken {
        by: world.embedder(&cx),
        db: world.db.clone(),
        was: AtomicBool::new(false),
    });
    let mut total = Embedded::default();
    embed::owed(&cx, &world.db, &slow, ALL, &mut total, &|_| {})
        .await
        .unwrap();
    assert_eq!((total.embedded, total.failed, total.remaining), (0, 0, 0));
    assert_eq!(world.vectors(&cx).await.len(), 3);
    world.close(&cx).await;
}

async fn another_width_of_the_same_model_is_another_set(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, issues(3)).await;
    assert_eq!(world.embed(&cx).await.unwrap().set.unwrap().dims, DIMS);
    // The model was replaced under its name: one document shows it, the next request asks how wide it is, and all are made.
    world.store(&cx, vec![issue(2, "new", "slow")]).await;
    world.sim.plan(vec![Fault::OtherDimensions; 3]);
    let done = world.embed(&cx).await.unwrap();
    assert_eq!((done.embedded, done.failed, done.remaining), (3, 0, 0));
    assert_eq!(done.set.unwrap().dims, DIMS + 1);
    assert_eq!(world.number(&cx, "SELECT count(*) FROM embedding_sets").await, 1);
    world.close(&cx).await;
}

async fn a_set_of_another_width_is_still_asked(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.dims = Some(DIMS);
    world.store(&cx, issues(3)).await;
    world.embed(&cx).await.unwrap();
    world.settings.dims = None;
    world.sim.asked();
    // Without `dims` the model gives all it has; asked for as many as then, as many.
    world.sim.plan([Fault::OtherDimensions]);
    let mode = annals_core::config::SearchMode::Semantic;
    let found = world.search(&cx, mode, "crash").await.unwrap();
    assert_eq!((found.mode, found.total), (Mode::Semantic, 3));
    let asked = world.sim.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].others.get("dimensions"), None);
    assert_eq!(asked[1].others["dimensions"], DIMS);
    world.close(&cx).await;
}

async fn a_cancelled_run_leaves_whole_documents(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings.batch = 1;
    world.settings.concurrency = 1;
    let long = "crash ".repeat(2_500);
    world.store(&cx, vec![issue(1, "A", &long), issue(2, "B", &long)]).await;
    world.embed(&cx).await.unwrap();
    let before = world.vectors(&cx).await;
    let longer = "slow ".repeat(3_000);
    world
        .store(&cx, vec![issue(1, "A", &longer), issue(2, "B", &longer)])
        .await;
    world.sim.asked();
    // The first document has three pieces; in the middle of the second nobody answers any more.
    world.sim.plan([
        Fault::Reversed,
        Fault::Reversed,
        Fault::Reversed,
        Fault::Reversed,
        Fault::Silence,
    ]);
    let region = cx.open_region(RegionSpec::new("asked to stop")).unwrap();
    let inner = region.cx().clone();
    let world = Arc::new(world);
    let embedding = world.clone();
    let mut task = inner
        .spawn("embed", move |cx| async move { embedding.embed(&cx).await })
        .unwrap();
    let mut asked = 0;
    while asked < 5 {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
        asked += world.sim.asked().len();
    }
    region.cancel(CancelReason::new(CancelKind::User, "a test", cx.now()));
    match task.join(&cx).await.unwrap() {
        Outcome::Cancelled(_) => {}
        Outcome::Err(error) => assert!(error.cancel_reason().is_some(), "{error}"),
        other => panic!("{other:?}"),
    }
    region.close(&cx).await;
    let after = world.vectors(&cx).await;
    let of = |vectors: &[(i64, i64, i64, Vec<f32>)], iid| -> Vec<_> {
        vectors.iter().filter(|vector| vector.0 == iid).cloned().collect()
    };
    assert_ne!(of(&after, 1), of(&before, 1), "the first is done");
    assert_eq!(of(&after, 1).len(), 3);
    assert_eq!(of(&after, 2), of(&before, 2), "the second is as it was");
    let rest = world.embed(&cx).await.unwrap();
    assert_eq!((rest.embedded, rest.remaining), (1, 0));
    Arc::into_inner(world).unwrap().close(&cx).await;
}
