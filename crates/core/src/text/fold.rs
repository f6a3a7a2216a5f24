//! Which texts count as equal: case and accents do not matter.
//!
//! Folding works on clusters, a character with the marks that belong to it, so that composed and
//! decomposed spellings fold alike and every folded word knows its bytes in the original. Only marks
//! that are accents are dropped; vowel signs of Indic scripts and the voicing marks of kana are
//! letters and stay.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The text with case and accents folded, in NFC. Folding twice changes nothing.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for cluster in Clusters::of(text) {
        cluster.fold_into(&mut folded);
    }
    folded
}

/// Whether a character is written without blanks between words, so that it is a word of its own:
/// Han, kana, Hangul, bopomofo.
#[must_use]
pub const fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}'
        | '\u{3038}'..='\u{303c}' | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}' | '\u{3105}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}'
        | '\u{16ff0}'..='\u{18cff}' | '\u{1aff0}'..='\u{1b2ff}' | '\u{20000}'..='\u{3ffff}')
        || is_hangul(c)
}

const fn is_hangul(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}' | '\u{3131}'..='\u{318e}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{ffa0}'..='\u{ffdc}')
}

/// What a word can begin with: a letter or digit that needs no other to stand on.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && (c.is_ascii() || !is_combining_mark(c))
}

/// Accents proper: what may be left out in writing without making another letter.
const fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}'
        | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Characters that show nothing and belong to no word: soft hyphens, joiners, variation selectors.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// A character with everything that belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Cluster<'a> {
    pub start: usize,
    pub text: &'a str,
    base: char,
}

impl Cluster<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is part of a word. A mark that no letter carries is none, as it is none behind a blank.
    pub fn is_word(&self) -> bool {
        is_letter(self.base)
    }

    pub fn fold_into(&self, out: &mut String) {
        if self.base.is_ascii() && self.text.len() == 1 {
            out.push(self.base.to_ascii_lowercase());
        } else if is_hangul(self.base) {
            // Compatibility forms stay: decomposed, loose letters would grow into syllables.
            out.extend(self.chars().nfc());
        } else if is_cjk(self.base) {
            // `ゟ` and `ヿ` stay: as two letters they would be two words.
            if self.chars().nfkc().filter(|c| is_cjk(*c)).count() == 1 {
                out.extend(self.chars().nfkc());
            } else {
                out.extend(self.chars().nfc());
            }
        } else if self.is_word() {
            self.fold_word_into(out);
        } else {
            out.extend(self.chars().nfc());
        }
    }

    fn chars(&self) -> impl Iterator<Item = char> {
        self.text.chars().filter(|c| !is_ignorable(*c))
    }

    fn fold_word_into(&self, out: &mut String) {
        // Full-width and ligature forms become plain letters, but `½` must not become `1⁄2`, nor a lone `ﾞ` a mark
        // without a letter.
        let plain = |c: char| c.is_alphanumeric() || is_combining_mark(c);
        let letters: String = if self.chars().nfkd().next().is_some_and(is_letter) && self.chars().nfkd().all(plain) {
            self.chars().nfkd().collect()
        } else {
            self.chars().nfd().collect()
        };
        let lower = letters.chars().filter(|c| !is_accent(*c)).flat_map(char::to_lowercase);
        let mut folded = String::with_capacity(letters.len());
        for c in lower {
            match without_stroke(c) {
                Some(plain) => folded.push_str(plain),
                None => folded.push(c),
            }
        }
        out.extend(folded.nfd().filter(|c| !is_accent(*c)).nfc());
    }
}

/// Letters that have no decomposition but are written without their mark by those who lack the key.
const fn without_stroke(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
}

/// The clusters of a text, without gaps.
#[derive(Clone)]
pub(super) struct Clusters<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Clusters<'a> {
    pub const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Gives the next cluster again from here.
    pub const fn go_back_to(&mut self, at: usize) {
        self.at = at;
    }
}

impl<'a> Iterator for Clusters<'a> {
    type Item = Cluster<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = self.text.get(start..)?;
        let mut chars = rest.chars();
        let base = chars.next()?;
        let mut len = base.len_utf8();
        for c in chars {
            if !extends(base, c) {
                break;
            }
            len += c.len_utf8();
        }
        self.at = start + len;
        Some(Cluster {
            start,
            text: rest.get(..len)?,
            base,
        })
    }
}

/// Whether a character belongs to the cluster that `base` began.
pub(super) fn extends(base: char, c: char) -> bool {
    if c.is_ascii() {
        return false;
    }
    let vowel_or_final = matches!(c, '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}');
    let voicing = matches!(c, '\u{ff9e}' | '\u{ff9f}');
    // Vowel signs of Kirat Rai are letters that compose with the one before; the second of these two is made of the first.
    let second_vowel =
        matches!(c, '\u{16d67}' | '\u{16d68}') && matches!(base, '\u{16d63}' | '\u{16d67}'..='\u{16d6a}');
    is_ignorable(c)
        || is_combining_mark(c)
        || (voicing && is_cjk(base))
        || (vowel_or_final && is_hangul(base))
        || second_vowel
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diacritics_folded() {
        for (text, folded) in [
            ("Héllo WÖRLD", "hello world"),
            ("He\u{301}llo", "hello"),
            ("Straße STRASSE", "strasse strasse"),
            ("Łódź Øre Đakovo", "lodz ore dakovo"),
            ("İstanbul ıI", "istanbul ii"),
            ("ΟΔΟΣ ὁδός", "οδοσ οδοσ"),
            ("Ｆｕｌｌ ﬁne ①", "full fine 1"),
            ("Ёлка й", "елка и"),
            ("½ cup", "½ cup"),
            ("co\u{ad}operate", "cooperate"),
            ("شَكَرَ", "شكر"),
            ("group/Sub-Project_1", "group/sub-project_1"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn marks_that_are_letters_stay() {
        assert_eq!(fold("हिन्दी"), "हिन्दी");
        assert_eq!(fold("ガ"), "ガ");
        assert_eq!(fold("カ\u{3099}"), "ガ");
        assert_eq!(fold("ｶﾞ"), "ガ");
        assert_eq!(fold("\u{1112}\u{1161}\u{11ab}"), "한");
        assert_eq!(fold("ㅋㅏ"), "ㅋㅏ");
    }

    #[test]
    fn every_character_folds_to_something_folded() {
        for c in '\0'..=char::MAX {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "U+{:04X}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in any::<String>()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn clusters_have_no_gaps(text in any::<String>()) {
            let mut at = 0;
            for cluster in Clusters::of(&text) {
                prop_assert_eq!(cluster.start, at);
                at = cluster.end();
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
