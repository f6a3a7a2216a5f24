//! The readers of what people type and forges send, under mutated input: the query language, the bodies of answers, and the
//! configuration file. (`Link` headers stand with the other headers, in the same test of net-adapter.)
//!
//! The driver is net-adapter's: `ANNALS_FUZZ_SECONDS=60 ANNALS_FUZZ_SEED=7 cargo test --release -p annals-sync --test fuzz`
//! gives each target 60 s; a failure prints the input as a line for `corpus.txt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "how long to look is the caller's wish, not the product's"
)]

#[path = "../../../net-adapter/tests/fuzz/driver.rs"]
mod driver;
#[path = "../../../net-adapter/tests/http_server/escapes.rs"]
mod escapes;
mod targets;

const CORPUS: &str = include_str!("corpus.txt");

fn run(target: &str, function: fn(&[u8]) -> String) {
    driver::run(target, driver::saved(CORPUS, target), function);
}

#[test]
fn fuzz_search_query() {
    run("search-query", targets::search_query);
}

#[test]
fn fuzz_body() {
    run("body", targets::body);
}

#[test]
fn fuzz_config() {
    run("config", targets::config);
}
