//! The end comes in bounded time, whatever a task does.

use std::collections::BTreeSet;
use std::future::pending;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use annals_core::{CancelKind, CancelReason, Cancelled, Outcome};
use annals_net_adapter::{BackendKind, BlockingCx, Cx, DrainReport, Runtime, RuntimeConfig, ShutdownBudget};
use rustix::process::Signal;

use crate::child::{Child, FOR_EVER, role, runtimes, say};
use crate::signals::{block_a_thread, block_workers};

const STAGE: Duration = Duration::from_millis(100);

/// Nothing in it listens: a task inside a poll, one that awaits what never comes, blocking calls, what a cancellation
/// runs to interrupt one of them, and the main task.
#[test]
fn exit_is_bounded_with_stubborn_task() {
    if let Some((kind, _)) = role() {
        let budget = ShutdownBudget {
            grace: STAGE,
            cancel: STAGE,
            hard: STAGE,
        };
        let main = runtimes(kind, budget).default().run_main(|cx| async move {
            block_the_canceller(&cx);
            be_stubborn(&cx);
            say("stubborn");
            pending::<Result<(), Cancelled>>().await
        });
        panic!("{:?}", main.outcome);
    }
    for &kind in BackendKind::compiled() {
        for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let child = Child::start("bounded::exit_is_bounded_with_stubborn_task", kind, "stubborn");
            child.hear("stubborn");
            let begun = Instant::now();
            child.signal(signal);
            assert_eq!(child.end(), (Some(exit), vec![]), "{kind}");
            assert!(begun.elapsed() >= STAGE * 3, "{kind}: every stage has its time");
        }
    }
}

/// The main task obeys, so that the process can name the others and say that it did not end well.
#[test]
fn whoever_outlives_the_cancelling_stage_is_named() {
    if let Some((kind, _)) = role() {
        let budget = ShutdownBudget {
            grace: Duration::ZERO,
            cancel: STAGE * 4,
            hard: FOR_EVER,
        };
        let main = runtimes(kind, budget).default().run_main(|cx| async move {
            be_stubborn(&cx);
            say("stubborn");
            Err::<(), _>(Cancelled(cx.cancelled().await))
        });
        assert!(matches!(main.outcome, Outcome::Cancelled(r) if matches!(r.kind, CancelKind::Signal(_))));
        say(names(&main.drain));
        exit(1);
    }
    for &kind in BackendKind::compiled() {
        let child = Child::start(
            "bounded::whoever_outlives_the_cancelling_stage_is_named",
            kind,
            "obeys itself",
        );
        child.hear("stubborn");
        child.signal(Signal::TERM);
        child.hear("blocked blocks deaf stuck");
        assert_eq!(child.end(), (Some(1), vec![]), "{kind}");
    }
}

/// Whoever raises the cancellation comes no further than this.
fn block_the_canceller(cx: &Cx) {
    let (hooks, is_hooked) = channel();
    let interrupts = |cx: Cx| async move {
        let hooked = move |blocking: &BlockingCx| -> Result<(), Cancelled> {
            let _hook = blocking.on_cancel(|| thread::sleep(FOR_EVER));
            hooks.send(()).unwrap();
            thread::sleep(FOR_EVER);
            Ok(())
        };
        match cx.blocking("hooked", hooked).await {
            Outcome::Cancelled(reason) => Err::<(), _>(Cancelled(reason)),
            other => panic!("{other:?}"),
        }
    };
    cx.spawn("interrupts", interrupts).unwrap();
    is_hooked.recv().unwrap();
}

/// One of the two workers is left to tell the time.
fn be_stubborn(cx: &Cx) {
    cx.spawn("deaf", |_| pending::<Result<(), Cancelled>>()).unwrap();
    block_a_thread(cx);
    block_workers(cx, 1);
}

fn names(drain: &DrainReport) -> String {
    assert!(!drain.quiescent);
    let names: BTreeSet<_> = drain.stragglers.iter().map(|task| task.name).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

fn build(kind: BackendKind) -> Runtime {
    let config = RuntimeConfig {
        workers: 2,
        ..RuntimeConfig::default()
    };
    Runtime::build(kind, &config).unwrap()
}

/// Sits on every worker until it is dropped.
struct Sitting(Arc<AtomicBool>);

impl Sitting {
    fn on(cx: &Cx) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (inside, is_inside) = channel();
        let mut sitting = 0;
        while sitting < 2 {
            let (inside, over) = (inside.clone(), over.clone());
            let sits = move |_: Cx| async move {
                inside.send(()).unwrap();
                while !over.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok::<_, Cancelled>(())
            };
            cx.spawn("sits", sits).unwrap();
            if is_inside.recv_timeout(Duration::from_millis(500)).is_ok() {
                sitting += 1;
            }
        }
        Self(over)
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Then no worker is left that would tell the time.
#[test]
fn shutdown_is_bounded_with_all_workers_stuck() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let slice = runtime.open_slice("slice").unwrap();
        let sitting = Sitting::on(slice.cx());
        let drain = runtime.shutdown(STAGE);
        assert_eq!(names(&drain), "sits", "{kind}");
        assert!(!runtime.shutdown(STAGE).quiescent, "{kind}: the first report stays");
        drop((sitting, slice));
    }
}

#[test]
fn run_main_ends_with_all_workers_stuck() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let main = runtime.run_main(|cx| async move { Ok::<_, Cancelled>(Sitting::on(&cx)) });
        assert_eq!(names(&main.drain), "sits", "{kind}");
        drop(main.outcome.ok().unwrap());
    }
}

/// A drain that takes its time is not cut short as long as the workers work.
#[test]
fn a_long_finalizer_is_waited_for() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let slice = runtime.open_slice("slice").unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        let releases = move |cx: Cx| async move {
            cx.sleep(Duration::from_millis(200)).await.unwrap();
            seen.store(true, Ordering::SeqCst);
        };
        slice.cx().defer("releases", Duration::from_secs(30), releases).unwrap();
        slice.cancel(CancelReason::new(CancelKind::User, "test", slice.cx().now()));
        drop(slice);
        let drain = runtime.shutdown(Duration::from_secs(30));
        assert!(done.load(Ordering::SeqCst) && drain.quiescent, "{kind}: {drain:?}");
    }
}
