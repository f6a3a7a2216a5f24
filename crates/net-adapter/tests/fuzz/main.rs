//! The parsers that read what strangers send, under mutated input.
//!
//! `targets` holds one plain function per parser: it takes any bytes, panics if a promise is broken, and says what became of
//! the input. `driver` mutates a saved corpus (`corpus.txt`, and the requests that the servers refuse) and keeps what became
//! of something new, so that later inputs grow from it. It needs no nightly compiler and no coverage instrumentation, and the
//! same seed always makes the same inputs.
//!
//! Without settings each target runs a fixed number of inputs, as any other test. For longer:
//! `ANNALS_FUZZ_SECONDS=60 ANNALS_FUZZ_SEED=7 cargo test --release -p annals-net-adapter --test fuzz` gives each target 60 s.
//! A failure prints the input as a line for `corpus.txt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "how long to look is the caller's wish, not the product's"
)]

mod driver;
#[path = "../http_server/escapes.rs"]
mod escapes;
// The parser of `Link` stands with the forges; it is plain text in, text out, and so needs nothing of its crate.
#[path = "../../../sync/src/forge/paging/link.rs"]
mod link;
mod targets;

const CORPUS: &str = include_str!("corpus.txt");
const REFUSALS: &str = include_str!("../http_server/refusals.txt");

/// The saved inputs, and the requests that the servers refuse.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = driver::saved(CORPUS, target);
    let refused = REFUSALS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (_, rest) in refused.filter_map(|line| line.split_once(' ')) {
        let (_, text) = rest.split_once(' ').unwrap();
        let whole = escapes::bytes(text.trim_start());
        match target {
            "head" => seeds.push(whole),
            // The bodies of the same requests.
            "chunked" => {
                let body = whole.windows(4).position(|window| window == b"\r\n\r\n");
                seeds.extend(body.map(|at| whole[at + 4..].to_vec()).filter(|body| !body.is_empty()));
            }
            _ => {}
        }
    }
    seeds
}

fn run(target: &str, function: fn(&[u8]) -> String) {
    driver::run(target, seeds(target), function);
}

#[test]
fn fuzz_head() {
    run("head", targets::fuzz_head);
}

#[test]
fn fuzz_chunked() {
    run("chunked", targets::fuzz_chunked);
}

#[test]
fn fuzz_link() {
    run("link", targets::fuzz_link);
}

#[test]
fn fuzz_query() {
    run("query", targets::fuzz_query);
}

#[test]
#[should_panic(expected = "corpus.txt: head ")]
fn a_broken_promise_is_reported_with_its_input() {
    run("head", |data| {
        assert!(!data.contains(&0xff), "as told");
        String::new()
    });
}
