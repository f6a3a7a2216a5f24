//! `annals demo`: the first thing people see works everywhere, offline, and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::support::{Desk, Ended};
use serde_json::Value;

#[test]
fn demo_offline_from_empty_directory() {
    let desk = Desk::empty();
    // Whatever leads out of the machine leads nowhere.
    let nowhere = [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("ALL_PROXY", "http://127.0.0.1:9"),
    ];
    let run = |mode: &str| Ended::of(desk.annals(["demo", "--exit", mode]).envs(nowhere).output().unwrap());

    let first = run("--human");
    assert_eq!((first.code, first.stderr.as_str()), (0, ""), "{first:?}");
    for said in [
        "/annals-sample/tidewater --db ./annals-demo.db\n\nThe demo has done the same",
        "40 issues, 25 merge requests and 244 notes are in ./annals-demo.db.",
        "Cutover race: a query can see two generations of the index",
        "$ annals file-history src/cutover.rs --db ./annals-demo.db\nsrc/cutover.rs in annals-sample/tidewater\n  also src/cutover/mod.rs\n  also src/index/swap.rs\n",
        "--discussions --db ./annals-demo.db",
        "the search page would be at http://127.0.0.1:",
    ] {
        assert!(first.stdout.contains(said), "{said}: {}", first.stdout);
    }
    let left: Vec<_> = std::fs::read_dir(desk.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["annals-demo.db"], "one file is left behind");
    let file = rusqlite::Connection::open(desk.path("annals-demo.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    drop(file);

    let again = run("--robot").data();
    assert_eq!(
        again["sync"]["requests"], again["sync"]["not_modified"],
        "a second demo only asks what is new: {again}"
    );
    assert_eq!(again["sync"]["revisions"], 0);
    assert!(again["search"]["total"].as_u64().unwrap() > 0);
    assert_eq!(
        again["file_history"]["merge_requests"].as_array().unwrap().len(),
        6,
        "{again}"
    );
    assert!(
        again["thread"]["discussion"]["notes"].as_array().unwrap().len() > 1,
        "{again}"
    );
}

/// A process that serves, and its first line.
struct Serving {
    child: Child,
    envelope: Value,
    authority: String,
}

fn serve(desk: &Desk, words: &[&str]) -> Serving {
    let mut child = desk
        .annals(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let Ok(envelope) = serde_json::from_str::<Value>(&line) else {
        child.kill().unwrap();
        panic!("{line:?} {:?}", child.wait_with_output())
    };
    let address = envelope["data"]["address"].as_str().unwrap();
    let authority = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    Serving {
        child,
        envelope,
        authority,
    }
}

impl Serving {
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.authority
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(self, signal: rustix::process::Signal) -> Ended {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        Ended::of(self.child.wait_with_output().unwrap())
    }
}

#[test]
fn the_page_of_the_demo_answers_until_ctrl_c() {
    let desk = Desk::empty();
    let serving = serve(&desk, &["demo", "--robot"]);
    assert_eq!(serving.envelope["meta"]["command"], "demo");
    let page = serving.get("/?q=cutover+race");
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("Cutover race"),
        "{page}"
    );
    let ended = serving.signal(rustix::process::Signal::INT);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
}

#[test]
fn serve_says_where_it_is_first_and_ends_with_0() {
    let desk = Desk::with_mirror();
    for signal in [
        rustix::process::Signal::TERM,
        rustix::process::Signal::INT,
        rustix::process::Signal::HUP,
    ] {
        let serving = serve(&desk, &["serve", "--bind", "127.0.0.1:0"]);
        assert_eq!(serving.envelope["meta"]["command"], "serve");
        assert!(serving.get("/health/live").starts_with("HTTP/1.1 200"));
        let search = serving.get("/v1/search?q=cutover");
        assert!(search.contains("\"hits\""), "{search}");
        let ended = serving.signal(signal);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_exit_3() {
    let desk = Desk::with_mirror();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = desk.run_words(["serve", "--bind", &address]);
    assert_eq!(
        (ended.code, ended.code_of_error().as_str()),
        (3, "address_in_use"),
        "{ended:?}"
    );
    assert_eq!(
        ended.error()["actions"],
        serde_json::json!(["annals serve --bind 127.0.0.1:0"])
    );
}
