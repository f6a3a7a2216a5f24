//! The choice of runtime, and several of them in one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::channel::{RecvError, mpsc};
use annals_net_adapter::{
    BackendKind, BuildError, Cancelled, Cx, OutcomeKind, RegionChange, RegionKind, RegionSnapshot, RegionSpec,
    RegionState, Runtime, RuntimeConfig, RuntimeSection, Runtimes, Slice, Stage, on_every_host, testing,
};

fn build(kind: BackendKind) -> Runtime {
    Runtime::build(
        kind,
        &RuntimeConfig {
            workers: 2,
            ..RuntimeConfig::default()
        },
    )
    .unwrap()
}

#[test]
fn uncompiled_backend_is_typed_error() {
    for kind in [BackendKind::Tokio, BackendKind::Asupersync] {
        let built = Runtime::build(kind, &RuntimeConfig::default());
        if BackendKind::compiled().contains(&kind) {
            assert_eq!(built.unwrap().kind(), kind);
        } else {
            let error = built.unwrap_err();
            assert!(
                matches!(&error, BuildError::NotCompiled { asked, compiled } if *asked == kind && compiled == BackendKind::compiled())
            );
            assert!(
                error.to_string().contains(BackendKind::compiled()[0].as_str()),
                "names what there is: {error}"
            );
        }
    }
}

#[test]
fn config_switch_selects_backend() {
    for &kind in BackendKind::compiled() {
        let section = RuntimeSection {
            slices: vec![(Slice::Server, kind)],
            ..RuntimeSection::default()
        };
        let runtimes = Runtimes::start(&section).unwrap();
        assert_eq!(runtimes.of(Slice::Server).kind(), kind);
        assert_eq!(runtimes.of(Slice::Ingest).kind(), section.default);
        assert_eq!(runtimes.describe().len(), 4);
    }
}

#[test]
fn second_shutdown_returns_first_report() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let region = runtime.open_slice("server").unwrap();
        region
            .cx()
            .spawn(
                "waits",
                |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
            )
            .unwrap();
        drop(region);
        let first = runtime.shutdown(Duration::from_secs(5));
        assert!(first.quiescent && first.cancelled == 1, "{kind}: {first:?}");
        assert_eq!(runtime.shutdown(Duration::from_secs(5)).cancelled, 1);
        assert!(runtime.open_slice("late").is_err());
    }
}

#[test]
fn run_main_drains_children_after_panic() {
    for &kind in BackendKind::compiled() {
        let main = build(kind).run_main(|cx| async move {
            cx.spawn(
                "child",
                |cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) },
            )
            .unwrap();
            if !cx.is_cancelled() {
                panic!("main fails");
            }
            Ok::<_, Cancelled>(())
        });
        assert_eq!(main.outcome.kind(), OutcomeKind::Panicked, "{kind}");
        assert!(
            main.drain.quiescent && main.drain.cancelled == 1,
            "{kind}: {:?}",
            main.drain
        );
    }
}

/// A channel joins two runtimes; with one backend compiled in, two instances of it.
#[test]
fn two_runtimes_in_one_process() {
    const ITEMS: u64 = 200_000;
    let (first, second) = (BackendKind::compiled()[0], *BackendKind::compiled().last().unwrap());
    let (here, there) = (build(first), build(second));
    let (there_tx, mut there_rx) = mpsc::<u64>(64.try_into().unwrap());
    let (here_tx, mut here_rx) = mpsc::<u64>(64.try_into().unwrap());
    let slice = there.open_slice("echo").unwrap();
    slice
        .cx()
        .spawn("echo", move |cx| async move {
            loop {
                match there_rx.recv(&cx).await {
                    Ok(item) => here_tx.send(&cx, item + 1).await.unwrap(),
                    Err(RecvError::Closed) => return Ok(()),
                    Err(RecvError::Cancelled(reason)) => return Err(Cancelled(reason)),
                }
            }
        })
        .unwrap();
    let main = here.run_main(|cx| async move {
        let sender = cx
            .spawn("send", move |cx| async move {
                for i in 0..ITEMS {
                    there_tx.send(&cx, i).await.unwrap();
                }
                Ok::<_, Cancelled>(())
            })
            .unwrap();
        let mut sum = 0;
        while let Ok(item) = here_rx.recv(&cx).await {
            sum += item;
        }
        assert!(sender.is_finished());
        Ok::<_, Cancelled>(sum)
    });
    assert_eq!(main.outcome.ok(), Some(ITEMS * (ITEMS - 1) / 2 + ITEMS));
    drop(slice);
    assert!(there.shutdown(Duration::from_secs(5)).quiescent);
}

/// A context of one runtime is used on a task of another, and on a plain thread.
#[test]
fn cx_methods_work_from_any_thread() {
    for &owner in BackendKind::compiled() {
        let owning = build(owner);
        let region = owning.open_slice("owner").unwrap();
        let foreign = region.cx().clone();
        for &user in BackendKind::compiled() {
            let foreign = foreign.clone();
            let main = build(user).run_main(|_| async move {
                foreign.sleep(Duration::from_millis(2)).await?;
                let value = foreign.blocking("work", |_| Ok::<_, Cancelled>(5)).await;
                let mut task = foreign
                    .spawn("task", |cx| async move { cx.sleep(Duration::from_millis(1)).await })
                    .unwrap();
                assert!(task.join(&foreign).await?.is_ok());
                let mut listener = foreign
                    .net()
                    .listen(&foreign, "127.0.0.1:0".parse().unwrap())
                    .await
                    .unwrap();
                let to = annals_net_adapter::HostPort::new("127.0.0.1", listener.local_addr().port());
                let stream = foreign
                    .net()
                    .connect(&foreign, &to, Duration::from_secs(5), None)
                    .await
                    .unwrap();
                let mut accepted = foreign
                    .spawn("accept", |cx| async move { listener.accept(&cx).await })
                    .unwrap();
                assert!(accepted.join(&foreign).await?.is_ok());
                drop(stream);
                Ok::<_, Cancelled>(value)
            });
            assert!(main.outcome.is_ok(), "{owner} used on {user}: {:?}", main.outcome);
        }
        drop(region);
        assert!(owning.shutdown(Duration::from_secs(5)).quiescent);
    }
}

/// Each slice hears of the end when the one before it has ended, on whichever runtime it is; what is no slice hears last.
/// With one backend compiled in, all of them are on it.
#[test]
fn mixed_slices_drain_in_order() {
    let kinds = BackendKind::compiled();
    let (first, last) = (kinds[0], *kinds.last().unwrap());
    for (default, other) in [(first, last), (last, first)] {
        let section = RuntimeSection {
            default,
            slices: vec![(Slice::Server, other), (Slice::Queue, other)],
            workers: 2,
            ..RuntimeSection::default()
        };
        let runtimes = Runtimes::start(&section).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listens = |name: &'static str| {
            let heard = heard.clone();
            move |cx: Cx| async move {
                let reason = cx.cancelled().await;
                heard.lock().unwrap().push(name);
                // Long enough for the next one to come first, if it did not wait.
                cx.sleep_full(Duration::from_millis(10)).await;
                heard.lock().unwrap().push(name);
                Err::<(), _>(Cancelled(reason))
            }
        };
        let open = |name: Slice| {
            let region = runtimes.of(name).open_slice(name.as_str()).unwrap();
            region.cx().spawn(name.as_str(), listens(name.as_str())).unwrap();
            // Also what is deeper counts.
            let inner = region
                .cx()
                .open_region(annals_net_adapter::RegionSpec::new("inner"))
                .unwrap();
            inner.cx().spawn(name.as_str(), listens(name.as_str())).unwrap();
            let keeps = |cx: Cx| async move {
                inner.close(&cx).await;
                Ok::<_, Cancelled>(())
            };
            region.cx().spawn("keeps", keeps).unwrap();
            region
        };
        let rest = runtimes.default().open_slice("rest").unwrap();
        rest.cx().spawn("rest", listens("rest")).unwrap();
        let slices = [Slice::Ingest, Slice::Queue, Slice::Slack, Slice::Server].map(open);
        // The guards are held by whoever ends the process; they go when the slices have heard of it.
        let shutdown = runtimes.shutdown_signal().clone();
        let watched = heard.clone();
        let lets_go = std::thread::spawn(move || {
            while watched.lock().unwrap().len() < 4 * 4 + 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop((slices, rest));
        });
        let drain = runtimes.shutdown(Duration::from_secs(60));
        lets_go.join().unwrap();
        assert!(drain.quiescent, "{drain:?}");
        assert_eq!((drain.cancelled, drain.completed), (9, 4), "{drain:?}");
        assert_eq!(shutdown.stage(), Stage::Done);
        let expected = ["server", "slack", "queue", "ingest"].map(|name| [name; 4]).concat();
        let expected = [&expected[..], &["rest"; 2]].concat();
        assert_eq!(*heard.lock().unwrap(), expected, "default {default}, others {other}");
        assert!(runtimes.shutdown(Duration::from_secs(60)).quiescent);
    }
}

/// One that does not end has its share of the time, and no more.
#[test]
fn a_stuck_slice_holds_nobody_up_for_ever() {
    for &kind in BackendKind::compiled() {
        let section = RuntimeSection {
            default: kind,
            workers: 2,
            ..RuntimeSection::default()
        };
        let runtimes = Runtimes::start(&section).unwrap();
        let open = |name: Slice| runtimes.of(name).open_slice(name.as_str()).unwrap();
        let (server, ingest) = (open(Slice::Server), open(Slice::Ingest));
        server
            .cx()
            .spawn("deaf", |_| std::future::pending::<Result<(), Cancelled>>())
            .unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let obeys = |cx: Cx| async move {
            let reason = cx.cancelled().await;
            sender.send(()).unwrap();
            Err::<(), _>(Cancelled(reason))
        };
        ingest.cx().spawn("obeys", obeys).unwrap();
        let lets_go = std::thread::spawn(move || {
            receiver.recv().unwrap();
            drop((server, ingest));
        });
        let drain = runtimes.shutdown(Duration::from_secs(1));
        lets_go.join().unwrap();
        let names: Vec<_> = drain.stragglers.iter().map(|task| task.name).collect();
        assert_eq!(names, ["deaf"], "{kind}: {drain:?}");
    }
}

/// Where a task runs is decided by the context it is started with, whatever thread that happens on.
#[test]
fn no_ambient_context() {
    let kinds = BackendKind::compiled();
    let (here, there) = (build(kinds[0]), build(*kinds.last().unwrap()));
    let slice = there.open_slice("there").unwrap();
    let (seen_here, seen_there) = (here.clone(), there.clone());
    let main = here.run_main(|_| async move {
        let wait = |cx: annals_net_adapter::Cx| async move { Err::<(), _>(Cancelled(cx.cancelled().await)) };
        slice.cx().spawn("foreign", wait).unwrap();
        let names = |runtime: &Runtime| runtime.snapshot().tasks().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(names(&seen_there), ["foreign"]);
        assert!(names(&seen_here).is_empty(), "{:?}", names(&seen_here));
        drop(slice);
        Ok::<_, Cancelled>(())
    });
    assert!(main.outcome.is_ok(), "{:?}", main.outcome);
    assert!(there.shutdown(Duration::from_secs(5)).quiescent);
}

/// Played back, the events give the tree that a snapshot shows; each region's come in order and end with one `Closed`.
async fn region_events_match_snapshots(cx: Cx) {
    const TASKS: usize = 10;
    const PASSING: usize = 20;
    let before = testing::snapshot(&cx).regions;
    let mut events = testing::region_events(&cx);
    let tree = cx.open_region(RegionSpec::collect_all("tree")).unwrap();
    let (tx, mut rx) = mpsc::<()>(TASKS.try_into().unwrap());
    let level = move |cx: Cx| async move {
        for _ in 0..PASSING {
            let region = cx.open_region(RegionSpec::new("passing")).unwrap();
            region.cx().spawn("leaf", |cx| async move { cx.checkpoint() }).unwrap();
            region.close(&cx).await;
        }
        let kept = cx.open_region(RegionSpec::new("kept")).unwrap();
        tx.send(&cx, ()).await.unwrap();
        cx.cancelled().await;
        kept.close(&cx).await;
        Ok::<_, Cancelled>(())
    };
    for _ in 0..TASKS {
        tree.cx().spawn("level", level.clone()).unwrap();
    }
    for _ in 0..TASKS {
        rx.recv(&cx).await.unwrap();
    }
    let snapshot = testing::snapshot(&cx);
    let shown = snapshot.named("tree").unwrap();
    assert_eq!((shown.kind, shown.live_tasks.len()), (RegionKind::Scope, TASKS));
    assert_eq!(
        snapshot.children(shown.id).filter(|r| r.name == "kept").count(),
        TASKS,
        "and no more"
    );
    assert_eq!(snapshot.regions.len(), before.len() + 1 + TASKS);
    assert!(tree.close_within(Duration::from_secs(60)).await.drain.quiescent);
    let ids = |regions: &[RegionSnapshot]| regions.iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids(&testing::snapshot(&cx).regions), ids(&before));

    let mut open: BTreeMap<u64, (Option<u64>, RegionState)> = BTreeMap::new();
    let (mut most, mut closed) = (0, 0);
    while let Some(event) = events.try_recv() {
        let event = event.expect("fewer events than are kept");
        match event.change {
            RegionChange::Opened => {
                assert_eq!(open.insert(event.region, (event.parent, RegionState::Open)), None);
                most = most.max(open.len());
            }
            RegionChange::State(state) => {
                let (_, last) = open.get_mut(&event.region).unwrap();
                assert!(state > *last, "a region never goes back");
                *last = state;
            }
            RegionChange::Closed => {
                assert!(open.remove(&event.region).is_some());
                closed += 1;
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(closed, 1 + TASKS * (PASSING + 1));
    assert!(most > TASKS, "the snapshot's regions were open together");
}

on_every_host!(region_events_match_snapshots);

/// From outside, a runtime shows its root and its slices, and their end.
#[test]
fn region_events_tell_of_slices() {
    for &kind in BackendKind::compiled() {
        let runtime = build(kind);
        let mut events = runtime.region_events();
        let slice = runtime.open_slice("slice").unwrap();
        let snapshot = runtime.snapshot();
        let kinds: Vec<_> = snapshot.regions.iter().map(|r| r.kind).collect();
        assert_eq!(
            (snapshot.runtime, kinds),
            (kind, vec![RegionKind::Root, RegionKind::Slice])
        );
        drop(slice);
        assert!(runtime.shutdown(Duration::from_secs(5)).quiescent);
        assert!(runtime.snapshot().regions.is_empty());
        let mut ends = Vec::new();
        while let Some(event) = events.try_recv() {
            let event = event.unwrap();
            if event.change == RegionChange::Closed {
                ends.push(event.name);
            }
        }
        assert_eq!(ends, ["slice", "root"], "{kind}");
    }
}
