//! What `cargo xtask bench runtime` and `cargo xtask kpi` start: servers to put load on, costs beside the runtime's own,
//! traces of the lab, and storms whose leftovers are counted. It prints figures; the judging is done there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "a program for developers that prints and may panic; it stands beside the adapter, not behind it"
)]

mod costs;
mod scenarios;
mod serve;
mod storms;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u32>().expect("a number");
    match args.as_slice() {
        ["serve", "adapter"] => serve::adapter(),
        ["serve", "bare"] => serve::bare(),
        ["costs", rounds] => costs::print(number(rounds)),
        ["traces", seeds] => scenarios::print(number(seeds).into()),
        ["storms", rounds] => storms::print(number(rounds).into()),
        _ => println!("adapter serve adapter|bare, costs ROUNDS, traces SEEDS, storms ROUNDS"),
    }
}
