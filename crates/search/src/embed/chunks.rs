//! A document in pieces that an embedder takes.

/// The longest piece, in bytes.
pub const CHUNK_BYTES: usize = 6 * 1024;

/// How many characters a piece shares with the one before, so that a thought at the cut is whole in one of them.
pub const OVERLAP_CHARS: usize = 200;

/// The pieces of a text, each at most `max` bytes, cut between characters. A text without a visible character has none.
#[must_use]
pub fn chunks(text: &str, max: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let piece = head(rest, max);
        if !piece.trim().is_empty() {
            pieces.push(piece);
        }
        if piece.len() == rest.len() {
            break;
        }
        let back = piece
            .char_indices()
            .rev()
            .nth(OVERLAP_CHARS - 1)
            .map_or(0, |(at, _)| at);
        // A piece that is hardly longer than the overlap would be read for ever.
        start += if back * 2 >= piece.len() { back } else { piece.len() };
    }
    pieces
}

/// The longest head of at most `max` bytes, and never less than a character.
fn head(text: &str, max: usize) -> &str {
    let end = text.floor_char_boundary(max);
    let end = if end == 0 {
        text.chars().next().map_or(0, char::len_utf8)
    } else {
        end
    };
    text.get(..end).unwrap_or(text)
}

/// Two halves of a text, cut between characters; none where a half would be no text any more.
pub(super) fn halves(text: &str) -> Option<[&str; 2]> {
    /// What no model refuses for its length.
    const SHORT: usize = 64;
    if text.len() <= SHORT {
        return None;
    }
    let (left, right) = text.split_at(text.floor_char_boundary(text.len() / 2));
    Some([left, right])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_is_one_piece_and_a_blank_one_none() {
        assert_eq!(chunks("short", CHUNK_BYTES), ["short"]);
        assert!(chunks(" \n\t", CHUNK_BYTES).is_empty());
        assert!(chunks("", CHUNK_BYTES).is_empty());
    }

    #[test]
    fn pieces_overlap_by_200_characters() {
        let text: String = (0..4_000_u32)
            .map(|n| char::from_u32(0x4e00 + n).unwrap_or('x'))
            .collect();
        let pieces = chunks(&text, CHUNK_BYTES);
        assert_eq!(pieces.len(), 3);
        for pair in pieces.windows(2) {
            let tail: String = pair[0]
                .chars()
                .rev()
                .take(OVERLAP_CHARS)
                .collect::<Vec<_>>()
                .iter()
                .rev()
                .collect();
            assert!(pair[1].starts_with(&tail));
            assert!(pair[0].len() <= CHUNK_BYTES && pair[0].len() > CHUNK_BYTES - 4);
        }
    }

    proptest! {
        #[test]
        fn pieces_cover_the_text(text in "[a-zé数 ]{0,600}", max in 1_usize..300) {
            let pieces = chunks(&text, max);
            let mut covered = 0;
            for piece in &pieces {
                prop_assert!(piece.len() <= max.max(4));
                let at = piece.as_ptr() as usize - text.as_ptr() as usize;
                prop_assert!(text.get(covered.min(at)..at).unwrap_or_default().trim().is_empty(), "a hole");
                covered = covered.max(at + piece.len());
            }
            prop_assert!(text.get(covered..).unwrap_or_default().trim().is_empty(), "an end is missing");
        }

        #[test]
        fn halves_are_the_text(text in "\\PC{0,200}") {
            if let Some([left, right]) = halves(&text) {
                prop_assert_eq!(format!("{left}{right}"), text);
            }
        }
    }
}
