//! Shortening without breaking a character.

/// The longest head of at most `max_bytes` bytes that ends between two characters.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or(text)
}

/// The first `max_chars` characters.
#[must_use]
pub fn cut_chars(text: &str, max_chars: usize) -> &str {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_is_the_longest_head_that_fits(text in any::<String>(), max in 0_usize..64) {
            let head = cut(&text, max);
            prop_assert!(text.starts_with(head) && head.len() <= max);
            if let Some(next) = text.chars().nth(head.chars().count()) {
                prop_assert!(head.len() + next.len_utf8() > max);
            }
            let head = cut_chars(&text, max);
            prop_assert!(text.starts_with(head));
            prop_assert_eq!(head.chars().count(), text.chars().count().min(max));
        }
    }
}
