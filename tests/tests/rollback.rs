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

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
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

#[test]
fn killed_mid_page_on_one_runtime_and_finished_on_the_other() {
    let sized = || Forge::generated(40, 20, &["--latency-ms", "8"]);
    let configured = |forge: &Forge| {
        let desk = Desk::new();
        desk.configure(&format!("{}\n[sync]\npage_size = 5\n", forge.config()));
        desk
    };
    for pair in moves(&Desk::new()) {
        let [from, to] = &pair;
        let forge = sized();
        let desk = configured(&forge);
        let undisturbed = on(&desk, from, &["sync", &forge.project_url()]).wait().data();
        assert_eq!(undisturbed["status"], "done", "{undisturbed}");
        let expected = desk.mirror().canonical(forge.url());
        let requests = forge.stats()["requests"].as_u64().unwrap();

        for quarter in 1..4 {
            let forge = sized();
            let desk = configured(&forge);
            let mut run = on(&desk, from, &["sync", &forge.project_url()]);
            let mut watch = forge.watch();
            // Four requests are always on their way, and each takes 8 ms: whenever it dies, it dies within a page.
            wait_until("the run asks", || {
                watch.requests() >= requests * quarter / 4 || run.has_ended()
            });
            let killed = run.kill();
            assert_eq!(killed.code(), 137, "it was faster: {killed}");
            desk.mirror().check();

            let finished = on(&desk, to, &["sync", &forge.project_url()]).wait().data();
            assert_eq!(finished["status"], "done", "{finished}");
            let mirror = desk.mirror();
            mirror.check();
            assert_eq!(mirror.locks(), 0);
            let what = format!("killed on {from} after {quarter}/4, finished on {to}");
            assert_same(&what, &expected, &mirror.canonical(forge.url()));
        }
        record(1, &pair, &json!({"kills": 3}));
    }
}

/// A server of this desk, which chooses its runtime by `annals.toml`.
struct Site {
    server: Running,
    origin: String,
}

impl Site {
    /// Started, and it has said that it is ready.
    fn open(desk: &Desk) -> Self {
        let mut server = Running::start(&mut plain(desk.annals(&["serve", "--bind", "127.0.0.1:0"])));
        let envelope: Value = serde_json::from_str(&server.line()).expect("an envelope");
        let address = envelope["data"]["address"].as_str().unwrap();
        let origin = address.trim_end_matches('/').to_owned();
        wait_until("it is ready", || get(&origin, "/health/ready").status == 200);
        Self { server, origin }
    }

    /// What does not depend on the moment of the question.
    fn answers(&self) -> Vec<Value> {
        let targets = [
            "/v1/projects",
            "/v1/search?q=the&limit=20",
            "/v1/projects/annals-sample%2Fgenerated/issues?limit=50",
            "/v1/search?q=state:opne",
        ];
        let part = |target: &str| {
            let answer = get(&self.origin, target);
            let mut body = answer.json();
            json!([answer.status, body["data"].take(), body["code"].take()])
        };
        targets.map(part).to_vec()
    }

    fn end(self) {
        self.server.signal(Signal::TERM);
        let ended = self.server.wait();
        assert_eq!(ended.code(), 0, "{ended}");
    }
}

#[test]
fn a_slice_moves_by_one_line_and_moves_back() {
    let forge = Forge::generated(40, 20, &[]);
    for pair in moves(&Desk::new()) {
        let [from, to] = &pair;
        let desk = Desk::new();
        let config = |server: &str| {
            let forge = forge.config();
            format!("{forge}\n[runtime]\ndefault = \"{from}\"\n[runtime.slices]\nserver = \"{server}\"\n")
        };
        desk.configure(&config(from));
        let synced = Running::start(&mut plain(desk.annals(&["sync", &forge.project_url()])))
            .wait()
            .data();
        assert_eq!(synced["status"], "done", "{synced}");

        let mut site = Site::open(&desk);
        let before = site.answers();
        let mut edit_to_ready_ms = Vec::new();
        for server in [to, from] {
            let edit = Instant::now();
            desk.configure(&config(server));
            site.end();
            site = Site::open(&desk);
            edit_to_ready_ms.push(u64::try_from(edit.elapsed().as_millis()).unwrap());
            let doctor = Running::start(&mut plain(desk.annals(&["doctor", "--robot"]))).wait();
            let mix = format!("server={server}");
            assert!(doctor.stdout.contains(&mix), "{mix}: {doctor}");
            assert!(doctor.stdout.contains(&format!("ingest={from}")), "{doctor}");
            assert_eq!(before, site.answers(), "{from} to {to}: the answers differ on {server}");
        }
        site.end();
        record(4, &pair, &json!({"edit_to_ready_ms": edit_to_ready_ms}));
    }
}

/// What became of a connection on which one request followed another.
enum Answered {
    Whole,
    /// The server hung up between two answers.
    Ended,
}

fn ask(stream: &mut TcpStream, host: &str) -> Answered {
    let request = format!("GET /v1/search?q=cutover HTTP/1.1\r\nHost: {host}\r\n\r\n");
    if stream.write_all(request.as_bytes()).is_err() {
        return Answered::Ended;
    }
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
            return Answered::Whole;
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
                while matches!(ask(&mut stream, &host), Answered::Whole) {
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
