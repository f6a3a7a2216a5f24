//! What tokio does that this backend has a cure for. When one of these fails, tokio has changed: review the cure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// As the lab's: one thread, and a clock that jumps to the next timer.
fn paused() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// A blocking closure that has begun, and ends when it is told to.
fn stuck(runtime: &Runtime) -> (tokio::task::JoinHandle<()>, Sender<()>, Receiver<()>) {
    let (begun, has_begun) = channel();
    let (release, released) = channel();
    let (over, is_over) = channel();
    let closure = move || {
        begun.send(()).unwrap();
        released.recv().unwrap();
        over.send(()).unwrap();
    };
    let task = runtime.spawn_blocking(closure);
    has_begun.recv().unwrap();
    (task, release, is_over)
}

/// Cure: blocking calls run on the adapter's own threads; one that outlives its bound is reported.
#[test]
fn trap_abort_does_not_stop_a_blocking_closure() {
    let runtime = runtime();
    let (task, release, is_over) = stuck(&runtime);
    task.abort();
    release.send(()).unwrap();
    is_over.recv().unwrap();
    assert!(runtime.block_on(task).is_ok(), "not even reported as cancelled");
}

/// Cure: `shutdown_timeout` with what is left of the bound.
#[test]
fn trap_dropped_runtime_waits_for_blocking_threads() {
    let runtime = runtime();
    let (begun, has_begun) = channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        // Not what the test waits for: a drop that does not wait is certain to be back before this.
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, Ordering::SeqCst);
    });
    has_begun.recv().unwrap();
    drop(runtime);
    assert!(is_over.load(Ordering::SeqCst), "the drop has waited for the closure");

    let runtime = self::runtime();
    let (_task, release, is_over) = stuck(&runtime);
    runtime.shutdown_timeout(Duration::from_millis(1));
    release.send(()).unwrap();
    is_over.recv().unwrap();
}

/// Cure: the handle is entered before a timer or a socket is made.
#[test]
fn trap_types_panic_outside_a_runtime() {
    let outside = || drop(tokio::time::sleep(Duration::ZERO));
    assert!(catch_unwind(AssertUnwindSafe(outside)).is_err());
    let runtime = runtime();
    let _entered = runtime.enter();
    outside();
}

/// Cure: in the lab blocking calls run inline.
#[test]
fn trap_paused_clock_does_not_advance_while_blocking_runs() {
    let runtime = paused();
    let (slept, has_slept) = channel();
    let closure = move || has_slept.recv_timeout(Duration::from_millis(100)).is_ok();
    runtime.block_on(async {
        let blocking = tokio::task::spawn_blocking(closure);
        let sleeping = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            // Nobody listens any more, if the clock stood still.
            slept.send(()).is_ok()
        });
        assert!(!blocking.await.unwrap(), "the clock moved while the closure ran");
        assert!(!sleeping.await.unwrap(), "the sleep ended after the closure");
    });
}

/// Cure: lab scenarios wait for whole milliseconds.
#[test]
fn trap_timers_have_steps_of_a_millisecond() {
    paused().block_on(async {
        let start = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_micros(1)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(1));
    });
}
