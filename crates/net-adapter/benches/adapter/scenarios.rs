//! Lab runs whose trace hashes are compared between two processes, and two that must be seen to differ.

use std::num::NonZeroUsize;
use std::time::Duration;

use annals_net_adapter::channel::mpsc;
use annals_net_adapter::lab::{LabConfig, LabReport};
use annals_net_adapter::{BackendKind, CancelKind, CancelReason, Cancelled, Cx, HostPort, RegionSpec};
use futures_util::{AsyncReadExt, AsyncWriteExt};

#[derive(serde::Serialize)]
struct Trace {
    host: &'static str,
    scenario: &'static str,
    /// Something in it is not decided by the seed: its hashes must differ.
    control: bool,
    seed: u64,
    /// In hexadecimal, because a JSON number does not hold it.
    hash: String,
    events: u64,
    /// What was left behind or went wrong.
    unclean: Option<String>,
}

/// Prints a JSON list of every scenario and seed on every compiled host.
pub fn print(seeds: u64) {
    let mut traces = Vec::new();
    for &kind in BackendKind::compiled() {
        for seed in 0..seeds {
            let config = || LabConfig::new(seed).on(kind);
            let mut add = |scenario, control, report: LabReport<()>| {
                traces.push(Trace {
                    host: kind.as_str(),
                    scenario,
                    control,
                    seed,
                    hash: format!("{:016x}", report.trace_hash),
                    events: report.events,
                    unclean: report.clean().err().map(|failure| failure.to_string()),
                });
            };
            add("region storm", false, config().run(region_storm));
            add("channel under cancel", false, config().run(channel_under_cancel));
            add("reconnect", false, config().run(reconnect));
            add("exchange over the network", false, config().run(exchange));
            add("control: wall clock", true, config().run(wall_clock));
            add("control: hash order", true, config().run(hash_order));
        }
    }
    println!("{}", serde_json::to_string(&traces).unwrap());
}

async fn region_storm(cx: Cx) {
    let outcome = cx.region(RegionSpec::collect_all("storm"), |cx| async move {
        for _ in 0..10 {
            cx.spawn("branch", |cx| async move {
                let Ok(region) = cx.open_region(RegionSpec::new("inner")) else {
                    return cx.checkpoint();
                };
                for _ in 0..3 {
                    let spawned = region.cx().spawn("leaf", |cx| async move {
                        let pause = cx.rng().u64(0..9);
                        cx.sleep(Duration::from_millis(pause)).await
                    });
                    if spawned.is_err() {
                        break;
                    }
                }
                region.close(&cx).await;
                Ok::<_, Cancelled>(())
            })
            .unwrap();
        }
        Ok::<_, Cancelled>(())
    });
    assert!(outcome.await.report.drain.quiescent);
}

async fn channel_under_cancel(cx: Cx) {
    let (send, mut receive) = mpsc::<u32>(NonZeroUsize::MIN);
    let region = cx.open_region(RegionSpec::collect_all("senders")).unwrap();
    for number in 0..4 {
        let send = send.clone();
        let sending = move |cx: Cx| async move {
            loop {
                match send.reserve(&cx).await {
                    Ok(permit) => drop(permit.send(number)),
                    Err(_) => return cx.checkpoint(),
                }
            }
        };
        region.cx().spawn("sender", sending).unwrap();
    }
    drop(send);
    for _ in 0..20 {
        receive.recv(&cx).await.unwrap();
    }
    region.cancel(CancelReason::new(CancelKind::User, "scenario", cx.now()));
    // What was committed before is still delivered.
    while receive.recv(&cx).await.is_ok() {}
    assert!(region.close(&cx).await.drain.quiescent);
}

/// A peer that hangs up after each line, and a client that comes again, a little later every time.
async fn reconnect(cx: Cx) {
    let mut listener = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let to = HostPort::new("localhost", listener.local_addr().port());
    let mut server = cx
        .spawn("peer", move |cx| async move {
            for _ in 0..6 {
                let (mut stream, _) = listener.accept(&cx).await.map_err(|_| std::io::ErrorKind::Other)?;
                let pause = cx.rng().u64(0..20);
                cx.sleep_full(Duration::from_millis(pause)).await;
                stream.write_all(b"hello\n").await?;
                stream.close().await?;
            }
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    for attempt in 0..6u64 {
        let mut stream = cx.net().connect(&cx, &to, Duration::from_secs(1), None).await.unwrap();
        let mut line = Vec::new();
        stream.read_to_end(&mut line).await.unwrap();
        assert_eq!(line, b"hello\n");
        let longest = 10 << attempt;
        let pause = cx.rng().u64(0..longest);
        cx.sleep(Duration::from_millis(pause)).await.unwrap();
    }
    assert!(server.join(&cx).await.unwrap().is_ok());
}

/// Lines there and back on one connection, each after a pause.
async fn exchange(cx: Cx) {
    let mut listener = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let to = HostPort::new("localhost", listener.local_addr().port());
    let mut server = cx
        .spawn("echo", move |cx| async move {
            let (mut stream, _) = listener.accept(&cx).await.map_err(|_| std::io::ErrorKind::Other)?;
            let mut line = [0; 100];
            while stream.read_exact(&mut line).await.is_ok() {
                let pause = cx.rng().u64(0..20);
                cx.sleep_full(Duration::from_millis(pause)).await;
                stream.write_all(&line).await?;
            }
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    let mut stream = cx.net().connect(&cx, &to, Duration::from_secs(1), None).await.unwrap();
    for number in 0..10 {
        stream.write_all(&[number; 100]).await.unwrap();
        let mut line = [0; 100];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(line, [number; 100]);
    }
    stream.close().await.unwrap();
    assert!(server.join(&cx).await.unwrap().is_ok());
}

async fn wall_clock(cx: Cx) {
    let real = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    // Whole seconds of virtual time, so that a host that rounds cannot hide it.
    cx.sleep(Duration::from_secs(u64::from(real.subsec_nanos()) % 100_000))
        .await
        .unwrap();
}

#[expect(clippy::iter_over_hash_type, reason = "the mistake that must be noticed")]
async fn hash_order(cx: Cx) {
    let set: std::collections::HashSet<u64> = (1..30).collect();
    for seconds in set {
        cx.sleep(Duration::from_secs(seconds)).await.unwrap();
    }
}
