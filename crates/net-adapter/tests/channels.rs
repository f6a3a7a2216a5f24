//! Channels and locks: no place leaks, no message is lost, first come is first served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals_net_adapter::channel::{RecvError, ReserveError, mpsc, oneshot};
use annals_net_adapter::sync::{Mutex, Notify, Semaphore};
use annals_net_adapter::{
    CancelKind, CancelReason, Cancelled, Cx, GroupSpec, Outcome, Policy, RegionSpec, map_bounded, on_every_host,
};

fn n(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

async fn cancelled_reserve_leaks_no_slot(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(2));
    let held = [tx.reserve(&cx).await.unwrap(), tx.reserve(&cx).await.unwrap()];
    for _ in 0..200 {
        let region = cx.open_region(RegionSpec::new("gives-up")).unwrap();
        region.cancel(reason(&cx));
        assert!(matches!(tx.reserve(region.cx()).await, Err(ReserveError::Cancelled(_))));
        assert!(cx.timeout(Duration::from_micros(1), tx.reserve(&cx)).await.is_err());
        region.close(&cx).await;
    }
    drop(held);
    tx.try_reserve(&cx).unwrap().send(1).unwrap();
    tx.try_reserve(&cx).unwrap().send(2).unwrap();
    assert!(tx.try_reserve(&cx).is_err(), "both places are taken again");
    assert_eq!(rx.drain(), [1, 2]);
}

async fn dropped_permit_is_invisible(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(1));
    drop(tx.reserve(&cx).await.unwrap());
    tx.send(&cx, 5).await.unwrap();
    drop(tx);
    assert_eq!(rx.recv(&cx).await, Ok(5));
    assert_eq!(rx.recv(&cx).await, Err(RecvError::Closed));
}

async fn send_after_receiver_gone_returns_value(cx: Cx) {
    let (tx, rx) = mpsc::<u32>(n(1));
    let permit = tx.reserve(&cx).await.unwrap();
    drop(rx);
    assert_eq!(permit.send(7), Err(7));
    assert_eq!(tx.send(&cx, 8).await.unwrap_err().value, 8);
    let (tx, rx) = oneshot::<u32>();
    drop(rx);
    assert_eq!(tx.send(9), Err(9));
}

async fn delivery_is_commit_order(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(3));
    let first = tx.reserve(&cx).await.unwrap();
    let second = tx.reserve(&cx).await.unwrap();
    second.send(2).unwrap();
    first.send(1).unwrap();
    assert_eq!((rx.recv(&cx).await, rx.recv(&cx).await), (Ok(2), Ok(1)));
}

async fn cancelled_recv_keeps_message(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(1));
    let region = cx.open_region(RegionSpec::new("gives-up")).unwrap();
    region.cancel(reason(&cx));
    tx.send(&cx, 3).await.unwrap();
    assert!(matches!(rx.recv(region.cx()).await, Err(RecvError::Cancelled(_))));
    assert_eq!(rx.recv(&cx).await, Ok(3));
    region.close(&cx).await;
}

async fn reservers_are_fifo(cx: Cx) {
    let room = Semaphore::new(1);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = room.acquire(&cx, 1).await.unwrap();
    let region = cx.open_region(RegionSpec::new("queue")).unwrap();
    for i in 0..10 {
        let (room, order, waiting) = (room.clone(), order.clone(), Arc::new(AtomicUsize::new(0)));
        let queued = waiting.clone();
        region
            .cx()
            .spawn("waiter", move |cx| async move {
                let mut wait = Box::pin(room.acquire(&cx, 1));
                let first = std::future::poll_fn(|c| std::task::Poll::Ready(wait.as_mut().poll(c).is_pending())).await;
                assert!(first);
                waiting.store(1, Ordering::SeqCst);
                let _permit = wait.await?;
                order.lock().unwrap().push(i);
                Ok::<_, Cancelled>(())
            })
            .unwrap();
        while queued.load(Ordering::SeqCst) == 0 {
            cx.sleep(Duration::from_millis(1)).await.unwrap();
        }
    }
    drop(held);
    region.close(&cx).await;
    assert!(order.lock().unwrap().iter().copied().eq(0..10));
}

async fn grant_is_passed_on_when_cancelled(cx: Cx) {
    let room = Semaphore::new(1);
    let held = room.acquire(&cx, 1).await.unwrap();
    let mut first = Box::pin(room.acquire(&cx, 1));
    let mut second = Box::pin(room.acquire(&cx, 1));
    std::future::poll_fn(|c| {
        assert!(first.as_mut().poll(c).is_pending() && second.as_mut().poll(c).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(held); // grants the first,
    drop(first); // which leaves without taking it
    drop(second.await.unwrap());
    assert_eq!(room.available(), 1);
}

async fn a_free_place_is_not_withheld_from_a_newcomer(cx: Cx) {
    let room = Semaphore::new(2);
    let held = [room.acquire(&cx, 1).await.unwrap(), room.acquire(&cx, 1).await.unwrap()];
    let mut first = Box::pin(room.acquire(&cx, 1));
    let pending = std::future::poll_fn(|c| std::task::Poll::Ready(first.as_mut().poll(c).is_pending())).await;
    assert!(pending);
    drop(held); // one place for the first, who has not looked yet, and one for anybody
    let newcomer = cx.timeout(Duration::from_secs(1), room.acquire(&cx, 1)).await;
    assert!(newcomer.is_ok(), "a place is free");
    drop(first.await.unwrap());
}

async fn fail_fast_group_stops_at_once(cx: Cx) {
    let spec = GroupSpec {
        name: "item",
        policy: Policy::FailFast,
        max_in_flight: n(2),
    };
    let mut group = cx.group(spec);
    group
        .spawn(&cx, |cx| async move { Err(Stopped(Some(cx.cancelled().await))) })
        .await
        .unwrap();
    group
        .spawn(&cx, |_| async { Err::<(), _>(Stopped(None)) })
        .await
        .unwrap();
    let mut refused = 0;
    for _ in 0..10 {
        refused += usize::from(group.spawn(&cx, |_| async { Ok(()) }).await.is_err());
    }
    let outcomes = group.join_all(&cx).await;
    assert!(refused >= 9, "nothing starts after a failure: {refused}");
    assert!(
        matches!(&outcomes[0], Outcome::Cancelled(r) if r.kind == CancelKind::FailFast),
        "{:?}",
        outcomes[0]
    );
}

#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped(Option<CancelReason>);

impl annals_net_adapter::TaskError for Stopped {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.0.as_ref()
    }
}

async fn mutex_survives_panic(cx: Cx) {
    let shared = Mutex::new(1);
    let mut locked = Box::pin(async {
        let mut guard = shared.lock(&cx).await.unwrap();
        *guard += 1;
        panic!("while locked");
    });
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| Future::poll(locked.as_mut(), context));
        let unwound: Result<std::task::Poll<()>, _> = std::panic::catch_unwind(poll);
        assert!(unwound.is_err());
        std::task::Poll::Ready(())
    })
    .await;
    drop(locked);
    assert_eq!(*shared.lock(&cx).await.unwrap(), 2);
}

async fn notify_is_cancellable(cx: Cx) {
    let bell = Notify::default();
    let region = cx.open_region(RegionSpec::new("gives-up")).unwrap();
    region.cancel(reason(&cx));
    bell.notify_one();
    bell.notify_one();
    assert!(bell.notified(region.cx()).await.is_err());
    bell.notified(&cx).await.unwrap();
    assert!(
        cx.timeout(Duration::from_millis(1), bell.notified(&cx)).await.is_err(),
        "one wake-up is stored"
    );
    region.close(&cx).await;
}

async fn open_permits_reported_at_close(cx: Cx) {
    let (tx, _rx) = mpsc::<u32>(n(1));
    let region = cx.open_region(RegionSpec::new("returns")).unwrap();
    drop(tx.reserve(region.cx()).await.unwrap());
    assert_eq!(region.close(&cx).await.drain.open_permits, 0);

    let region = cx.open_region(RegionSpec::new("owes")).unwrap();
    let permit = tx.reserve(region.cx()).await.unwrap();
    assert_eq!(region.close(&cx).await.drain.open_permits, 1);
    permit.send(1).expect("it stays valid");
}

async fn group_returns_spawn_order(cx: Cx) {
    let outcomes = map_bounded(&cx, n(8), 0..32u64, |cx, i| async move {
        cx.sleep(Duration::from_millis(32 - i)).await?;
        Ok::<_, Cancelled>(i)
    })
    .await;
    assert!(outcomes.into_iter().map(|o| o.ok().unwrap()).eq(0..32));
}

async fn group_bounds_in_flight(cx: Cx) {
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, most) = (now.clone(), peak.clone());
    let outcomes = map_bounded(&cx, n(5), 0..300u32, move |cx, _| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            cx.yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        }
    })
    .await;
    assert_eq!(outcomes.len(), 300);
    assert!(peak.load(Ordering::SeqCst) <= 5);
}

async fn group_keeps_late_results(cx: Cx) {
    let region = cx.open_region(RegionSpec::collect_all("cut")).unwrap();
    let inner = region.cx().clone();
    let spec = GroupSpec {
        name: "item",
        policy: Policy::CollectAll,
        max_in_flight: n(10),
    };
    let mut group = inner.group(spec);
    for i in 0..10u64 {
        group
            .spawn(&inner, move |cx| async move {
                cx.sleep(Duration::from_millis(if i < 5 { 0 } else { 3_600_000 }))
                    .await?;
                Ok::<_, Cancelled>(i)
            })
            .await
            .unwrap();
    }
    cx.sleep(Duration::from_millis(20)).await.unwrap();
    region.cancel(reason(&cx));
    let outcomes = group.join_all(&inner).await;
    assert_eq!(outcomes.len(), 10);
    assert!(
        outcomes.iter().take(5).all(Outcome::is_ok),
        "finished before the cancel, kept: {outcomes:?}"
    );
    assert!(outcomes.iter().skip(5).all(|o| !o.is_ok()));
    region.close(&cx).await;
}

on_every_host!(
    cancelled_reserve_leaks_no_slot,
    dropped_permit_is_invisible,
    send_after_receiver_gone_returns_value,
    delivery_is_commit_order,
    cancelled_recv_keeps_message,
    reservers_are_fifo,
    grant_is_passed_on_when_cancelled,
    a_free_place_is_not_withheld_from_a_newcomer,
    mutex_survives_panic,
    notify_is_cancellable,
    group_returns_spawn_order,
    group_bounds_in_flight,
    group_keeps_late_results,
);

/// Owes a permit on purpose, which the hosts' own check would flag.
#[test]
fn open_permits_are_counted_and_flagged() {
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig, lab::LabConfig};
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let main = runtime.run_main(|cx| async move {
            open_permits_reported_at_close(cx).await;
            Ok::<_, Cancelled>(())
        });
        assert!(main.outcome.is_ok(), "{:?}", main.outcome);
        assert_eq!(main.drain.open_permits, 1);
        assert!(
            LabConfig::new(1)
                .on(kind)
                .run(open_permits_reported_at_close)
                .clean()
                .is_err()
        );
    }
}

/// A failed task fails a region that stops at the first failure, so this has one of its own.
#[test]
fn fail_fast_group_stops_at_once_on_every_host() {
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};
    for &kind in BackendKind::compiled() {
        let main = Runtime::build(kind, &RuntimeConfig::default())
            .unwrap()
            .run_main(|cx| async move {
                fail_fast_group_stops_at_once(cx).await;
                Ok::<_, Cancelled>(())
            });
        assert!(main.outcome.is_ok(), "{kind}: {:?}", main.outcome);
    }
}
