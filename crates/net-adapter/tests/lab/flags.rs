//! Negative controls: what the lab has to notice, or its clean runs would mean nothing.
#![allow(clippy::disallowed_methods, reason = "the lab must notice the real clock")]

use std::time::Duration;

use annals_net_adapter::channel::mpsc;
use annals_net_adapter::lab::{Check, LabConfig, LabFailure};
use annals_net_adapter::{BackendKind, CancelKind, Cancelled, Cx, Outcome, RegionSpec};

/// The complaint of an unclean run, on every compiled backend.
fn complaints<Fut: Future<Output = ()> + Send + 'static>(scenario: fn(Cx) -> Fut) -> Vec<String> {
    let run = |kind: &BackendKind| LabConfig::new(1).on(*kind).run(scenario).clean();
    let failures = BackendKind::compiled().iter().map(run);
    failures.map(|failure| failure.unwrap_err().to_string()).collect()
}

#[test]
fn lab_flags_wall_clock() {
    for &kind in BackendKind::compiled() {
        let mut hashes = std::collections::BTreeSet::new();
        for _ in 0..20 {
            // One lab rounds to milliseconds; the real clock has to move on by more.
            std::thread::sleep(Duration::from_millis(2));
            let report = LabConfig::new(1).on(kind).run(|cx| async move {
                let real = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap();
                cx.sleep(Duration::from_nanos(u64::from(real.subsec_nanos())))
                    .await
                    .unwrap();
            });
            hashes.insert(report.trace_hash);
        }
        assert!(
            hashes.len() > 1,
            "{kind}: a run that reads the real clock must be seen to differ"
        );
    }
}

/// Two runs of one seed go different ways, because a standard hash map is ordered anew in each.
#[test]
fn lab_flags_hash_iteration() {
    for &kind in BackendKind::compiled() {
        let failure = Check::new(0..4).on(kind).run(|cx| async move {
            let pauses: std::collections::HashMap<u64, ()> = (1..=24).map(|i| (i, ())).collect();
            for millis in pauses.into_keys() {
                cx.sleep(Duration::from_millis(millis)).await.unwrap();
            }
        });
        assert!(
            matches!(failure, Err(LabFailure::Nondeterministic { .. })),
            "{kind}: {failure:?}"
        );
    }
}

/// The schedule was never varied: seeds that change nothing are no check.
#[test]
fn lab_flags_a_vacuous_check() {
    async fn scenario(cx: Cx) {
        cx.sleep(Duration::from_millis(1)).await.unwrap();
    }
    for &kind in BackendKind::compiled() {
        let same = Check::new(0..32).on(kind).yield_pct(0);
        assert!(matches!(same.run(scenario), Err(LabFailure::Vacuous)), "{kind}");
        assert_eq!(same.single_schedule().run(scenario).unwrap().runs, 64, "{kind}");
    }
}

#[test]
fn lab_flags_lost_panic() {
    async fn boom(_: Cx) -> Result<(), Cancelled> {
        std::panic::resume_unwind(Box::new("boom"))
    }
    let lost = complaints(|cx| async move {
        let region = cx.open_region(RegionSpec::collect_all("panics")).unwrap();
        region.cx().spawn("careless", boom).unwrap();
        region.close(&cx).await;
    });
    assert!(lost.iter().all(|c| c.contains("careless")), "{lost:?}");
    for &kind in BackendKind::compiled() {
        // Whoever joins it has it.
        let report = LabConfig::new(1).on(kind).run(|cx| async move {
            let mut task = cx.spawn("joined", boom).unwrap();
            assert!(matches!(task.join(&cx).await.unwrap(), Outcome::Panicked(_)));
        });
        report.clean().unwrap();
        assert!(report.lost_panics.is_empty());
    }
    let finalizer = complaints(|cx| async move {
        let boom = |_| async { std::panic::resume_unwind(Box::new("boom")) };
        cx.defer("cleanup", Duration::from_secs(1), boom).unwrap();
    });
    assert!(finalizer.iter().all(|c| c.contains("finalizer")), "{finalizer:?}");
}

#[test]
fn lab_flags_open_permit() {
    let owed = complaints(|cx| async move {
        let (tx, _rx) = mpsc::<()>(1.try_into().unwrap());
        let region = cx.open_region(RegionSpec::new("owes")).unwrap();
        let permit = tx.reserve(region.cx()).await.unwrap();
        region.close(&cx).await;
        drop(permit);
    });
    assert!(
        owed.iter().all(|c| c.contains("1 permits were not given back")),
        "{owed:?}"
    );
}

#[test]
fn lab_flags_stuck_child() {
    let stuck = complaints(|cx| async move {
        let deaf = |_| std::future::pending::<Result<(), Cancelled>>();
        let region = cx.open_region(RegionSpec::collect_all("stuck")).unwrap();
        let mut task = region.cx().spawn("deaf", deaf).unwrap();
        region.close_within(Duration::from_millis(10)).await;
        let ended = task.join(&cx).await.unwrap();
        assert!(matches!(ended, Outcome::Cancelled(r) if r.kind == CancelKind::Straggler));
    });
    assert!(stuck.iter().all(|c| c.contains("deaf")), "{stuck:?}");
}
