//! The lab: same seed, same run; and it notices what it must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod flags;
mod links;
mod replay;

use std::time::Duration;

use annals_net_adapter::lab::{Check, Injection, LabConfig, LabFailure, cancel_everywhere, check};
use annals_net_adapter::sync::Semaphore;
use annals_net_adapter::{BackendKind, Cancelled, Cx, HostPort, Outcome, RegionSpec};
use futures_util::{AsyncReadExt, AsyncWriteExt};

async fn region_storm(cx: Cx) {
    let outcome = cx
        .region(RegionSpec::collect_all("storm"), |cx| async move {
            for i in 0..20u64 {
                cx.spawn("task", move |cx| async move {
                    let pause = cx.rng().u64(0..5);
                    cx.sleep(Duration::from_millis(pause)).await?;
                    let inner = cx
                        .open_region(RegionSpec::new("inner"))
                        .map_err(|_| Cancelled(cx.cancel_reason().unwrap()))?;
                    inner
                        .cx()
                        .spawn(
                            "leaf",
                            move |cx| async move { cx.sleep(Duration::from_millis(i)).await },
                        )
                        .unwrap();
                    inner.close(&cx).await;
                    Ok::<_, Cancelled>(())
                })
                .unwrap();
            }
            Ok::<_, Cancelled>(())
        })
        .await;
    assert!(outcome.report.drain.quiescent);
}

async fn echo_over_the_virtual_net(cx: Cx) -> usize {
    let mut listener = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let to = HostPort::new("localhost", listener.local_addr().port());
    let mut server = cx
        .spawn("server", |cx| async move {
            let (mut stream, _) = listener
                .accept(&cx)
                .await
                .map_err(|_| std::io::Error::other("accept"))?;
            let mut bytes = vec![0; 200_000];
            cx.or_cancel(stream.read_exact(&mut bytes))
                .await
                .map_err(|_| std::io::Error::other("cancelled"))??;
            cx.or_cancel(stream.write_all(&bytes))
                .await
                .map_err(|_| std::io::Error::other("cancelled"))??;
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    let stream = cx.net().connect(&cx, &to, Duration::from_secs(1), None).await.unwrap();
    let (mut read, mut write) = stream.split();
    let sending = async {
        write.write_all(&vec![7; 200_000]).await.unwrap();
        write.close().await.unwrap();
    };
    let mut echoed = Vec::new();
    futures_util::future::join(sending, read.read_to_end(&mut echoed))
        .await
        .1
        .unwrap();
    assert!(server.join(&cx).await.unwrap().is_ok());
    echoed.len()
}

#[test]
fn lab_same_seed_same_hash() {
    assert_eq!(
        check(0..32, region_storm).unwrap(),
        64 * BackendKind::compiled().len() as u64
    );
}

#[test]
fn lab_seeds_differ() {
    let report = Check::new(0..32).run(region_storm).unwrap();
    assert!(report.traces > 16 && report.choices > 0, "{report:?}");
}

#[test]
fn lab_trace_tells_what_happened_between_two_polls() {
    for &kind in BackendKind::compiled() {
        let hash = |permits: u32| {
            let report = LabConfig::new(3).on(kind).run(move |cx| async move {
                let semaphore = Semaphore::new(4);
                for _ in 0..permits {
                    // Free: the task is not suspended, and no other event shows it.
                    drop(semaphore.acquire(&cx, 1).await.unwrap());
                }
            });
            report.clean().unwrap();
            report.trace_hash
        };
        assert_eq!(hash(1), hash(1), "{kind}");
        assert_ne!(hash(1), hash(2), "{kind}");
    }
}

#[test]
fn virtual_net_carries_bytes_on_every_lab() {
    for &kind in BackendKind::compiled() {
        for seed in 0..8 {
            let report = LabConfig::new(seed).on(kind).run(echo_over_the_virtual_net);
            report.clean().unwrap();
            assert_eq!(report.outcome.ok(), Some(200_000), "{kind} seed {seed}");
        }
    }
}

#[test]
fn a_run_that_takes_longer_than_it_may_is_not_clean() {
    for &kind in BackendKind::compiled() {
        let mut config = LabConfig::new(1).on(kind);
        config.max_virtual = Duration::from_secs(3_600);
        let report = config.run(|cx| async move { cx.sleep(Duration::from_secs(86_400)).await.is_ok() });
        report.clean().unwrap_err();
    }
}

#[test]
fn a_day_passes_in_no_time() {
    for &kind in BackendKind::compiled() {
        let report = LabConfig::new(1).on(kind).run(|cx| async move {
            let before = cx.unix_ms();
            cx.sleep(Duration::from_secs(86_400)).await.unwrap();
            cx.unix_ms().0 - before.0
        });
        report.clean().unwrap();
        assert_eq!(report.outcome.ok(), Some(86_400_000), "{kind}");
    }
}

#[test]
fn a_stuck_scenario_is_an_error_not_a_hang() {
    for &kind in BackendKind::compiled() {
        let report = LabConfig::new(1).on(kind).run(|_| std::future::pending::<()>());
        let failure = report.clean().unwrap_err();
        assert!(
            matches!(failure, LabFailure::Stuck { seed: 1, .. }),
            "{kind}: {failure}"
        );
        assert!(failure.to_string().contains("seed=1"), "says how to replay: {failure}");
    }
}

/// Both ways: the task is asked to stop, or its future is dropped; at each poll of each task.
#[test]
fn cancel_everywhere_leaves_nothing_behind() {
    for &kind in BackendKind::compiled() {
        let mut endings = (0, 0);
        let tried = cancel_everywhere(&LabConfig::new(3).on(kind), region_storm, |report| {
            report.clean().unwrap();
            match report.outcome {
                Outcome::Ok(()) => endings.0 += 1,
                _ => endings.1 += 1,
            }
        });
        assert!(tried > 100, "{kind}: only {tried} points");
        assert!(endings.0 > 0 && endings.1 > 0, "{kind}: {endings:?}");
    }
}

/// A cancelled pipeline accounts for what it was given: delivered + left in the queue + never sent = all of it.
#[test]
fn cancel_everywhere_in_a_pipeline_loses_no_message() {
    use annals_net_adapter::channel::mpsc;
    const ITEMS: u32 = 6;
    async fn pipeline(cx: Cx) -> (u32, u32, usize) {
        let (tx, mut rx) = mpsc::<u32>(2.try_into().unwrap());
        let mut sender = cx
            .spawn("sender", move |cx| async move {
                let mut sent = 0;
                while sent < ITEMS && tx.send(&cx, sent).await.is_ok() {
                    sent += 1;
                }
                Ok::<_, Cancelled>(sent)
            })
            .unwrap();
        let mut received = 0;
        while let Ok(item) = rx.recv(&cx).await {
            assert_eq!(item, received, "in order");
            received += 1;
            if cx.sleep(Duration::from_millis(1)).await.is_err() {
                break;
            }
        }
        rx.close();
        let left = rx.drain().len();
        let sent = cx.masked(Duration::from_secs(5), |cx| async move { sender.join(&cx).await });
        let sent = sent.await.unwrap().unwrap().ok();
        // A dropped sender cannot say how much it sent; what arrived was sent.
        (sent.unwrap_or(received + u32::try_from(left).unwrap()), received, left)
    }
    for &kind in BackendKind::compiled() {
        let mut injected = [0, 0];
        cancel_everywhere(&LabConfig::new(11).on(kind), pipeline, |report| {
            report.clean().unwrap();
            if let Outcome::Ok((sent, received, left)) = report.outcome {
                assert_eq!(
                    sent as usize,
                    received as usize + left,
                    "{kind}: {}",
                    report.replay_line()
                );
            }
            match report.injected() {
                Some(Injection::Request) => injected[0] += 1,
                Some(Injection::Drop) => injected[1] += 1,
                None => {}
            }
        });
        assert!(injected[0] > 10 && injected[0] == injected[1], "{kind}: {injected:?}");
    }
}

#[test]
#[should_panic(expected = "nothing to cancel")]
fn cancel_everywhere_needs_something_to_cancel() {
    cancel_everywhere(
        &LabConfig {
            yield_pct: 0,
            ..LabConfig::new(1)
        },
        |_| async {},
        |_| {},
    );
}
