//! One sender, many observers: the latest value, or every value with a count of those that were lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals_net_adapter::channel::{BroadcastRecvError, RecvError, broadcast, watch};
use annals_net_adapter::{Cancelled, Cx, RegionSpec, on_every_host};

use crate::{at_once, n, reason};

async fn watch_coalesces(cx: Cx) {
    let (tx, mut rx) = watch(0);
    assert!(at_once(rx.changed(&cx)).is_none(), "the first value is seen");
    for i in 1..=10 {
        tx.send(i);
    }
    let mut late = rx.clone();
    assert_eq!(rx.changed(&cx).await, Ok(()));
    assert_eq!(rx.get(), 10);
    assert!(at_once(rx.changed(&cx)).is_none(), "ten sends are one change");
    assert_eq!(late.get_and_mark(), 10);
    assert!(at_once(late.changed(&cx)).is_none());
    tx.send(11);
    drop(tx);
    assert_eq!(rx.changed(&cx).await, Ok(()), "a last change comes before the end");
    assert_eq!(rx.changed(&cx).await, Err(RecvError::Closed));
    assert_eq!(rx.get(), 11);
}

async fn every_watcher_sees_the_last_value(cx: Cx) {
    let (tx, rx) = watch(0u32);
    let region = cx.open_region(RegionSpec::new("watchers")).unwrap();
    for _ in 0..8 {
        let mut rx = rx.clone();
        let watcher = move |cx: Cx| async move {
            let mut last = 0;
            while rx.changed(&cx).await.is_ok() {
                let now = rx.get();
                assert!(now >= last, "never an older one");
                last = now;
            }
            assert_eq!(last, 100);
            Ok::<_, Cancelled>(())
        };
        region.cx().spawn("watcher", watcher).unwrap();
    }
    for i in 1..=100 {
        tx.send(i);
        if i % 7 == 0 {
            cx.yield_now().await;
        }
    }
    drop(tx);
    assert_eq!(region.close(&cx).await.drain.completed, 8);
}

async fn cancelled_observers_lose_nothing(cx: Cx) {
    let region = cx.open_region(RegionSpec::new("gives-up")).unwrap();
    region.cancel(reason(&cx));
    let (tx, mut rx) = watch(0);
    tx.send(1);
    assert!(matches!(rx.changed(region.cx()).await, Err(RecvError::Cancelled(_))));
    assert_eq!(rx.changed(&cx).await, Ok(()));
    let (tx, mut rx) = broadcast(n(2));
    tx.send(5);
    assert!(matches!(
        rx.recv(region.cx()).await,
        Err(BroadcastRecvError::Cancelled(_))
    ));
    assert_eq!(rx.recv(&cx).await, Ok(5));
    region.close(&cx).await;
}

async fn broadcast_lag_counts_exactly(cx: Cx) {
    let (tx, mut rx) = broadcast(n(4));
    let mut prompt = tx.subscribe();
    for i in 0..10u32 {
        tx.send(i);
        assert_eq!(prompt.recv(&cx).await, Ok(i), "whoever keeps up loses nothing");
    }
    assert_eq!(rx.recv(&cx).await, Err(BroadcastRecvError::Lagged(6)));
    for i in 6..10 {
        assert_eq!(rx.recv(&cx).await, Ok(i));
    }
    assert!(at_once(rx.recv(&cx)).is_none());
    let mut late = tx.subscribe();
    tx.send(10);
    drop(tx);
    for receiver in [&mut rx, &mut late] {
        assert_eq!(receiver.recv(&cx).await, Ok(10));
        assert_eq!(receiver.recv(&cx).await, Err(BroadcastRecvError::Closed));
    }
}

/// However sender and receivers take turns: received + lost = sent, in order.
async fn broadcast_accounts_for_every_value(cx: Cx) {
    const SENT: u64 = 500;
    let (tx, rx) = broadcast(n(8));
    let seen = Arc::new(AtomicU64::new(0));
    let region = cx.open_region(RegionSpec::new("receivers")).unwrap();
    for _ in 0..4 {
        let (mut rx, seen) = (rx.clone(), seen.clone());
        let receiver = move |cx: Cx| async move {
            let mut next = 0;
            loop {
                match rx.recv(&cx).await {
                    Ok(value) => {
                        assert_eq!(value, next);
                        next += 1;
                    }
                    Err(BroadcastRecvError::Lagged(lost)) => next += lost,
                    Err(BroadcastRecvError::Closed) => break,
                    Err(BroadcastRecvError::Cancelled(reason)) => return Err(Cancelled(reason)),
                }
            }
            seen.fetch_add(next, Ordering::SeqCst);
            Ok(())
        };
        region.cx().spawn("receiver", receiver).unwrap();
    }
    for i in 0..SENT {
        tx.send(i);
        if cx.rng().bool() {
            cx.yield_now().await;
        }
    }
    drop(tx);
    region.close(&cx).await;
    assert_eq!(seen.load(Ordering::SeqCst), 4 * SENT);
}

async fn a_broadcast_nobody_hears_is_not_kept(cx: Cx) {
    let (tx, rx) = broadcast(n(4));
    let value = Arc::new(());
    tx.send(value.clone());
    assert_eq!(Arc::strong_count(&value), 2);
    drop(rx);
    assert_eq!(Arc::strong_count(&value), 1, "the last receiver takes it along");
    tx.send(value.clone());
    assert_eq!(Arc::strong_count(&value), 1);
    let mut late = tx.subscribe();
    assert!(at_once(late.recv(&cx)).is_none(), "it was sent before this one came");
}

on_every_host!(
    watch_coalesces,
    every_watcher_sees_the_last_value,
    cancelled_observers_lose_nothing,
    broadcast_lag_counts_exactly,
    broadcast_accounts_for_every_value,
    a_broadcast_nobody_hears_is_not_kept,
);
