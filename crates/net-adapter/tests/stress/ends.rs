//! Ends that come while others are under way.

use std::convert::Infallible;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use annals_net_adapter::{
    BackendKind, CancelKind, CancelReason, Cx, Outcome, RegionSpec, RuntimeSection, Runtimes, Slice, Stage,
};

use crate::harness::{alone, lab, moments, rounds};
use crate::host;
use crate::probe::{Counts, Probe, Size, Victim, spawn};

const BOUND: Duration = Duration::from_secs(60);

/// Some work that takes a while to stop.
async fn busy(cx: Cx, probe: Probe) {
    for _ in 0..probe.pick(4, 2) {
        let unit = probe.start();
        let slept = cx.sleep(Duration::from_millis(1)).await;
        if slept.is_err() {
            let cleanup = cx.masked(BOUND / 2, |cx| async move {
                cx.yield_now().await;
                cx.blocking("cleanup", |_| Ok::<_, Infallible>(())).await.ok()
            });
            assert!(
                cleanup.await.is_ok_and(|done| done.is_some()),
                "a cleanup is not cut short"
            );
        }
        unit.ended(&slept);
        if slept.is_err() {
            return;
        }
    }
}

/// At a drawn event, all at once: a shutdown of everything, one of a runtime, a drain, and guards that are dropped; and
/// the main task ends as well.
#[test]
fn shutdown_during_shutdown() {
    let _alone = alone();
    for &kind in BackendKind::compiled() {
        let mut rng = moments("shutdown_during_shutdown", kind);
        let before = host::sockets();
        let whole = one_end(kind, None);
        assert_eq!(whole.counts().delivered, whole.counts().started);
        let mut total = Counts::default();
        for n in 0..rounds() {
            let at = rng.u64(1..=whole.events());
            let counts = one_end(kind, Some(at)).counts();
            let why = format!("round {n}, event {at}: {counts:?}");
            assert_eq!(counts.delivered + counts.cancelled, counts.started, "{why}");
            host::is_closed(before, &why);
            total = total.plus(counts);
        }
        assert!(rounds() < 50 || total.cancelled > 0, "the cuts hit nothing: {total:?}");
        eprintln!("shutdown_during_shutdown on {kind}: {} rounds, {total:?}", rounds());
    }
}

fn one_end(kind: BackendKind, cut_at: Option<u64>) -> Probe {
    let section = RuntimeSection {
        default: kind,
        workers: 2,
        ..RuntimeSection::default()
    };
    let runtimes = Runtimes::start(&section).unwrap();
    let probe = Probe::new(Size::Full, cut_at);
    let (cuts, cut) = channel();
    probe.stops(Victim::Other(Box::new({
        let cuts = cuts.clone();
        move || cuts.send(()).unwrap()
    })));
    let slices = [Slice::Server, Slice::Ingest].map(|slice| {
        let region = runtimes.of(slice).open_slice(slice.as_str()).unwrap();
        for _ in 0..3 {
            let probe = probe.clone();
            spawn(region.cx(), "busy", move |cx| busy(cx, probe));
        }
        region
    });
    let reports: Vec<_> = thread::scope(|scope| {
        let told = probe.clone();
        let main = scope.spawn(|| {
            let run = |cx: Cx| async move {
                let region = cx.open_region(RegionSpec::collect_all("main")).unwrap();
                for _ in 0..3 {
                    let probe = told.clone();
                    spawn(region.cx(), "busy", move |cx| busy(cx, probe));
                }
                region.close(&cx).await;
                for slice in slices {
                    slice.close(&cx).await;
                }
                // Without a cut, this is what ends everything.
                cuts.send(()).unwrap();
                Ok::<_, Infallible>(())
            };
            let main = runtimes.default().run_main(run);
            // It may come too late to begin.
            let is_cancelled = matches!(main.outcome, Outcome::Cancelled(_)) && probe.is_cut();
            assert!(main.outcome.is_ok() || is_cancelled, "{:?}", main.outcome);
            main.drain
        });
        cut.recv().unwrap();
        let all = scope.spawn(|| runtimes.shutdown(BOUND));
        let one = scope.spawn(|| runtimes.default().shutdown(BOUND));
        let again = scope.spawn(|| runtimes.default().shutdown(BOUND));
        let signal = runtimes.shutdown_signal();
        signal.begin(CancelReason::new(CancelKind::User, "test", annals_core::MonoTime(0)));
        [main, all, one, again].map(|ended| ended.join().unwrap()).into()
    });
    for report in &reports {
        assert!(report.quiescent && report.stragglers.is_empty(), "{report:?}");
        assert_eq!((report.open_permits, report.panicked), (0, 0), "{report:?}");
        let same = (report.completed, report.cancelled) == (reports[0].completed, reports[0].cancelled);
        assert!(same, "{reports:?}");
    }
    assert_eq!(runtimes.shutdown_signal().stage(), Stage::Done);
    assert!(runtimes.default().snapshot().regions.is_empty());
    probe
}

/// The same with regions: one is closed while one around it is, and while the process begins to drain, twice.
#[test]
fn shutdown_during_shutdown_in_the_lab() {
    for &kind in BackendKind::compiled() {
        lab("shutdown_during_shutdown", kind, |cx: Cx, probe| async move {
            let Ok(outer) = cx.open_region(RegionSpec::collect_all("outer")) else {
                return;
            };
            for n in 0..2 {
                let probe = probe.clone();
                spawn(outer.cx(), "owner", move |cx| async move {
                    let Ok(inner) = cx.open_region(RegionSpec::collect_all("inner")) else {
                        return;
                    };
                    let told = probe.clone();
                    spawn(inner.cx(), "busy", move |cx| busy(cx, told));
                    // A guard that is dropped, when it is too late to wait.
                    if n == 0 || !cx.is_cancelled() {
                        inner.close(&cx).await;
                    }
                    let end = |cx: &Cx| {
                        let reason = CancelReason::new(CancelKind::User, "test", cx.now());
                        cx.shutdown().begin(reason);
                    };
                    end(&cx);
                });
            }
            outer.close(&cx).await;
        });
    }
}
