//! How much room text takes on a screen.

use unicode_width::UnicodeWidthStr;

/// Columns that `text` takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text`, or as much of it as fits into `columns` with a `…` at its end.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let heads = ends.map_while(|end| text.get(..end).filter(|head| width(head) <= room));
    let mut cut = heads.last().unwrap_or_default().to_owned();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// Breaks one line into lines of at most `columns`, at blanks where there are some. Blanks at its beginning are kept
/// at the beginning of every piece, so that indented text stays indented.
pub fn wrap(line: &str, columns: usize) -> Vec<String> {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    if width(line) <= columns || columns <= width(&indent) + 8 {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    let mut current = indent.clone();
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let fresh = current == indent;
        if !fresh && width(&current) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut current, indent.clone()));
        } else if !fresh {
            current.push(' ');
        }
        current.push_str(word);
    }
    lines.push(current);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_text_fits_and_says_so() {
        for (text, columns, cut) in [
            ("short", 5, "short"),
            ("shorter", 5, "shor…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語", 6, "日本語"),
            ("x", 0, ""),
            ("é́", 1, "é́"),
        ] {
            assert_eq!(fit(text, columns), cut, "{text} in {columns}");
        }
    }

    #[test]
    fn lines_break_at_blanks_and_keep_their_indent() {
        assert_eq!(wrap("one two three", 20), ["one two three"]);
        assert_eq!(wrap("one two three four", 10), ["one two", "three four"]);
        assert_eq!(wrap("  one two three four", 12), ["  one two", "  three four"]);
        assert_eq!(
            wrap("https://example.org/very/long/path", 10),
            ["https://example.org/very/long/path"]
        );
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in "\\PC{0,40}", columns in 0_usize..20) {
            prop_assert!(width(&fit(&text, columns)) <= columns.max(width("")));
        }

        #[test]
        fn no_word_is_lost(text in "[a-z 日]{0,60}", columns in 10_usize..30) {
            let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            let wrapped = wrap(&text, columns).join(" ");
            let kept: Vec<&str> = wrapped.split(' ').filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(words, kept);
        }
    }
}
