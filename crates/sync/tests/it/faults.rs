//! Everything the simulated forge can do wrong, at every kind of request: the mirror equals the
//! model afterwards, or the run says what failed and the next one reaches the model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use crate::common::{World, sized};
use annals_core::{Code, Secret};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::{Error, Event};
use annals_testkit::forge::{Effect, Fault, FaultPlan, Keyset, Policy, Rule, SimOptions};

/// What a fault may hit: the requests of each kind, and the lists in both ways of paging.
const TARGETS: [(&str, Keyset); 10] = [
    ("*/issues?*", Keyset::Ignored),
    ("*/issues?*", Keyset::Supported),
    ("*/merge_requests?*", Keyset::Supported),
    ("*/issues/*/discussions?*", Keyset::Supported),
    ("*/merge_requests/2", Keyset::Supported),
    ("*_label_events?*", Keyset::Supported),
    ("*/diffs?*", Keyset::Supported),
    ("*/commits?*", Keyset::Supported),
    ("*/labels?*", Keyset::Supported),
    ("*/projects/4200017", Keyset::Supported),
];

/// Faults that send a hundred megabytes; one target is enough for them.
const HUGE: [Fault; 3] = [Fault::OversizeBody, Fault::EndlessBody, Fault::GzipBomb];

macro_rules! every_fault_at {
    ($($name:ident: $target:expr;)+) => {$(
        #[test]
        fn $name() {
            every_fault($target);
        }
    )+};
}

every_fault_at! {
    every_fault_at_issue_pages: 0;
    every_fault_at_issue_positions: 1;
    every_fault_at_merge_request_pages: 2;
    every_fault_at_discussions: 3;
    every_fault_at_details: 4;
    every_fault_at_events: 5;
    every_fault_at_diffs: 6;
    every_fault_at_commits: 7;
    every_fault_at_labels: 8;
    every_fault_at_the_project: 9;
}

fn every_fault(target: usize) {
    for backend in BackendKind::compiled() {
        for fault in Fault::ALL
            .iter()
            .copied()
            .filter(|fault| target == 0 || !HUGE.contains(fault))
        {
            let (pattern, keyset) = TARGETS[target];
            let mut lab = LabConfig::new(7).on(*backend);
            lab.max_steps = 20_000_000;
            let report = lab.run(move |cx| async move { one_fault(&cx, fault, pattern, keyset).await });
            if let Err(failure) = report.clean() {
                panic!("{} at {pattern}: {failure}", fault.name());
            }
        }
    }
}

async fn one_fault(cx: &Cx, fault: Fault, pattern: &'static str, keyset: Keyset) {
    let why = format!("{} at {pattern} ({keyset:?})", fault.name());
    let policy = Policy {
        keyset,
        ..Policy::default()
    };
    let faults = FaultPlan::none().with(Rule::once(fault, pattern));
    let mut world = World::with(
        cx,
        sized(21, 7, 3),
        SimOptions {
            faults,
            policy,
            ..SimOptions::default()
        },
    )
    .await;
    world.options.settings.page_size = 3;
    world
        .options
        .credentials
        .insert(world.sim.url().parse().unwrap(), Secret::new("glpat-anything"));
    let (first, told) = world.sync_told(cx).await;
    assert_eq!(
        world.sim.stats().faults.get(fault.name()),
        Some(&1),
        "{why}: the fault was not met"
    );
    match fault.effect() {
        Effect::Harmless | Effect::Retried => {
            if let Err(error) = &first {
                panic!("{why}: {error} {:?}", error.report());
            }
            world.assert_whole(cx, &why).await;
        }
        Effect::NextRun(codes) => {
            for code in codes_of(&first) {
                assert!(codes.contains(&code.as_str()), "{why}: {code:?} is none of {codes:?}");
            }
        }
        Effect::Quarantined => {
            if first.is_ok() {
                let named = told.iter().any(|event| {
                    matches!(
                        event,
                        Event::Warning {
                            code: Code::Transform,
                            ..
                        }
                    )
                });
                let aside = world.number(cx, "SELECT count(*) FROM quarantine").await;
                // Where the list is one object the fault has nothing to spoil.
                assert!(aside <= 1 && (aside == 0 || named), "{why}: {aside} aside, {told:?}");
            } else {
                assert_eq!(codes_of(&first), [Code::Protocol], "{why}");
            }
        }
    }
    integrity(cx, &world, &why).await;
    world.sim.set_faults(FaultPlan::none());
    let second = world.sync(cx).await;
    if let Err(error) = &second {
        panic!("{why}, the run after: {error} {:?}", error.report());
    }
    world.assert_whole(cx, &format!("{why}, the run after")).await;
    world.close(cx).await;
}

/// The codes of everything that failed in a run.
fn codes_of(result: &Result<annals_sync::SyncResult, Error>) -> Vec<Code> {
    match result {
        Ok(_) => Vec::new(),
        Err(Error::Incomplete(incomplete)) => incomplete.failures.iter().map(|failure| failure.report.code).collect(),
        Err(error) => vec![error.code()],
    }
}

async fn integrity(cx: &Cx, world: &World, why: &str) {
    assert_eq!(
        world.text(cx, "PRAGMA integrity_check").await.as_deref(),
        Some("ok"),
        "{why}"
    );
    let locks = world
        .number(cx, "SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL")
        .await;
    let running = world
        .number(cx, "SELECT count(*) FROM sync_runs WHERE status = 'running'")
        .await;
    let claimed = world
        .number(cx, "SELECT count(*) FROM dependent_jobs WHERE status = 'claimed'")
        .await;
    assert_eq!((locks, running, claimed), (0, 0, 0), "{why}");
}
