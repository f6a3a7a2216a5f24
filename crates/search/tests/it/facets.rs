//! Totals and facets are those of a plain walk over every document.

use std::collections::BTreeMap;

use crate::support::{DAY, Mirror, NOW, discussion, issue, labels, merge_request, note, user};
use annals_core::UnixMs;
use annals_core::text::{Term, tokens};
use annals_db::ids::State;
use annals_search::answer::Facet;
use annals_search::query::{self, Sign};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// A document as a reader of the sources knows it.
struct Known {
    fields: [String; 3],
    project: &'static str,
    kind: &'static str,
    author: &'static str,
    state: &'static str,
    labels: Vec<&'static str>,
}

const WORDS: &[&str] = &[
    "race", "lock", "writer", "cutover", "数据", "Café", "fast", "slow", "fað",
];
const LABELS: &[&str] = &["bug", "feature", "good first issue", "Größe"];
const AUTHORS: &[&str] = &["ada", "bob", "carol"];

fn build(rng: &mut TestRng) -> (Mirror, Vec<Known>) {
    let mut mirror = Mirror::new();
    let (first, second) = (mirror.project, mirror.add_project("group/lib", "200"));
    let mut known = Vec::new();
    let words = |rng: &mut TestRng| {
        let count = rng.random_range(1..6_usize);
        (0..count)
            .map(|_| WORDS[rng.random_range(0..WORDS.len())])
            .collect::<Vec<_>>()
            .join(" ")
    };
    for iid in 1..=60 {
        let (title, body) = (words(rng), words(rng));
        let author = AUTHORS[rng.random_range(0..AUTHORS.len())];
        let worn: Vec<_> = LABELS.iter().copied().filter(|_| rng.random_bool(0.3)).collect();
        let project = if rng.random_bool(0.3) { "group/lib" } else { "group/app" };
        mirror.project = if project == "group/lib" { second } else { first };
        let mut entity = issue(iid, &title, &body);
        entity.native_id = annals_core::NativeId(format!("n{iid}"));
        entity.author = Some(user(author, author));
        entity.labels = labels(&worn);
        entity.updated_at = Some(UnixMs(NOW.0 - i64::from(rng.random_range(0..5_u8)) * DAY));
        let is_mr = rng.random_bool(0.4);
        let (state, word) = match rng.random_range(0..3_u8) {
            0 => (State::Open, "open"),
            1 if is_mr => (State::Merged, "merged"),
            _ => (State::Closed, "closed"),
        };
        entity.state = state;
        let names = |branches: &str| format!("{} {author} @{author} {branches}", worn.join(" , "));
        let id = if is_mr {
            let mut mr = merge_request(iid, "", "");
            mr.entity = entity;
            mirror.merge_request(&mr)
        } else {
            mirror.issue(&entity)
        };
        let (kind, meta) = if is_mr {
            ("merge_request", names(&format!("feature {iid} main")))
        } else {
            ("issue", names(""))
        };
        let seen = |fields, kind, author| Known {
            fields,
            project,
            kind,
            author,
            state: word,
            labels: worn.clone(),
        };
        known.push(seen([title, body, meta], kind, author));
        if rng.random_bool(0.5) {
            let said = words(rng);
            let name = AUTHORS[rng.random_range(0..AUTHORS.len())];
            let said_by = note(&format!("t{iid}"), user(name, name), &said);
            mirror.discuss(id, vec![discussion(&format!("d{iid}"), vec![said_by])]);
            known.push(seen(
                [String::new(), format!("{name}: {said}"), format!("@{name}")],
                "discussion",
                name,
            ));
        }
    }
    mirror.drain();
    (mirror, known)
}

fn holds(known: &Known, sign: Sign, term: &Term) -> bool {
    let has = known.fields.iter().any(|field| {
        let tokens: Vec<_> = tokens(field).collect();
        (0..tokens.len()).any(|at| term.matches(&tokens[at..]))
    });
    has == (sign == Sign::Require)
}

#[test]
fn facets_and_totals_exact() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mirror, known) = build(&mut rng);
    for _ in 0..300 {
        let mut pieces = Vec::new();
        let mut wanted: Vec<Box<dyn Fn(&Known) -> bool>> = Vec::new();
        for _ in 0..rng.random_range(0..4_u8) {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            let other = WORDS[rng.random_range(0..WORDS.len())];
            pieces.push(match rng.random_range(0..5_u8) {
                0 => format!("-{word}"),
                1 => format!("\"{word} {other}\""),
                2 => format!("{}*", word.chars().take(2).collect::<String>()),
                _ => word.to_owned(),
            });
        }
        if rng.random_bool(0.3) {
            let label = LABELS[rng.random_range(0..LABELS.len())];
            pieces.push(format!("label:\"{label}\""));
            wanted.push(Box::new(move |known| known.labels.contains(&label)));
        }
        if rng.random_bool(0.3) {
            pieces.push("state:open,merged".to_owned());
            wanted.push(Box::new(|known| known.state != "closed"));
        }
        if rng.random_bool(0.3) {
            pieces.push("-author:ada".to_owned());
            wanted.push(Box::new(|known| known.author != "ada"));
        }
        if rng.random_bool(0.3) {
            pieces.push("kind:mr,discussion".to_owned());
            wanted.push(Box::new(|known| known.kind != "issue"));
        }
        let text = pieces.join(" ");
        let query = query::parse(&text, NOW).unwrap();
        let matching: Vec<&Known> = known
            .iter()
            .filter(|known| query.terms.iter().all(|term| holds(known, term.sign, &term.text)))
            .filter(|known| wanted.iter().all(|wanted| wanted(known)))
            .collect();

        let results = mirror.search(&text);
        assert_eq!(results.total, matching.len() as u64, "{text}");
        assert_eq!(results.hits.len(), matching.len(), "{text}");
        for (facet, values) in [
            (Facet::Project, tally(&matching, |known| vec![known.project])),
            (Facet::Kind, tally(&matching, |known| vec![known.kind])),
            (Facet::Author, tally(&matching, |known| vec![known.author])),
            (Facet::State, tally(&matching, |known| vec![known.state])),
            (Facet::Label, tally(&matching, |known| known.labels.clone())),
        ] {
            let counted: BTreeMap<_, _> = results.facets[&facet]
                .values
                .iter()
                .map(|value| (value.value.as_str(), value.count))
                .collect();
            assert_eq!(counted, values, "{facet:?} of {text}");
            assert!(
                results.facets[&facet]
                    .values
                    .is_sorted_by_key(|value| std::cmp::Reverse(value.count))
            );
            // Filtering by what was counted finds as many.
            if let Some((value, count)) = values.iter().next_back() {
                let narrowed = format!("{text} {}:\"{value}\"", facet.as_str());
                assert_eq!(mirror.search(&narrowed).total, *count, "{narrowed}");
            }
        }
    }
}

fn tally<'k>(known: &[&'k Known], of: impl Fn(&'k Known) -> Vec<&'static str>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for value in known.iter().flat_map(|known| of(known)) {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

#[test]
fn a_facet_lists_a_hundred_values_and_says_how_many_more() {
    let mirror = Mirror::new();
    for iid in 1..=130 {
        let mut given = issue(iid, "word", "");
        given.labels = labels(&[&format!("label{iid:03}")]);
        mirror.issue(&given);
    }
    mirror.drain();
    let labels = &mirror.search("word").facets[&Facet::Label];
    assert_eq!((labels.values.len(), labels.more), (100, 30));
    assert_eq!(
        (labels.values[0].value.as_str(), labels.values[0].count),
        ("label001", 1)
    );
}

#[test]
fn names_that_differ_only_in_case_are_one_value() {
    let mirror = Mirror::new();
    for (iid, label) in [(1, "Bug"), (2, "bug")] {
        let mut given = issue(iid, "word", "");
        given.labels = labels(&[label]);
        mirror.issue(&given);
    }
    mirror.drain();
    let results = mirror.search("word");
    let values: Vec<_> = results.facets[&Facet::Label]
        .values
        .iter()
        .map(|v| (v.value.as_str(), v.count))
        .collect();
    assert_eq!(values, [("Bug", 2)]);
    assert_eq!(mirror.search("label:bug").total, 2);
}

#[test]
fn a_limit_of_zero_only_counts() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "word", ""));
    mirror.drain();
    let request = annals_search::SearchRequest {
        limit: 0,
        ..annals_search::SearchRequest::new("word", NOW)
    };
    let results = mirror.ask(&request);
    assert_eq!((results.total, results.hits.len(), results.next_offset), (1, 0, None));
    assert!(results.facets.is_empty());
}

#[test]
fn a_facet_asked_for_twice_is_counted_once() {
    let mirror = Mirror::new();
    mirror.issue(&issue(1, "word", ""));
    mirror.drain();
    let request = annals_search::SearchRequest {
        facets: vec![Facet::Author, Facet::Kind, Facet::Author],
        ..annals_search::SearchRequest::new("word", NOW)
    };
    let facets = mirror.ask(&request).facets;
    assert_eq!((facets.len(), facets[&Facet::Author].values[0].count), (2, 1));
}
