//! Politeness and locks, on the clock of the lab.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{World, sized};
use annals_core::{CancelKind, CancelReason};
use annals_net_adapter::http::{Body, HttpClient, HttpError, ReqOpts, Request, Response};
use annals_net_adapter::lab::LabConfig;
use annals_net_adapter::{BackendKind, Cx};
use annals_sync::Progress;
use annals_sync::forge::budget::ByteBudget;
use annals_sync::forge::host::{Ask, Host, HostPolicy};
use annals_sync::forge::meter::Meter;
use annals_sync::forge::sliding_window::SlidingWindow;
use annals_testkit::forge::{Key, Latency, SimOptions, State};
use bytes::Bytes;

const SEEDS: u64 = 32;
const PER: Duration = Duration::from_secs(1);

/// Starts `n` tasks that each take a slot of three a second, cancels those of `cancelled` after half a second, and
/// says when the others started, in milliseconds and in order.
async fn starts(cx: &Cx, n: usize, cancelled: &[usize]) -> Vec<u128> {
    let window = Arc::new(SlidingWindow::new(NonZeroU32::new(3).unwrap(), PER));
    let began = cx.now();
    let started = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for _ in 0..n {
        let (window, started) = (window.clone(), started.clone());
        let task = cx.spawn("waiter", move |cx| async move {
            window
                .acquire(&cx)
                .await
                .map_err(|stop| annals_core::Cancelled(stop.reason().clone()))?;
            started.lock().unwrap().push(cx.now().since(began).as_millis());
            Ok::<_, annals_core::Cancelled>(())
        });
        tasks.push(task.unwrap());
    }
    cx.sleep(PER / 2).await.unwrap();
    for task in cancelled.iter().map(|at| &tasks[*at]) {
        task.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    }
    for task in &mut tasks {
        let _ended = task.join(cx).await.unwrap();
    }
    let mut started = started.lock().unwrap().clone();
    started.sort_unstable();
    started
}

#[test]
fn limiter_kth_start_not_before_slot() {
    for backend in BackendKind::compiled() {
        for seed in 0..SEEDS {
            let run = || {
                let report = LabConfig::new(seed)
                    .on(*backend)
                    .run(|cx| async move { starts(&cx, 20, &[]).await });
                report.clean().unwrap();
                report.outcome.ok().unwrap()
            };
            let started = run();
            for (k, at) in started.iter().enumerate() {
                let slot = u128::try_from(k / 3).unwrap() * PER.as_millis();
                assert!(
                    *at >= slot && *at < slot + 50,
                    "start {k} of seed {seed} at {at} ms: {started:?}"
                );
            }
            assert_eq!(run(), started, "seed {seed} again");
        }
    }
}

#[test]
fn limiter_cancelled_waiter_delays_nobody() {
    for backend in BackendKind::compiled() {
        for seed in 0..SEEDS {
            let report = LabConfig::new(seed).on(*backend).run(|cx| async move {
                // None of these has begun after half a second: only three have, whichever they were.
                let all = starts(&cx, 12, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).await;
                assert_eq!(all.len(), 3, "{all:?}");
                let window = Arc::new(SlidingWindow::new(NonZeroU32::new(1).unwrap(), PER));
                window.acquire(&cx).await.unwrap();
                let began = cx.now();
                let waiting = window.clone();
                let mut first = cx
                    .spawn("first", move |cx| async move {
                        waiting
                            .acquire(&cx)
                            .await
                            .map(|_| ())
                            .map_err(|stop| annals_core::Cancelled(stop.reason().clone()))
                    })
                    .unwrap();
                cx.sleep(PER / 4).await.unwrap();
                first.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
                let _ended = first.join(&cx).await.unwrap();
                window.acquire(&cx).await.unwrap();
                let waited = cx.now().since(began);
                assert!(waited >= PER && waited < PER + PER / 10, "{waited:?}");
            });
            report.clean().unwrap();
        }
    }
}

/// Says "too many" to the first request, and counts how many of the later ones are under way at once.
#[derive(Default)]
struct Strained {
    sent: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl HttpClient for Strained {
    fn send<'a>(
        &'a self,
        cx: &'a Cx,
        _request: Request,
        _options: &'a ReqOpts,
    ) -> Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + 'a>> {
        Box::pin(async move {
            let before = self.sent.fetch_add(1, Ordering::SeqCst);
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            // The first four left before the host had said anything.
            if before >= 4 {
                self.most.fetch_max(under_way, Ordering::SeqCst);
            }
            let answer = http::Response::builder().header("content-type", "application/json");
            let answer = if before == 0 {
                cx.sleep(Duration::from_millis(100)).await.unwrap();
                answer.status(429).header("retry-after", "2")
            } else {
                cx.sleep(Duration::from_secs(1)).await.unwrap();
                answer.status(200)
            };
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(answer.body(Body::from(Bytes::from_static(b"[]"))).unwrap())
        })
    }
}

#[test]
fn a_lowered_pace_holds_those_that_queue() {
    for backend in BackendKind::compiled() {
        let report = LabConfig::new(9).on(*backend).run(|cx| async move {
            let client = Arc::new(Strained::default());
            let host = Arc::new(Host::new("forge", client.clone(), HostPolicy::default()));
            let mut tasks = Vec::new();
            for _ in 0..12 {
                let host = host.clone();
                let task = cx.spawn("asker", move |cx| async move {
                    let (meter, budget) = (Meter::new(Progress::silent()), ByteBudget::new(1 << 20));
                    let (flight, url) = (budget.flight(), "https://forge.example/list".parse().unwrap());
                    let ask = Ask {
                        url: &url,
                        query: None,
                        auth: None,
                        token_variables: &[],
                        validators: None,
                        flight: &flight,
                        meter: &meter,
                    };
                    host.ask(&cx, &ask).await.map(|_reply| ())
                });
                tasks.push(task.unwrap());
            }
            for task in &mut tasks {
                assert!(task.join(&cx).await.unwrap().is_ok());
            }
            assert_eq!(client.sent.load(Ordering::SeqCst), 13);
            assert_eq!(client.most.load(Ordering::SeqCst), 2, "half of four");
        });
        report.clean().unwrap();
    }
}

#[test]
fn reacquire_stops_old_heartbeat() {
    for backend in BackendKind::compiled() {
        for seed in 0..SEEDS {
            let report = LabConfig::new(seed).on(*backend).run(|cx| async move {
                let latency = Latency::Fixed(Duration::from_secs(4));
                let options = SimOptions {
                    latency,
                    ..SimOptions::default()
                };
                let world = Arc::new(World::with(&cx, sized(91, 8, 3), options).await);
                let running = world.clone();
                let mut run = cx
                    .spawn("run", move |cx| async move { running.sync(&cx).await })
                    .unwrap();
                // Past the first beat, with the lock held.
                cx.sleep(Duration::from_secs(11)).await.unwrap();
                let held = "SELECT count(*) FROM sync_locks WHERE holder IS NOT NULL";
                assert_eq!(world.number(&cx, held).await, 1);
                let taken = world.db.write(&cx, |tx| {
                    tx.execute(
                        "UPDATE sync_locks SET fence = fence + 1, holder = 'another', run_id = NULL, heartbeat_at = 77",
                        (),
                    )?;
                    Ok(())
                });
                taken.await.unwrap();
                cx.sleep(Duration::from_secs(20)).await.unwrap();
                let beat = "SELECT heartbeat_at FROM sync_locks";
                assert_eq!(world.number(&cx, beat).await, 77, "the old heartbeat went on");
                let _ended = run.join(&cx).await.unwrap();
                assert_eq!(world.number(&cx, beat).await, 77);
                assert_eq!(world.number(&cx, held).await, 1, "and its end released nothing");
                Arc::try_unwrap(world).ok().unwrap().close(&cx).await;
            });
            report.clean().unwrap();
        }
    }
}

/// While the fetch of a set is under way, a later one is stored: the earlier one must not replace it.
#[test]
fn older_set_fetch_never_replaces_newer() {
    for backend in BackendKind::compiled() {
        let report = LabConfig::new(7).on(*backend).run(|cx| async move {
            let slow = |_: u64, target: &str| {
                let is_talk = target.contains("/discussions");
                Duration::from_secs(if is_talk { 10 } else { 0 })
            };
            let options = SimOptions {
                latency: Latency::By(Arc::new(slow)),
                ..SimOptions::default()
            };
            let world = Arc::new(World::with(&cx, one_talk(), options).await);
            let running = world.clone();
            let mut run = cx
                .spawn("run", move |cx| async move { running.sync(&cx).await })
                .unwrap();
            cx.sleep(Duration::from_secs(5)).await.unwrap();
            let later = cx.unix_ms().0;
            let stored = world.db.write(&cx, move |tx| {
                tx.execute(
                    "INSERT INTO dependent_sets (entity_type, entity_id, job_type, fetched_at, cause_at, items)
                     SELECT 'issue', id, 'discussions', ?1, 0, 99 FROM issues",
                    (later,),
                )?;
                Ok(())
            });
            stored.await.unwrap();
            assert!(run.join(&cx).await.unwrap().is_ok());
            assert_eq!(
                world.number(&cx, "SELECT count(*) FROM notes").await,
                0,
                "the older fetch was written"
            );
            let set = "SELECT items FROM dependent_sets WHERE job_type = 'discussions'";
            assert_eq!(world.number(&cx, set).await, 99);
            world.sim.with_state(|state| state.touch(Key::issue(1)));
            world.sync(&cx).await.unwrap();
            world.assert_whole(&cx, "after a fetch that is newer").await;
            Arc::try_unwrap(world).ok().unwrap().close(&cx).await;
        });
        report.clean().unwrap();
    }
}

fn one_talk() -> State {
    let mut state = sized(92, 1, 0);
    state.add_note(Key::issue(1), 0, "A word");
    state
}
