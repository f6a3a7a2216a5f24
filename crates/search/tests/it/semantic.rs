//! Searching by likeness, and by words and likeness together.

use crate::support::world::World;
use crate::support::{issue, labels};
use annals_core::config::{EmbedProvider, EmbedSettings, SearchMode};
use annals_core::{Code, Coded};
use annals_db::Visibility;
use annals_net_adapter::{Cx, on_every_host};
use annals_search::SearchRequest;
use annals_search::answer::{Facet, Mode, SearchResults};
use annals_testkit::embedder::Fault;

use crate::support::NOW;

on_every_host!(
    meaning_is_found_without_a_word_in_common,
    hybrid_puts_both_lists_together,
    filters_visibility_and_excluded_words_hold,
    hybrid_without_embedder_is_lexical_with_warning,
    semantic_without_embedder_exit_14,
    a_query_without_words_lists_by_date,
    nothing_embedded_yet_is_said,
    without_an_embedder_semantic_is_off,
    hashing_needs_no_server,
    pages_and_facets_are_of_the_same_hits,
);

async fn world(cx: &Cx) -> World {
    let world = World::openai(cx).await;
    let mut secret = issue(4, "Password panic", "the signin crashes");
    secret.confidential = true;
    let mut labelled = issue(3, "A photo is slow", "the picture takes forever");
    labelled.labels = labels(&["bug"]);
    let issues = vec![
        issue(1, "The app crashes", "a panic in the dialog"),
        issue(2, "Cannot sign in", "the password is refused"),
        labelled,
        secret,
        issue(5, "Release notes", "what is new"),
    ];
    world.store(cx, issues).await;
    world.embed(cx).await.unwrap();
    world.sim.asked();
    world
}

fn refs(results: &SearchResults) -> Vec<&str> {
    results
        .hits
        .iter()
        .map(|hit| hit.reference.trim_start_matches("group/app"))
        .collect()
}

async fn meaning_is_found_without_a_word_in_common(cx: Cx) {
    let world = world(&cx).await;
    let by_words = world.search(&cx, SearchMode::Lexical, "segfault").await.unwrap();
    assert_eq!((by_words.total, by_words.mode), (0, Mode::Lexical));
    assert_eq!(by_words.stale.unembedded, None);
    let found = world.search(&cx, SearchMode::Semantic, "segfault").await.unwrap();
    assert_eq!(found.mode, Mode::Semantic);
    assert_eq!(refs(&found)[..2], ["#1", "#4"], "{:?}", refs(&found));
    assert!(found.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(found.stale.unembedded, Some(0));
    assert_eq!(
        world.search(&cx, SearchMode::Semantic, "segfault").await.unwrap(),
        found
    );
    world.close(&cx).await;
}

async fn hybrid_puts_both_lists_together(cx: Cx) {
    let world = world(&cx).await;
    // A model that knows meanings is configured, so both is what is done when nothing else is asked.
    let found = world.search(&cx, SearchMode::Auto, "dialog crashes").await.unwrap();
    assert_eq!(found.mode, Mode::Hybrid);
    // Words: only #1 has both. Likeness: #1 before #4. So #1 has 1/61 + 1/61, and #4 has 1/62.
    assert_eq!(refs(&found)[..2], ["#1", "#4"]);
    assert_eq!(found.hits[0].score, Some(0.032_786_9));
    assert_eq!(found.hits[1].score, Some(0.016_129));
    assert_eq!(found.total, found.hits.len() as u64);
    let mut known = refs(&found);
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), found.hits.len(), "nothing is there twice");
    world.close(&cx).await;
}

async fn filters_visibility_and_excluded_words_hold(cx: Cx) {
    let world = world(&cx).await;
    for mode in [SearchMode::Semantic, SearchMode::Hybrid] {
        let asked = |query: &str| SearchRequest::new(query, NOW);
        let hidden = SearchRequest {
            visibility: Visibility::without_confidential(),
            ..asked("segfault")
        };
        let found = world.ask(&cx, mode, &hidden).await.unwrap();
        assert!(!refs(&found).contains(&"#4"), "{mode}: {:?}", refs(&found));
        let labelled = world.ask(&cx, mode, &asked("crashes label:bug")).await.unwrap();
        assert!(
            refs(&labelled).iter().all(|found| *found == "#3"),
            "{mode}: {:?}",
            refs(&labelled)
        );
        let without = world.ask(&cx, mode, &asked("segfault -dialog")).await.unwrap();
        assert!(
            !refs(&without).contains(&"#1") && refs(&without).contains(&"#4"),
            "{mode}"
        );
    }
    world.close(&cx).await;
}

async fn hybrid_without_embedder_is_lexical_with_warning(cx: Cx) {
    let world = world(&cx).await;
    for fault in [
        Fault::Status(500),
        Fault::Closed,
        Fault::RateLimited("1"),
        Fault::NotANumber,
    ] {
        world.sim.plan([fault.clone()]);
        let found = world.search(&cx, SearchMode::Auto, "dialog").await.unwrap();
        assert_eq!((found.mode, refs(&found)), (Mode::Lexical, vec!["#1"]), "{fault:?}");
        assert_eq!(found.warnings.len(), 1);
        assert!(found.warnings[0].contains("by words only"), "{:?}", found.warnings);
        assert_eq!(world.sim.asked().len(), 1, "somebody waits, so nothing is tried again");
    }
    assert_eq!(
        world.search(&cx, SearchMode::Auto, "dialog").await.unwrap().mode,
        Mode::Hybrid
    );
    world.close(&cx).await;
}

async fn semantic_without_embedder_exit_14(cx: Cx) {
    let world = world(&cx).await;
    world.sim.plan([Fault::Status(503)]);
    let report = world
        .search(&cx, SearchMode::Semantic, "dialog")
        .await
        .unwrap_err()
        .report();
    assert_eq!((report.code, report.exit_code(None)), (Code::EmbedderUnavailable, 14));
    assert!(report.retryable);
    world.close(&cx).await;
}

async fn a_query_without_words_lists_by_date(cx: Cx) {
    let world = world(&cx).await;
    for query in ["kind:issue", "-crashes", "…"] {
        let listed = world.search(&cx, SearchMode::Semantic, query).await.unwrap();
        assert_eq!(listed.mode, Mode::Lexical, "{query}");
        assert!(listed.hits.iter().all(|hit| hit.score.is_none()));
    }
    assert!(world.sim.asked().is_empty(), "there is nothing to embed in them");
    world.close(&cx).await;
}

async fn nothing_embedded_yet_is_said(cx: Cx) {
    let world = World::openai(&cx).await;
    world.store(&cx, vec![issue(1, "The app crashes", "")]).await;
    for mode in [SearchMode::Semantic, SearchMode::Hybrid] {
        let found = world.search(&cx, mode, "crashes").await.unwrap();
        assert_eq!((found.mode, found.total), (Mode::Lexical, 1));
        assert!(found.warnings[0].contains("annals embed"), "{:?}", found.warnings);
    }
    world.close(&cx).await;
}

async fn without_an_embedder_semantic_is_off(cx: Cx) {
    let mut world = world(&cx).await;
    world.settings.provider = EmbedProvider::None;
    let report = world
        .search(&cx, SearchMode::Semantic, "crashes")
        .await
        .unwrap_err()
        .report();
    assert_eq!(
        (report.code, &report.details["key"]),
        (Code::OptionOff, &"embed.provider".into())
    );
    let found = world.search(&cx, SearchMode::Auto, "crashes").await.unwrap();
    assert_eq!((found.mode, found.warnings.len()), (Mode::Lexical, 0));
    world.close(&cx).await;
}

async fn hashing_needs_no_server(cx: Cx) {
    let mut world = World::openai(&cx).await;
    world.settings = EmbedSettings::default();
    let issues = vec![
        issue(1, "Cutover race in the index", "the cutover races with the writer"),
        issue(2, "Snippets are cut", "a snippet ends inside a character"),
    ];
    world.store(&cx, issues).await;
    assert_eq!(world.embed(&cx).await.unwrap().embedded, 2);
    let found = world
        .search(&cx, SearchMode::Semantic, "racing cutovers")
        .await
        .unwrap();
    assert_eq!((found.mode, refs(&found)[0]), (Mode::Semantic, "#1"));
    let usual = world.search(&cx, SearchMode::Auto, "cutover").await.unwrap();
    assert_eq!(
        usual.mode,
        Mode::Lexical,
        "likeness of spelling is no reason to search another way"
    );
    assert!(world.sim.asked().is_empty());
    world.close(&cx).await;
}

async fn pages_and_facets_are_of_the_same_hits(cx: Cx) {
    let world = world(&cx).await;
    let whole = SearchRequest {
        facets: vec![Facet::Label, Facet::Kind],
        ..SearchRequest::new("crashes", NOW)
    };
    let all = world.ask(&cx, SearchMode::Hybrid, &whole).await.unwrap();
    let kinds = &all.facets[&Facet::Kind].values;
    assert_eq!(kinds.iter().map(|value| value.count).sum::<u64>(), all.total);
    let (mut paged, mut offset) = (Vec::new(), Some(0));
    while let Some(at) = offset {
        let page = SearchRequest {
            limit: 2,
            offset: at,
            ..whole.clone()
        };
        let page = world.ask(&cx, SearchMode::Hybrid, &page).await.unwrap();
        assert_eq!(page.total, all.total);
        offset = page.next_offset;
        paged.extend(page.hits);
    }
    assert_eq!(paged, all.hits);
    world.close(&cx).await;
}
