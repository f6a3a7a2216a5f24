//! Mutates a corpus, for so many inputs or for so long.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use crate::escapes::bytes;

/// Inputs per target in the ordinary suite.
const INPUTS: u64 = 5_000;
/// No input grows beyond this.
const LONGEST: usize = 16 * 1024;
/// Inputs kept because something new became of them.
const KEPT: usize = 4096;

/// What parsers have stumbled over before.
const WORDS: [&str; 40] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\n\n",
    "\0",
    "\u{7f}",
    "\u{b}",
    " ",
    "\t",
    "  ",
    ":",
    ": ",
    ";",
    ",",
    "=",
    "<",
    ">",
    "\"",
    "\\",
    "#",
    "?",
    "&",
    "%",
    "%2",
    "+",
    "0",
    "-1",
    "0x",
    "fffffffffffffffff",
    "18446744073709551616",
    "chunked",
    "HTTP/1.1",
    "HTTP/1.0",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Host: a\r\n",
    "Expect: 100-continue\r\n",
    "rel=next",
    "\u{e9}",
];

enum Budget {
    Inputs(u64),
    Until(Instant),
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// The inputs that a corpus has for a target: lines of a name and bytes, with escapes as in `escapes`.
pub fn saved(corpus: &str, target: &str) -> Vec<Vec<u8>> {
    let lines = corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let named = lines.filter_map(|line| line.split_once(' '));
    named
        .filter(|(name, _)| *name == target)
        .map(|(_, text)| bytes(text))
        .collect()
}

/// Feeds `target` with mutations of `corpus` until the budget is spent.
pub fn run(name: &str, mut corpus: Vec<Vec<u8>>, target: fn(&[u8]) -> String) {
    assert!(!corpus.is_empty(), "no corpus for {name}");
    let seed = setting("ANNALS_FUZZ_SEED").unwrap_or(1);
    let budget = match setting("ANNALS_FUZZ_SECONDS") {
        Some(seconds) => Budget::Until(Instant::now() + Duration::from_secs(seconds)),
        None => Budget::Inputs(INPUTS),
    };
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut known = BTreeSet::new();
    for input in &corpus {
        known.insert(try_one(name, target, input));
    }
    let mut done = 0_u64;
    loop {
        let goes_on = match budget {
            Budget::Inputs(inputs) => done < inputs,
            Budget::Until(end) => !done.is_multiple_of(256) || Instant::now() < end,
        };
        if !goes_on {
            break;
        }
        done += 1;
        let input = mutated(&mut rng, &corpus);
        let became = try_one(name, target, &input);
        if known.len() < KEPT && known.insert(became) {
            corpus.push(input);
        }
    }
    // A parser to which all inputs are the same shows nothing.
    assert!(
        known.len() > 3,
        "{name}: {done} inputs, and only {known:?} became of them"
    );
}

fn try_one(name: &str, target: fn(&[u8]) -> String, input: &[u8]) -> String {
    match catch_unwind(|| target(input)) {
        Ok(became) => became,
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let shown: String = input.iter().map(|byte| escaped(*byte)).collect();
            panic!("{}\ncorpus.txt: {name} {shown}", why.unwrap_or_default());
        }
    }
}

/// As `escapes` reads it.
fn escaped(byte: u8) -> String {
    match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

fn mutated(rng: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..=rng.usize(..4) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len().min(at + 64));
        match rng.u8(..8) {
            0 if at < input.len() => input[at] = rng.u8(..),
            1 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                drop(input.splice(at..at, again));
            }
            4 => {
                // The rest of another one.
                let other = &corpus[rng.usize(..corpus.len())];
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => input.truncate(at),
            _ => {
                let word = WORDS[rng.usize(..WORDS.len())].bytes();
                drop(input.splice(at..end.min(at + rng.usize(..2)), word));
            }
        }
    }
    input.truncate(LONGEST);
    input
}
