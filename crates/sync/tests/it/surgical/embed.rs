//! Vectors: for exactly the documents that the run itself has made.

use std::collections::BTreeSet;
use std::time::Duration;

use annals_core::{Code, RunId};
use annals_db::control::{self, Acquired, LockRequest, NewRun};
use annals_db::ids::{RunMode, RunOrigin};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::surgical::Extent;
use annals_sync::{Documents, Embedding, EntityRef, Error, Progress, retry_failed};
use annals_testkit::embedder::{EmbedderSim, Fault};
use annals_testkit::forge::Key;

use super::ingest::of;
use super::{THREE, edit_three, ledger, only_run, options, plant, preflight_failed, request, rows, run, run_with};
use crate::common::{World, project_id, row_of, sized};
use crate::embed::through;

on_every_host!(
    embed_exactly_regenerated_documents,
    no_docs_never_embeds,
    documents_of_concurrent_sync_not_embedded_by_us,
    a_retry_embeds_what_its_run_could_not,
    a_retry_keeps_no_embed,
);

/// A world that was synced once, with a vector for everything.
async fn embedded(cx: &Cx, seed: u64) -> (World, EmbedderSim) {
    let mut world = World::new(cx, sized(seed, 6, 3)).await;
    let embedder = EmbedderSim::start(cx).await.unwrap();
    world.options.embedding = through(&embedder);
    world.sync(cx).await.unwrap();
    assert_eq!(world.number(cx, OWED).await, 0);
    embedder.asked();
    (world, embedder)
}

async fn close(cx: &Cx, world: World, embedder: EmbedderSim) {
    world.close(cx).await;
    let _report = embedder.stop().await;
}

const OWED: &str = "SELECT count(*) FROM embedding_owed";

/// What of a document is embedded, by its row.
const TEXTS: &str = "SELECT id, hex(title), hex(body) FROM documents ORDER BY id";

/// A vector has a new row whenever it is made.
const VECTORS: &str = "SELECT document_id, id FROM embeddings ORDER BY id";

/// The rows of documents at the beginning of the lines of `after` that are not in `before`.
fn changed(before: &[String], after: &[String]) -> BTreeSet<String> {
    let new = after.iter().filter(|line| !before.contains(line));
    new.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

async fn embed_exactly_regenerated_documents(cx: Cx) {
    let (world, embedder) = embedded(&cx, 601).await;
    // A document of somebody else whose vectors are to be made.
    let owed = "UPDATE documents SET content_hash = x'00' WHERE kind = 'issue'
                AND source_id = (SELECT id FROM issues WHERE iid = 5)";
    plant(&cx, &world, owed).await;
    world.sim.with_state(edit_three);
    let (texts, vectors) = (rows(&cx, &world, TEXTS).await, rows(&cx, &world, VECTORS).await);
    let result = run(&cx, &world, &THREE).await.unwrap();
    let made = changed(&texts, &rows(&cx, &world, TEXTS).await);
    let after = rows(&cx, &world, VECTORS).await;
    assert!(made.len() >= 6, "three entities and what was said about each: {made:?}");
    assert_eq!(changed(&vectors, &after), made);
    assert_eq!(result.documents_embedded, made.len() as u64);
    let sent: usize = embedder.asked().iter().map(|asked| asked.texts.len()).sum();
    let new = after.iter().filter(|line| !vectors.contains(line)).count();
    assert_eq!(sent, new, "nothing else was sent");
    let waiting = "SELECT e.iid FROM embedding_owed o JOIN documents d ON d.id = o.document_id
                   JOIN issues e ON d.kind = 'issue' AND e.id = d.source_id";
    assert_eq!(rows(&cx, &world, waiting).await, ["5"]);
    let told = ledger(&cx, &world, &result.run_id).await;
    for target in ["issue 2", "issue 3", "merge_request 1"] {
        assert!(told.contains(&format!("{target} embed ok")), "{told:?}");
    }
    close(&cx, world, embedder).await;
}

async fn no_docs_never_embeds(cx: Cx) {
    let (world, embedder) = embedded(&cx, 602).await;
    world.sim.with_state(edit_three);
    let vectors = rows(&cx, &world, VECTORS).await;
    let mut options = options(&world);
    options.sync.documents = Documents::Leave;
    let result = run_with(&cx, &world, &THREE, Extent::Whole, options.clone())
        .await
        .unwrap();
    assert_eq!((result.documents_regenerated, result.documents_embedded), (0, 0));
    let told = ledger(&cx, &world, &result.run_id).await;
    assert!(!told.iter().any(|row| row.contains(" embed ")), "{told:?}");
    // Nor does a sync of the whole project, although something is owed.
    plant(&cx, &world, "UPDATE documents SET content_hash = x'00'").await;
    let whole = world.sync_as(&cx, options.sync).await.unwrap();
    assert_eq!(whole.documents_embedded, 0);
    assert!(embedder.asked().is_empty());
    assert_eq!(rows(&cx, &world, VECTORS).await, vectors);
    close(&cx, world, embedder).await;
}

/// The surgical run waits for the lock, which a dead process of the other sync's machine holds, while that sync makes the
/// document of issue 5 and leaves it unembedded.
async fn documents_of_concurrent_sync_not_embedded_by_us(cx: Cx) {
    let (world, embedder) = embedded(&cx, 603).await;
    world.sim.with_state(|state| {
        let quiet = state.edit_quietly(Key::issue(2), |entity| "quiet".clone_into(&mut entity.head.title));
        assert!(quiet);
    });
    let project = row_of(project_id(&cx, &world.db).await);
    let (alive, run_id) = (of("here", 4711), RunId::new(cx.unix_ms(), [7; 10]));
    let held = world.db.write(&cx, move |tx| {
        let row = NewRun {
            run_id: run_id.clone(),
            parent: None,
            mode: RunMode::Normal,
            origin: RunOrigin::Schedule,
            project: Some(project),
            requested: serde_json::json!({}),
        };
        control::begin_run(tx, &row, &alive)?;
        let holder = "annals-server".to_owned();
        let request = LockRequest {
            project,
            run_id,
            holder,
        };
        Ok(matches!(control::acquire(tx, &request, &alive)?, Acquired::Yes(_)))
    });
    assert!(held.await.unwrap());
    let there = Db::open(&cx, &world.place.path, OpenOptions::write(of("there", 1)))
        .await
        .unwrap();
    let asked = request(&world, &[EntityRef::issue(2)], Extent::Whole);
    let (db, how) = (there.clone(), options(&world));
    let mut surgical = cx
        .spawn("surgical", move |cx| async move {
            annals_sync::surgical(&cx, &db, asked, how, Progress::silent()).await
        })
        .unwrap();
    let waiting = "SELECT count(*) FROM sync_runs WHERE mode = 'surgical' AND phase = 'ingest'";
    while world.number(&cx, waiting).await == 0 {
        cx.sleep(Duration::from_millis(5)).await.unwrap();
    }
    world
        .sim
        .with_state(|state| state.retitle(Key::issue(5), "of the other sync"));
    let mut leaves = world.options.clone();
    leaves.embedding = Embedding::Leave;
    let other = world.sync_as(&cx, leaves).await.unwrap();
    assert!(other.documents_regenerated > 0);
    let owed = "SELECT document_id FROM embedding_owed ORDER BY 1";
    let left = rows(&cx, &world, owed).await;
    assert!(!left.is_empty());

    let result = surgical.join(&cx).await.unwrap().ok().unwrap();
    assert!(result.documents_embedded > 0, "its own are embedded");
    assert_eq!(rows(&cx, &world, owed).await, left, "the other's are not");
    let sent: Vec<String> = embedder.asked().into_iter().flat_map(|asked| asked.texts).collect();
    assert!(sent.iter().any(|text| text.contains("quiet")), "{sent:?}");
    assert!(!sent.iter().any(|text| text.contains("of the other sync")), "{sent:?}");
    there.close(&cx).await.unwrap();
    close(&cx, world, embedder).await;
}

async fn a_retry_embeds_what_its_run_could_not(cx: Cx) {
    let (world, embedder) = embedded(&cx, 604).await;
    world.sim.with_state(edit_three);
    embedder.plan([Fault::Status(502), Fault::Status(502), Fault::Status(502)]);
    let Err(Error::Incomplete(incomplete)) = run(&cx, &world, &THREE).await else {
        panic!("the failure is told");
    };
    assert_eq!(incomplete.code, Code::Partial);
    let failure = &incomplete.failures[0];
    assert_eq!(
        (failure.part.as_deref(), failure.report.code),
        (Some("embed"), Code::EmbedderUnavailable)
    );
    let parent = only_run(&cx, &world).await;
    let told = ledger(&cx, &world, &parent).await;
    assert!(
        told.contains(&"issue 2 embed failed embedder_unavailable".to_owned()),
        "{told:?}"
    );
    let owed = world.number(&cx, OWED).await;
    assert!(owed > 3);

    let again = retry_failed(&cx, &world.db, parent, options(&world), Progress::silent())
        .await
        .unwrap();
    // Nothing of the forge is new, and yet there was something to do.
    assert_eq!((again.status.as_str(), again.documents_regenerated), ("done", 0));
    assert!(again.documents_embedded > 0);
    assert_eq!(world.number(&cx, OWED).await, 0);
    let told = ledger(&cx, &world, &again.run_id).await;
    assert!(told.contains(&"issue 2 embed ok".to_owned()), "{told:?}");
    close(&cx, world, embedder).await;
}

async fn a_retry_keeps_no_embed(cx: Cx) {
    let (world, embedder) = embedded(&cx, 605).await;
    let mut without = options(&world);
    without.sync.embedding = Embedding::Leave;
    let targets = [EntityRef::issue(2), EntityRef::issue(7)];
    let failed = preflight_failed(run_with(&cx, &world, &targets, Extent::Whole, without).await);
    world
        .sim
        .with_state(|state| state.add_issue(0, "now there is one", "more"));
    let again = retry_failed(&cx, &world.db, failed.run_id, options(&world), Progress::silent())
        .await
        .unwrap();
    assert!(again.documents_regenerated > 0);
    assert_eq!(again.documents_embedded, 0);
    assert!(embedder.asked().is_empty(), "no text may leave the machine");
    close(&cx, world, embedder).await;
}
