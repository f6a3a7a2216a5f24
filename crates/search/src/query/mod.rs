//! The query language: what a person may type into a search box.
//!
//! Words are all required; `"a phrase"` stands together; `word*` is a prefix; `-` leaves out the word, phrase or
//! filter behind it; `key:value` filters, with quotes where a value has blanks and commas where any value will do.
//! No input is a syntax error: whatever is not an operator is text. Only a known filter with a value it cannot have
//! (or a query over [`MAX_CHARS`] or [`MAX_TERMS`]) is refused, with its place and an example.
//!
//! Read [`Query`] first, then `scan` (text to pieces) and `filter` (pieces to conditions).

mod filter;
mod scan;

use annals_core::{UnixMs, text};

pub use filter::{Bound, Condition, Fact, Filter, Name, Pattern, Role, State, TimeField};

/// The longest query, in characters.
pub const MAX_CHARS: usize = 1_024;
/// The most words, phrases and filters of one query.
pub const MAX_TERMS: usize = 64;

/// Whether a term or filter must hold or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// The document must match.
    Require,
    /// The document must not match.
    Exclude,
}

/// A word, a word's beginning or a phrase.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    /// Whether documents with it are wanted or left out.
    pub sign: Sign,
    /// Its folded words, which stand next to each other: `std::vec` has two.
    pub text: text::Term,
}

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Words and phrases; all must hold.
    pub terms: Vec<Term>,
    /// Filters; all must hold.
    pub filters: Vec<Filter>,
    /// What a reader should know about how the query was understood.
    pub warnings: Vec<String>,
}

impl Query {
    /// Whether some required word or phrase gives documents a rank; otherwise the newest come first.
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.terms.iter().any(|t| t.sign == Sign::Require)
    }

    /// Whether the query asks for what the forge no longer has, which every other query leaves out.
    #[must_use]
    pub fn asks_for_gone(&self) -> bool {
        self.filters.iter().any(|f| {
            f.sign == Sign::Require && matches!(&f.condition, Condition::Is(facts) if facts.contains(&Fact::Gone))
        })
    }
}

/// A filter value (or a query as a whole) that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` at character {}: {reason}; for example `{example}`", text::visible_line(found), self.place())]
pub struct Invalid {
    /// Characters before the value.
    pub position: usize,
    /// The filter's key; empty when the query as a whole is at fault.
    pub key: &'static str,
    /// What stood there.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// Something that would have been right.
    pub example: &'static str,
}

impl Invalid {
    /// Which character of the text the value begins at, as people count: from one.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.position + 1
    }
}

/// Reads a query. `now` is what `after:7d` counts back from.
///
/// # Errors
/// [`Invalid`] for a known filter with a value it cannot have, and for a query over the limits; nothing else.
pub fn parse(written: &str, now: UnixMs) -> Result<Query, Invalid> {
    let whole = |position, reason| Invalid {
        position,
        key: "",
        found: head(written, position),
        reason,
        example: EXAMPLE,
    };
    if written.chars().nth(MAX_CHARS).is_some() {
        return Err(whole(MAX_CHARS, "a query has at most 1,024 characters"));
    }
    let mut query = Query::default();
    for (count, piece) in scan::pieces(written).enumerate() {
        if count == MAX_TERMS {
            return Err(whole(
                piece.position,
                "a query has at most 64 words, phrases and filters",
            ));
        }
        match piece.what {
            scan::What::Phrase(phrase) => query.add(piece.sign, &phrase, text::Term::phrase(&phrase)),
            scan::What::Word(word) => {
                if let Some(warning) = filter::misspelt_key(&word) {
                    query.warnings.push(warning);
                }
                let stem = word.trim_end_matches('*');
                // `std::*` asks for nothing after `std`: only a token that goes on can have a prefix.
                let reaches_end = |token: text::Token<'_>| token.range.end == stem.len();
                let open = stem.len() < word.len() && text::tokens(stem).last().is_some_and(reaches_end);
                query.add(
                    piece.sign,
                    &word,
                    if open {
                        text::Term::prefix(stem)
                    } else {
                        text::Term::phrase(stem)
                    },
                );
            }
            scan::What::Filter(key, values) => {
                let condition = filter::condition(key, &values, now)?;
                query.filters.push(Filter {
                    sign: piece.sign,
                    condition,
                });
            }
        }
    }
    Ok(query)
}

/// What a query asks for in words, as they were written: without filters and without what must not be there.
#[must_use]
pub fn wording(written: &str) -> String {
    let mut words = Vec::new();
    for piece in scan::pieces(written).take(MAX_TERMS) {
        match (piece.sign, piece.what) {
            (Sign::Require, scan::What::Word(word)) => words.push(word.trim_end_matches('*').to_owned()),
            (Sign::Require, scan::What::Phrase(phrase)) => words.push(phrase),
            (Sign::Require, scan::What::Filter(..)) | (Sign::Exclude, _) => {}
        }
    }
    words.retain(|word| text::tokens(word).next().is_some());
    words.join(" ")
}

/// Reads one filter that stands in a field of its own, such as a parameter of a URL: commas mean any, quotes keep a
/// value together. `None` is an unknown key.
///
/// # Errors
/// [`Invalid`] for a value the filter cannot have; its position counts from the beginning of `value`.
pub fn filter(key: &str, value: &str, now: UnixMs) -> Result<Option<Filter>, Invalid> {
    let Some(key) = filter::Key::of(key) else {
        return Ok(None);
    };
    let condition = filter::condition(key, &scan::values(value), now)?;
    Ok(Some(Filter {
        sign: Sign::Require,
        condition,
    }))
}

const EXAMPLE: &str = "cutover race label:bug after:30d";

impl Query {
    /// What folds to nothing asks for nothing, and a reader who typed something is told.
    fn add(&mut self, sign: Sign, written: &str, text: Option<text::Term>) {
        if text.is_none() && !written.trim().is_empty() {
            let shown = text::visible_line(&head(written, 0)).into_owned();
            let warning = format!("`{shown}` has nothing that can be searched and was left out");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self.terms.extend(text.map(|text| Term { sign, text }));
    }
}

/// At most 20 characters of `text` from character `position` on, for a message.
fn head(text: &str, position: usize) -> String {
    text.chars().skip(position).take(20).collect()
}
