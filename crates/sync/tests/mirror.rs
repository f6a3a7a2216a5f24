//! The main job against the simulated forge: the mirror equals the model, and stays that way
//! without work.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use annals_net_adapter::{Cx, on_every_host};
use common::{World, small};

on_every_host!(first_run_mirrors_the_model);

async fn first_run_mirrors_the_model(cx: Cx) {
    let world = World::new(&cx, small(1)).await;
    let result = world.sync(&cx).await.unwrap();
    assert_eq!(result.projects.len(), 1);
    world.assert_whole(&cx, "after the first run").await;
    world.close(&cx).await;
}
