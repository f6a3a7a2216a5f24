//! Page cursors: where a walk of a list goes on, unreadable and unforgeable for the client.
//!
//! A cursor is bound to the list's filters and to the process that made it. It holds the commit at which the walk began, so
//! that every row that did not change meanwhile is returned exactly once.

use annals_core::{Code, Report};
use annals_db::read::Place;

/// Where a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The commit at which the walk began.
    pub(crate) seq: i64,
    /// The last row of the page before.
    pub(crate) after: Place,
}

/// Makes and checks cursors.
pub(crate) struct Seal([u8; 32]);

const BODY: usize = 25;
const TAG: usize = 16;

impl Seal {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The cursor as text; `filters` is whatever else decides what the list holds.
    pub(crate) fn seal(&self, cursor: Cursor, filters: &str) -> String {
        let mut bytes = Vec::with_capacity(BODY + TAG);
        bytes.extend(cursor.seq.to_be_bytes());
        bytes.push(u8::from(cursor.after.key.is_some()));
        bytes.extend(cursor.after.key.unwrap_or(0).to_be_bytes());
        bytes.extend(cursor.after.row.to_be_bytes());
        bytes.extend(self.tag(&bytes, filters));
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads a cursor back.
    pub(crate) fn open(&self, text: &str, filters: &str) -> Result<Cursor, Report> {
        let bad = || Report::new(Code::CursorInvalid, "the cursor is not one this list gave out");
        let bytes = from_hex(text).ok_or_else(bad)?;
        let (body, tag) = bytes.split_at_checked(BODY).ok_or_else(bad)?;
        // `blake3::Hash` compares in constant time.
        let (sent, ours) = (
            padded(tag).ok_or_else(bad)?,
            padded(&self.tag(body, filters)).ok_or_else(bad)?,
        );
        if sent != ours {
            return Err(bad());
        }
        let number = |at: usize| -> Option<i64> { Some(i64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?)) };
        let read = || {
            let key = (body.get(8) == Some(&1)).then(|| number(9)).flatten();
            Some(Cursor {
                seq: number(0)?,
                after: Place { key, row: number(17)? },
            })
        };
        read().ok_or_else(bad)
    }

    fn tag(&self, body: &[u8], filters: &str) -> [u8; TAG] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(body).update(filters.as_bytes());
        let mut tag = [0; TAG];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn padded(tag: &[u8]) -> Option<blake3::Hash> {
    let tag: [u8; TAG] = tag.try_into().ok()?;
    let mut whole = [0; 32];
    whole.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
    Some(blake3::Hash::from_bytes(whole))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let digits = digits.filter(|d| d.len() == 2 * (BODY + TAG))?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Seal};
    use annals_core::Code;
    use annals_db::read::Place;

    const HERE: Cursor = Cursor {
        seq: 7,
        after: Place { key: Some(-3), row: 12 },
    };

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let seal = Seal::new([1; 32]);
        for cursor in [
            HERE,
            Cursor {
                after: Place {
                    key: None,
                    row: i64::MAX,
                },
                ..HERE
            },
        ] {
            assert_eq!(seal.open(&seal.seal(cursor, "a"), "a").unwrap(), cursor);
        }
    }

    #[test]
    fn tampered_or_foreign_cursor_is_400() {
        let seal = Seal::new([1; 32]);
        let text = seal.seal(HERE, "a");
        let mut tampered = text.clone();
        tampered.replace_range(10..11, if text.as_bytes()[10] == b'0' { "1" } else { "0" });
        for (seal, text) in [
            (&seal, tampered.as_str()),
            (&Seal::new([2; 32]), &text),
            (&seal, ""),
            (&seal, "é"),
            (&seal, "00"),
        ] {
            assert_eq!(seal.open(text, "a").unwrap_err().code, Code::CursorInvalid, "{text}");
        }
    }

    #[test]
    fn cursor_with_other_filters_is_400() {
        let seal = Seal::new([1; 32]);
        assert_eq!(
            seal.open(&seal.seal(HERE, "a"), "b").unwrap_err().code,
            Code::CursorInvalid
        );
    }
}
