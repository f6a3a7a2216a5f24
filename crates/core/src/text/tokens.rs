//! The words of a text, and what a query asks for among them.

use std::borrow::Cow;
use std::ops::Range;

use super::fold::{Clusters, is_cjk};

/// A word is kept up to this many characters; the rest of a longer one does not count. Such words
/// are base64 and hashes of logs, and would fill an index.
pub const MAX_TOKEN_CHARS: usize = 128;

/// One folded word and where it stands in the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// The word, folded; borrowed where folding changed nothing.
    pub text: Cow<'a, str>,
    /// Its bytes in the original, on character borders.
    pub range: Range<usize>,
}

/// The words of a text: runs of letters and digits with case and accents folded, each CJK character
/// a word of its own.
#[must_use]
pub const fn tokens(text: &str) -> Tokens<'_> {
    Tokens {
        text,
        clusters: Clusters::of(text),
    }
}

/// The words of a text with one blank between them, for an engine that cuts at blanks.
#[must_use]
pub fn indexable(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for token in tokens(text) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&token.text);
    }
    words
}

/// What [`tokens`] returns.
#[derive(Clone)]
pub struct Tokens<'a> {
    text: &'a str,
    clusters: Clusters<'a>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut word, mut range) = (String::new(), 0..0);
        while let Some(cluster) = self.clusters.next() {
            if !cluster.is_word() {
                if word.is_empty() {
                    continue;
                }
                break;
            }
            let before = word.len();
            cluster.fold_into(&mut word);
            let folded = word.get(before..).unwrap_or_default();
            let stands_alone = folded.chars().next().is_some_and(is_cjk);
            if stands_alone && before > 0 {
                word.truncate(before);
                self.clusters.go_back_to(cluster.start);
                break;
            }
            if range.is_empty() {
                range.start = cluster.start;
            }
            range.end = cluster.end();
            if stands_alone {
                break;
            }
        }
        if word.is_empty() {
            return None;
        }
        if let Some((end, _)) = word.char_indices().nth(MAX_TOKEN_CHARS) {
            word.truncate(end);
        }
        let original = self.text.get(range.clone()).unwrap_or_default();
        let text = if original == word {
            Cow::Borrowed(original)
        } else {
            Cow::Owned(word)
        };
        Some(Token { text, range })
    }
}

/// One thing a query asks for: a word, words next to each other, or a word's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    words: Vec<String>,
    last: Last,
}

/// How the last word of a [`Term`] must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Last {
    Whole,
    Prefix,
}

impl Term {
    /// The words of a text, next to each other; nothing where it folds to nothing.
    #[must_use]
    pub fn phrase(text: &str) -> Option<Self> {
        Self::new(text, Last::Whole)
    }

    /// The same, where the last word may go on.
    #[must_use]
    pub fn prefix(text: &str) -> Option<Self> {
        Self::new(text, Last::Prefix)
    }

    /// The folded words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether the last word may go on.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.last == Last::Prefix
    }

    /// Whether these words begin with this term.
    #[must_use]
    pub fn matches(&self, tokens: &[Token<'_>]) -> bool {
        let Some((last, others)) = self.words.split_last() else {
            return false;
        };
        let Some(token) = tokens.get(others.len()) else {
            return false;
        };
        let last_fits = match self.last {
            Last::Whole => token.text == *last,
            Last::Prefix => token.text.starts_with(last.as_str()),
        };
        last_fits && others.iter().zip(tokens).all(|(word, token)| token.text == *word)
    }

    fn new(text: &str, last: Last) -> Option<Self> {
        let words: Vec<_> = tokens(text).map(|token| token.text.into_owned()).collect();
        if words.is_empty() {
            None
        } else {
            Some(Self { words, last })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    fn words(text: &str) -> Vec<String> {
        tokens(text).map(|token| token.text.into_owned()).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(
            words("Fix: std::vec<T> in foo_bar.rs (#12)"),
            ["fix", "std", "vec", "t", "in", "foo", "bar", "rs", "12"]
        );
        assert_eq!(words("don't naïve"), ["don", "t", "naive"]);
        assert!(words(" …—'\"*- \u{301}").is_empty());
    }

    #[test]
    fn cjk_characters_are_words_of_their_own() {
        assert_eq!(words("修复bug数据库"), ["修", "复", "bug", "数", "据", "库"]);
        assert_eq!(words("カ\u{3099}ス"), ["ガ", "ス"]);
        assert_eq!(words("한국어"), ["한", "국", "어"]);
    }

    #[test]
    fn letters_that_are_two_words_written_out_stay_one() {
        assert_eq!(words("ゟヿ"), ["ゟ", "ヿ"]);
        assert_eq!(words("ﾞabc ｶﾞ ㆒"), ["ﾞabc", "ガ", "一"]);
    }

    #[test]
    fn a_mark_without_a_letter_is_no_word() {
        assert!(words("\u{93f} \u{16ff0} \u{345}").is_empty());
        let token = tokens("\u{345} abc").next().unwrap();
        assert_eq!((token.text.as_ref(), token.range), ("abc", 3..6));
        assert_eq!(words("हि"), ["हि"]);
    }

    #[test]
    fn every_character_is_words_that_give_themselves_when_typed() {
        for c in '\0'..=char::MAX {
            for word in words(&c.to_string()) {
                assert_eq!(words(&word), [word.as_str()], "U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn ranges_point_into_the_original() {
        let text = "Der CAFE\u{301}-Ölpreis 数据";
        let found: Vec<_> = tokens(text).map(|t| text.get(t.range).unwrap()).collect();
        assert_eq!(found, ["Der", "CAFE\u{301}", "Ölpreis", "数", "据"]);
    }

    #[test]
    fn an_endless_word_is_cut_but_covers_its_range() {
        let text = "a".repeat(10_000);
        let token = tokens(&text).next().unwrap();
        assert_eq!((token.text.len(), token.range), (MAX_TOKEN_CHARS, 0..10_000));
    }

    #[test]
    fn terms_match_words_phrases_and_beginnings() {
        let text: Vec<_> = tokens("The cutover race condition").collect();
        let at = |term: Option<Term>| (0..text.len()).find(|i| term.as_ref().unwrap().matches(&text[*i..]));
        assert_eq!(at(Term::phrase("RACE")), Some(2));
        assert_eq!(at(Term::phrase("cutover race")), Some(1));
        assert_eq!(at(Term::phrase("race cutover")), None);
        assert_eq!(at(Term::phrase("condition x")), None);
        assert_eq!(at(Term::prefix("con")), Some(3));
        assert_eq!(at(Term::prefix("race con")), Some(2));
        assert_eq!(at(Term::phrase("con")), None);
        assert_eq!(Term::phrase("…"), None);
    }

    proptest! {
        #[test]
        fn tokens_are_folded_ordered_and_in_the_text(text in any::<String>()) {
            let mut at = 0;
            for token in tokens(&text) {
                prop_assert!(token.range.start >= at && token.range.end > token.range.start);
                prop_assert!(text.get(token.range.clone()).is_some());
                prop_assert!(!token.text.contains(' '));
                at = token.range.end;
            }
        }

        #[test]
        fn words_give_themselves_when_typed(text in "[\\PCa-zA-Z\\p{M}ﾞ゚ｶ가각\u{16d63}\u{16d67}-\u{16d6a}\u{200d}]{0,12}") {
            for word in words(&text) {
                prop_assert_eq!(words(&word), [word.as_str()]);
            }
            // Composed or not, in whatever order the marks were typed.
            let (composed, apart): (String, String) = (text.nfc().collect(), text.nfd().collect());
            prop_assert_eq!(words(&composed), words(&text));
            prop_assert_eq!(words(&apart), words(&text));
        }

        #[test]
        fn indexed_words_are_found_again(text in "[a-zA-ZäÖßé数据ガ0-9 ,.]{0,60}") {
            let joined = indexable(&text);
            prop_assert_eq!(words(&joined), words(&text));
        }
    }
}
