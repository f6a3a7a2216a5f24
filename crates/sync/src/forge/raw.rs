//! Splitting a body into the bytes of its items before anything is decoded.
//!
//! The promise: one broken item costs one item. The splitter looks only at brackets, commas and
//! string ends, so it works on bytes that are not UTF-8 and on nesting of any depth without
//! recursion; whatever it cannot split was never a whole page.

use std::borrow::Cow;

use bytes::Bytes;

/// Deepest nesting an item may have; deeper ones are put aside, not parsed.
pub const MAX_DEPTH: usize = 128;

/// Why a body is not the page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// It is not JSON of the expected outer shape: an HTML page, a bare string.
    #[error("the body is not {expected}")]
    Shape {
        /// What it should have been.
        expected: &'static str,
    },
    /// It has many times the items that were asked for.
    #[error("the body has more than {limit} items")]
    TooMany {
        /// The most that is read.
        limit: usize,
    },
    /// It ends before its brackets do.
    #[error("the body ends in the middle")]
    Truncated,
    /// Brackets that do not match, items without a comma, or text after the end.
    #[error("the body is malformed near byte {at}")]
    Malformed {
        /// Offset of the first byte that cannot be.
        at: usize,
    },
}

/// The bytes of one item, as received, and how deep they nest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawItem {
    bytes: Bytes,
    depth: usize,
}

impl RawItem {
    /// The bytes as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it nests deeper than [`MAX_DEPTH`].
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.depth > MAX_DEPTH
    }

    /// The text to decode: bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// A value inside an item that was split before; its depth was counted with the whole.
    #[must_use]
    pub fn nested(text: &str) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            depth: 0,
        }
    }

    /// The whole body as one item, when it is one JSON object.
    ///
    /// # Errors
    /// [`BadBody`] when it is anything else.
    pub fn object(body: &Bytes) -> Result<Self, BadBody> {
        let mut scan = Scan::new(body);
        scan.skip_blank();
        if scan.peek() != Some(b'{') {
            return Err(BadBody::Shape {
                expected: "a JSON object",
            });
        }
        let item = scan.value()?;
        scan.end()?;
        Ok(item)
    }

    /// The items of a body that is one JSON array.
    ///
    /// # Errors
    /// [`BadBody`] when it is anything else; no item of such a body can be trusted.
    pub fn array(body: &Bytes, limit: usize) -> Result<Vec<Self>, BadBody> {
        let mut scan = Scan::new(body);
        scan.skip_blank();
        if scan.peek() != Some(b'[') {
            return Err(BadBody::Shape {
                expected: "a JSON array",
            });
        }
        scan.at += 1;
        scan.skip_blank();
        let mut items = Vec::new();
        if scan.peek() == Some(b']') {
            scan.at += 1;
            scan.end()?;
            return Ok(items);
        }
        loop {
            scan.skip_blank();
            if items.len() >= limit {
                return Err(BadBody::TooMany { limit });
            }
            items.push(scan.value()?);
            scan.skip_blank();
            match scan.peek() {
                Some(b',') => scan.at += 1,
                Some(b']') => {
                    scan.at += 1;
                    scan.end()?;
                    return Ok(items);
                }
                Some(_) => return Err(BadBody::Malformed { at: scan.at }),
                None => return Err(BadBody::Truncated),
            }
        }
    }
}

struct Scan<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(body: &'a Bytes) -> Self {
        // A byte order mark is not JSON, but some proxies add one.
        let at = if body.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { body, at }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), BadBody> {
        self.skip_blank();
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(BadBody::Malformed { at: self.at })
        }
    }

    /// One value: up to the comma or bracket that ends it.
    fn value(&mut self) -> Result<RawItem, BadBody> {
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        let mut depth = 0;
        loop {
            let Some(byte) = self.peek() else {
                return Err(BadBody::Truncated);
            };
            match byte {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    open.push(byte);
                    depth = depth.max(open.len());
                    self.at += 1;
                }
                b'}' | b']' => {
                    let want = if byte == b'}' { b'{' } else { b'[' };
                    match open.pop() {
                        Some(got) if got == want => self.at += 1,
                        Some(_) => return Err(BadBody::Malformed { at: self.at }),
                        // The bracket of whoever asked for this value.
                        None => break,
                    }
                }
                b',' if open.is_empty() => break,
                b' ' | b'\t' | b'\r' | b'\n' if open.is_empty() => break,
                _ => self.at += 1,
            }
            if open.is_empty() && matches!(byte, b'"' | b'}' | b']') {
                break;
            }
            if self.at >= self.body.len() && open.is_empty() {
                break;
            }
        }
        if self.at == start {
            return Err(BadBody::Malformed { at: start });
        }
        Ok(RawItem {
            bytes: self.body.slice(start..self.at),
            depth,
        })
    }

    /// A string from its opening quote past its closing one.
    fn string(&mut self) -> Result<(), BadBody> {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
        Err(BadBody::Truncated)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &[u8]) -> Result<Vec<Vec<u8>>, BadBody> {
        RawItem::array(&Bytes::copy_from_slice(text), usize::MAX)
            .map(|items| items.iter().map(|i| i.bytes().to_vec()).collect())
    }

    #[test]
    fn a_page_is_split_into_the_bytes_of_its_items() {
        assert_eq!(split(b"[]").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(split(b" [ ] \n").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(
            split(b"[1, \"a,]\" ,{\"x\":[1,{}]},null]").unwrap(),
            [&b"1"[..], b"\"a,]\"", b"{\"x\":[1,{}]}", b"null"]
        );
        assert_eq!(split(br#"["\\", "\"]"]"#).unwrap(), [&br#""\\""#[..], br#""\"]""#]);
        assert_eq!(split(b"\xEF\xBB\xBF[{}]").unwrap(), [b"{}"]);
        assert_eq!(split(b"[{\"t\":\"\xff\xfe\"}]").unwrap(), [b"{\"t\":\"\xff\xfe\"}"]);
    }

    #[test]
    fn a_broken_item_is_still_one_item() {
        assert_eq!(
            split(b"[{\"id\":nul},{\"id\":2}]").unwrap(),
            [&b"{\"id\":nul}"[..], b"{\"id\":2}"]
        );
        assert_eq!(split(br#"[{"t":"\ud800"},7]"#).unwrap().len(), 2);
    }

    #[test]
    fn a_body_that_is_no_page_is_refused() {
        assert_eq!(
            split(b"<html>"),
            Err(BadBody::Shape {
                expected: "a JSON array"
            })
        );
        assert_eq!(
            split(b"{\"message\":\"x\"}"),
            Err(BadBody::Shape {
                expected: "a JSON array"
            })
        );
        assert_eq!(
            split(b""),
            Err(BadBody::Shape {
                expected: "a JSON array"
            })
        );
        for cut in [&b"["[..], b"[{", b"[{}", b"[{},", b"[{\"a\":\"b", b"[{\"a\":\"b\\"] {
            assert_eq!(split(cut), Err(BadBody::Truncated), "{}", String::from_utf8_lossy(cut));
        }
        for bad in [&b"[{]}"[..], b"[,]", b"[1,]", b"[{} {}]", b"[] x", b"[]]"] {
            assert!(
                matches!(split(bad), Err(BadBody::Malformed { .. })),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }

    #[test]
    fn every_truncation_of_a_page_is_noticed() {
        let whole = br#" [{"id":1,"t":"a\"b"},[2,[3]],"x",true] "#;
        let last = whole.iter().rposition(|b| *b == b']').unwrap();
        for cut in 0..last {
            assert!(split(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(split(whole).unwrap().len(), 4);
    }

    #[test]
    fn depth_is_counted_without_recursion() {
        let deep = |n: usize| [vec![b'['], vec![b'['; n], vec![b']'; n], vec![b']']].concat();
        let items = RawItem::array(&Bytes::from(deep(MAX_DEPTH)), usize::MAX).unwrap();
        assert!(!items[0].is_too_deep());
        let items = RawItem::array(&Bytes::from(deep(1_000_000)), usize::MAX).unwrap();
        assert!(items[0].is_too_deep());
    }

    #[test]
    fn objects() {
        let object = |t: &'static str| RawItem::object(&Bytes::from_static(t.as_bytes()));
        assert_eq!(object(" {\"a\":{}} ").unwrap().text(), "{\"a\":{}}");
        assert_eq!(
            object("[]"),
            Err(BadBody::Shape {
                expected: "a JSON object"
            })
        );
        assert_eq!(object("{\"a\":1"), Err(BadBody::Truncated));
        assert!(matches!(object("{} {}"), Err(BadBody::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn items_of_any_array_come_out_as_they_went_in(texts in prop::collection::vec(".*", 0..6), numbers in prop::collection::vec(any::<i64>(), 0..4)) {
            let mut values: Vec<serde_json::Value> = texts.into_iter().map(Into::into).collect();
            values.extend(numbers.into_iter().map(serde_json::Value::from));
            values.push(serde_json::json!({ "nested": values.clone() }));
            let body = Bytes::from(serde_json::to_string_pretty(&values).unwrap());
            let items = RawItem::array(&body, usize::MAX).unwrap();
            let back: Vec<serde_json::Value> = items.iter().map(|i| serde_json::from_str(&i.text()).unwrap()).collect();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = Bytes::from([b"[".as_slice(), &bytes, b"]"].concat());
            // What it takes apart is at least what it was given, without the separators.
            if let Ok(items) = RawItem::array(&body, usize::MAX) {
                let sum: usize = items.iter().map(|item| item.bytes().len()).sum();
                prop_assert!(sum <= body.len());
            }
        }
    }
}
