//! Lab runs whose trace hashes are compared between two processes, and two that must be seen to differ. The names of the
//! scenarios are those that `cargo xtask kpi` insists on; the one that needs the sync engine is `annals-sync`'s bench
//! `ingestion`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals_core::backoff::Backoff;
use annals_net_adapter::channel::mpsc;
use annals_net_adapter::http::server::{HttpServer, ReqCx, ServerLimits};
use annals_net_adapter::lab::{LabConfig, LabReport, cancel_everywhere};
use annals_net_adapter::{BackendKind, CancelKind, CancelReason, Cancelled, Cx, HostPort, RegionSpec};
use axum::Router;
use axum::routing::get;
use futures_util::{AsyncReadExt, AsyncWriteExt};

#[derive(serde::Serialize)]
struct Trace {
    host: &'static str,
    scenario: &'static str,
    /// Something in it is not decided by the seed: its hashes must differ.
    control: bool,
    /// It is wrong under some schedules, so that there are failing seeds to replay.
    planted: bool,
    seed: u64,
    /// Lab runs that it stands for.
    runs: u64,
    /// In hexadecimal, because a JSON number does not hold it.
    hash: String,
    /// Of the first run; those that are cut are shorter.
    events: u64,
    /// What was left behind or went wrong.
    unclean: Option<String>,
}

/// The planted run that `ANNALS_LAB` named.
#[derive(serde::Serialize)]
struct Again {
    hash: String,
    unclean: Option<String>,
}

/// The runs of one seed.
#[derive(Default)]
struct Runs {
    runs: u64,
    hash: u64,
    events: u64,
    unclean: Option<String>,
}

impl Runs {
    fn of(report: &LabReport<()>) -> Self {
        let mut runs = Self::default();
        runs.add(report);
        runs
    }

    fn add(&mut self, report: &LabReport<()>) {
        if self.runs == 0 {
            self.events = report.events;
        }
        self.runs += 1;
        self.hash = self.hash.wrapping_mul(0x0100_0000_01b3) ^ report.trace_hash;
        let unclean = || report.clean().err().map(|failure| failure.to_string());
        self.unclean = self.unclean.take().or_else(unclean);
    }
}

/// Prints a JSON list of every scenario and seed on every compiled host; with `ANNALS_LAB` set, what the planted run was
/// like that it names.
pub fn print(seeds: u64) {
    let mut traces = Vec::new();
    if std::env::var_os("ANNALS_LAB").is_some() {
        let mut again: Option<Again> = None;
        for &kind in BackendKind::compiled() {
            // It follows the variable: one run on the host that is named, none on another.
            let config = LabConfig::new(0).on(kind);
            quietly(|| {
                cancel_everywhere(&config, lost_update, |report| {
                    let runs = Runs::of(report);
                    again = Some(Again {
                        hash: format!("{:016x}", runs.hash),
                        unclean: runs.unclean,
                    });
                })
            });
        }
        println!("{}", serde_json::to_string(&again).unwrap());
        return;
    }
    for &kind in BackendKind::compiled() {
        for seed in 0..seeds {
            let config = || LabConfig::new(seed).on(kind);
            let mut add = |scenario, control, runs: Runs| {
                traces.push(Trace {
                    host: kind.as_str(),
                    scenario,
                    control,
                    planted: scenario.starts_with("planted: "),
                    seed,
                    runs: runs.runs,
                    hash: format!("{:016x}", runs.hash),
                    events: runs.events,
                    unclean: runs.unclean,
                });
            };
            let mut cut = Runs::default();
            cancel_everywhere(&config(), channel, |report| cut.add(report));
            add("region storm", false, Runs::of(&config().run(region_storm)));
            add("channel under cancel at every poll", false, cut);
            add("reconnect schedule", false, Runs::of(&config().run(reconnect)));
            add("HTTP drain", false, Runs::of(&config().run(http_drain)));
            add("exchange over the network", false, Runs::of(&config().run(exchange)));
            add("control: wall clock", true, Runs::of(&config().run(wall_clock)));
            add("control: hash order", true, Runs::of(&config().run(hash_order)));
            let planted = quietly(|| Runs::of(&config().run(lost_update)));
            add("planted: lost update", false, planted);
        }
    }
    println!("{}", serde_json::to_string(&traces).unwrap());
}

/// Without a word about panics: they are wanted, and the report has them.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = run();
    std::panic::set_hook(hook);
    done
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

/// Any part of it may be cut, so nothing of it may insist.
async fn channel(cx: Cx) {
    let (send, mut receive) = mpsc::<u32>(NonZeroUsize::MIN);
    let Ok(region) = cx.open_region(RegionSpec::collect_all("senders")) else {
        return;
    };
    for number in 0..3 {
        let send = send.clone();
        let sending = move |cx: Cx| async move {
            for _ in 0..3 {
                let Ok(permit) = send.reserve(&cx).await else {
                    return cx.checkpoint();
                };
                let pause = cx.rng().u64(0..3);
                cx.sleep(Duration::from_millis(pause)).await?;
                if permit.send(number).is_err() {
                    break;
                }
            }
            Ok(())
        };
        if region.cx().spawn("sender", sending).is_err() {
            break;
        }
    }
    drop(send);
    while receive.recv(&cx).await.is_ok() {}
    drop(receive);
    region.close(&cx).await;
}

/// A peer that hangs up after each line, and a client that comes again by the product's schedule, later every time.
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
    let schedule = Backoff {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(200),
    };
    for attempt in 0..6 {
        let mut stream = cx.net().connect(&cx, &to, Duration::from_secs(1), None).await.unwrap();
        let mut line = Vec::new();
        stream.read_to_end(&mut line).await.unwrap();
        assert_eq!(line, b"hello\n");
        let pause = schedule.delay(attempt, cx.rng().u64(..));
        cx.sleep(pause).await.unwrap();
    }
    assert!(server.join(&cx).await.unwrap().is_ok());
}

/// Clients that ask one thing after another while the server is told to drain: whoever gets an answer gets all of it.
async fn http_drain(cx: Cx) {
    const BODY: usize = 3000;
    let slow = get(|ReqCx(cx): ReqCx| async move {
        let pause = cx.rng().u64(0..20);
        // A handler in flight is let finish.
        cx.sleep(Duration::from_millis(pause)).await.unwrap();
        "x".repeat(BODY)
    });
    let listener = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let to = HostPort::new("127.0.0.1", listener.local_addr().port());
    let server = HttpServer::new(Router::new().route("/", slow), ServerLimits::default());
    let mut serving = cx
        .spawn("server", move |cx| async move { server.serve(&cx, listener).await })
        .unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let region = cx.open_region(RegionSpec::collect_all("clients")).unwrap();
    for _ in 0..6 {
        let (to, answered) = (to.clone(), answered.clone());
        let asking = move |cx: Cx| async move {
            let mut stream = match cx.net().connect(&cx, &to, Duration::from_secs(1), None).await {
                Ok(stream) => stream,
                // It drains already.
                Err(_) => return Ok(()),
            };
            loop {
                if stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.is_err() {
                    return Ok(());
                }
                let mut answer = Vec::new();
                let mut chunk = [0; 1024];
                loop {
                    let count = stream.read(&mut chunk).await.unwrap_or_default();
                    answer.extend_from_slice(&chunk[..count]);
                    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                    if head.is_some_and(|head| answer.len() == head + 4 + BODY) {
                        answered.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    if count == 0 {
                        assert!(answer.is_empty(), "cut after {} bytes", answer.len());
                        return Ok::<_, Cancelled>(());
                    }
                }
            }
        };
        region.cx().spawn("client", asking).unwrap();
    }
    let until = cx.rng().u64(30..90);
    cx.sleep(Duration::from_millis(until)).await.unwrap();
    cx.shutdown()
        .begin(CancelReason::new(CancelKind::User, "scenario", cx.now()));
    let report = serving.join(&cx).await.unwrap().ok().unwrap();
    assert_eq!((report.cancelled, report.panicked), (0, 0), "{report:?}");
    assert!(region.close(&cx).await.drain.quiescent);
    assert_eq!(report.served, answered.load(Ordering::Relaxed), "{report:?}");
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

/// Two tasks read, wait and write: under some schedules an update is lost.
async fn lost_update(cx: Cx) {
    let counter = Arc::new(AtomicU64::new(0));
    let add = |counter: Arc<AtomicU64>| {
        move |cx: Cx| async move {
            cx.sleep(Duration::from_millis(1)).await?;
            let read = counter.load(Ordering::SeqCst);
            cx.yield_now().await;
            counter.store(read + 1, Ordering::SeqCst);
            Ok::<_, Cancelled>(())
        }
    };
    let mut tasks = [(); 2].map(|()| cx.spawn("adds", add(counter.clone())).unwrap());
    for task in &mut tasks {
        assert!(task.join(&cx).await.unwrap().is_ok());
    }
    let sum = counter.load(Ordering::SeqCst);
    assert!(sum == 2, "an update was lost: {sum} at {:?}", cx.now());
}
