//! INV-4: a job that is stopped leaves the same behind, whether it was a signal, a cancellation, or both in either
//! order, and wherever it stood.

use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals_core::{CancelKind, CancelReason, Cancelled, Outcome, TaskError};
use annals_net_adapter::http::{HttpConfig, ProxyConfig, ReqBody, ReqOpts, Request, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::{BackendKind, Cx, HostPort, Region, RegionSpec, ShutdownBudget, Started};
use rustix::process::Signal;

use crate::child::{Child, FOR_EVER, role, runtimes, say, say_when_draining, told};

const TEST: &str = "orders::inv4_order_of_signal_and_cancel_is_irrelevant";

/// Where the job stands when it is stopped, and how many of its units are then in the file.
const PLACES: [(&str, usize); 5] = [("sleep", 2), ("connect", 2), ("head", 2), ("body", 2), ("write", 3)];

/// A signal alone cancels after the grace time; in the others nobody waits for that.
const ORDERS: [&str; 4] = ["signal", "cancel", "signal,cancel", "cancel,signal"];

/// The unit in which it stands there, and how many there are.
const STOPPED: usize = 2;
const UNITS: usize = 5;

#[test]
fn inv4_order_of_signal_and_cancel_is_irrelevant() {
    if let Some((kind, role)) = role() {
        plays(kind, &role);
    }
    for &kind in BackendKind::compiled() {
        for (place, units) in PLACES {
            for order in ORDERS {
                let why = format!("{kind}: {order} during {place}");
                let file = Dump::new();
                let mut child = Child::start(TEST, kind, &format!("{place} {order} {}", file.0.display()));
                child.hear("there");
                for blow in order.split(',') {
                    if blow == "cancel" {
                        child.tell("cancel");
                        child.hear("cancelled");
                    } else {
                        child.signal(Signal::TERM);
                        let heard: &[_] = match order {
                            "signal" => &["draining Term", "cancelled"],
                            _ => &["draining Term"],
                        };
                        child.hear_all(heard);
                    }
                }
                // What a blocking write has begun it ends, cancelled or not.
                if place == "write" {
                    child.tell("go on");
                }
                child.hear("worker Cancelled");
                child.hear("left 0 tasks, 0 permits");
                assert_eq!(child.end(), (Some(0), vec![]), "{why}");
                let whole: String = (0..units).map(row).collect();
                assert_eq!(file.read(), whole, "{why}");
            }
        }
    }
}

/// What stands for a database here: a file of whole units.
struct Dump(PathBuf);

impl Dump {
    fn new() -> Self {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let mut next = NEXT.lock().unwrap();
        *next += 1;
        let name = format!("annals-inv4-{}-{next}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn row(unit: usize) -> String {
    format!("unit {unit}, first half\nunit {unit}, second half\n")
}

#[derive(Clone)]
struct Job {
    place: String,
    file: PathBuf,
    /// Somebody to talk to, who does not answer as he should.
    peer: SocketAddr,
    go_on: Arc<Mutex<Receiver<()>>>,
}

/// The child: does the units of a job, and as it is told meanwhile.
fn plays(kind: BackendKind, role: &str) -> ! {
    let [place, order, file] = role.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let grace = if order == "signal" { Duration::ZERO } else { FOR_EVER };
    let runtimes = runtimes(
        kind,
        ShutdownBudget {
            grace,
            cancel: FOR_EVER,
            hard: FOR_EVER,
        },
    );
    let draining = say_when_draining(&runtimes);
    let (goes_on, go_on) = channel();
    let job = Job {
        place: place.to_owned(),
        file: file.into(),
        peer: peer(place),
        go_on: Arc::new(Mutex::new(go_on)),
    };
    let region: Arc<Mutex<Option<Region>>> = Arc::default();
    let told_region = region.clone();
    thread::spawn(move || {
        loop {
            match told().as_str() {
                "cancel" => {
                    let region = told_region.lock().unwrap();
                    let region = region.as_ref().expect("it waits for every blow");
                    region.cancel(CancelReason::new(CancelKind::User, "test", region.cx().now()));
                }
                "go on" => goes_on.send(()).unwrap(),
                _ => return,
            }
        }
    });
    let is_signalled = order.contains("signal");
    let main = runtimes.default().run_main(|cx| async move {
        let opened = cx.open_region(RegionSpec::collect_all("job")).unwrap();
        let job_cx = opened.cx().clone();
        *region.lock().unwrap() = Some(opened);
        let watches = |cx: Cx| async move {
            cx.cancelled().await;
            say("cancelled");
            Ok::<_, Infallible>(())
        };
        job_cx.spawn("watch", watches).unwrap();
        let mut worker = job_cx.spawn("worker", |cx| work(cx, job)).unwrap();
        let ended = cx
            .masked(Duration::from_secs(30), |cx| async move {
                let ended = worker.join(&cx).await;
                // Every blow falls while something is left to be hit.
                if is_signalled {
                    let said = cx.blocking("said", move |_| Ok::<_, Infallible>(draining.join().is_ok()));
                    assert!(said.await.ok().unwrap());
                }
                ended
            })
            .await;
        let ended = ended.expect("it is stopped").unwrap();
        // Told to go on, the write at the latest has ended; so have all blows.
        let region = region.lock().unwrap().take().unwrap();
        let report = region.close(&cx).await;
        say(format!("worker {:?}", ended.kind()));
        let left = report.drain.stragglers.len();
        say(format!("left {left} tasks, {} permits", report.drain.open_permits));
        Ok::<_, Infallible>(())
    });
    assert!(main.drain.quiescent && main.outcome.is_ok());
    exit(0)
}

#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Stopped {
    why: String,
    reason: Option<CancelReason>,
}

impl TaskError for Stopped {
    fn cancel_reason(&self) -> Option<&CancelReason> {
        self.reason.as_ref()
    }
}

impl Stopped {
    fn by(error: impl TaskError) -> Self {
        Self {
            why: error.to_string(),
            reason: error.cancel_reason().cloned(),
        }
    }
}

async fn work(cx: Cx, job: Job) -> Result<(), Stopped> {
    for number in 0..UNITS {
        let started = cx.may_start().map_err(Stopped::by)?;
        unit(&cx, &job, number, started).await?;
    }
    Ok(())
}

/// Fetches, then writes, both halves or none.
async fn unit(cx: &Cx, job: &Job, number: usize, _: Started) -> Result<(), Stopped> {
    let is_there = number == STOPPED;
    if is_there {
        fetch(cx, job).await?;
    }
    let (file, go_on) = (job.file.clone(), job.go_on.clone());
    let stops = is_there && job.place == "write";
    let write = move |_: &_| {
        if stops {
            say("there");
            go_on.lock().unwrap().recv().unwrap();
        }
        append(&file, &row(number));
        Ok::<_, Infallible>(())
    };
    match cx.blocking("write", write).await {
        Outcome::Ok(()) => Ok(()),
        Outcome::Cancelled(reason) => Err(Stopped::by(Cancelled(reason))),
        other => panic!("{other:?}"),
    }
}

fn append(file: &Path, rows: &str) {
    let whole = fs::read_to_string(file).unwrap_or_default() + rows;
    let beside = file.with_extension("new");
    fs::write(&beside, whole).unwrap();
    fs::rename(beside, file).unwrap();
}

async fn fetch(cx: &Cx, job: &Job) -> Result<(), Stopped> {
    match job.place.as_str() {
        "sleep" => {
            say("there");
            cx.sleep(FOR_EVER).await.map_err(Stopped::by)
        }
        "connect" => {
            say("there");
            let to = HostPort::new("127.0.0.1", job.peer.port());
            let connected = cx.net().connect(cx, &to, FOR_EVER, None).await;
            connected.map(drop).map_err(Stopped::by)
        }
        "head" | "body" => {
            let mut config = HttpConfig::new(TlsClient::new(TlsRoots::Bundled, &[]).unwrap());
            config.proxy = ProxyConfig::Direct;
            let client = http_client(cx, config).map_err(Stopped::by)?;
            let mut request = Request::new(ReqBody::Empty);
            *request.uri_mut() = format!("http://{}/", job.peer).parse().unwrap();
            let patient = ReqOpts {
                head: FOR_EVER,
                idle_read: FOR_EVER,
                total: None,
                ..ReqOpts::default()
            };
            let answer = client.send(cx, request, &patient).await.map_err(Stopped::by)?;
            let mut body = answer.into_body();
            let first = body.chunk(cx).await.unwrap().map_err(Stopped::by)?;
            assert_eq!(first, "half");
            say("there");
            body.chunk(cx).await.unwrap().map(drop).map_err(Stopped::by)
        }
        _ => Ok(()),
    }
}

/// A peer on a thread of no runtime, which leaves its client where the job is to stand.
fn peer(place: &str) -> SocketAddr {
    if place == "connect" {
        return full_house();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let place = place.to_owned();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        if place == "head" {
            say("there");
        } else {
            let half = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
            stream.write_all(half.as_bytes()).unwrap();
        }
        // Until the client leaves.
        let left = stream.read_to_end(&mut asked);
        drop(left);
    });
    at
}

/// A port whose queue is full, so that whoever connects waits.
fn full_house() -> SocketAddr {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let house = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&house, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&house, 0).unwrap();
    let house = TcpListener::from(house);
    let at = house.local_addr().unwrap();
    let mut guests = Vec::new();
    while let Ok(guest) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        guests.push(guest);
    }
    // They stay as long as the process.
    std::mem::forget((house, guests));
    at
}
