//! People edit a project while it is mirrored and the forge errs; left in peace, the mirror equals the model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic"
)]

use std::sync::Arc;
use std::time::Duration;

use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::{Error, SyncResult};
use annals_testkit::forge::{Churn, Deletions, Fault, FaultPlan, Latency, Rule, SimOptions, When};

use crate::common::{World, sized};

/// What the forge does wrong, each as often as the others.
pub const FAULTS: [Fault; 14] = [
    Fault::TooManyRequests,
    Fault::Unavailable,
    Fault::InternalError,
    Fault::BadGateway,
    Fault::CloseBeforeHead,
    Fault::ResetBeforeHead,
    Fault::CloseInBody,
    Fault::ResetInBody,
    Fault::CloseInChunks,
    Fault::SlowBytes,
    Fault::Stall,
    Fault::TruncatedJson,
    Fault::RowMoves,
    Fault::ItemEdited,
];

/// Runs in peace that a mirror may need: one reads what is new, one what the first found late.
pub const QUIET_RUNS: i64 = 5;

/// Each of them at so many of a thousand answers.
pub fn faults(seed: u64, permille: u64) -> FaultPlan {
    let rule = |fault| Rule::new(fault, "*", When::Permille(permille));
    FAULTS
        .into_iter()
        .map(rule)
        .fold(FaultPlan::seeded(seed), FaultPlan::with)
}

/// Whether a run found nothing to do.
pub fn is_quiet(result: &SyncResult) -> bool {
    let streams = result.projects.iter().flat_map(|project| &project.streams);
    let jobs = result.projects.iter().map(|project| project.jobs.done);
    streams.map(|stream| stream.written).chain(jobs).sum::<u64>() == 0
}

/// How long the project is edited, in virtual time.
const CHURNED: Duration = Duration::from_secs(60);

/// In virtual time: for a minute one entity in a hundred is edited each second, one answer in a hundred is wrong, and
/// sync follows sync.
#[test]
fn mirror_is_right_after_churn_with_faults() {
    const ENTITIES: u32 = 100;
    for backend in BackendKind::compiled().iter().copied() {
        for seed in 0..3 {
            let why = format!("{backend}, seed {seed}");
            let told = why.clone();
            let mut lab = LabConfig::new(seed).on(backend);
            lab.max_steps = 50_000_000;
            let report = lab.run(move |cx| async move { churned(&cx, seed, &told).await });
            report.clean().unwrap_or_else(|failure| panic!("{why}: {failure}"));
            let (runs, edits) = report.outcome.ok().unwrap();
            eprintln!("{why}: {runs} runs while {edits} edits were made to {ENTITIES} entities, 0 wrong rows");
            assert!(runs >= 3 && edits >= 60, "{why}: {runs} runs, {edits} edits");
        }
    }
}

async fn churned(cx: &Cx, seed: u64, why: &str) -> (u64, u64) {
    let options = SimOptions {
        latency: Latency::Fixed(Duration::from_millis(40)),
        faults: faults(seed, 1),
        ..SimOptions::default()
    };
    let mut world = World::with(cx, sized(seed + 70, 60, 40), options).await;
    world.options.settings.page_size = 10;
    let world = Arc::new(world);
    let (forge, start) = (world.clone(), cx.now());
    let mut people = cx
        .spawn("people", move |cx| async move {
            let mut churn = Churn::new(seed, Deletions::Left);
            while cx.now().since(start) < CHURNED {
                cx.sleep(Duration::from_secs(1)).await?;
                forge.sim.with_state(|state| churn.stir(state, 1));
            }
            Ok::<_, Error>(churn.done())
        })
        .unwrap();
    let mut runs = 0;
    while cx.now().since(start) < CHURNED {
        // What failed is owed to the next run.
        let _ended = world.sync(cx).await;
        runs += 1;
    }
    let edits = people.join(cx).await.unwrap().ok().unwrap();
    world.sim.set_faults(FaultPlan::none());
    for quiet in 0.. {
        assert!(quiet < QUIET_RUNS, "{why}: it does not come to rest");
        let result = world
            .sync(cx)
            .await
            .unwrap_or_else(|error| panic!("{why}: {error} {:?}", error.report()));
        if is_quiet(&result) {
            break;
        }
    }
    world.assert_whole(cx, why).await;
    Arc::into_inner(world).unwrap().close(cx).await;
    (runs, edits)
}
