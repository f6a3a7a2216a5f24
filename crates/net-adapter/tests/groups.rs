//! Groups: bounded, in spawn order, and every result is accounted for. These are the four differences from joining a
//! list of futures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals_net_adapter::lab::{LabConfig, cancel_everywhere};
use annals_net_adapter::{
    BackendKind, CancelKind, CancelReason, Cancelled, Cx, GroupSpec, Outcome, Policy, RegionSpec, Runtime,
    RuntimeConfig, map_bounded, on_every_host,
};

fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped(Option<CancelReason>);

impl annals_net_adapter::TaskError for Stopped {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.0.as_ref()
    }
}

async fn group_returns_spawn_order(cx: Cx) {
    let outcomes = map_bounded(&cx, n(8), 0..32u64, |cx, i| async move {
        cx.sleep(Duration::from_millis(32 - i)).await?;
        Ok::<_, Cancelled>(i)
    })
    .await;
    assert!(outcomes.into_iter().map(|o| o.ok().unwrap()).eq(0..32));
}

#[test]
fn group_returns_spawn_order_under_every_schedule() {
    for &kind in BackendKind::compiled() {
        for seed in 0..32 {
            let report = LabConfig::new(seed).on(kind).run(group_returns_spawn_order);
            report.clean().unwrap();
        }
    }
}

/// The first few wait for each other, so that the limit is reached and not just kept.
async fn group_bounds_in_flight(cx: Cx) {
    const LIMIT: usize = 5;
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, most) = (now.clone(), peak.clone());
    let outcomes = map_bounded(&cx, n(LIMIT), 0..10_000usize, move |cx, i| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            while i < LIMIT && most.load(Ordering::SeqCst) < LIMIT {
                cx.yield_now().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 10_000);
    assert_eq!(peak.load(Ordering::SeqCst), LIMIT);
}

async fn collect_all_group_loses_no_failure(cx: Cx) {
    let outcomes = map_bounded(&cx, n(3), 0..20u64, |cx, i| async move {
        cx.sleep(Duration::from_millis(20 - i)).await.unwrap();
        if i % 4 == 0 { Err(Stopped(None)) } else { Ok(i) }
    })
    .await;
    let failed = outcomes
        .iter()
        .enumerate()
        .filter(|(_, o)| matches!(o, Outcome::Err(_)));
    assert!(failed.map(|(i, _)| i).eq((0..20).step_by(4)));
}

async fn group_keeps_late_results(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("cut")).unwrap();
    let inner = region.cx().clone();
    let spec = GroupSpec {
        name: "item",
        policy: Policy::CollectAll,
        max_in_flight: n(10),
    };
    let finished = Arc::new(AtomicUsize::new(0));
    let mut group = inner.group(spec);
    for i in 0..10u64 {
        let finished = finished.clone();
        group
            .spawn(&inner, move |cx| async move {
                if i >= 5 {
                    cx.cancelled().await;
                    cx.checkpoint()?;
                }
                finished.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Cancelled>(i)
            })
            .await
            .unwrap();
    }
    while finished.load(Ordering::SeqCst) < 5 {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
    region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    let outcomes = group.join_all(&inner).await;
    assert_eq!(outcomes.len(), 10);
    assert!(
        outcomes.iter().take(5).all(Outcome::is_ok),
        "finished before the cancel, kept: {outcomes:?}"
    );
    assert!(outcomes.iter().skip(5).all(|o| !o.is_ok()));
    region.close(&cx).await;
}

/// Whichever task is cancelled or dropped, at whichever of its polls: results + cancelled = inputs.
#[test]
fn group_keeps_late_results_whenever_it_is_cancelled() {
    async fn scenario(cx: Cx) -> Vec<Outcome<u64, Cancelled>> {
        map_bounded(&cx, n(3), 0..8u64, |cx, i| async move {
            cx.sleep(Duration::from_millis(i % 3)).await?;
            Ok(i)
        })
        .await
    }
    for &kind in BackendKind::compiled() {
        let mut partial = 0;
        let tried = cancel_everywhere(&LabConfig::new(7).on(kind), scenario, |report| {
            report.clean().unwrap();
            let Outcome::Ok(outcomes) = &report.outcome else { return };
            assert_eq!(outcomes.len(), 8);
            let mut kept = 0;
            for (i, outcome) in (0..).zip(outcomes) {
                match outcome {
                    Outcome::Ok(value) => {
                        assert_eq!(*value, i);
                        kept += 1;
                    }
                    Outcome::Cancelled(_) => {}
                    Outcome::Err(_) | Outcome::Panicked(_) => panic!("{kind}: {outcome:?}"),
                }
            }
            partial += usize::from(kept > 0 && kept < 8);
        });
        assert!(tried > 50 && partial > 10, "{kind}: {partial} of {tried}");
    }
}

async fn fail_fast_group_stops_at_once(cx: Cx) {
    let spec = GroupSpec {
        name: "item",
        policy: Policy::FailFast,
        max_in_flight: n(2),
    };
    let mut group = cx.group(spec);
    group
        .spawn(&cx, |cx| async move { Err(Stopped(Some(cx.cancelled().await))) })
        .await
        .unwrap();
    group
        .spawn(&cx, |_| async { Err::<(), _>(Stopped(None)) })
        .await
        .unwrap();
    let mut refused = 0;
    for _ in 0..10 {
        refused += usize::from(group.spawn(&cx, |_| async { Ok(()) }).await.is_err());
    }
    let outcomes = group.join_all(&cx).await;
    assert!(refused >= 9, "nothing starts after a failure: {refused}");
    assert!(
        matches!(&outcomes[0], Outcome::Cancelled(r) if r.kind == CancelKind::FailFast),
        "{:?}",
        outcomes[0]
    );
}

/// A failed task fails a region that stops at the first failure, so this has one of its own.
#[test]
fn fail_fast_group_stops_at_once_on_every_host() {
    for &kind in BackendKind::compiled() {
        let main = Runtime::build(kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                fail_fast_group_stops_at_once(cx).await;
                Ok::<_, Cancelled>(())
            });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}

on_every_host!(
    group_returns_spawn_order,
    group_bounds_in_flight,
    collect_all_group_loses_no_failure,
    group_keeps_late_results,
);
