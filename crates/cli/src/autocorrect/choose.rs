//! What a word was meant to be, of those that could stand in its place. Between equals there is no answer.

use annals_core::text::closeness;

use super::Rule;
use crate::output::Mode;

/// How much alike two words must be, from 0 to 1. A program that is misunderstood does not notice.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    pub flags: f64,
    pub commands: f64,
}

impl Least {
    pub const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Human => Self {
                flags: 0.80,
                commands: 0.85,
            },
            Mode::Robot => Self {
                flags: 0.90,
                commands: 0.90,
            },
        }
    }
}

/// A word that could stand here, and what is written for it.
#[derive(Debug)]
pub struct Candidate {
    /// Without dashes.
    spelling: String,
    to: String,
}

impl Candidate {
    pub fn flag(spelling: &str, to: &str) -> Self {
        Self::word(spelling.trim_start_matches('-'), to)
    }

    pub fn word(spelling: &str, to: &str) -> Self {
        Self {
            spelling: spelling.to_owned(),
            to: to.to_owned(),
        }
    }
}

/// Two that are as near as this to a word are equally near.
const TIE: f64 = 0.005;

/// Fewer letters say nothing.
const SHORTEST: usize = 2;

/// The flag meant by a name without dashes.
pub fn flag(name: &str, candidates: &[Candidate], least: Least) -> Option<(String, Rule)> {
    if let Some(to) = case(name, candidates) {
        return Some((to, Rule::Case));
    }
    match beginning_with(name, candidates).as_slice() {
        _ if name.len() < SHORTEST => None,
        [one] => Some(((*one).to_owned(), Rule::Prefix)),
        [] => similar(name, candidates, least.flags).map(|to| (to, Rule::Similar)),
        // The beginning of several is none of them.
        _ => None,
    }
}

/// The value meant.
pub fn value(text: &str, candidates: &[Candidate], least: Least) -> Option<String> {
    if let Some(to) = case(text, candidates) {
        return Some(to);
    }
    match beginning_with(text, candidates).as_slice() {
        _ if text.len() < SHORTEST => None,
        [one] => Some((*one).to_owned()),
        [] => similar(text, candidates, least.flags),
        _ => None,
    }
}

/// The one that differs in capitals only.
pub fn case(word: &str, candidates: &[Candidate]) -> Option<String> {
    let mut same = candidates
        .iter()
        .filter(|candidate| candidate.spelling.eq_ignore_ascii_case(word));
    same.next().map(|candidate| candidate.to.clone())
}

fn beginning_with<'a>(word: &str, candidates: &'a [Candidate]) -> Vec<&'a str> {
    let word = word.to_ascii_lowercase();
    let mut found: Vec<&str> = candidates
        .iter()
        .filter(|candidate| candidate.spelling.starts_with(&word))
        .map(|candidate| candidate.to.as_str())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The one that is most like it, if that is enough and no other is as much so.
pub fn similar(word: &str, candidates: &[Candidate], least: f64) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let score = |candidate: &Candidate| closeness(&word, &candidate.spelling);
    let best = candidates.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    let highest = score(best);
    let rival = candidates
        .iter()
        .any(|candidate| candidate.to != best.to && score(candidate) > highest - TIE);
    (highest >= least && !rival).then(|| best.to.clone())
}
