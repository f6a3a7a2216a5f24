//! Reserve, then send: no place leaks, no message is lost, first come is first served. And the locks.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals_net_adapter::channel::{RecvError, ReserveError, mpsc, oneshot};
use annals_net_adapter::sync::{Mutex, Notify, Semaphore};
use annals_net_adapter::{Cancelled, Cx, RegionSpec, on_every_host};

use crate::{at_once, n, poll_once, reason};

async fn cancelled_reserve_leaks_no_slot(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(2));
    let held = [tx.reserve(&cx).await.unwrap(), tx.reserve(&cx).await.unwrap()];
    let region = cx.open_region(RegionSpec::new("gives-up")).unwrap();
    let asked = region.cx().clone();
    let mut waiting = Box::pin(tx.reserve(&asked));
    assert!(poll_once(waiting.as_mut()).is_none());
    region.cancel(reason(&cx));
    assert!(matches!(waiting.await, Err(ReserveError::Cancelled(_))));
    for _ in 0..10_000 {
        assert!(matches!(tx.reserve(region.cx()).await, Err(ReserveError::Cancelled(_))));
        assert!(at_once(tx.reserve(&cx)).is_none(), "it waits, and is dropped");
    }
    region.close(&cx).await;
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

async fn notify_all_wakes_those_who_wait_and_stores_nothing(cx: Cx) {
    let bell = Notify::default();
    let mut waiting = [Box::pin(bell.notified(&cx)), Box::pin(bell.notified(&cx))];
    for wait in &mut waiting {
        assert!(poll_once(wait.as_mut()).is_none());
    }
    bell.notify_all();
    let [mut first, second] = waiting;
    drop(second); // its wake-up was not its alone, so nobody inherits it
    assert!(poll_once(first.as_mut()).is_some());
    assert!(
        poll_once(Box::pin(bell.notified(&cx)).as_mut()).is_none(),
        "nothing is stored"
    );
}

async fn permit_moves_between_tasks(cx: Cx) {
    let (tx, mut rx) = mpsc::<u32>(n(1));
    let permit = tx.reserve(&cx).await.unwrap();
    let mut task = cx
        .spawn("elsewhere", move |_| async move {
            permit.send(4).unwrap();
            Ok::<_, Cancelled>(())
        })
        .unwrap();
    assert_eq!(rx.recv(&cx).await, Ok(4));
    assert!(task.join(&cx).await.unwrap().is_ok());
}

/// Reserved on one runtime, sent on another; with one backend compiled in, on another instance of it. The place counts
/// where it was reserved.
#[test]
fn permit_moves_between_tasks_and_runtimes() {
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig};
    let build = |kind: &BackendKind| Runtime::build(*kind, &RuntimeConfig::default()).unwrap();
    let kinds = BackendKind::compiled();
    let (here, there) = (build(kinds.first().unwrap()), build(kinds.last().unwrap()));
    let slice = there.open_slice("sender").unwrap();
    let snapshot = here.clone();
    let main = here.run_main(|cx| async move {
        let (tx, mut rx) = mpsc::<u32>(n(1));
        for i in 0..100 {
            let permit = tx.reserve(&cx).await.unwrap();
            assert_eq!(snapshot.snapshot().permits(), 1);
            let send = move |_| async move {
                permit.send(i).unwrap();
                Ok::<_, Cancelled>(())
            };
            let mut task = slice.cx().spawn("sends", send).unwrap();
            assert_eq!(rx.recv(&cx).await, Ok(i));
            assert!(task.join(&cx).await.unwrap().is_ok());
            assert_eq!(snapshot.snapshot().permits(), 0);
        }
        drop(slice);
        Ok::<_, Cancelled>(())
    });
    assert!(main.outcome.is_ok(), "{:?}", main.outcome);
    assert_eq!(main.drain.open_permits, 0);
    assert_eq!(there.shutdown(Duration::from_secs(5)).open_permits, 0);
}

async fn owes_a_permit(cx: Cx) {
    let (tx, _rx) = mpsc::<u32>(n(1));
    let region = cx.open_region(RegionSpec::new("returns")).unwrap();
    drop(tx.reserve(region.cx()).await.unwrap());
    assert_eq!(region.close(&cx).await.drain.open_permits, 0);

    let region = cx.open_region(RegionSpec::new("owes")).unwrap();
    let permit = tx.reserve(region.cx()).await.unwrap();
    assert_eq!(region.close(&cx).await.drain.open_permits, 1);
    permit.send(1).expect("it stays valid");
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
    notify_all_wakes_those_who_wait_and_stores_nothing,
    permit_moves_between_tasks,
);

/// Owes a permit on purpose, which the hosts' own check would flag.
#[test]
fn open_permits_reported_at_close() {
    use annals_net_adapter::{BackendKind, Runtime, RuntimeConfig, lab::LabConfig};
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let main = runtime.run_main(|cx| async move {
            owes_a_permit(cx).await;
            Ok::<_, Cancelled>(())
        });
        assert!(main.outcome.is_ok(), "{:?}", main.outcome);
        assert_eq!(main.drain.open_permits, 1);
        assert!(LabConfig::new(1).on(kind).run(owes_a_permit).clean().is_err());
    }
}
