//! A region that lives long does not grow. Alone in its program: it measures the memory of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use annals_net_adapter::{BackendKind, Cancelled, RegionSpec, Runtime, RuntimeConfig};

/// Bytes resident, from statm(5).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

#[cfg(target_os = "linux")]
#[test]
fn long_region_stays_flat() {
    const TASKS: usize = 1_000_000;
    const BATCH: usize = 1_000;
    for &kind in BackendKind::compiled() {
        let main = Runtime::build(kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                let region = cx.open_region(RegionSpec::collect_all("long")).unwrap();
                let mut before = 0;
                for batch in 0..TASKS / BATCH {
                    let mut tasks: Vec<_> = (0..BATCH)
                        .map(|_| {
                            region
                                .cx()
                                .spawn("short", |_| async { Ok::<_, Cancelled>(()) })
                                .unwrap()
                        })
                        .collect();
                    for task in &mut tasks {
                        assert!(task.join(&cx).await?.is_ok());
                    }
                    if batch == TASKS / BATCH / 10 {
                        before = resident();
                    }
                }
                let growth = resident().saturating_sub(before);
                assert!(growth < 8 << 20, "{kind}: {growth} bytes for 900,000 tasks");
                let report = region.close(&cx).await;
                assert_eq!((report.drain.completed, report.tasks.len()), (TASKS as u64, 1024));
                Ok::<_, Cancelled>(())
            });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}
