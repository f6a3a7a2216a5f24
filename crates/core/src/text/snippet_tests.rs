#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

fn terms(words: &[&str]) -> Vec<Term> {
    words.iter().filter_map(|word| Term::phrase(word)).collect()
}

fn marked(text: &str, words: &[&str]) -> String {
    let found = snippet(text, &terms(words));
    let mut marked = found.text.clone();
    for range in found.highlights.iter().rev() {
        marked.insert(range.end, ']');
        marked.insert(range.start, '[');
    }
    marked
}

#[test]
fn a_short_text_is_shown_whole_on_one_line() {
    assert_eq!(
        marked("Fix the\r\n\n  RACE\tin Cutover ", &["race", "cutover"]),
        "Fix the [RACE] in [Cutover]"
    );
    assert_eq!(marked("nothing here", &["race"]), "nothing here");
    assert_eq!(marked("", &["race"]), "");
}

#[test]
fn the_window_has_the_most_distinct_terms_and_is_the_earliest() {
    let filler = "lorem ipsum ".repeat(40);
    let text = format!("alpha alpha {filler}alpha with beta {filler}beta and alpha {filler}");
    let shown = marked(&text, &["alpha", "beta"]);
    assert!(shown.contains("[alpha] with [beta] lorem"), "{shown}");
    assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
    assert!(
        shown.starts_with("…lorem") || shown.starts_with("…ipsum"),
        "starts at a word: {shown}"
    );
    assert!(marked(&filler, &["absent"]).starts_with("lorem ipsum"));
}

#[test]
fn neighbours_and_phrases_are_highlighted_once() {
    assert_eq!(marked("数据库 broken", &["数据", "据库"]), "[数据库] broken");
    assert_eq!(
        marked("the cutover race", &["cutover race", "race"]),
        "the [cutover race]"
    );
}

#[test]
fn a_prefix_highlights_the_whole_word() {
    let found = snippet("permissions denied", &[Term::prefix("perm").unwrap()]);
    assert_eq!(found.highlights.first(), Some(&(0..11)));
}

#[test]
fn snippet_whole_characters() {
    let text = "e\u{301}".repeat(400);
    let shown = snippet(&text, &[]).text;
    assert!(shown.ends_with("e\u{301}…"), "{shown:?}");
    let text = format!("{}x e\u{301}nde", "数".repeat(500));
    let shown = marked(&text, &["ende"]);
    assert!(shown.ends_with("[e\u{301}nde]"), "{shown}");
}

#[test]
fn a_word_longer_than_the_window_is_clipped() {
    let text = format!("{} {}", "x ".repeat(300), "a".repeat(600));
    let found = snippet(&text, &[Term::prefix("aaa").unwrap()]);
    assert!(found.text.chars().count() <= SNIPPET_CHARS);
    assert_eq!(found.highlights.len(), 1);
}

proptest! {
    #[test]
    fn any_text_gives_a_short_snippet_with_sound_highlights(
        text in any::<String>(), filler in "[a-dä数 \u{301}]{0,500}", words in prop::collection::vec("[a-dä数]{1,2}", 0..4),
    ) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let found = snippet(&format!("{text}{filler}"), &terms(&words));
        prop_assert!(found.text.chars().count() <= SNIPPET_CHARS);
        let mut at = 0;
        for range in &found.highlights {
            prop_assert!(range.start >= at && range.end > range.start);
            prop_assert!(found.text.get(range.clone()).is_some());
            at = range.end;
        }
    }

    /// Against every window there is: none holds more terms than the one chosen.
    #[test]
    fn no_window_beats_the_chosen_one(words in prop::collection::vec("[a-f]|[xyz]{5,30}", 0..60)) {
        let text = words.join(" ");
        let asked = terms(&["a", "b", "c", "d"]);
        let distinct = |part: &str| {
            let words: Vec<_> = tokens(part).collect();
            asked.iter().filter(|term| (0..words.len()).any(|at| term.matches(&words[at..]))).count()
        };
        let chars: Vec<char> = text.chars().collect();
        let best = (0..chars.len()).map(|at| {
            let part: String = chars[at..].iter().take(WINDOW).collect();
            // A word cut at either border could look like a term.
            let whole_front = at == 0 || chars[at - 1] == ' ';
            let whole_back = chars.get(at + WINDOW).is_none_or(|c| *c == ' ');
            if whole_front && whole_back { distinct(&part) } else { 0 }
        }).max().unwrap_or(0);
        prop_assert!(distinct(&snippet(&text, &asked).text) >= best);
    }
}
