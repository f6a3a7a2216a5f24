//! Models of channels and locks for [loom](https://docs.rs/loom), which runs each with every order in which its threads can
//! meet (up to three preemptions). Only here are `prim`'s parts loom's; no runtime takes part.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --target-dir target/loom -p annals-net-adapter \
//!     --no-default-features --lib -- loom_models
//! ```

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread;

use super::prim::{Arc, AtomicUsize, Ordering};
use super::{Notify, Semaphore};
use crate::channel::{mpsc, oneshot, watch};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// One gives up while its grant is on the way: the other gets it, and no permit is lost.
#[test]
fn semaphore_grant_meets_cancel() {
    model(|| {
        let semaphore = Semaphore::new(0);
        let mut gives_up = Box::pin(semaphore.slots(1));
        assert!(poll_once(gives_up.as_mut()).is_pending());
        let waits = semaphore.clone();
        let waiter = thread::spawn(move || drop(block_on(waits.slots(1))));
        let releases = semaphore.clone();
        let releaser = thread::spawn(move || releases.release(1));
        drop(gives_up);
        releaser.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

/// Two take turns with one permit; never both at once.
#[test]
fn semaphore_excludes() {
    model(|| {
        let semaphore = Semaphore::new(1);
        let inside = Arc::new(AtomicUsize::new(0));
        let enter = |semaphore: Semaphore, inside: Arc<AtomicUsize>| {
            let permit = block_on(semaphore.slots(1));
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        };
        let (theirs, there) = (semaphore.clone(), inside.clone());
        let other = thread::spawn(move || enter(theirs, there));
        enter(semaphore.clone(), inside);
        other.join().unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

/// A reserver either gets the place before the channel closes, or learns that it is closed; it never waits for ever.
#[test]
fn mpsc_reserve_meets_close() {
    model(|| {
        let (tx, mut rx) = mpsc::<u32>(one());
        let held = block_on(tx.place()).ok();
        let reserver = thread::spawn(move || match block_on(tx.place()) {
            Ok(permit) => permit.send(1).is_ok(),
            Err(_) => false,
        });
        let closer = thread::spawn(move || {
            rx.close();
            rx
        });
        drop(held);
        let mut rx = closer.join().unwrap();
        let sent = reserver.join().unwrap();
        assert_eq!(
            rx.drain().len(),
            usize::from(sent),
            "what was sent before the close is there"
        );
    });
}

/// A permit is dropped while another reserver queues: the place goes over.
#[test]
fn permit_drop_meets_reserve() {
    model(|| {
        let (tx, mut rx) = mpsc::<u32>(one());
        let permit = block_on(tx.place()).ok();
        let theirs = tx.clone();
        let reserver = thread::spawn(move || {
            let permit = block_on(theirs.place());
            permit
                .unwrap_or_else(|_| unreachable!("nobody closes"))
                .send(2)
                .unwrap();
        });
        drop(permit);
        assert_eq!(block_on(rx.next()), Some(2));
        reserver.join().unwrap();
        drop(tx);
        assert_eq!(block_on(rx.next()), None, "the last sender is heard to leave");
    });
}

/// The last sender leaves while the receiver falls asleep.
#[test]
fn mpsc_last_sender_meets_receiver() {
    model(|| {
        let (tx, mut rx) = mpsc::<u32>(one());
        let sender = thread::spawn(move || {
            let permit = block_on(tx.place());
            permit
                .unwrap_or_else(|_| unreachable!("nobody closes"))
                .send(3)
                .unwrap();
        });
        assert_eq!(block_on(rx.next()), Some(3));
        assert_eq!(block_on(rx.next()), None);
        sender.join().unwrap();
    });
}

/// A value is sent while the receiver leaves: one of the two has it.
#[test]
fn oneshot_send_meets_drop() {
    model(|| {
        let (tx, rx) = oneshot::<Arc<()>>();
        let value = Arc::new(());
        let sent = value.clone();
        let sender = thread::spawn(move || drop(tx.send(sent)));
        drop(rx);
        sender.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1, "nobody else keeps it");
    });
}

/// The receiver waits while the value, or nothing, comes.
#[test]
fn oneshot_meets_its_receiver() {
    model(|| {
        let (tx, rx) = oneshot::<u32>();
        let (dropped, nothing) = oneshot::<u32>();
        let sender = thread::spawn(move || {
            tx.send(4).unwrap();
            drop(dropped);
        });
        assert_eq!(block_on(rx.value()), Some(4));
        assert_eq!(block_on(nothing.value()), None);
        sender.join().unwrap();
    });
}

/// No change is slept through, and the end comes after the last one.
#[test]
fn watch_change_meets_receiver() {
    model(|| {
        let (tx, mut rx) = watch(0);
        let sender = thread::spawn(move || {
            tx.send(1);
            tx.send(2);
        });
        let mut last = 0;
        while block_on(rx.change()) {
            let now = rx.get_and_mark();
            assert!(now > last, "each change is seen once");
            last = now;
        }
        assert_eq!(last, 2);
        sender.join().unwrap();
    });
}

/// One wake-up, two sleepers, one of whom leaves: the other wakes.
#[test]
fn notify_meets_cancel() {
    model(|| {
        let bell = Notify::default();
        let mut gives_up = Box::pin(bell.woken());
        assert!(poll_once(gives_up.as_mut()).is_pending());
        let theirs = bell.clone();
        let sleeper = thread::spawn(move || block_on(theirs.woken()));
        let rings = bell.clone();
        let ringer = thread::spawn(move || rings.notify_one());
        drop(gives_up);
        ringer.join().unwrap();
        sleeper.join().unwrap();
        assert!(poll_once(Box::pin(bell.woken()).as_mut()).is_pending(), "it was one");
    });
}
