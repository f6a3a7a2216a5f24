//! The first command that anybody runs.

use annals_tests::http::get;
use annals_tests::{Desk, Mirror, Running};
use rustix::process::Signal;

fn demo(desk: &Desk, more: &[&str]) -> Running {
    Running::start(&mut desk.bare(&[&["demo"], more].concat()))
}

#[test]
fn demo_offline_from_empty_directory() {
    let desk = Desk::new();
    let data = demo(&desk, &["--exit", "--robot"]).wait().data();

    let entries = std::fs::read_dir(desk.path()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["annals-demo.db"], "it leaves one file");
    let mirror = Mirror::open(&desk.file("annals-demo.db"));
    mirror.check();
    assert!(mirror.count("issues", "true") > 0 && mirror.count("merge_requests", "true") > 0);
    assert_eq!(mirror.locks(), 0);

    assert_eq!(data["sync"]["status"], "done", "{data}");
    let hit = &data["search"]["hits"][0];
    assert!(hit["ref"].is_string() && hit["title"].is_string(), "{data}");
    let notes = data["thread"]["discussion"]["notes"].as_array().expect("a thread");
    assert!(notes.len() > 1, "a thread is more than one note: {data}");
    assert!(
        data["address"].as_str().unwrap().starts_with("http://127.0.0.1:"),
        "{data}"
    );
}

#[test]
fn demo_shows_a_person_a_hit_a_thread_and_an_address() {
    let desk = Desk::new();
    let ended = demo(&desk, &["--exit", "--human"]).wait();
    assert_eq!(ended.code(), 0, "{ended}");
    let facts = desk_facts(&desk);
    for fact in [
        facts.hit.as_str(),
        facts.author.as_str(),
        facts.words.as_str(),
        "http://127.0.0.1:",
    ] {
        assert!(ended.stdout.contains(fact), "{fact:?} is not in it: {ended}");
    }
    assert!(!ended.stdout.contains('\u{1b}'), "colours are for terminals: {ended}");
}

struct Facts {
    hit: String,
    author: String,
    words: String,
}

/// What a second demo, on the same file, answers to a program.
fn desk_facts(desk: &Desk) -> Facts {
    let data = demo(desk, &["--exit", "--robot"]).wait().data();
    let note = &data["thread"]["discussion"]["notes"][0];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let words: Vec<_> = text(&note["body"])
        .split_whitespace()
        .take(4)
        .map(str::to_owned)
        .collect();
    Facts {
        hit: text(&data["search"]["hits"][0]["ref"]),
        author: text(&note["author"]),
        words: words.join(" "),
    }
}

#[test]
fn second_demo_on_the_same_file_writes_nothing() {
    let desk = Desk::new();
    let mut first = demo(&desk, &["--exit"]).wait().data();
    let before = Mirror::open(&desk.file("annals-demo.db")).raw();
    let mut second = demo(&desk, &["--exit"]).wait().data();
    assert_eq!(second["sync"]["requests"], second["sync"]["not_modified"], "{second}");
    assert_eq!(before, Mirror::open(&desk.file("annals-demo.db")).raw());
    assert_eq!(
        first["search"].take(),
        second["search"].take(),
        "the same file gives the same answer"
    );
}

#[test]
fn demo_serves_its_page_until_it_is_told_to_end() {
    let desk = Desk::new();
    let mut demo = demo(&desk, &[]);
    let envelope: serde_json::Value = serde_json::from_str(&demo.line()).expect("an envelope");
    let address = envelope["data"]["address"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let page = get(&address, "/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().contains("<form"), "{}", page.text());
    let found = get(&address, "/?q=cutover");
    assert!(found.text().contains("annals-sample/tidewater#"), "{}", found.text());
    assert_eq!(get(&address, "/health/ready").status, 200);

    demo.signal(Signal::TERM);
    let ended = demo.wait();
    assert_eq!(ended.code(), 0, "{ended}");
    Mirror::open(&desk.file("annals-demo.db")).check();
}
