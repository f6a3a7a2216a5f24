//! Shutdowns that come together are one.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, Cancelled, Outcome};
use annals_net_adapter::{BackendKind, Cx, RegionState, Runtime, RuntimeConfig};

const BOUND: Duration = Duration::from_secs(60);

fn build(kind: BackendKind) -> Runtime {
    let config = RuntimeConfig {
        workers: 2,
        ..RuntimeConfig::default()
    };
    Runtime::build(kind, &config).unwrap()
}

/// Whoever comes while the first one drains waits for its report, and not for the whole bound.
#[test]
fn shutdowns_at_once_give_one_report() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let slice = runtime.open_slice("slice").unwrap();
        let (let_go, wait) = channel::<()>();
        let cleans_up = move |cx: Cx| async move {
            let reason = cx.cancelled().await;
            // Stays until every shutdown has begun.
            let waited = cx
                .masked(BOUND / 2, |cx| async move {
                    cx.blocking("waits", move |_| Ok::<_, Cancelled>(wait.recv().is_err()))
                        .await
                })
                .await;
            assert!(waited.unwrap().ok().unwrap());
            Err::<(), _>(Cancelled(reason))
        };
        slice.cx().spawn("cleans up", cleans_up).unwrap();
        drop(slice);
        let (begins, begun) = channel();
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (runtime, begins) = (runtime.clone(), begins.clone());
                thread::spawn(move || {
                    begins.send(()).unwrap();
                    runtime.shutdown(BOUND)
                })
            })
            .collect();
        for _ in &calls {
            begun.recv().unwrap();
        }
        drop(let_go);
        for call in calls {
            let drain = call.join().unwrap();
            assert!(drain.quiescent, "{kind}: {drain:?}");
            assert_eq!((drain.completed, drain.cancelled), (1, 1), "{kind}: {drain:?}");
        }
    }
}

/// It waits no longer than it may for those who have more time; they stop the workers.
#[test]
fn an_impatient_shutdown_leaves_the_end_to_a_patient_one() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let slice = runtime.open_slice("slice").unwrap();
        let (let_go, wait) = channel::<()>();
        let cleans_up = move |cx: Cx| async move {
            let reason = cx.cancelled().await;
            let waits = cx.masked(BOUND / 2, |cx| async move {
                cx.blocking("waits", move |_| Ok::<_, Cancelled>(wait.recv().is_err()))
                    .await
            });
            assert!(waits.await.unwrap().ok().unwrap());
            Err::<(), _>(Cancelled(reason))
        };
        slice.cx().spawn("cleans up", cleans_up).unwrap();
        let patient = runtime.clone();
        let patient = thread::spawn(move || patient.shutdown(BOUND));
        while runtime.snapshot().named("root").unwrap().state == RegionState::Open {
            thread::sleep(Duration::from_millis(1));
        }
        let impatient = runtime.shutdown(Duration::from_millis(10));
        assert!(!impatient.quiescent, "{kind}: {impatient:?}");
        drop(slice);
        drop(let_go);
        let patient = patient.join().unwrap();
        assert!(patient.quiescent && patient.cancelled == 1, "{kind}: {patient:?}");
        assert!(runtime.shutdown(BOUND).quiescent, "{kind}: the first report stays");
    }
}

/// The body runs on its caller's thread and is no task of any region; it keeps its clock all the same.
#[test]
fn a_shutdown_waits_for_the_body_of_run_main() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let other = runtime.clone();
        let (runs, is_running) = channel();
        let stops = thread::spawn(move || {
            is_running.recv().unwrap();
            other.shutdown(BOUND)
        });
        let main = runtime.run_main(|cx| async move {
            runs.send(()).unwrap();
            let reason = cx.cancelled().await;
            for _ in 0..10 {
                cx.sleep_full(Duration::from_millis(2)).await;
            }
            let mut task = cx.spawn("late", |_| async { Ok::<_, Cancelled>(()) }).unwrap();
            assert!(cx.masked(BOUND, async |cx| task.join(&cx).await.is_ok()).await.unwrap());
            Ok::<_, Cancelled>(reason)
        });
        let Outcome::Ok(reason) = main.outcome else {
            panic!("{kind}: {:?}", main.outcome);
        };
        assert_eq!(reason.kind, CancelKind::Shutdown);
        let report = stops.join().unwrap();
        assert!(report.quiescent && main.drain.quiescent, "{kind}: {report:?}");
        assert_eq!((report.completed, main.drain.completed), (1, 1), "{kind}");
    }
}

/// A body that comes when the end has come is not run, and lets go at once of what the end waits for.
#[test]
fn a_body_that_comes_too_late_is_cancelled() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let slice = runtime.open_slice("slice").unwrap();
        let other = runtime.clone();
        let stops = thread::spawn(move || other.shutdown(BOUND));
        while runtime.snapshot().named("root").unwrap().state == RegionState::Open {
            thread::sleep(Duration::from_millis(1));
        }
        let main = runtime.run_main(|cx| async move {
            drop(slice);
            cx.checkpoint()
        });
        assert!(matches!(main.outcome, Outcome::Cancelled(_)), "{kind}");
        let report = stops.join().unwrap();
        assert!(report.quiescent && main.drain.quiescent, "{kind}: {report:?}");
    }
}
