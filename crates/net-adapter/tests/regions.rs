//! Regions and tasks: nothing is left behind, nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::sync::Notify;
use annals_net_adapter::{
    CancelKind, CancelReason, Cancelled, Cx, Outcome, OutcomeKind, Policy, RegionSpec, SpawnError, on_every_host,
    on_every_runtime,
};

#[derive(Debug, thiserror::Error)]
#[error("it failed")]
struct Failed;
impl annals_net_adapter::TaskError for Failed {}

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

async fn region_close_waits_for_all_children(cx: Cx) {
    let done = Arc::new(AtomicUsize::new(0));
    let region = cx.open_region(RegionSpec::new("many")).unwrap();
    for i in 0..1000 {
        let done = done.clone();
        region
            .cx()
            .spawn("child", move |cx| async move {
                cx.sleep(Duration::from_millis(i % 3)).await?;
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Cancelled>(())
            })
            .unwrap();
    }
    let report = region.close(&cx).await;
    assert_eq!(done.load(Ordering::SeqCst), 1000);
    assert_eq!(report.drain.completed, 1000);
    assert!(report.drain.quiescent);
    assert!(
        report.tasks.iter().map(|t| t.index).eq(0..1000),
        "reports are in spawn order"
    );
}

async fn spawn_after_close_is_rejected(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("closed")).unwrap();
    let inside = region.cx().clone();
    region.close(&cx).await;
    let refused = inside.spawn("late", |_| async { Ok::<_, Cancelled>(()) });
    assert!(matches!(refused, Err(SpawnError::RegionClosed { .. })));
}

async fn dropped_guard_never_detaches(cx: Cx) {
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = ended.clone();
    let outer = cx
        .region(RegionSpec::new("outer"), |cx| async move {
            let inner = cx.open_region(RegionSpec::new("inner")).unwrap();
            inner
                .cx()
                .spawn("child", move |cx| async move {
                    let reason = cx.cancelled().await;
                    cx.sleep_full(Duration::from_millis(5)).await;
                    seen.fetch_add(1, Ordering::SeqCst);
                    Err::<(), _>(Cancelled(reason))
                })
                .unwrap();
            drop(inner);
            Ok::<_, Cancelled>(())
        })
        .await;
    assert_eq!(
        ended.load(Ordering::SeqCst),
        1,
        "the parent waited for the child of the dropped guard"
    );
    assert!(outer.body.is_ok());
}

async fn cancel_runs_finalizers_once_in_reverse_order(cx: Cx) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let region = cx.open_region(RegionSpec::new("finalized")).unwrap();
    for i in 0..3 {
        let order = order.clone();
        region
            .cx()
            .defer("finalizer", Duration::from_secs(30), move |cx| async move {
                cx.sleep(Duration::from_millis(1)).await.expect("a finalizer is masked");
                order.lock().unwrap().push(i);
            })
            .unwrap();
    }
    region.cancel(reason(&cx));
    region.close(&cx).await;
    assert_eq!(*order.lock().unwrap(), [2, 1, 0]);
}

async fn noncooperative_task_is_reported_not_hidden(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("stubborn")).unwrap();
    let mut task = region
        .cx()
        .spawn("deaf", |_| async {
            std::future::pending::<Result<(), Cancelled>>().await
        })
        .unwrap();
    let report = region.close_within(Duration::from_millis(20)).await;
    assert_eq!(
        report.drain.stragglers.iter().map(|t| t.name).collect::<Vec<_>>(),
        ["deaf"]
    );
    let outcome = task.join(&cx).await.unwrap();
    assert!(matches!(outcome, Outcome::Cancelled(r) if r.kind == CancelKind::Straggler));
}

async fn panic_in_child_reaches_region_outcome(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("panics")).unwrap();
    region
        .cx()
        .spawn("bad", |_| async {
            if true { panic!("boom") } else { Ok::<(), Cancelled>(()) }
        })
        .unwrap();
    let report = region.close(&cx).await;
    assert_eq!(report.overall, OutcomeKind::Panicked);
    assert!(report.cause().unwrap().message.as_ref().unwrap().contains("boom"));
}

async fn fail_fast_shows_the_cause(cx: Cx) {
    let outcome = cx
        .region(RegionSpec::new("fragile"), |cx| async move {
            for _ in 0..3 {
                cx.spawn(
                    "victim",
                    |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
                )
                .unwrap();
            }
            cx.spawn("culprit", |cx| async move {
                cx.yield_now().await;
                Err::<(), _>(Failed)
            })
            .unwrap();
            Ok::<_, Failed>(())
        })
        .await;
    assert_eq!(outcome.report.overall, OutcomeKind::Err);
    assert_eq!(outcome.report.cause().unwrap().name, "culprit");
    assert_eq!(outcome.report.drain.cancelled, 3);
}

async fn collect_all_loses_nothing(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("mixed")).unwrap();
    for i in 0..20 {
        region
            .cx()
            .spawn("item", move |cx| async move {
                cx.sleep(Duration::from_millis(20 - i)).await.unwrap();
                if i % 4 == 0 { Err(Failed) } else { Ok(()) }
            })
            .unwrap();
    }
    let report = region.close(&cx).await;
    assert_eq!((report.drain.completed, report.drain.failed), (15, 5));
    assert_eq!(report.tasks.len(), 20);
}

async fn cancel_child_never_touches_parent(cx: Cx) {
    let child = cx.open_region(RegionSpec::new("child")).unwrap();
    child.cancel(reason(&cx));
    assert!(child.cx().is_cancelled());
    child.close(&cx).await;
    assert!(!cx.is_cancelled());
}

async fn sleep_full_is_full_after_cancel(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("sleepy")).unwrap();
    region.cancel(reason(&cx));
    let before = cx.now();
    region.cx().sleep_full(Duration::from_millis(30)).await;
    assert!(cx.now().since(before) >= Duration::from_millis(30));
    region.close(&cx).await;
}

async fn mask_hides_then_shows_cancel(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("masked")).unwrap();
    region.cancel(reason(&cx));
    let inside = region
        .cx()
        .masked(Duration::from_secs(30), |cx| async move {
            cx.sleep(Duration::from_millis(1)).await.expect("hidden");
            cx.is_cancelled()
        })
        .await;
    assert_eq!(inside, Ok(false));
    assert!(region.cx().is_cancelled());
    region.close(&cx).await;
}

async fn masked_is_bounded_by_time(cx: Cx) {
    let limit = Duration::from_millis(20);
    let result = cx.masked(limit, |_| std::future::pending::<()>()).await;
    assert_eq!(result.unwrap_err().limit, limit);
}

async fn value_after_cancel_is_kept(cx: Cx) {
    let mut task = cx
        .spawn("late", |cx| async move {
            cx.cancelled().await;
            Ok::<_, Cancelled>(42)
        })
        .unwrap();
    task.cancel(reason(&cx));
    assert_eq!(task.join(&cx).await.unwrap(), Outcome::Ok(42));
}

async fn dropped_join_does_not_abort(cx: Cx) {
    let go = Arc::new(Notify::default());
    let told = go.clone();
    let slow = move |cx: Cx| async move {
        told.notified(&cx).await?;
        Ok::<_, Cancelled>(7)
    };
    let mut task = cx.spawn("slow", slow).unwrap();
    assert!(cx.timeout(Duration::from_millis(1), task.join(&cx)).await.is_err());
    go.notify_one();
    assert_eq!(task.join(&cx).await.unwrap(), Outcome::Ok(7));
}

async fn join_obeys_caller_cancel(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("caller")).unwrap();
    let mut task = cx
        .spawn(
            "other",
            |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
        )
        .unwrap();
    region.cancel(reason(&cx));
    assert!(task.join(region.cx()).await.is_err());
    task.cancel(reason(&cx));
    assert!(!task.join(&cx).await.unwrap().is_ok());
    region.close(&cx).await;
}

async fn first_reason_wins(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("twice")).unwrap();
    region.cancel(CancelReason::new(CancelKind::User, "first", cx.now()));
    region.cancel(CancelReason::new(CancelKind::Shutdown, "second", cx.now()));
    assert_eq!(region.cx().cancel_reason().unwrap().origin, "first");
    region.close(&cx).await;
}

async fn deadline_is_inherited_and_tightened(cx: Cx) {
    use annals_net_adapter::Budget;
    let near = cx.now().after(Duration::from_millis(20));
    let far = cx.now().after(Duration::from_secs(3600));
    let region = cx
        .open_region(RegionSpec {
            budget: Budget::until(near),
            policy: Policy::CollectAll,
            ..RegionSpec::new("timed")
        })
        .unwrap();
    assert_eq!(
        region.cx().with_budget(Budget::until(far)).budget().deadline,
        Some(near)
    );
    let mut task = region
        .cx()
        .spawn(
            "waits",
            |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
        )
        .unwrap();
    let outcome = task.join(&cx).await.unwrap();
    assert!(matches!(outcome, Outcome::Cancelled(r) if r.kind == CancelKind::Deadline));
    region.close(&cx).await;
}

async fn blocking_value_survives_cancel(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("blocks")).unwrap();
    let inner = region.cx().clone();
    let started = Arc::new(AtomicUsize::new(0));
    let flag = started.clone();
    let mut task = cx
        .spawn("caller", move |_| async move {
            Ok::<_, Cancelled>(
                inner
                    .blocking("work", move |b| {
                        flag.store(1, Ordering::SeqCst);
                        while !b.is_cancelled() {
                            std::thread::yield_now();
                        }
                        Ok::<_, Cancelled>("kept")
                    })
                    .await,
            )
        })
        .unwrap();
    while started.load(Ordering::SeqCst) == 0 {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
    region.cancel(reason(&cx));
    assert_eq!(task.join(&cx).await.unwrap(), Outcome::Ok(Outcome::Ok("kept")));
    region.close(&cx).await;
}

async fn blocking_not_started_when_cancelled(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("blocks")).unwrap();
    region.cancel(reason(&cx));
    let outcome = region
        .cx()
        .blocking("work", |_| -> Result<(), Cancelled> { panic!("must not start") })
        .await;
    assert_eq!(outcome.kind(), OutcomeKind::Cancelled);
    region.close(&cx).await;
}

async fn serial_runs_in_order_and_finishes(cx: Cx) {
    let serial = cx.serial("writer", 4.try_into().unwrap()).unwrap();
    let last = Arc::new(AtomicU64::new(0));
    for i in 1..=100 {
        let last = last.clone();
        let outcome = serial
            .run(&cx, move |_| Ok::<_, Cancelled>(last.swap(i, Ordering::SeqCst)))
            .await;
        assert_eq!(outcome, Outcome::Ok(i - 1));
    }
}

async fn a_region_deadline_ends_its_close(cx: Cx) {
    use annals_net_adapter::Budget;
    let budget = Budget::until(cx.now().after(Duration::from_millis(10)));
    let region = cx
        .open_region(RegionSpec {
            budget,
            ..RegionSpec::new("timed")
        })
        .unwrap();
    region
        .cx()
        .spawn(
            "waits",
            |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
        )
        .unwrap();
    let report = region.close(&cx).await;
    assert_eq!(
        report.cause().unwrap().cancelled.as_ref().unwrap().kind,
        CancelKind::Deadline
    );
}

async fn a_loop_that_never_waits_obeys_its_deadline(cx: Cx) {
    use annals_net_adapter::Budget;
    let timed = cx.with_budget(Budget::until(cx.now().after(Duration::from_millis(10))));
    while timed.or_cancel(std::future::ready(())).await.is_ok() {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
    assert_eq!(timed.cancel_reason().unwrap().kind, CancelKind::Deadline);
}

async fn finalizers_survive_a_dropped_close(cx: Cx) {
    let finished = Arc::new(AtomicUsize::new(0));
    let seen = finished.clone();
    let go = Arc::new(Notify::default());
    let told = go.clone();
    let outer = cx.open_region(RegionSpec::new("outer")).unwrap();
    let region = outer.cx().open_region(RegionSpec::new("inner")).unwrap();
    region
        .cx()
        .defer("release", Duration::from_secs(30), move |cx| async move {
            told.notified(&cx).await.unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    assert!(cx.timeout(Duration::from_millis(5), region.close(&cx)).await.is_err());
    go.notify_one();
    outer.close(&cx).await;
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

async fn a_task_started_inside_a_mask_can_be_cancelled(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("masks")).unwrap();
    let started = region
        .cx()
        .masked(Duration::from_millis(50), |cx| async move {
            cx.spawn(
                "later",
                |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
            )
        })
        .await;
    assert!(started.unwrap().is_ok());
    let report = region.close_within(Duration::from_secs(60)).await;
    assert!(report.drain.stragglers.is_empty());
}

async fn inv3_no_new_unit_after_draining(cx: Cx) {
    assert!(cx.may_start().is_ok());
    cx.shutdown().begin(reason(&cx));
    assert!(cx.may_start().is_err());
    assert!(!cx.is_cancelled(), "what runs may finish");
    assert!(
        cx.pause(Duration::from_secs(3600)).await.is_err(),
        "waits between units end at once"
    );
}

async fn close_within_is_bounded(cx: Cx) {
    for (deaf, bound) in [(false, Duration::from_secs(60)), (true, Duration::from_millis(200))] {
        let region = cx.open_region(RegionSpec::collect_all("bounded")).unwrap();
        region
            .cx()
            .spawn("child", move |cx| async move {
                let reason = cx.cancelled().await;
                if deaf {
                    std::future::pending::<()>().await;
                }
                Err::<(), _>(Cancelled(reason))
            })
            .unwrap();
        let before = cx.now();
        let report = region.close_within(bound).await;
        assert_eq!(report.drain.stragglers.len(), usize::from(deaf));
        assert_eq!(
            cx.now().since(before) >= bound,
            deaf,
            "it waits as long as somebody is left"
        );
    }
}

/// A thousand tasks on three levels, some of which fail, are cancelled, hold permits or leave their regions behind.
async fn storm(cx: Cx) {
    let room = annals_net_adapter::sync::Semaphore::new(7);
    let region = cx.open_region(RegionSpec::collect_all("storm")).unwrap();
    for i in 0..10u64 {
        let room = room.clone();
        let middle = move |cx: Cx| async move {
            let inner = cx.open_region(RegionSpec::collect_all("middle")).unwrap();
            for j in 0..100u64 {
                let room = room.clone();
                let leaf = move |cx: Cx| async move {
                    let _permit = room.acquire(&cx, 1).await.map_err(|_| Failed)?;
                    let pause = cx.rng().u64(0..3);
                    cx.sleep(Duration::from_millis(pause)).await.map_err(|_| Failed)?;
                    if j % 10 == 0 { Err(Failed) } else { Ok(()) }
                };
                inner.cx().spawn("leaf", leaf).unwrap();
            }
            match i % 3 {
                0 => drop(inner),
                1 => inner.cancel(reason(&cx)),
                _ => {}
            }
            Ok::<_, Failed>(())
        };
        region.cx().spawn("middle", middle).unwrap();
    }
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent && report.drain.completed == 10);
}

on_every_host!(
    storm,
    region_close_waits_for_all_children,
    spawn_after_close_is_rejected,
    dropped_guard_never_detaches,
    cancel_runs_finalizers_once_in_reverse_order,
    fail_fast_shows_the_cause,
    collect_all_loses_nothing,
    cancel_child_never_touches_parent,
    sleep_full_is_full_after_cancel,
    mask_hides_then_shows_cancel,
    masked_is_bounded_by_time,
    value_after_cancel_is_kept,
    dropped_join_does_not_abort,
    join_obeys_caller_cancel,
    first_reason_wins,
    deadline_is_inherited_and_tightened,
    blocking_not_started_when_cancelled,
    serial_runs_in_order_and_finishes,
    a_region_deadline_ends_its_close,
    a_loop_that_never_waits_obeys_its_deadline,
    finalizers_survive_a_dropped_close,
    a_task_started_inside_a_mask_can_be_cancelled,
    inv3_no_new_unit_after_draining,
);
/// A finalizer that begins a call, waits until it runs and leaves it behind; the call ends when `released` says so. What
/// is returned turns 1 when it was left.
fn leave_a_call(cx: &Cx, released: std::sync::mpsc::Receiver<()>, ended: Arc<AtomicUsize>) -> Arc<AtomicUsize> {
    let left = Arc::new(AtomicUsize::new(0));
    let leaves = left.clone();
    let leave = move |cx: Cx| async move {
        let began = Arc::new(AtomicUsize::new(0));
        let begins = began.clone();
        let mut call = Box::pin(cx.blocking("call", move |_| {
            begins.store(1, Ordering::SeqCst);
            let (Ok(()) | Err(_)) = released.recv();
            ended.store(1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        }));
        while began.load(Ordering::SeqCst) == 0 {
            let still_runs = cx.timeout(Duration::from_millis(1), call.as_mut()).await;
            still_runs.expect_err("nobody has released it");
        }
        drop(call);
        leaves.store(1, Ordering::SeqCst);
    };
    cx.defer("leaves", Duration::from_secs(30), leave).unwrap();
    left
}

async fn a_call_that_a_finalizer_left_is_awaited(cx: Cx) {
    let spec = RegionSpec {
        cleanup: Duration::from_secs(3_600),
        ..RegionSpec::collect_all("leaves")
    };
    let region = cx.open_region(spec).unwrap();
    let (release, released) = std::sync::mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let left = leave_a_call(region.cx(), released, ended.clone());
    let mut closing = Box::pin(region.close(&cx));
    let mut seen_left = 0;
    // A few looks more after it was left.
    while seen_left < 20 {
        let early = cx.timeout(Duration::from_millis(1), closing.as_mut()).await;
        assert!(early.is_err(), "it closed around a call that runs: {early:?}");
        seen_left += left.load(Ordering::SeqCst);
    }
    release.send(()).unwrap();
    let report = closing.await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(report.drain.quiescent && report.drain.stragglers.is_empty());
    assert_eq!(report.drain.completed, 1);
}

on_every_runtime!(blocking_value_survives_cancel, a_call_that_a_finalizer_left_is_awaited,);

/// The owner of an inner region waits as it should; what hangs is inside.
async fn a_straggler_is_named_and_not_the_task_that_waits_for_it(cx: Cx) {
    let released = Arc::new(AtomicUsize::new(0));
    let seen = released.clone();
    let cleanup = Duration::from_millis(60);
    let outer = cx
        .open_region(RegionSpec {
            cleanup,
            ..RegionSpec::collect_all("outer")
        })
        .unwrap();
    outer
        .cx()
        .spawn("owner", move |cx| async move {
            let inner = cx
                .open_region(RegionSpec {
                    cleanup,
                    ..RegionSpec::collect_all("inner")
                })
                .unwrap();
            inner
                .cx()
                .spawn("deaf", |_| std::future::pending::<Result<(), Cancelled>>())
                .unwrap();
            let report = inner.close(&cx).await;
            assert_eq!(
                report.drain.stragglers.iter().map(|t| t.name).collect::<Vec<_>>(),
                ["deaf"]
            );
            seen.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        })
        .unwrap();
    cx.sleep(Duration::from_millis(5)).await.unwrap();
    outer.cancel(reason(&cx));
    let report = outer.close(&cx).await;
    assert_eq!(released.load(Ordering::SeqCst), 1, "the owner's own cleanup ran");
    assert!(report.drain.stragglers.is_empty(), "{:?}", report.drain.stragglers);
}

/// What a runtime says at its end, after a storm whose regions were all left to themselves.
#[test]
fn shutdown_reports_zero_leaks_after_storm() {
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let slice = runtime.open_slice("stormy").unwrap();
        for _ in 0..3 {
            let storm = |cx| async move {
                storm(cx).await;
                Ok::<_, Failed>(())
            };
            slice.cx().spawn("storm", storm).unwrap();
        }
        drop(slice);
        let drain = runtime.shutdown(Duration::from_secs(30));
        assert!(drain.quiescent && drain.stragglers.is_empty(), "{kind}: {drain:?}");
        assert_eq!((drain.open_permits, drain.panicked), (0, 0), "{kind}");
        assert!(runtime.snapshot().regions.is_empty(), "{kind}");
    }
}

/// These leave a straggler or a panic behind on purpose, which the hosts' own check would flag.
mod leaves_something_behind {
    use super::*;
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig, lab::LabConfig};

    #[test]
    fn noncooperative_task_is_reported_not_hidden() {
        for &kind in BackendKind::compiled() {
            let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
            let main = runtime.run_main(|cx| async move {
                super::noncooperative_task_is_reported_not_hidden(cx).await;
                Ok::<_, Cancelled>(())
            });
            assert!(main.outcome.is_ok(), "{:?}", main.outcome);
            assert_eq!(main.drain.stragglers.len(), 1, "it was dropped, and stays named");
            let report = LabConfig::new(1)
                .on(kind)
                .run(super::noncooperative_task_is_reported_not_hidden);
            assert!(report.clean().is_err(), "the lab flags a stuck child");
        }
    }

    #[test]
    fn a_call_that_a_finalizer_left_and_the_bound_did_not_end_is_named() {
        for &kind in BackendKind::compiled() {
            let body = |cx: Cx| async move {
                let region = cx.open_region(RegionSpec::collect_all("leaves")).unwrap();
                let (release, released) = std::sync::mpsc::channel();
                let ended = Arc::new(AtomicUsize::new(0));
                leave_a_call(region.cx(), released, ended.clone());
                let report = region.close_within(Duration::from_millis(20)).await;
                let named: Vec<_> = report.drain.stragglers.iter().map(|t| t.name).collect();
                assert_eq!((named, report.drain.quiescent), (vec!["call"], false));
                assert_eq!(ended.load(Ordering::SeqCst), 0);
                release.send(()).unwrap();
                while ended.load(Ordering::SeqCst) == 0 {
                    cx.sleep(Duration::from_millis(1)).await.unwrap();
                }
                Ok::<_, Cancelled>(())
            };
            let main = Runtime::build(kind, &RuntimeConfig::default()).unwrap().run_main(body);
            assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
            assert_eq!(main.drain.stragglers.len(), 1, "{kind}: {:?}", main.drain);
        }
    }

    /// The region between them closes first; the next one waits in its place.
    #[test]
    fn what_is_open_in_a_closed_region_is_not_detached() {
        for &kind in BackendKind::compiled() {
            let finalized = Arc::new(AtomicUsize::new(0));
            let (counts, spec) = (finalized.clone(), |name| RegionSpec {
                cleanup: Duration::from_millis(20),
                ..RegionSpec::collect_all(name)
            });
            let body = move |cx: Cx| async move {
                let outer = cx.open_region(spec("outer")).unwrap();
                let inner = outer.cx().open_region(spec("inner")).unwrap();
                inner
                    .cx()
                    .spawn("deaf", |_| std::future::pending::<Result<(), Cancelled>>())
                    .unwrap();
                let finalizer = move |_| async move {
                    counts.fetch_add(1, Ordering::SeqCst);
                };
                inner.cx().defer("last", Duration::from_secs(30), finalizer).unwrap();
                let report = outer.close_within(Duration::from_millis(20)).await;
                assert!(!report.drain.quiescent, "a region is open in it");
                drop(inner);
                Ok::<_, Cancelled>(())
            };
            let main = Runtime::build(kind, &RuntimeConfig::default()).unwrap().run_main(body);
            assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
            assert_eq!(finalized.load(Ordering::SeqCst), 1, "{kind}");
            let named: Vec<_> = main.drain.stragglers.iter().map(|task| task.name).collect();
            assert_eq!(named, ["deaf"], "{kind}");
        }
    }

    #[test]
    fn close_within_is_bounded() {
        for &kind in BackendKind::compiled() {
            let main = Runtime::build(kind, &RuntimeConfig::default())
                .unwrap()
                .run_main(|cx| async move {
                    super::close_within_is_bounded(cx).await;
                    Ok::<_, Cancelled>(())
                });
            assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
            // In virtual time the bound can be measured.
            let report = LabConfig::new(1).on(kind).run(|cx| async move {
                let before = cx.now();
                super::close_within_is_bounded(cx.clone()).await;
                cx.now().since(before)
            });
            let took = report.outcome.ok().unwrap();
            assert!(took <= Duration::from_millis(250), "{kind}: {took:?}");
        }
    }

    /// The future of a task that outlived its bound is dropped, and with it what it held.
    #[test]
    fn straggler_is_aborted_on_tokio() {
        struct Held(Arc<AtomicUsize>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        for &kind in BackendKind::compiled() {
            let dropped = Arc::new(AtomicUsize::new(0));
            let held = Held(dropped.clone());
            let main = Runtime::build(kind, &RuntimeConfig::default())
                .unwrap()
                .run_main(|cx| async move {
                    let region = cx.open_region(RegionSpec::collect_all("stubborn")).unwrap();
                    let deaf = |_| async move {
                        let _held = held;
                        std::future::pending::<Result<(), Cancelled>>().await
                    };
                    let mut task = region.cx().spawn("deaf", deaf).unwrap();
                    let report = region.close_within(Duration::from_millis(20)).await;
                    assert_eq!(report.drain.stragglers.len(), 1);
                    let outcome = task.join(&cx).await?;
                    assert!(matches!(outcome, Outcome::Cancelled(r) if r.kind == CancelKind::Straggler));
                    Ok::<_, Cancelled>(())
                });
            assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
            assert_eq!(dropped.load(Ordering::SeqCst), 1, "{kind}");
        }
    }

    /// In virtual time, for how long the owner may take to be told is a matter of milliseconds.
    #[test]
    fn a_straggler_is_named_and_not_the_task_that_waits_for_it() {
        for &kind in BackendKind::compiled() {
            let body = super::a_straggler_is_named_and_not_the_task_that_waits_for_it;
            let report = LabConfig::new(1).on(kind).run(body);
            assert!(report.outcome.is_ok(), "{kind}: {:?}", report.outcome);
            let names: Vec<_> = report.drain.stragglers.iter().map(|t| t.name).collect();
            assert_eq!((names, report.drain.panicked), (vec!["deaf"], 0), "{kind}");
        }
    }

    #[test]
    fn a_lab_run_that_gives_up_is_not_clean() {
        for &kind in BackendKind::compiled() {
            let endless = |cx: Cx| async move {
                while !cx.is_cancelled() {
                    cx.yield_now().await;
                }
            };
            let report = LabConfig {
                max_steps: 500,
                ..LabConfig::new(1).on(kind)
            }
            .run(endless);
            assert!(report.clean().is_err(), "{kind}");
        }
    }

    #[test]
    fn panic_in_child_reaches_region_outcome() {
        for &kind in BackendKind::compiled() {
            let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
            let main = runtime.run_main(|cx| async move {
                super::panic_in_child_reaches_region_outcome(cx).await;
                Ok::<_, Cancelled>(())
            });
            assert!(main.outcome.is_ok(), "{:?}", main.outcome);
            assert_eq!(main.drain.panicked, 1);
            let report = LabConfig::new(1)
                .on(kind)
                .run(super::panic_in_child_reaches_region_outcome);
            assert!(report.clean().is_err(), "the lab flags a lost panic");
        }
    }
}
