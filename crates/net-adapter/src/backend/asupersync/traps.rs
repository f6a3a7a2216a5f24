//! What asupersync does that this backend has a cure for. When one of these fails, it has changed: review the cure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asupersync::Cx;
use asupersync::runtime::config::{ObligationLeakResponse, RuntimeConfig};
use asupersync::runtime::yield_now;
use asupersync::runtime::{JoinError, Runtime, RuntimeBuilder};
use asupersync::sync::{LockError, Mutex};
use asupersync::time::{sleep, timeout, wall_now};
use asupersync::types::CancelKind;

fn runtime() -> Runtime {
    RuntimeBuilder::multi_thread()
        .worker_threads(2)
        .blocking_threads(0, 2)
        .build()
        .unwrap()
}

/// Runs `body` as a task, which has a context of its own.
fn in_task<T, F>(body: impl FnOnce(Cx) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let runtime = runtime();
    let task = runtime
        .handle()
        .spawn(async move { body(Cx::current().unwrap()).await });
    runtime.block_on(task)
}

/// Cure: a timer here is `timeout` over a future that never ends.
#[test]
fn trap_sleep_returns_early_once_cancelled() {
    let long = Duration::from_secs(600);
    in_task(move |cx| async move {
        let mut cancelled = cx
            .spawn(move |cx| async move {
                cx.cancel_with(CancelKind::User, None);
                sleep(wall_now(), long).await;
            })
            .unwrap();
        // Were the sleep full, this would be the test that never ends.
        drop(cancelled.join(&cx).await);
    });
    let short = Duration::from_millis(20);
    in_task(move |cx| async move {
        cx.cancel_with(CancelKind::User, None);
        // The cure: it ends because the time is up, and not because of the cancellation, which it does not look at.
        assert!(timeout(wall_now(), short, pending::<()>()).await.is_err());
    });
}

/// Cure: results live in the adapter's own slots, and the backend is never told of a cancel while work runs.
#[test]
fn trap_value_after_cancel_is_discarded() {
    in_task(|cx| async move {
        let (begun, has_begun) = channel();
        let (release, released) = channel::<()>();
        let mut task = cx
            .spawn_blocking(move |_| {
                begun.send(()).unwrap();
                released.recv().unwrap();
                7
            })
            .unwrap();
        has_begun.recv().unwrap();
        task.abort();
        release.send(()).unwrap();
        assert!(matches!(task.join(&cx).await, Err(JoinError::Cancelled(_))));
    });
}

/// Cure: the join of the backend is not used; one of the adapter's may be dropped at any time.
#[test]
fn trap_dropping_a_join_aborts_the_task() {
    in_task(|cx| async move {
        let mut task = cx
            .spawn(|cx| async move {
                while !cx.is_cancel_requested() {
                    yield_now().await;
                }
            })
            .unwrap();
        {
            let mut join = pin!(task.join(&cx));
            let mut context = Context::from_waker(Waker::noop());
            assert!(join.as_mut().poll(&mut context).is_pending());
        }
        // It would run for ever, had the dropped join not cancelled it.
        assert!(matches!(task.join(&cx).await, Ok(()) | Err(JoinError::Cancelled(_))));
    });
}

/// Cure: as above; the adapter's `join` answers its caller's cancel.
#[test]
fn trap_join_ignores_the_callers_cancel() {
    in_task(|cx| async move {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let mut task = cx
            .spawn(move |_| async move {
                while !is_done.load(Ordering::SeqCst) {
                    yield_now().await;
                }
                7
            })
            .unwrap();
        cx.cancel_with(CancelKind::User, None);
        let mut join = pin!(task.join(&cx));
        for _ in 0..100 {
            let polled = poll_fn(|context| Poll::Ready(join.as_mut().poll(context).is_pending())).await;
            assert!(polled, "the caller is cancelled, and waits on");
            yield_now().await;
        }
        done.store(true, Ordering::SeqCst);
        drop(join.await);
    });
}

/// Cure: a mask of the adapter holds for a time, whatever is awaited in it; this one holds for a call.
#[test]
fn trap_mask_cannot_hold_over_an_await() {
    in_task(|cx| async move {
        cx.cancel_with(CancelKind::User, None);
        assert!(cx.masked(|| cx.checkpoint().is_ok()));
        let inside = cx.masked(|| async { cx.checkpoint().is_ok() });
        assert!(!inside.await, "the mask was gone when the future ran");
    });
}

/// Cure: locks of the adapter outlive a panic; its `Mutex` is taken by the next one.
#[test]
fn trap_mutex_poisons() {
    in_task(|cx| async move {
        let mutex = Arc::new(Mutex::new(()));
        let taken = mutex.clone();
        let mut task = cx
            .spawn(move |cx| async move {
                let _guard = taken.lock(&cx).await.unwrap();
                panic!("with the lock held");
            })
            .unwrap();
        let joined: Result<(), _> = task.join(&cx).await;
        assert!(matches!(joined, Err(JoinError::Panicked(_))));
        assert!(matches!(mutex.lock(&cx).await, Err(LockError::Poisoned)));
    });
}

/// Cure: `Recover` is asked for, and there are two workers at least.
#[test]
fn trap_leaked_obligation_panics_by_default() {
    assert_eq!(
        RuntimeConfig::default().obligation_leak_response,
        ObligationLeakResponse::Panic
    );
}

/// Cure: `blocking_threads` is given a bound, and the adapter keeps threads of its own beside it.
#[test]
fn trap_blocking_closure_outlives_its_abort() {
    let runtime = runtime();
    let (begun, has_begun): (Sender<()>, Receiver<()>) = channel();
    let (release, released) = channel::<()>();
    let (over, is_over) = channel();
    let task = runtime.handle().spawn(async move {
        let cx = Cx::current().unwrap();
        let task = cx
            .spawn_blocking(move |_| {
                begun.send(()).unwrap();
                released.recv().unwrap();
                over.send(()).unwrap();
            })
            .unwrap();
        while has_begun.try_recv().is_err() {
            yield_now().await;
        }
        task.abort();
    });
    runtime.block_on(task);
    release.send(()).unwrap();
    is_over.recv().unwrap();
}

#[cfg(feature = "lab")]
mod lab {
    use std::future::pending;
    use std::time::Duration;

    use asupersync::Cx;
    use asupersync::lab::runtime::InvariantViolation;
    use asupersync::lab::{LabConfig, LabRunReport, LabRuntime};
    use asupersync::time::{sleep, wall_now};
    use asupersync::types::Budget;

    fn run(
        config: LabConfig,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> (LabRunReport, Vec<InvariantViolation>) {
        let mut runtime = LabRuntime::new(config);
        let region = runtime.state.create_root_region(Budget::INFINITE);
        let (task, _handle) = runtime.state.create_task(region, Budget::INFINITE, future).unwrap();
        runtime.scheduler.lock().schedule(task, Budget::INFINITE.priority);
        let report = runtime.run_until_quiescent_with_report();
        (report, runtime.check_invariants())
    }

    fn config() -> LabConfig {
        let mut config = LabConfig::new(1).max_steps(10_000);
        config.panic_on_obligation_leak = false;
        config.panic_on_futurelock = false;
        config.panic_on_cancellation_violation = false;
        config
    }

    /// Cure: the lab advances the clock by itself.
    #[test]
    fn trap_lab_without_auto_advance_spins() {
        let (report, _) = run(config(), async { sleep(wall_now(), Duration::from_secs(1)).await });
        assert!(!report.quiescent);
        assert_eq!(report.steps_total, 10_000, "every step it may take");
    }

    /// Cure: the adapter counts the panics whose outcome nobody took.
    #[test]
    fn trap_lab_does_not_see_an_unjoined_panic() {
        let (report, _) = run(config(), async {
            drop(Cx::current().unwrap().spawn(|_| async { panic!("nobody looks") }));
        });
        assert!(report.quiescent && report.oracle_report.all_passed() && report.invariant_violations.is_empty());
    }

    /// Its oracles judge what the adapter does not use, so none is asked; its own count of tasks is.
    #[test]
    fn lab_fed_oracles_unchanged() {
        let (report, violations) = run(config(), async {
            drop(Cx::current().unwrap().spawn(|_| pending::<()>()));
        });
        let names: Vec<&str> = report
            .oracle_report
            .entries
            .iter()
            .map(|entry| entry.invariant.as_str())
            .collect();
        assert_eq!(names, ORACLES);
        assert!(
            report.oracle_report.all_passed(),
            "an oracle looks now: ask it in asupersync_lab.rs"
        );
        assert_eq!(violations.len(), 1, "the task that was left: {violations:?}");
        let (report, violations) = run(config(), async {});
        assert!(report.quiescent && violations.is_empty(), "{violations:?}");
    }

    const ORACLES: [&str; 24] = [
        "task_leak",
        "obligation_leak",
        "quiescence",
        "loser_drain",
        "finalizer",
        "region_tree",
        "region_leak",
        "ambient_authority",
        "deadline_monotone",
        "cancellation_protocol",
        "cancel_correctness",
        "cancel_debt",
        "cancel_signal_ordering",
        "runtime_epoch",
        "channel_atomicity",
        "waker_dedup",
        "actor_leak",
        "supervision",
        "mailbox",
        "rref_access",
        "reply_linearity",
        "registry_lease",
        "down_order",
        "supervisor_quiescence",
    ];
}
