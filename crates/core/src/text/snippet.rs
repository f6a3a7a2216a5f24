//! The part of a text that answers a query.

use std::ops::Range;

use super::fold::extends;
use super::tokens::{Term, Token, tokens};

/// The longest snippet, in characters, ellipses included.
pub const SNIPPET_CHARS: usize = 200;

/// Room for the text between two ellipses.
const WINDOW: usize = SNIPPET_CHARS - 2;
/// How much is shown before the first word found, where there is room.
const LEAD: usize = 40;

/// A part of a text on one line, and the words found in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snippet {
    /// The part; an ellipsis stands where something was left out.
    pub text: String,
    /// Bytes of `text` to highlight: in order, apart from each other, on character borders.
    pub highlights: Vec<Range<usize>>,
}

/// The earliest window of at most [`SNIPPET_CHARS`] characters with the most distinct terms; the
/// beginning where there is none. Runs of blanks and line ends are one blank.
#[must_use]
pub fn snippet(text: &str, terms: &[Term]) -> Snippet {
    let line = one_line(text);
    let words: Vec<Token<'_>> = tokens(&line).collect();
    let found = occurrences(&line, &words, terms);
    let total = line.chars().count();
    let shown = if total <= SNIPPET_CHARS {
        0..total
    } else {
        window(&line, total, &found, terms.len())
    };
    render(&line, total, &shown, &found)
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_whitespace() || c.is_control()) {
            line.push(c);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    line
}

struct Occurrence {
    term: usize,
    bytes: Range<usize>,
    chars: Range<usize>,
}

fn occurrences(line: &str, words: &[Token<'_>], terms: &[Term]) -> Vec<Occurrence> {
    let count = |bytes: Range<usize>| line.get(bytes).map_or(0, |part| part.chars().count());
    let (mut found, mut counted, mut chars) = (Vec::new(), 0, 0);
    for (at, word) in words.iter().enumerate() {
        for (index, term) in terms.iter().enumerate() {
            let rest = words.get(at..).unwrap_or_default();
            let Some(last) = rest
                .get(term.words().len().saturating_sub(1))
                .filter(|_| term.matches(rest))
            else {
                continue;
            };
            chars += count(counted..word.range.start);
            counted = word.range.start;
            let bytes = word.range.start..last.range.end;
            found.push(Occurrence {
                term: index,
                chars: chars..chars + count(bytes.clone()),
                bytes,
            });
        }
    }
    found
}

/// The characters to show.
fn window(line: &str, total: usize, found: &[Occurrence], terms: usize) -> Range<usize> {
    let best = best_span(found, terms);
    let lead = WINDOW.saturating_sub(best.len()).min(LEAD);
    // At the end of the text the window is filled from the front.
    let earliest = best.start.saturating_sub(lead).min(total.saturating_sub(WINDOW));
    let chars: Vec<char> = line.chars().skip(earliest).take(WINDOW + 1).collect();
    let mut start = 0;
    if earliest > 0 {
        let until_found = chars.iter().take(best.start - earliest);
        start = until_found
            .clone()
            .position(|c| *c == ' ')
            .map_or_else(|| marks(&chars), |blank| blank + 1);
    }
    let mut end = WINDOW.min(chars.len());
    if earliest + end < total {
        let keep = best.end.saturating_sub(earliest).min(end);
        let after_found = chars.get(keep..=end).unwrap_or_default();
        end = match after_found.iter().rposition(|c| *c == ' ') {
            Some(blank) => keep + blank,
            None => whole_end(&chars, end),
        };
    }
    earliest + start..earliest + end.max(start)
}

/// The earliest span of occurrences with the most distinct terms that fits.
fn best_span(found: &[Occurrence], terms: usize) -> Range<usize> {
    let (mut best, mut most) = (0..0, 0);
    for (at, first) in found.iter().enumerate() {
        let limit = first.chars.start + WINDOW;
        let mut seen = vec![false; terms];
        let (mut distinct, mut end) = (0, first.chars.end.min(limit));
        for next in found.iter().skip(at).take_while(|next| next.chars.start < limit) {
            let fits = next.chars.end <= limit || next.chars == first.chars;
            if let Some(seen) = seen.get_mut(next.term).filter(|seen| fits && !**seen) {
                *seen = true;
                distinct += 1;
                end = end.max(next.chars.end.min(limit));
            }
        }
        if distinct > most {
            (most, best) = (distinct, first.chars.start..end);
        }
        if most == terms {
            break;
        }
    }
    best
}

/// How many characters at the front belong to a character that was cut off.
fn marks(chars: &[char]) -> usize {
    chars.iter().take_while(|c| extends(' ', **c)).count()
}

/// The nearest end that does not part a character from its marks.
fn whole_end(chars: &[char], end: usize) -> usize {
    let mut whole = end;
    while whole > 0 && chars.get(whole).is_some_and(|c| extends(' ', *c)) {
        whole -= 1;
    }
    if whole == 0 { end } else { whole }
}

fn render(line: &str, total: usize, shown: &Range<usize>, found: &[Occurrence]) -> Snippet {
    let byte_of = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let bytes = byte_of(shown.start)..byte_of(shown.end);
    let mut text = String::new();
    if shown.start > 0 {
        text.push('…');
    }
    let shift = text.len();
    text.push_str(line.get(bytes.clone()).unwrap_or_default());
    let mut highlights: Vec<Range<usize>> = Vec::new();
    for occurrence in found {
        let (start, end) = (
            occurrence.bytes.start.max(bytes.start),
            occurrence.bytes.end.min(bytes.end),
        );
        if start >= end {
            continue;
        }
        let range = start - bytes.start + shift..end - bytes.start + shift;
        match highlights.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => highlights.push(range),
        }
    }
    if shown.end < total {
        text.push('…');
    }
    Snippet { text, highlights }
}

#[cfg(test)]
#[path = "snippet_tests.rs"]
mod tests;
