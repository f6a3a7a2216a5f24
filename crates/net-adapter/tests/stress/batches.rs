//! Writes on blocking threads, and starts that are spaced.

use std::convert::Infallible;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::http::RateLimiter;
use annals_net_adapter::{Cx, Outcome, RegionSpec};

use crate::probe::{Probe, spawn};
use crate::stress;

stress!(blocking_write_batch, rate_limited_loop);

const ROWS: usize = 3;

/// What stands for a table: the rows of a batch are there all, or none.
type Table = Arc<Mutex<Vec<u64>>>;

/// Some writers share one thread, some take any.
async fn blocking_write_batch(cx: Cx, probe: Probe) {
    let table = Table::default();
    let Ok(region) = cx.open_region(RegionSpec::collect_all("writers")) else {
        return;
    };
    let Ok(serial) = region.cx().serial("writer", NonZeroUsize::new(2).unwrap()) else {
        return;
    };
    for writer in 0..4 {
        let (probe, table, serial) = (probe.clone(), table.clone(), serial.clone());
        spawn(region.cx(), "writer", move |cx| async move {
            for _ in 0..probe.pick(6, 4) {
                // In the labs a write is over at once; this is where one can be stopped.
                cx.yield_now().await;
                let unit = probe.start();
                let (number, begun) = (unit.number, Arc::new(AtomicBool::new(false)));
                let (seen, table, told) = (begun.clone(), table.clone(), probe.clone());
                let write = move |_: &_| {
                    seen.store(true, Ordering::SeqCst);
                    told.event();
                    let mut rows = table.lock().unwrap();
                    rows.extend([number; ROWS]);
                    Ok::<_, Infallible>(number)
                };
                let outcome = if writer % 2 == 0 {
                    serial.run(&cx, write).await
                } else {
                    cx.blocking("write", write).await
                };
                match outcome {
                    Outcome::Ok(written) => {
                        assert_eq!(written, number);
                        unit.delivered();
                    }
                    Outcome::Cancelled(_) => {
                        assert!(!begun.load(Ordering::SeqCst), "what has begun is delivered");
                        unit.cancelled();
                        return;
                    }
                    Outcome::Err(never) => match never {},
                    Outcome::Panicked(message) => panic!("{message}"),
                }
            }
        });
    }
    drop(serial);
    region.close(&cx).await;
    let rows = table.lock().unwrap();
    let (batches, rest) = rows.as_chunks::<ROWS>();
    assert!(rest.is_empty(), "half a batch");
    assert!(
        batches.iter().all(|batch| batch.iter().all(|row| *row == batch[0])),
        "torn"
    );
    if !probe.is_lab() {
        assert_eq!(
            batches.len() as u64,
            probe.counts().delivered,
            "each batch was reported"
        );
    }
}

async fn rate_limited_loop(cx: Cx, probe: Probe) {
    let limiter = Arc::new(RateLimiter::new(
        NonZeroU32::new(20).unwrap(),
        Duration::from_millis(20),
    ));
    let Ok(region) = cx.open_region(RegionSpec::collect_all("callers")) else {
        return;
    };
    for caller in 0..4 {
        let (probe, limiter) = (probe.clone(), limiter.clone());
        spawn(region.cx(), "caller", move |cx| async move {
            for turn in 0..probe.pick(6, 2) {
                let unit = probe.start();
                let slot = limiter.acquire(&cx).await;
                unit.ended(&slot);
                let Ok(slot) = slot else { return };
                assert!(slot <= cx.now(), "nobody starts early");
                if caller == 0 && turn == 1 {
                    limiter.pause_until(cx.now().after(Duration::from_millis(2)));
                }
            }
        });
    }
    region.close(&cx).await;
}
