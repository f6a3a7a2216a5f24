//! Text on its way into a column or a document.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::cut::cut;

/// The longest part of a document, in bytes.
pub const DOCUMENT_LIMIT: usize = 1024 * 1024;

/// The text with every NUL replaced: SQLite functions and C readers would end at it.
#[must_use]
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text as a document keeps it: NFC, without C0 controls but line ends and tabs, at most
/// [`DOCUMENT_LIMIT`] bytes of whole characters.
#[must_use]
pub fn searchable(text: &str) -> Cow<'_, str> {
    let unwanted = |c: char| (c < ' ' && c != '\n' && c != '\t') || c == '\u{7f}';
    if !text.contains(unwanted) && is_nfc(text) {
        return Cow::Borrowed(cut(text, DOCUMENT_LIMIT));
    }
    // Composition may grow a text threefold at most, so more than this is never needed.
    let mut clean: String = cut(text, 4 * DOCUMENT_LIMIT)
        .chars()
        .filter(|c| !unwanted(*c))
        .nfc()
        .collect();
    clean.truncate(cut(&clean, DOCUMENT_LIMIT).len());
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nul_becomes_a_replacement_character() {
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
        assert!(matches!(without_nul("ab"), Cow::Borrowed("ab")));
    }

    #[test]
    fn documents_are_composed_and_without_controls() {
        assert_eq!(searchable("e\u{301}\0\x1b[1mx\r\ny\tz\x7f"), "é[1mx\ny\tz");
        assert!(matches!(searchable("plain é"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_document_ends_at_a_whole_character() {
        let long = "é".repeat(DOCUMENT_LIMIT);
        assert_eq!(searchable(&long).len(), DOCUMENT_LIMIT);
        let odd = format!("\0x{}", "é".repeat(DOCUMENT_LIMIT));
        assert_eq!(searchable(&odd).len(), DOCUMENT_LIMIT - 1);
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            let once = searchable(&text).into_owned();
            prop_assert_eq!(searchable(&once), once.as_str());
        }
    }
}
