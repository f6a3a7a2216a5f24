//! The context: budgets, threads, intervals; and the algebra behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{
    BackendKind, Budget, CancelKind, CancelReason, Cancelled, Cx, Interval, MissedTick, MonoTime, Outcome, OutcomeKind,
    RegionFailure, RegionSpec, Runtime, RuntimeConfig, SpawnError, Stop, on_every_host, on_every_runtime,
};
use proptest::prelude::*;

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, Cancelled>) -> CancelKind {
    result.unwrap_err().0.kind
}

async fn poll_quota_cancels(cx: Cx) {
    let spec = |name| RegionSpec {
        budget: Budget::of_polls(10),
        ..RegionSpec::collect_all(name)
    };
    // Each task of the region has as many; a task that only yields is stopped by the next thing it asks.
    let region = cx.open_region(spec("quota")).unwrap();
    for _ in 0..3 {
        let turns = move |cx: Cx| async move {
            let mut turns = 0;
            while !cx.is_cancelled() {
                cx.yield_now().await;
                turns += 1;
            }
            assert_eq!(turns, 10);
            cx.checkpoint()
        };
        region.cx().spawn("turns", turns).unwrap();
    }
    let report = region.close(&cx).await;
    let kinds = report.tasks.iter().map(|t| t.cancelled.as_ref().unwrap().kind);
    assert!(kinds.eq([CancelKind::PollQuota; 3]));
    // The body of a region is counted apart from the task that drives it.
    let outcome = cx
        .region(spec("body"), |cx| async move {
            loop {
                cx.checkpoint()?;
                cx.yield_now().await;
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok::<(), Cancelled>(())
        })
        .await;
    assert!(matches!(outcome.body, Outcome::Cancelled(r) if r.kind == CancelKind::PollQuota));
    assert!(!cx.is_cancelled());
    // A derived context has its own, and never more than is left of the first.
    let outer = cx.with_budget(Budget::of_polls(3));
    let inner = outer.with_budget(Budget::of_polls(100));
    assert_eq!(inner.budget().polls, Some(3));
    for _ in 0..4 {
        cx.yield_now().await;
    }
    assert_eq!(kind_of(inner.checkpoint()), CancelKind::PollQuota);
    let hidden = inner.masked(Duration::from_secs(1), |cx| async move { cx.is_cancelled() });
    assert_eq!(hidden.await, Ok(false));
}

async fn cost_quota_cancels(cx: Cx) {
    let region = cx
        .open_region(RegionSpec {
            budget: Budget::of_cost(10),
            ..RegionSpec::collect_all("spends")
        })
        .unwrap();
    let narrow = region.cx().with_budget(Budget::of_cost(4));
    assert_eq!(narrow.charge(4), Ok(()));
    assert_eq!(kind_of(narrow.charge(1)), CancelKind::CostQuota);
    assert!(!region.cx().is_cancelled(), "five of ten are spent");
    let mut task = region
        .cx()
        .spawn("spends", |cx| async move {
            cx.charge(5)?;
            cx.masked(Duration::from_secs(1), |cx| async move { cx.charge(1_000) })
                .await
                .expect("in time")?;
            Ok::<_, Cancelled>(())
        })
        .unwrap();
    assert_eq!(task.join(&cx).await.unwrap(), Outcome::Ok(()), "ten of ten");
    assert_eq!(kind_of(region.cx().charge(1)), CancelKind::CostQuota);
    assert!(!cx.is_cancelled());
    assert_eq!(cx.charge(u64::MAX), Ok(()), "no quota, no limit");
    region.close(&cx).await;
}

async fn nested_masks_end_with_the_outer_one(cx: Cx) {
    let outer = Duration::from_millis(40);
    let inner = cx
        .masked(outer, |cx| async move {
            let limit = Duration::from_secs(20);
            let ended = cx.masked(limit, |_| std::future::pending::<()>()).await;
            ended.unwrap_err().limit
        })
        .await;
    // Which of the two ends first when both are due is open; neither lasts longer than the outer one.
    assert!(inner.map_or(true, |limit| limit <= outer));
    let longest = cx.masked(Duration::from_secs(3_600), |cx| async move {
        cx.masked(Duration::from_secs(1_800), |_| async {}).await
    });
    assert_eq!(longest.await, Ok(Ok(())));
}

async fn a_budget_given_inside_a_mask_holds(cx: Cx) {
    let held = cx.masked(Duration::from_secs(30), |cx| async move {
        let an_hour = Duration::from_secs(3_600);
        let near = || Budget::until(cx.now().after(Duration::from_millis(20)));
        assert_eq!(
            kind_of(cx.with_budget(near()).sleep(an_hour).await),
            CancelKind::Deadline
        );
        let paused = cx.with_budget(near()).pause(an_hour).await;
        assert!(matches!(paused, Err(Stop::Cancelled(r)) if r.kind == CancelKind::Deadline));
        let timed = cx.with_budget(near());
        while !timed.is_cancelled() {
            cx.sleep(Duration::from_millis(1)).await.unwrap();
        }
        let polled = cx.with_budget(Budget::of_polls(3));
        for _ in 0..4 {
            cx.yield_now().await;
        }
        assert_eq!(kind_of(polled.checkpoint()), CancelKind::PollQuota);
        assert_eq!(
            kind_of(cx.with_budget(Budget::of_cost(1)).charge(2)),
            CancelKind::CostQuota
        );
        cx.checkpoint()
    });
    assert_eq!(held.await, Ok(Ok(())), "none of it is the mask's own");
}

const EVERY: Duration = Duration::from_millis(10);

/// One interval of each kind, three of whose ticks nobody waited for.
async fn missed(cx: &Cx) -> [Interval; 3] {
    let intervals = [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip].map(|missed| cx.interval(EVERY, missed));
    cx.sleep_full(Duration::from_millis(35)).await;
    intervals
}

async fn interval_missed_ticks(cx: Cx) {
    let [mut burst, mut delay, mut skip] = missed(&cx).await;
    let mut last = None;
    for _ in 0..4 {
        let due = burst.tick(&cx).await.unwrap();
        assert!(
            last.is_none_or(|last: MonoTime| due == last.after(EVERY)),
            "none is left out"
        );
        last = Some(due);
    }
    let asked = cx.now();
    delay.tick(&cx).await.unwrap();
    assert!(delay.tick(&cx).await.unwrap() >= asked.after(EVERY), "a new rhythm");
    let asked = cx.now();
    let first = skip.tick(&cx).await.unwrap();
    let second = skip.tick(&cx).await.unwrap();
    assert!(second > asked, "those that were missed are left out");
    assert_eq!(second.since(first).as_nanos() % EVERY.as_nanos(), 0, "the old rhythm");
    let region = cx.open_region(RegionSpec::new("cancelled")).unwrap();
    region.cancel(reason(&cx));
    assert!(skip.tick(region.cx()).await.is_err());
    region.close(&cx).await;
}

/// In virtual time every tick can be told.
#[test]
fn interval_ticks_are_exact_in_the_lab() {
    let body = |cx: Cx| async move {
        let start = cx.now();
        let mut ticks = Vec::new();
        for (mut interval, count) in missed(&cx).await.into_iter().zip([4, 2, 2]) {
            for _ in 0..count {
                let due = interval.tick(&cx).await.unwrap();
                ticks.push([due, cx.now()].map(|at| at.since(start).as_millis()));
            }
        }
        let burst = [[10, 35], [20, 35], [30, 35], [40, 40]];
        let delay = [[10, 40], [50, 50]];
        let skip = [[10, 50], [60, 60]];
        assert_eq!(ticks, [&burst[..], &delay, &skip].concat());
    };
    for &kind in BackendKind::compiled() {
        annals_net_adapter::testing::lab(kind, body);
    }
}

on_every_host!(
    poll_quota_cancels,
    cost_quota_cancels,
    nested_masks_end_with_the_outer_one,
    a_budget_given_inside_a_mask_holds,
    interval_missed_ticks,
);

/// The thread blocks; a hook wakes it, and the region has waited for it when it closes.
async fn spawn_thread_ends_in_bound(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("reader")).unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = ended.clone();
    let mut task = region
        .cx()
        .spawn_thread("reader", move |cx| {
            let (wake, woken) = std::sync::mpsc::channel();
            let hook = cx.on_cancel(move || wake.send(()).unwrap());
            woken.recv().unwrap();
            drop(hook);
            assert!(cx.is_cancelled());
            seen.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Cancelled>("kept")
        })
        .unwrap();
    let report = region.close_within(Duration::from_secs(60)).await;
    assert!(report.drain.quiescent);
    assert_eq!((report.tasks.len(), ended.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(task.join(&cx).await.unwrap(), Outcome::Ok("kept"));

    let region = cx.open_region(RegionSpec::collect_all("reader")).unwrap();
    let fails = |_: &annals_net_adapter::BlockingCx| Err::<(), _>(std::io::Error::other("unplugged"));
    region.cx().spawn_thread("reader", fails).unwrap();
    let report = region.close(&cx).await;
    assert_eq!(report.cause().unwrap().message.as_deref(), Some("unplugged"));
}

/// It blocks, nobody awaits with its context, and its region is not closed: its deadline wakes it all the same.
async fn a_thread_hears_of_its_deadline(cx: Cx) {
    let spec = RegionSpec {
        budget: Budget::until(cx.now().after(Duration::from_millis(20))),
        ..RegionSpec::collect_all("reader")
    };
    let region = cx.open_region(spec).unwrap();
    let reader = |cx: &annals_net_adapter::BlockingCx| {
        let (wake, woken) = std::sync::mpsc::channel();
        let hook = cx.on_cancel(move || wake.send(()).unwrap());
        let heard = woken.recv_timeout(Duration::from_secs(60)).is_ok();
        drop(hook);
        Ok::<_, Cancelled>((heard, cx.cancel_reason().map(|r| r.kind)))
    };
    let mut task = region.cx().spawn_thread("reader", reader).unwrap();
    let ended = task.join(&cx).await.unwrap();
    assert_eq!(ended, Outcome::Ok((true, Some(CancelKind::Deadline))));
    assert!(region.close(&cx).await.drain.quiescent);
}

on_every_runtime!(spawn_thread_ends_in_bound, a_thread_hears_of_its_deadline);

/// What the lab does not offer says so, as a value.
#[test]
fn denied_capability_is_typed() {
    for &kind in BackendKind::compiled() {
        let report = LabConfig::new(1).on(kind).run(|cx| async move {
            let thread = cx.spawn_thread("reader", |_| Ok::<_, Cancelled>(()));
            assert_eq!(thread.unwrap_err(), SpawnError::Denied);
            let process = cx.process(annals_net_adapter::CommandSpec::new("true")).await;
            assert!(matches!(process, Err(annals_net_adapter::ProcError::Denied)));
        });
        report.clean().unwrap();
    }
}

/// Twenty calls on three threads: three run at once, never four.
#[test]
fn blocking_pool_is_bounded() {
    const MAX: usize = 3;
    for &kind in BackendKind::compiled() {
        let config = RuntimeConfig {
            max_blocking: MAX,
            ..RuntimeConfig::default()
        };
        let running = Arc::new((Mutex::new((0, 0)), Condvar::new()));
        let main = Runtime::build(kind, &config).unwrap().run_main(|cx| async move {
            let calls = annals_net_adapter::map_bounded(&cx, 20.try_into().unwrap(), 0..20, move |cx, _| {
                let running = running.clone();
                async move {
                    let call = move |_: &annals_net_adapter::BlockingCx| {
                        let (state, changed) = &*running;
                        let mut state = state.lock().unwrap();
                        state.0 += 1;
                        state.1 = state.0.max(state.1);
                        changed.notify_all();
                        // Nobody leaves before the pool has been full once.
                        state = changed.wait_while(state, |s| s.1 < MAX).unwrap();
                        state.0 -= 1;
                        Ok::<_, Cancelled>(state.1)
                    };
                    Ok::<_, Cancelled>(cx.blocking("call", call).await.ok().unwrap())
                }
            });
            let peaks: Vec<usize> = calls.await.into_iter().map(|o| o.ok().unwrap()).collect();
            assert_eq!(peaks, [MAX; 20]);
            Ok::<_, Cancelled>(())
        });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}

fn budgets() -> impl Strategy<Value = Budget> {
    let limit = || prop::option::of(0..4u64);
    (limit(), limit(), limit()).prop_map(|(deadline, polls, cost)| Budget {
        deadline: deadline.map(MonoTime),
        polls,
        cost,
    })
}

proptest! {
    #[test]
    fn budget_algebra((a, b, c) in (budgets(), budgets(), budgets())) {
        prop_assert_eq!(a.meet(b), b.meet(a));
        prop_assert_eq!(a.meet(b).meet(c), a.meet(b.meet(c)));
        prop_assert_eq!(a.meet(a), a);
        prop_assert_eq!(a.meet(Budget::default()), a);
        prop_assert_eq!(a.meet(b).meet(a), a.meet(b), "what was met stays met");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it failed")]
struct Failed(Option<CancelReason>);

impl annals_net_adapter::TaskError for Failed {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.0.as_ref()
    }
}

/// The worst outcome counts, the first in spawn order among equals, and the body's before those.
#[test]
fn outcome_aggregation() {
    use OutcomeKind::{Cancelled as C, Err as E, Ok as O, Panicked as P};
    let end = |kind: OutcomeKind, cx: &Cx| match kind {
        O => Ok(()),
        E => Err(Failed(None)),
        C => Err(Failed(Some(reason(cx)))),
        P => std::panic::resume_unwind(Box::new("boom")),
    };
    let kinds = || prop_oneof![3 => Just(O), 1 => Just(E), 1 => Just(C), 1 => Just(P)];
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let cases = (kinds(), prop::collection::vec(kinds(), 0..6));
        let ran = runner.run(&cases, |(body, tasks)| {
            let (done, result) = std::sync::mpsc::channel();
            let slice = runtime.open_slice("case").unwrap();
            let spawned = tasks.clone();
            let case = move |cx: Cx| async move {
                let outcome = cx
                    .region(RegionSpec::collect_all("case"), |cx| async move {
                        for kind in spawned {
                            cx.spawn("task", move |cx| async move { end(kind, &cx) }).unwrap();
                        }
                        end(body, &cx)
                    })
                    .await;
                let cause = outcome.report.cause().map(|t| t.index);
                done.send((outcome.report.overall, cause, outcome.into_result()))
                    .unwrap();
                Ok::<_, Failed>(())
            };
            slice.cx().spawn("case", case).unwrap();
            let (overall, cause, result) = result.recv().unwrap();
            let worst = tasks.iter().copied().max().unwrap_or(O);
            prop_assert_eq!(overall, worst);
            let first = tasks.iter().position(|k| *k == worst && worst != O);
            prop_assert_eq!(cause, first.map(|i| i as u64));
            let expected = match result {
                Ok(()) => (O, false),
                Err(RegionFailure::Body(_)) => (E, false),
                Err(RegionFailure::Cancelled(_)) => (C, false),
                Err(RegionFailure::Panicked(_)) => (P, false),
                Err(RegionFailure::Task { outcome, cause }) => {
                    prop_assert_eq!(cause.map(|t| t.index), first.map(|i| i as u64));
                    (outcome, true)
                }
            };
            prop_assert_eq!(expected, if worst > body { (worst, true) } else { (body, false) });
            Ok(())
        });
        if let Err(failure) = ran {
            panic!("{kind}: {failure}");
        }
    }
}
