//! Text as columns hold it: without NUL, not longer than a column should be, and folded where names
//! are compared.

use std::borrow::Cow;

use annals_core::text;

pub(crate) use annals_core::text::fold;

/// The longest text a column keeps; the payload keeps the rest.
pub(crate) const MAX_TEXT: usize = 16 * 1024 * 1024;

/// The text without NUL, which would end it early for many readers.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    text::without_nul(text)
}

/// The same for a text that may be absent, as a column of its own.
pub(crate) fn clean_opt(text: Option<&str>) -> Option<String> {
    text.map(|text| clean(text).into_owned())
}

/// Whether a text was cut to fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Whole,
    Truncated,
}

/// A long text, cut at a character border where it must be.
pub(crate) fn clean_long(text: &str) -> (Cow<'_, str>, Cut) {
    let head = text::cut(text, MAX_TEXT);
    let cut = if head.len() < text.len() {
        Cut::Truncated
    } else {
        Cut::Whole
    };
    (clean(head), cut)
}

/// The form in which paths of projects are compared. Only case is folded: paths that differ in an
/// accent are different projects.
pub(crate) fn fold_path(path: &str) -> String {
    clean(path).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT / 2 + 1);
        let (cut, how) = clean_long(&long);
        assert_eq!((cut.len(), how), (MAX_TEXT, Cut::Truncated));
        assert_eq!(clean_long("short"), (Cow::Borrowed("short"), Cut::Whole));
    }
}
