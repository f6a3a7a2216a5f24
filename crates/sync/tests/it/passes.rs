//! Full passes, floors, and what a run would do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::common::{World, sized};
use annals_core::UnixMs;
use annals_net_adapter::{Cx, on_every_host};
use annals_sync::{Reading, SweepWhen, SyncOptions};
use annals_testkit::forge::{Fault, FaultPlan, Key, Rule, State, When};

on_every_host!(
    full_pass_interrupted_then_continued,
    a_full_pass_sends_no_validators_and_sweeps,
    since_sets_floor,
    since_lowers_the_floor_of_an_empty_stream,
    since_reads_again_once,
    a_plan_counts_the_pages_that_are_read_again,
);

fn full(world: &World) -> SyncOptions {
    SyncOptions {
        reading: Reading::Full,
        ..world.options.clone()
    }
}

/// Edits that move no date, so that only reading everything shows them.
fn rename_quietly(state: &mut State, iids: &[i64], title: &str) {
    for iid in iids {
        state.edit_quietly(Key::issue(*iid), |entity| title.clone_into(&mut entity.head.title));
    }
}

/// The issues in the order of their list.
fn by_update(state: &State) -> Vec<(UnixMs, i64)> {
    let mut all: Vec<_> = (1..=30)
        .map(|iid| (state.head(Key::issue(iid)).unwrap().updated_at, iid))
        .collect();
    all.sort_unstable();
    all
}

async fn full_pass_interrupted_then_continued(cx: Cx) {
    let mut world = World::new(&cx, sized(81, 30, 2)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    let order = by_update(&world.sim.state());
    let (early, late) = (order[1].1, order[27].1);
    world
        .sim
        .with_state(|state| rename_quietly(state, &[early, late], "Quietly"));
    let fourth = Rule::new(Fault::MalformedJson, "*/issues?*", When::Nth(4));
    world.sim.set_faults(FaultPlan::none().with(fourth));
    let error = world.sync_as(&cx, full(&world)).await.unwrap_err();
    assert_eq!(error.code(), annals_core::Code::Partial, "{error}");
    let renamed = "SELECT count(*) FROM issues WHERE title = 'Quietly'";
    assert_eq!(world.number(&cx, renamed).await, 1, "the early one came in");
    let reached = world
        .number(&cx, "SELECT at FROM cursors WHERE stream = 'issues' AND pass = 'full'")
        .await;
    assert!(
        reached >= order[9].0.0 && reached < order[27].0.0,
        "{reached} {order:?}"
    );
    world.sim.set_faults(FaultPlan::none());
    // The everyday cursor keeps working meanwhile, and leaves the other alone.
    world.sim.with_state(|state| state.retitle(Key::issue(9), "In between"));
    world.sync(&cx).await.unwrap();
    let between = "SELECT count(*) FROM issues WHERE title = 'In between'";
    assert_eq!(world.number(&cx, between).await, 1);
    assert_eq!(
        world
            .number(&cx, "SELECT at FROM cursors WHERE stream = 'issues' AND pass = 'full'")
            .await,
        reached
    );
    world.sim.clear_log();
    world.sync_as(&cx, full(&world)).await.unwrap();
    let asked: Vec<_> = world
        .sim
        .log()
        .into_iter()
        .filter(|entry| entry.target.contains("/issues?"))
        .collect();
    assert!(
        asked[0].target.contains("updated_after="),
        "it goes on: {}",
        asked[0].target
    );
    assert_eq!(world.number(&cx, renamed).await, 2);
    assert_eq!(
        world
            .number(&cx, "SELECT count(*) FROM cursors WHERE pass = 'full'")
            .await,
        0,
        "it is over"
    );
    world.assert_whole(&cx, "after the full pass").await;
    // The next one begins at the beginning again.
    world.sim.clear_log();
    world.sync_as(&cx, full(&world)).await.unwrap();
    let first = world
        .sim
        .log()
        .into_iter()
        .find(|entry| entry.target.contains("/issues?"));
    assert!(!first.unwrap().target.contains("updated_after="));
    world.close(&cx).await;
}

async fn a_full_pass_sends_no_validators_and_sweeps(cx: Cx) {
    let mut world = World::new(&cx, sized(82, 6, 3)).await;
    let token = annals_core::Secret::new("glpat-anything");
    world
        .options
        .credentials
        .insert(world.sim.url().parse().unwrap(), token);
    world.sync(&cx).await.unwrap();
    world.sim.clear_log();
    let before = world.raw_dump(&cx).await;
    let options = SyncOptions {
        sweep: SweepWhen::Now,
        ..full(&world)
    };
    let result = world.sync_as(&cx, options).await.unwrap();
    let stats = world.sim.stats();
    assert_eq!((stats.conditional, stats.not_modified), (0, 0));
    assert_eq!(stats.by_method.get("POST"), Some(&2));
    assert_eq!(result.mode.as_str(), "full");
    assert_eq!(
        world
            .text(&cx, "SELECT group_concat(mode) FROM sync_runs")
            .await
            .as_deref(),
        Some("normal,full")
    );
    assert_eq!(world.raw_dump(&cx).await, before, "nothing was new");
    world.close(&cx).await;
}

async fn since_sets_floor(cx: Cx) {
    let mut world = World::new(&cx, sized(83, 30, 2)).await;
    world.options.settings.page_size = 5;
    let order = by_update(&world.sim.state());
    let floor = order[12].0;
    let options = SyncOptions {
        since: Some(floor),
        ..world.options.clone()
    };
    // Stopped before its first page, it keeps its floor.
    let first = Rule::new(Fault::MalformedJson, "*/issues?*", When::Nth(1));
    world.sim.set_faults(FaultPlan::none().with(first));
    world.sync_as(&cx, options).await.unwrap_err();
    world.sim.set_faults(FaultPlan::none());
    world.sync(&cx).await.unwrap();
    let iids = "SELECT count(*) FROM issues";
    assert_eq!(world.number(&cx, iids).await, 18);
    assert_eq!(world.number(&cx, "SELECT min(updated_at) FROM issues").await, floor.0);
    assert_eq!(
        world
            .number(&cx, "SELECT floor_at FROM cursors WHERE stream = 'issues'")
            .await,
        floor.0
    );
    // Neither a sweep nor a full pass goes below it.
    let options = SyncOptions {
        sweep: SweepWhen::Now,
        ..full(&world)
    };
    world.sync_as(&cx, options).await.unwrap();
    assert_eq!(world.number(&cx, iids).await, 18);
    world.close(&cx).await;
}

async fn since_lowers_the_floor_of_an_empty_stream(cx: Cx) {
    let mut world = World::new(&cx, sized(85, 30, 2)).await;
    world.options.settings.page_size = 5;
    let order = by_update(&world.sim.state());
    let ahead = UnixMs(world.sim.state().now().0 + 60_000);
    let from = |at: UnixMs| SyncOptions {
        since: Some(at),
        ..world.options.clone()
    };
    let above = |floor: UnixMs| i64::try_from(order.iter().filter(|(at, _)| *at >= floor).count()).unwrap();
    let (lower, lowest) = (order[12].0, order[2].0);
    assert!(above(lower) < above(lowest));
    let floor = "SELECT floor_at FROM cursors WHERE stream = 'issues'";
    let here = "SELECT count(*) FROM issues";
    world.sync_as(&cx, from(ahead)).await.unwrap();
    assert_eq!(world.number(&cx, here).await, 0);
    assert_eq!(world.number(&cx, floor).await, ahead.0);
    // A later time would leave out what came in between.
    world.sync_as(&cx, from(UnixMs(ahead.0 + 1))).await.unwrap();
    assert_eq!(world.number(&cx, floor).await, ahead.0);
    world.sync_as(&cx, from(lower)).await.unwrap();
    assert_eq!(world.number(&cx, here).await, above(lower));
    assert_eq!(world.number(&cx, floor).await, lower.0);
    // With rows above it the floor stays, and what is below is read once.
    world.sync_as(&cx, from(lowest)).await.unwrap();
    assert_eq!(world.number(&cx, here).await, above(lowest));
    assert_eq!(world.number(&cx, floor).await, lower.0);
    world.close(&cx).await;
}

async fn since_reads_again_once(cx: Cx) {
    let mut world = World::new(&cx, sized(84, 30, 2)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    let order = by_update(&world.sim.state());
    let (before, after) = (order[3].1, order[20].1);
    world
        .sim
        .with_state(|state| rename_quietly(state, &[before, after], "Quietly"));
    let cursors = "SELECT group_concat(stream || at || tie_id || coalesce(floor_at, ''), ' ') FROM cursors";
    let stood = world.text(&cx, cursors).await;
    let options = SyncOptions {
        since: Some(order[10].0),
        ..world.options.clone()
    };
    world.sync_as(&cx, options).await.unwrap();
    let renamed = "SELECT group_concat(iid) FROM issues WHERE title = 'Quietly'";
    assert_eq!(world.text(&cx, renamed).await, Some(after.to_string()));
    assert_eq!(world.text(&cx, cursors).await, stood, "it lowers nothing");
    // A time behind the cursor leaves nothing out.
    world
        .sim
        .with_state(|state| state.retitle(Key::issue(before), "Loudly"));
    let ahead = world.sim.state().now();
    let options = SyncOptions {
        since: Some(UnixMs(ahead.0 + 60_000)),
        ..world.options.clone()
    };
    world.sync_as(&cx, options).await.unwrap();
    world.assert_whole(&cx, "after a time that has not come").await;
    world.close(&cx).await;
}

async fn a_plan_counts_the_pages_that_are_read_again(cx: Cx) {
    let mut world = World::new(&cx, sized(86, 30, 2)).await;
    world.options.settings.page_size = 5;
    world.sync(&cx).await.unwrap();
    let first = by_update(&world.sim.state())[0].0;
    let again = SyncOptions {
        since: Some(first),
        ..world.options.clone()
    };
    let mut requests = Vec::new();
    for options in [&world.options, &again] {
        let plan = annals_sync::plan(&cx, &world.db, &[], options).await.unwrap();
        requests.push(plan.requests);
    }
    assert_eq!(
        requests[1],
        requests[0] + 5,
        "six pages of issues instead of one request"
    );
    world.close(&cx).await;
}
