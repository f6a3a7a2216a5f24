//! Surgical sync: a few entities, all or none, and nobody else's work touched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod dependents;
mod documents;
mod embed;
mod ingest;
mod preflight;
mod recorded;
mod retry;
mod stopped;

use std::num::NonZeroUsize;

use annals_core::RunId;
use annals_net_adapter::Cx;
use annals_sync::surgical::{Extent, PreflightFailed, Request};
use annals_sync::{EntityRef, Error, Event, Progress, SurgicalOptions, SyncResult, Target, surgical};
use annals_testkit::forge::{Key, State};

use crate::common::{World, sized};

/// Two issues and a merge request.
pub const THREE: [EntityRef; 3] = [EntityRef::issue(2), EntityRef::issue(3), EntityRef::merge_request(1)];

/// A world that was synced once, and in which every target of [`THREE`] was edited since.
pub async fn edited(cx: &Cx, seed: u64) -> World {
    let world = World::new(cx, sized(seed, 6, 3)).await;
    world.sync(cx).await.unwrap();
    world.sim.with_state(edit_three);
    world
}

/// New titles and a new note for every target of [`THREE`].
pub fn edit_three(state: &mut State) {
    for key in [Key::issue(2), Key::issue(3), Key::mr(1)] {
        state.retitle(key, "another title");
        state.add_note(key, 0, "a new note");
    }
}

pub fn request(world: &World, targets: &[EntityRef], extent: Extent) -> Request {
    Request::new(Target::Url(world.sim.project_url()), targets.iter().copied(), extent).unwrap()
}

pub fn options(world: &World) -> SurgicalOptions {
    SurgicalOptions::new(world.options.clone())
}

pub async fn run(cx: &Cx, world: &World, targets: &[EntityRef]) -> Result<SyncResult, Error> {
    run_with(cx, world, targets, Extent::Whole, options(world)).await
}

pub async fn run_with(
    cx: &Cx,
    world: &World,
    targets: &[EntityRef],
    extent: Extent,
    options: SurgicalOptions,
) -> Result<SyncResult, Error> {
    let request = request(world, targets, extent);
    surgical(cx, &world.db, request, options, Progress::silent()).await
}

pub async fn run_told(cx: &Cx, world: &World, targets: &[EntityRef]) -> (Result<SyncResult, Error>, Vec<Event>) {
    let (progress, mut events) = Progress::channel(NonZeroUsize::new(10_000).unwrap());
    let request = request(world, targets, Extent::Whole);
    let result = surgical(cx, &world.db, request, options(world), progress).await;
    (result, events.drain())
}

/// The failed preflight that a run must have ended with.
pub fn preflight_failed(result: Result<SyncResult, Error>) -> PreflightFailed {
    match result {
        Err(Error::Preflight(failed)) => *failed,
        other => panic!("not a failed preflight: {other:?}"),
    }
}

/// Makes the store refuse something from now on, or do something beside it.
pub async fn plant(cx: &Cx, world: &World, sql: &'static str) {
    world.db.write(cx, move |tx| Ok(tx.execute_batch(sql)?)).await.unwrap();
}

/// Every row that a query finds, its columns as text.
pub async fn rows(cx: &Cx, world: &World, sql: &'static str) -> Vec<String> {
    let found = world.db.read(cx, move |conn| {
        let mut select = conn.prepare(sql)?;
        let columns = select.column_count();
        let rows = select.query_map((), |row| {
            let values = (0..columns).map(|at| {
                row.get_ref(at).map(|value| match value {
                    rusqlite::types::ValueRef::Null => "-".to_owned(),
                    rusqlite::types::ValueRef::Integer(n) => n.to_string(),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    other => format!("{other:?}"),
                })
            });
            Ok(values.collect::<Result<Vec<_>, _>>()?.join(" "))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    });
    found.await.unwrap()
}

/// The ledger of a run: entity, stage, status, code.
pub async fn ledger(cx: &Cx, world: &World, run: &RunId) -> Vec<String> {
    let run = run.clone();
    let found = world.db.read(cx, move |conn| {
        let mut select = conn.prepare(
            "SELECT entity_type || ' ' || iid || ' ' || stage || ' ' || status || coalesce(' ' || error_code, '')
             FROM sync_run_entities WHERE run_id = ?1 ORDER BY id",
        )?;
        let rows = select.query_map((run.as_str(),), |row| row.get(0))?;
        Ok(rows.collect::<Result<Vec<String>, _>>()?)
    });
    found.await.unwrap()
}

/// The one surgical run of the ledger.
pub async fn only_run(cx: &Cx, world: &World) -> RunId {
    let id = "SELECT max(run_id) FROM sync_runs WHERE mode = 'surgical' HAVING count(*) = 1";
    RunId(world.text(cx, id).await.unwrap())
}

/// The title of an issue in the file.
pub const TITLE_OF_2: &str = "SELECT title FROM issues WHERE iid = 2";
