//! Random command sequences, each compared step by step with a model made of a `VecDeque` and a few counters.

use std::collections::VecDeque;
use std::time::Duration;

use annals_net_adapter::channel::{
    BroadcastRecvError, RecvError, ReserveError, TryRecvError, TryReserveError, broadcast, mpsc, oneshot, watch,
};
use annals_net_adapter::sync::Semaphore;
use annals_net_adapter::{BackendKind, Cx, Runtime, RuntimeConfig};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{at_once, n};

/// 256 sequences of commands on every compiled runtime.
fn on_sequences<C: std::fmt::Debug>(
    command: impl Strategy<Value = C>,
    mut run: impl FnMut(&Cx, Vec<C>) -> Result<(), TestCaseError>,
) {
    let sequence = prop::collection::vec(command, 1..60);
    for &kind in BackendKind::compiled() {
        let runtime = Runtime::build(kind, &RuntimeConfig::default()).unwrap();
        let slice = runtime.open_slice("model").unwrap();
        let mut runner = TestRunner::new(Config {
            cases: 256,
            failure_persistence: None,
            ..Config::default()
        });
        let cx = slice.cx().clone();
        let run = std::cell::RefCell::new(&mut run);
        let result = runner.run(&sequence, |commands| run.borrow_mut()(&cx, commands));
        if let Err(failure) = result {
            panic!("{kind}: {failure}");
        }
        assert_eq!(runtime.snapshot().permits(), 0, "{kind}");
        drop(slice);
        assert!(runtime.shutdown(Duration::from_secs(5)).quiescent, "{kind}");
    }
}

#[derive(Debug, Clone)]
enum Mpsc {
    TryReserve,
    /// A wait that is given up at once when there is no place.
    Reserve,
    Send(usize),
    DropPermit(usize),
    TryRecv,
    Recv,
    Drain,
    Close,
}

#[test]
fn mpsc_equals_its_model() {
    const CAP: usize = 3;
    let command = prop_oneof![
        4 => Just(Mpsc::TryReserve),
        4 => Just(Mpsc::Reserve),
        6 => (0..CAP).prop_map(Mpsc::Send),
        2 => (0..CAP).prop_map(Mpsc::DropPermit),
        3 => Just(Mpsc::TryRecv),
        3 => Just(Mpsc::Recv),
        1 => Just(Mpsc::Drain),
        1 => Just(Mpsc::Close),
    ];
    on_sequences(command, |cx, commands| {
        let (tx, mut rx) = mpsc::<usize>(n(CAP));
        let mut permits = Vec::new();
        let (mut queue, mut closed) = (VecDeque::new(), false);
        for (step, command) in commands.into_iter().enumerate() {
            let full = queue.len() + permits.len() >= CAP;
            match command {
                Mpsc::TryReserve => match tx.try_reserve(cx) {
                    Ok(permit) => {
                        prop_assert!(!closed && !full);
                        permits.push(permit);
                    }
                    Err(TryReserveError::Disconnected) => prop_assert!(closed),
                    Err(TryReserveError::Full) => prop_assert!(!closed && full),
                },
                Mpsc::Reserve => match at_once(tx.reserve(cx)) {
                    Some(Ok(permit)) => {
                        prop_assert!(!closed && !full);
                        permits.push(permit);
                    }
                    Some(Err(ReserveError::Disconnected)) => prop_assert!(closed),
                    Some(Err(ReserveError::Cancelled(_))) => prop_assert!(false, "nobody cancelled"),
                    None => prop_assert!(!closed && full),
                },
                Mpsc::Send(i) if i < permits.len() => {
                    let sent = permits.remove(i).send(step);
                    prop_assert_eq!(sent.is_ok(), !closed);
                    if !closed {
                        queue.push_back(step);
                    }
                }
                Mpsc::DropPermit(i) if i < permits.len() => drop(permits.remove(i)),
                Mpsc::Send(_) | Mpsc::DropPermit(_) => {}
                Mpsc::TryRecv => {
                    let none = if closed {
                        TryRecvError::Closed
                    } else {
                        TryRecvError::Empty
                    };
                    prop_assert_eq!(rx.try_recv(), queue.pop_front().ok_or(none));
                }
                Mpsc::Recv => {
                    let expected = match queue.pop_front() {
                        Some(item) => Some(Ok(item)),
                        None => closed.then_some(Err(RecvError::Closed)),
                    };
                    prop_assert_eq!(at_once(rx.recv(cx)), expected);
                }
                Mpsc::Drain => prop_assert_eq!(rx.drain(), queue.drain(..).collect::<Vec<_>>()),
                Mpsc::Close => {
                    rx.close();
                    closed = true;
                }
            }
        }
        drop(permits);
        rx.drain();
        let places: Vec<_> = std::iter::from_fn(|| tx.try_reserve(cx).ok()).take(CAP + 1).collect();
        prop_assert_eq!(places.len(), if closed { 0 } else { CAP }, "every place came back");
        Ok(())
    });
}

#[derive(Debug, Clone)]
enum Sem {
    Try(usize),
    /// A wait that is kept, and looked at again by `Look`.
    Queue(usize),
    Look(usize),
    GiveUp(usize),
    Release(usize),
}

/// Waiters are served in their order and nobody overtakes them; the sum of permits never changes.
#[test]
fn semaphore_equals_its_model() {
    const PERMITS: usize = 3;
    let command = prop_oneof![
        3 => (1..=PERMITS).prop_map(Sem::Try),
        4 => (1..=PERMITS).prop_map(Sem::Queue),
        4 => (0..4usize).prop_map(Sem::Look),
        2 => (0..4usize).prop_map(Sem::GiveUp),
        4 => (0..4usize).prop_map(Sem::Release),
    ];
    on_sequences(command, |cx, commands| {
        let semaphore = Semaphore::new(PERMITS);
        // Of the model: who waits, in order, with what they need and whether it is theirs already.
        let mut waiting: Vec<(usize, bool)> = Vec::new();
        let mut free = PERMITS;
        let mut waits = Vec::new();
        let mut held: Vec<(usize, _)> = Vec::new();
        let serve = |waiting: &mut Vec<(usize, bool)>, free: &mut usize| {
            for waiter in waiting.iter_mut().filter(|w| !w.1) {
                if waiter.0 > *free {
                    break;
                }
                *free -= waiter.0;
                waiter.1 = true;
            }
        };
        for command in commands {
            let queued = waiting.iter().any(|w| !w.1);
            match command {
                Sem::Try(need) => {
                    let taken = semaphore.try_acquire(need);
                    prop_assert_eq!(taken.is_some(), !queued && need <= free);
                    if let Some(permit) = taken {
                        free -= need;
                        held.push((need, permit));
                    }
                }
                Sem::Queue(need) => {
                    let (semaphore, cx) = (semaphore.clone(), cx.clone());
                    let mut wait = Box::pin(async move { semaphore.acquire(&cx, need).await });
                    match crate::poll_once(wait.as_mut()) {
                        Some(permit) => {
                            prop_assert!(!queued && need <= free);
                            free -= need;
                            held.push((need, permit.unwrap()));
                        }
                        None => {
                            prop_assert!(queued || need > free);
                            waiting.push((need, false));
                            waits.push(wait);
                        }
                    }
                }
                Sem::Look(i) if i < waits.len() => match crate::poll_once(waits[i].as_mut()) {
                    Some(permit) => {
                        let (need, granted) = waiting.remove(i);
                        prop_assert!(granted, "it was its turn");
                        drop(waits.remove(i));
                        held.push((need, permit.unwrap()));
                    }
                    None => prop_assert!(!waiting[i].1, "a granted permit is there at the next look"),
                },
                Sem::GiveUp(i) if i < waits.len() => {
                    drop(waits.remove(i));
                    let (need, granted) = waiting.remove(i);
                    free += if granted { need } else { 0 };
                    serve(&mut waiting, &mut free);
                }
                Sem::Release(i) if i < held.len() => {
                    let (need, permit) = held.remove(i);
                    drop(permit);
                    free += need;
                    serve(&mut waiting, &mut free);
                }
                Sem::Look(_) | Sem::GiveUp(_) | Sem::Release(_) => {}
            }
            prop_assert_eq!(semaphore.available(), free);
        }
        drop(waits);
        drop(held);
        prop_assert_eq!(semaphore.available(), PERMITS);
        Ok(())
    });
}

#[derive(Debug, Clone)]
enum One {
    Send,
    DropSender,
    Recv,
    DropReceiver,
}

#[test]
fn oneshot_equals_its_model() {
    let command = prop_oneof![
        Just(One::Send),
        Just(One::DropSender),
        Just(One::Recv),
        Just(One::DropReceiver)
    ];
    on_sequences(command, |cx, commands| {
        let (tx, rx) = oneshot::<usize>();
        let (mut tx, mut rx) = (Some(tx), Some(rx));
        let mut value = None;
        for (step, command) in commands.into_iter().enumerate() {
            match command {
                One::Send => {
                    if let Some(tx) = tx.take() {
                        let expected = if rx.is_some() { Ok(()) } else { Err(step) };
                        prop_assert_eq!(tx.send(step), expected);
                        value = rx.is_some().then_some(step);
                    }
                }
                One::DropSender => drop(tx.take()),
                // One look; it takes the receiver along.
                One::Recv => {
                    if let Some(rx) = rx.take() {
                        let expected = match value.take() {
                            Some(value) => Some(Ok(value)),
                            None => tx.is_none().then_some(Err(RecvError::Closed)),
                        };
                        prop_assert_eq!(at_once(rx.recv(cx)), expected);
                    }
                }
                One::DropReceiver => {
                    rx.take();
                    value = None;
                }
            }
        }
        Ok(())
    });
}

/// A command to one of a few receivers.
#[derive(Debug, Clone)]
enum Many {
    Send,
    Subscribe,
    Clone(usize),
    Receive(usize),
    Mark(usize),
    Leave(usize),
}

fn many() -> impl Strategy<Value = Many> {
    prop_oneof![
        5 => Just(Many::Send),
        1 => Just(Many::Subscribe),
        1 => (0..4usize).prop_map(Many::Clone),
        6 => (0..4usize).prop_map(Many::Receive),
        1 => (0..4usize).prop_map(Many::Mark),
        1 => (0..4usize).prop_map(Many::Leave),
    ]
}

#[test]
fn watch_equals_its_model() {
    on_sequences(many(), |cx, commands| {
        let (tx, rx) = watch(0usize);
        let mut version = 0usize;
        let mut receivers = vec![(rx, 0)];
        for command in commands {
            match command {
                Many::Send => {
                    version += 1;
                    tx.send(version);
                }
                Many::Subscribe => receivers.push((tx.subscribe(), version)),
                Many::Clone(i) if i < receivers.len() => {
                    let twin = receivers[i].clone();
                    receivers.push(twin);
                }
                Many::Receive(i) if i < receivers.len() => {
                    let (rx, seen) = &mut receivers[i];
                    prop_assert_eq!(at_once(rx.changed(cx)), (*seen != version).then_some(Ok(())));
                    *seen = version;
                    prop_assert_eq!(rx.get(), version);
                }
                Many::Mark(i) if i < receivers.len() => {
                    prop_assert_eq!(receivers[i].0.get_and_mark(), version);
                    receivers[i].1 = version;
                }
                Many::Leave(i) if i < receivers.len() => drop(receivers.remove(i)),
                Many::Clone(_) | Many::Receive(_) | Many::Mark(_) | Many::Leave(_) => {}
            }
        }
        drop(tx);
        for (mut rx, seen) in receivers {
            if seen != version {
                prop_assert_eq!(at_once(rx.changed(cx)), Some(Ok(())));
            }
            prop_assert_eq!(at_once(rx.changed(cx)), Some(Err(RecvError::Closed)));
        }
        Ok(())
    });
}

#[test]
fn broadcast_equals_its_model() {
    const CAP: usize = 3;
    on_sequences(many(), |cx, commands| {
        let (tx, rx) = broadcast::<usize>(n(CAP));
        let mut sent = 0usize;
        // Each receiver with a queue of its own, and how many it has lost.
        let mut receivers = vec![(rx, VecDeque::new(), 0u64)];
        let look = |rx: &mut annals_net_adapter::channel::BroadcastReceiver<usize>,
                    queue: &mut VecDeque<usize>,
                    lost: &mut u64,
                    end: Option<BroadcastRecvError>| {
            let expected = match std::mem::take(lost) {
                0 => queue.pop_front().map(Ok).or(end.map(Err)),
                lost => Some(Err(BroadcastRecvError::Lagged(lost))),
            };
            prop_assert_eq!(at_once(rx.recv(cx)), expected);
            Ok(())
        };
        for command in commands {
            match command {
                Many::Send => {
                    tx.send(sent);
                    for (_, queue, lost) in &mut receivers {
                        queue.push_back(sent);
                        if queue.len() > CAP {
                            queue.pop_front();
                            *lost += 1;
                        }
                    }
                    sent += 1;
                }
                Many::Subscribe => receivers.push((tx.subscribe(), VecDeque::new(), 0)),
                Many::Clone(i) if i < receivers.len() => {
                    let twin = receivers[i].clone();
                    receivers.push(twin);
                }
                Many::Receive(i) | Many::Mark(i) if i < receivers.len() => {
                    let (rx, queue, lost) = &mut receivers[i];
                    look(rx, queue, lost, None)?;
                }
                Many::Leave(i) if i < receivers.len() => drop(receivers.remove(i)),
                Many::Clone(_) | Many::Receive(_) | Many::Mark(_) | Many::Leave(_) => {}
            }
        }
        drop(tx);
        for (mut rx, mut queue, mut lost) in receivers {
            while lost > 0 || !queue.is_empty() {
                look(&mut rx, &mut queue, &mut lost, None)?;
            }
            look(&mut rx, &mut queue, &mut lost, Some(BroadcastRecvError::Closed))?;
        }
        Ok(())
    });
}
