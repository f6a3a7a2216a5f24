//! Forge text on a terminal: shown, never executed.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with control characters, escape sequences, bidi overrides and other invisible
/// characters written out, such as `\x1b`. Line ends and tabs stay.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            _ if is_hidden(c) => write_out(c, &mut shown),
            _ => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The same on one line: line ends and tabs are blanks.
#[must_use]
pub fn visible_line(text: &str) -> Cow<'_, str> {
    let shown = visible(text);
    if shown.contains(['\n', '\t']) {
        Cow::Owned(shown.replace(['\n', '\t'], " "))
    } else {
        shown
    }
}

const fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Marks, embeddings, overrides and isolates that turn the direction of text.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line breaks that are none, blanks without width, annotations, tags.
        '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' => true,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

fn write_out(c: char, out: &mut String) {
    let number = u32::from(c);
    let written = if number < 0x100 {
        write!(out, "\\x{number:02x}")
    } else {
        write!(out, "\\u{{{number:x}}}")
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_escape_in_title_is_inert() {
        assert_eq!(visible("\x1b]0;owned\x07 \x1b[31mred"), r"\x1b]0;owned\x07 \x1b[31mred");
        assert_eq!(visible("a\u{9b}2J\rb\0\x08"), r"a\x9b2J\x0db\x00\x08");
        assert_eq!(visible("x\u{202e}gpj.exe\u{2066}"), r"x\u{202e}gpj.exe\u{2066}");
        assert_eq!(visible("hi\u{e0041}\u{feff}"), r"hi\u{e0041}\u{feff}");
    }

    #[test]
    fn ordinary_text_is_untouched() {
        for text in ["two\nlines\tand a tab", "日本語 é 👩‍💻", "نمی‌خواهم"] {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text}");
        }
        assert_eq!(visible("dos\r\nlines"), "dos\nlines");
        assert_eq!(visible_line("two\r\nlines\tx"), "two lines x");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            prop_assert!(!visible(&text).contains(is_hidden));
            prop_assert!(!visible_line(&text).contains(char::is_control));
        }
    }
}
