//! Documents: exactly those that the run itself has made stale.

use annals_db::ids::SourceKind;
use annals_db::work::dirty;
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{Documents, EntityRef};

use super::{edited, ledger, options, rows, run, run_with};
use crate::common::World;

on_every_host!(
    surgical_docs_scope_ignores_preexisting_dirty_rows_for_same_entity,
    dirty_scope_correct_on_drained_queue,
    unrelated_dirty_rows_and_unembedded_documents_survive,
    documents_can_be_left_out,
);

const QUEUE: &str = "SELECT id, source_kind, source_id, reason FROM dirty_sources ORDER BY id";
const TITLE: &str = "SELECT d.title FROM documents d JOIN issues e ON e.id = d.source_id AND d.kind = 'issue'
                     WHERE e.iid = 2";

/// Says that the document of an issue must be made again, before the run.
async fn mark(cx: &Cx, world: &World, iid: i64) {
    let marked = world.db.write(cx, move |tx| {
        let row = tx.query_row("SELECT id FROM issues WHERE iid = ?1", (iid,), |row| row.get(0))?;
        dirty::mark(tx, SourceKind::Issue, row, "planted")
    });
    marked.await.unwrap();
}

async fn surgical_docs_scope_ignores_preexisting_dirty_rows_for_same_entity(cx: Cx) {
    let world = edited(&cx, 401).await;
    mark(&cx, &world, 2).await;
    let before = rows(&cx, &world, QUEUE).await;
    assert_eq!(before.len(), 1);
    let result = run(&cx, &world, &[EntityRef::issue(2)]).await.unwrap();
    assert_eq!(
        rows(&cx, &world, QUEUE).await,
        before,
        "its row stays, although its entity was rendered"
    );
    assert_eq!(world.text(&cx, TITLE).await.as_deref(), Some("another title"));
    let planted: i64 = before[0].split(' ').next().unwrap().parse().unwrap();
    assert!(!result.dirty_source_ids.is_empty());
    assert!(result.dirty_source_ids.iter().all(|id| id.0 > planted), "{result:?}");
    world.close(&cx).await;
}

/// Ids are never given out twice, so an empty queue has a mark below every row to come.
async fn dirty_scope_correct_on_drained_queue(cx: Cx) {
    let world = edited(&cx, 402).await;
    assert_eq!(world.number(&cx, "SELECT count(*) FROM dirty_sources").await, 0);
    let given_out = "SELECT seq FROM sqlite_sequence WHERE name = 'dirty_sources'";
    let before = world.number(&cx, given_out).await;
    assert!(before > 0, "the sync before has used some");
    let result = run(&cx, &world, &[EntityRef::issue(2)]).await.unwrap();
    let after = world.number(&cx, given_out).await;
    let ids: Vec<i64> = result.dirty_source_ids.iter().map(|id| id.0).collect();
    assert_eq!(
        ids,
        (before + 1..=after).collect::<Vec<_>>(),
        "each row that the run has left is its own"
    );
    assert_eq!(rows(&cx, &world, QUEUE).await, Vec::<String>::new());
    assert_eq!(world.text(&cx, TITLE).await.as_deref(), Some("another title"));
    world.close(&cx).await;
}

async fn unrelated_dirty_rows_and_unembedded_documents_survive(cx: Cx) {
    let world = edited(&cx, 403).await;
    for iid in [5, 6, 2] {
        mark(&cx, &world, iid).await;
    }
    let before = rows(&cx, &world, QUEUE).await;
    // A document that somebody else will make: it must not be made here.
    let spoil = "UPDATE documents SET title = 'spoilt' WHERE kind = 'issue'
                 AND source_id = (SELECT id FROM issues WHERE iid = 5)";
    super::plant(&cx, &world, spoil).await;
    // A document that somebody else will embed, and that has no vector yet.
    super::plant(
        &cx,
        &world,
        "UPDATE documents SET content_hash = x'00' WHERE kind = 'issue'
            AND source_id = (SELECT id FROM issues WHERE iid = 6);
         DELETE FROM embeddings WHERE document_id IN (SELECT document_id FROM embedding_owed)",
    )
    .await;
    let (owed, vectors) = (
        "SELECT document_id, attempts, anew FROM embedding_owed",
        "SELECT count(*) FROM embeddings WHERE document_id IN (SELECT document_id FROM embedding_owed)",
    );
    let unembedded = rows(&cx, &world, owed).await;
    assert_eq!((unembedded.len(), world.number(&cx, vectors).await), (1, 0));
    let result = run(&cx, &world, &super::THREE).await.unwrap();
    assert!(result.documents_embedded > 0);
    assert_eq!(rows(&cx, &world, QUEUE).await, before);
    assert_eq!(rows(&cx, &world, owed).await, unembedded);
    assert_eq!(world.number(&cx, vectors).await, 0);
    assert_eq!(
        world
            .number(&cx, "SELECT count(*) FROM documents WHERE title = 'spoilt'")
            .await,
        1
    );
    world.close(&cx).await;
}

async fn documents_can_be_left_out(cx: Cx) {
    let world = edited(&cx, 404).await;
    let before = world.text(&cx, TITLE).await;
    let mut options = options(&world);
    options.sync.documents = Documents::Leave;
    let targets = [EntityRef::issue(2)];
    let result = run_with(&cx, &world, &targets, Extent::Whole, options).await.unwrap();
    assert_eq!((result.status.as_str(), result.documents_regenerated), ("done", 0));
    assert_eq!(world.text(&cx, TITLE).await, before);
    let waiting: Vec<i64> = rows(&cx, &world, "SELECT id FROM dirty_sources ORDER BY id")
        .await
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    let ids: Vec<i64> = result.dirty_source_ids.iter().map(|id| id.0).collect();
    assert_eq!(ids, waiting, "what was left out is owed");
    let rows = ledger(&cx, &world, &result.run_id).await;
    assert!(!rows.iter().any(|row| row.contains("documents")), "{rows:?}");
    world.close(&cx).await;
}
