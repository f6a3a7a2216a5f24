//! Moving from one runtime to the other, and back, is a line of configuration: nothing is lost, nothing is done twice, and
//! afterwards nobody can tell.
//!
//! `cargo xtask drill rollback` runs this file on a binary with both runtimes, and collects what [`record`] writes. A binary with
//! one runtime moves from that to itself.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use annals_tests::http::get;
use annals_tests::mirror::assert_same;
use annals_tests::running::wait_until;
use annals_tests::{Desk, Ended, Forge, Mirror, Running};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Every way to move between two runtimes of this binary.
fn moves(desk: &Desk) -> Vec<[String; 2]> {
    let version = Running::start(&mut desk.bare(&["version", "--robot"])).wait().data();
    let compiled: Vec<String> = serde_json::from_value(version["runtimes"].clone()).unwrap();
    let pairs = compiled
        .iter()
        .flat_map(|from| compiled.iter().map(move |to| [from.clone(), to.clone()]));
    let pairs: Vec<_> = pairs.filter(|[from, to]| compiled.len() == 1 || from != to).collect();
    assert!(!pairs.is_empty());
    pairs
}

/// The configuration alone decides: no variable of the suite's mode reaches the program.
fn plain(mut command: Command) -> Command {
    for name in [
        "ANNALS_RUNTIME__DEFAULT",
        "ANNALS_RUNTIME__SLICES__SERVER",
        "ANNALS_RUNTIME__SLICES__INGEST",
    ] {
        command.env_remove(name);
    }
    command
}

fn on(desk: &Desk, runtime: &str, args: &[&str]) -> Running {
    let mut command = plain(desk.annals(args));
    Running::start(command.args(["--runtime", runtime]))
}

/// Tells the drill what was done.
fn record(step: u32, [from, to]: &[String; 2], more: &Value) {
    let Some(log) = std::env::var_os("ANNALS_DRILL_LOG") else {
        return;
    };
    let line = format!("{}\n", json!({"step": step, "from": from, "to": to, "more": more}));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
    file.unwrap().write_all(line.as_bytes()).unwrap();
}

/// Where a run is killed: the forge holds back an answer, and says when.
struct At {
    what: &'static str,
    fault: &'static str,
    target: &'static str,
    nth: u64,
    /// Issues that can be stored while it is under way: those of all pages before it, or of all but the last of these,
    /// which may be under way too.
    stored: RangeInclusive<i64>,
}

const PAGE: i64 = 5;

const KILLS: [At; 3] = [
    At {
        what: "a page was asked for",
        fault: "stall",
        target: "*/issues?*",
        nth: 4,
        stored: 15 - PAGE..=15,
    },
    At {
        what: "half a page has come",
        fault: "stall-in-body",
        target: "*/issues?*",
        nth: 6,
        stored: 25 - PAGE..=25,
    },
    At {
        what: "every page of issues has come, and a set of comments was asked for",
        fault: "stall",
        target: "*/discussions?*",
        nth: 5,
        stored: 40..=40,
    },
];

/// Kills a run where `at` says; what the forge holds back does not come before.
fn killed_at(at: &At, forge: &Forge, desk: &Desk, from: &str) {
    let mut run = on(desk, from, &["sync", &forge.project_url()]);
    wait_until(at.what, || {
        // In this order: what has ended by now asks the forge nothing more.
        let ended = run.has_ended();
        let held_back = forge.stats()["faults"][at.fault] == 1;
        assert!(held_back || !ended, "{}: it ended by itself", at.what);
        held_back
    });
    let killed = run.kill();
    assert_eq!(killed.code(), 137, "{killed}");
    let mirror = desk.mirror();
    mirror.check();
    let stored = mirror.count("issues", "1");
    assert!(
        at.stored.contains(&stored) && stored % PAGE == 0,
        "killed when {}: {stored} issues are stored",
        at.what
    );
    if let Some((list, iid)) = comments_held_back(forge) {
        let kind = list.trim_end_matches('s');
        let stored = format!(
            "job_type = 'discussions' AND entity_type = '{kind}' AND entity_id = (SELECT id FROM {list} WHERE iid = {iid})"
        );
        assert_eq!(mirror.count("dependent_sets", &stored), 0, "killed when {}", at.what);
    }
}

/// Whose comments the forge holds back: the list, and the number in it.
fn comments_held_back(forge: &Forge) -> Option<(String, i64)> {
    let log = get(forge.url(), "/-/log").json();
    let mut entries = log.as_array().unwrap().iter();
    let held_back = entries.find(|entry| !entry["fault"].is_null()).unwrap();
    let (entity, _) = held_back["target"].as_str().unwrap().split_once("/discussions?")?;
    let mut parts = entity.rsplit('/');
    let iid = parts.next().unwrap().parse().unwrap();
    Some((parts.next().unwrap().to_owned(), iid))
}

#[test]
fn killed_mid_page_on_one_runtime_and_finished_on_the_other() {
    let sized = |more: &[&str]| Forge::generated(40, 20, more);
    let configured = |forge: &Forge| {
        let desk = Desk::new();
        desk.configure(&format!("{}\n[sync]\npage_size = {PAGE}\n", forge.config()));
        desk
    };
    for pair in moves(&Desk::new()) {
        let [from, to] = &pair;
        let forge = sized(&[]);
        let desk = configured(&forge);
        let undisturbed = on(&desk, from, &["sync", &forge.project_url()]).wait().data();
        assert_eq!(undisturbed["status"], "done", "{undisturbed}");
        let expected = desk.mirror().canonical(forge.url());

        for at in &KILLS {
            let when = format!("nth:{}", at.nth);
            let faulty = ["--fault-target", at.target, "--fault-when", &when, "--fault", at.fault];
            let forge = sized(&faulty);
            let desk = configured(&forge);
            killed_at(at, &forge, &desk, from);
            let finished = on(&desk, to, &["sync", &forge.project_url()]).wait().data();
            assert_eq!(finished["status"], "done", "{finished}");
            let mirror = desk.mirror();
            mirror.check();
            assert_eq!(mirror.locks(), 0);
            let what = format!("killed on {from} when {}, finished on {to}", at.what);
            assert_same(&what, &expected, &mirror.canonical(forge.url()));
        }
        let kills: Vec<_> = KILLS.iter().map(|at| at.what).collect();
        record(1, &pair, &json!({"killed when": kills}));
    }
}

/// A server of this desk, which chooses its runtime by `annals.toml`.
struct Site {
    server: Running,
    origin: String,
}

impl Site {
    /// Started on any free port, and it has said that it is ready.
    fn open(desk: &Desk) -> Self {
        Self::open_at(desk, "127.0.0.1:0")
    }

    fn open_at(desk: &Desk, address: &str) -> Self {
        let mut server = Running::start(&mut plain(desk.annals(&["serve", "--bind", address])));
        let envelope: Value = serde_json::from_str(&server.line()).expect("an envelope");
        let address = envelope["data"]["address"].as_str().unwrap();
        let origin = address.trim_end_matches('/').to_owned();
        wait_until("it is ready", || get(&origin, "/health/ready").status == 200);
        Self { server, origin }
    }

    /// What does not depend on the moment of the question.
    fn answers(&self) -> Vec<Value> {
        let asked = |target: &&str| {
            let answer = get(&self.origin, target);
            json!([answer.status, lasting(answer.json())])
        };
        TARGETS.iter().chain(&["/v1/search?q=state:opne"]).map(asked).collect()
    }

    fn end(self) {
        self.server.signal(Signal::TERM);
        let ended = self.server.wait();
        assert_eq!(ended.code(), 0, "{ended}");
    }
}

const TARGETS: [&str; 4] = [
    "/v1/projects",
    "/v1/search?q=the&limit=20",
    "/v1/projects/annals-sample%2Fgenerated/issues?limit=50",
    "/v1/projects/annals-sample%2Fgenerated/issues/7",
];

/// Of an answer, what is the same whenever it is given.
fn lasting(mut body: Value) -> Value {
    json!([body["data"].take(), body["code"].take()])
}

/// A busy machine may need long to answer all that is open when a server ends.
const SERVER: &str = "[server]\ngraceful_shutdown_ms = 120000\n";

/// A desk with a mirror whose slices are all on `runtime`, and the configuration with the server on another.
fn mirrored<'a>(forge: &'a Forge, runtime: &'a str) -> (Desk, impl Fn(&str) -> String + 'a) {
    let config = move |server: &str| {
        let forge = forge.config();
        format!("{forge}\n[runtime]\ndefault = \"{runtime}\"\n[runtime.slices]\nserver = \"{server}\"\n{SERVER}")
    };
    let desk = Desk::new();
    desk.configure(&config(runtime));
    let synced = Running::start(&mut plain(desk.annals(&["sync", &forge.project_url()])))
        .wait()
        .data();
    assert_eq!(synced["status"], "done", "{synced}");
    (desk, config)
}

/// Where each slice runs, as the doctor says.
fn mix(desk: &Desk) -> BTreeMap<String, String> {
    let doctor = Running::start(&mut plain(desk.annals(&["doctor", "--robot"]))).wait();
    let data = doctor.data();
    let checks = data["checks"].as_array().unwrap();
    let runtimes = checks.iter().find(|check| check["name"] == "runtimes");
    let detail = runtimes
        .and_then(|check| check["detail"].as_str())
        .expect("a check of the runtimes");
    let slices = detail.split_whitespace().filter_map(|word| word.split_once('='));
    slices
        .map(|(slice, runtime)| (slice.to_owned(), runtime.to_owned()))
        .collect()
}

/// Connections of step 3 that have a request open when the signal comes.
const HELD: usize = 100;
/// Connections beside them that ask without a pause.
const BUSY: usize = 8;

/// What each target was answered with, the same every time.
#[derive(Default)]
struct Given(Mutex<BTreeMap<&'static str, Value>>);

impl Given {
    fn note(&self, target: &'static str, body: &str) {
        let body = lasting(serde_json::from_str(body).unwrap());
        let mut given = self.0.lock().unwrap();
        assert_eq!(given.entry(target).or_insert_with(|| body.clone()), &body, "{target}");
    }
}

/// A connection whose server has read the first half of a request, and waits for the other.
struct Held {
    stream: TcpStream,
    target: &'static str,
    rest: String,
}

/// Sends a request and half of the next in one piece: whoever answers the one has read the half.
fn hold(host: &str) -> Vec<Held> {
    let begin = |(number, target): (usize, &'static str)| {
        let mut stream = TcpStream::connect(host).unwrap();
        let mut sent = request(host, "/health/live");
        let mut next = request(host, target);
        let rest = next.split_off(next.len() * (number % 7 + 1) / 9);
        sent.push_str(&next);
        stream.write_all(sent.as_bytes()).unwrap();
        Held { stream, target, rest }
    };
    let mut held: Vec<Held> = TARGETS.into_iter().cycle().take(HELD).enumerate().map(begin).collect();
    held.retain_mut(|held| matches!(answer(&mut held.stream), Answered::Whole(_)));
    held
}

#[test]
fn what_was_answered_before_the_move_is_answered_after_it() {
    let forge = Forge::generated(40, 20, &[]);
    for pair in moves(&Desk::new()) {
        let [from, to] = &pair;
        let (desk, config) = mirrored(&forge, from);
        let site = Site::open(&desk);
        let host = site.origin.trim_start_matches("http://").to_owned();
        let (told, dropped) = (AtomicBool::new(false), AtomicU64::new(0));
        let busy: Vec<AtomicU64> = (0..BUSY).map(|_| AtomicU64::new(0)).collect();
        let given = Given::default();
        let (mut open, mut after) = (0, 0);
        std::thread::scope(|scope| {
            for (number, count) in busy.iter().enumerate() {
                let (host, told, dropped, given) = (&host, &told, &dropped, &given);
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(host).unwrap();
                    for target in TARGETS.iter().cycle().skip(number) {
                        if stream.write_all(request(host, target).as_bytes()).is_err() {
                            return;
                        }
                        let in_time = !told.load(Ordering::SeqCst);
                        let Answered::Whole(body) = answer(&mut stream) else {
                            dropped.fetch_add(in_time.into(), Ordering::Relaxed);
                            return;
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                        given.note(target, &body);
                    }
                });
            }
            wait_until("every busy connection has been answered", || {
                busy.iter().all(|count| count.load(Ordering::Relaxed) > 0)
            });
            let mut held = hold(&host);
            open = held.len();
            assert_eq!(open, HELD);
            told.store(true, Ordering::SeqCst);
            site.server.signal(Signal::TERM);
            wait_until("it listens no more", || TcpStream::connect(&host).is_err());
            for held in &mut held {
                held.stream.write_all(held.rest.as_bytes()).unwrap();
            }
            for Held { stream, target, .. } in &mut held {
                let Answered::Whole(body) = answer(stream) else {
                    panic!("{target} was open when the signal came, and was dropped");
                };
                given.note(target, &body);
                after += 1;
            }
            let ended = site.server.wait();
            assert_eq!(ended.code(), 0, "{ended}");
        });
        desk.configure(&config(to));
        let site = Site::open_at(&desk, &host);
        assert_eq!(site.origin, format!("http://{host}"));
        assert_eq!(mix(&desk)["server"], *to);
        let given = given.0.into_inner().unwrap();
        assert_eq!(given.len(), TARGETS.len());
        for (target, body) in given {
            let answer = get(&site.origin, target);
            assert_eq!((answer.status, lasting(answer.json())), (200, body), "{target}");
        }
        site.end();
        desk.mirror().check();
        let busy: u64 = busy.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        record(
            3,
            &pair,
            &json!({
                "open": open,
                "of these answered": after,
                "answered to others": busy,
                "of others sent before the signal and not answered": dropped.into_inner(),
            }),
        );
    }
}

#[test]
fn a_slice_moves_by_one_line_and_moves_back() {
    let forge = Forge::generated(40, 20, &[]);
    for pair in moves(&Desk::new()) {
        let [from, to] = &pair;
        let (desk, config) = mirrored(&forge, from);
        assert!(mix(&desk).values().all(|runtime| runtime == from), "all on {from}");
        let mut site = Site::open(&desk);
        let before = site.answers();
        let mut edit_to_ready_ms = Vec::new();
        for server in [to, from] {
            let edit = Instant::now();
            desk.configure(&config(server));
            site.end();
            site = Site::open(&desk);
            edit_to_ready_ms.push(u64::try_from(edit.elapsed().as_millis()).unwrap());
            for (slice, runtime) in mix(&desk) {
                let expected = if slice == "server" { server } else { from };
                assert_eq!(runtime, *expected, "{slice}");
            }
            assert_eq!(before, site.answers(), "{from} to {to}: the answers differ on {server}");
        }
        site.end();
        record(4, &pair, &json!({"edit_to_ready_ms": edit_to_ready_ms}));
    }
}

/// What became of a request.
enum Answered {
    /// With its body.
    Whole(String),
    /// The server hung up before a byte of the answer. It may, where it has read nothing of the request.
    Ended,
}

fn request(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn ask(stream: &mut TcpStream, host: &str, target: &str) -> Answered {
    match stream.write_all(request(host, target).as_bytes()) {
        Ok(()) => answer(stream),
        Err(_) => Answered::Ended,
    }
}

/// Reads one answer; none may be cut.
fn answer(stream: &mut TcpStream) -> Answered {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let count = match stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            read => read.unwrap(),
        };
        if count == 0 {
            assert!(
                answer.is_empty(),
                "cut within an answer: {}",
                String::from_utf8_lossy(&answer)
            );
            return Answered::Ended;
        }
        answer.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or_else(|| panic!("no length: {head}")) {
            return Answered::Whole(body.to_owned());
        }
    }
}

/// The demo mirrors on one runtime and serves on another; asked by many, it gets a Ctrl-C.
fn interrupted_under_load(ingest: &str, server: &str) -> (Ended, String) {
    let desk = Desk::new();
    desk.configure(&format!(
        "[runtime.slices]\ningest = \"{ingest}\"\nserver = \"{server}\"\n[server]\nlisten = \"127.0.0.1:0\"\n"
    ));
    let mut command = plain(desk.bare(&["demo", "--robot"]));
    let mut demo = Running::start(command.args(["--runtime", ingest]));
    let envelope: Value = serde_json::from_str(&demo.line()).expect("an envelope");
    let address = envelope["data"]["address"].as_str().unwrap();
    let host = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let answered = AtomicU64::new(0);
    let ended = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(&host).unwrap();
                while matches!(ask(&mut stream, &host, "/v1/search?q=cutover"), Answered::Whole(_)) {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_until("it is under load", || answered.load(Ordering::Relaxed) >= 100);
        demo.signal(Signal::INT);
        demo.wait()
    });
    assert!(TcpStream::connect(&host).is_err(), "nobody listens any more");
    let project = envelope["data"]["project"].as_str().unwrap();
    let forge = project.strip_suffix("/annals-sample/tidewater").expect(project);
    let mirror = Mirror::open(&desk.file("annals-demo.db"));
    mirror.check();
    assert_eq!(mirror.locks(), 0);
    (ended, mirror.canonical(forge))
}

#[test]
fn a_mixed_process_ends_under_load_as_an_unmixed_one_does() {
    for pair in moves(&Desk::new()) {
        let [ingest, server] = &pair;
        let (unmixed, expected) = interrupted_under_load(ingest, ingest);
        let (mixed, found) = interrupted_under_load(ingest, server);
        assert_eq!(unmixed.code(), 0, "{unmixed}");
        assert_eq!(
            (mixed.code(), mixed.stderr.as_str()),
            (0, unmixed.stderr.as_str()),
            "{mixed}"
        );
        assert_same("mixed and unmixed", &expected, &found);
        record(5, &pair, &json!({"exit": mixed.code()}));
    }
}
