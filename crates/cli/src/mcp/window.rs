//! An answer that is too long is told in parts: windows of one document, each of which says where the next one begins.
//!
//! A window has the form of the whole: lists hold the items that are in it, and a text that is cut goes on at the same
//! place in the next one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use annals_core::{Code, Report};
use serde_json::{Map, Value};

/// The argument of every tool, and the member of `meta`, that say where a window begins.
pub const CURSOR: &str = "cursor";

/// Where a window begins, in a document of so much with these texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    from: usize,
    of: usize,
    texts: u64,
}

impl Cursor {
    /// Takes it out of the arguments of a call.
    ///
    /// # Errors
    /// `usage` for what was no cursor.
    pub fn take(arguments: &mut Map<String, Value>) -> Result<Option<Self>, Report> {
        let text = match arguments.remove(CURSOR) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => String::new(),
        };
        let read = text.split_once('.').and_then(|(from, rest)| {
            let (of, texts) = rest.split_once('.')?;
            let (from, of) = (from.parse().ok()?, of.parse().ok()?);
            let texts = u64::from_str_radix(texts, 16).ok()?;
            (from < of).then_some(Self { from, of, texts })
        });
        read.map(Some).ok_or_else(|| {
            Report::new(Code::Usage, "`cursor` is not `meta.cursor` of an answer of this tool")
                .with_suggestion("call the tool again without `cursor`")
        })
    }
}

/// The window of `data` that begins at the cursor, as large as `fits` lets the content be, which `content` makes of the
/// window and of the cursor of the next one.
///
/// # Errors
/// `usage` if the document is another one by now.
pub fn of(
    data: &Value,
    cursor: Option<Cursor>,
    content: impl Fn(&Value, Option<String>) -> Value,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value, Report> {
    let (total, texts) = (weight(data), texts(data));
    let from = match cursor {
        None => 0,
        Some(cursor) if cursor.of == total && cursor.texts == texts => cursor.from,
        Some(_) => {
            return Err(
                Report::new(Code::Usage, "the answer is not the one that `cursor` is of").with_suggestion(
                    "call the tool with the same arguments as before, or begin again without `cursor`",
                ),
            );
        }
    };
    let until = |to: usize| {
        let next = (to < total).then(|| format!("{to}.{total}.{texts:x}"));
        content(&part(data, &(from..to)), next)
    };
    let rest = until(total);
    if fits(&rest) {
        return Ok(rest);
    }
    // The most that fits: up to `fit` it does, beyond `over` it does not.
    let (mut fit, mut over) = (from, total.saturating_sub(1));
    while fit < over {
        let middle = fit + (over - fit).div_ceil(2);
        if fits(&until(middle)) {
            fit = middle;
        } else {
            over = middle - 1;
        }
    }
    // A character is never cut, so less than one would be no step forward.
    if fit < from.saturating_add(4) {
        return Err(
            Report::new(Code::Usage, "not even a part of the answer is short enough")
                .with_suggestion("call the tool again and ask for less, with `fields`"),
        );
    }
    Ok(until(between_items(data, from, fit)))
}

/// How much there is: every value counts one, and a text its bytes beside.
fn weight(value: &Value) -> usize {
    1 + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.values().map(weight).sum(),
    }
}

/// A number that is another one where the texts, or how they lie in each other, are: one that was edited is not continued
/// in the middle of what it says now. An age counted in a number may go on counting.
fn texts(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash(value, &mut hasher);
    hasher.finish()
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0_u8.hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Object(members) => {
            members.len().hash(hasher);
            members.values().for_each(|member| hash(member, hasher));
        }
    }
}

/// What of the document is in a range of its weight.
fn part(data: &Value, range: &Range<usize>) -> Value {
    within(data, &mut 0, range).unwrap_or_else(|| Value::Object(Map::new()))
}

fn within(value: &Value, at: &mut usize, range: &Range<usize>) -> Option<Value> {
    let is_in = range.contains(at);
    *at += 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => is_in.then(|| value.clone()),
        Value::String(text) => {
            let edge = |edge: usize| text.floor_char_boundary(edge.saturating_sub(*at).min(text.len()));
            let shown = text.get(edge(range.start)..edge(range.end)).unwrap_or_default();
            *at += text.len();
            (is_in || !shown.is_empty()).then(|| shown.into())
        }
        Value::Array(items) => {
            let shown: Vec<Value> = items.iter().filter_map(|item| within(item, at, range)).collect();
            (is_in || !shown.is_empty()).then_some(Value::Array(shown))
        }
        Value::Object(members) => {
            let shown: Map<String, Value> = members
                .iter()
                .filter_map(|(name, member)| Some((name.clone(), within(member, at, range)?)))
                .collect();
            (is_in || !shown.is_empty()).then_some(Value::Object(shown))
        }
    }
}

/// Where to end instead of at `to`: before an item of as outer a list as possible, if that gives away less than half.
fn between_items(data: &Value, from: usize, to: usize) -> usize {
    let mut last = BTreeMap::new();
    let wanted = (from + (to - from) / 2 + 1)..(to + 1);
    begins(data, &mut 0, 0, &wanted, &mut last);
    last.into_values().next().unwrap_or(to)
}

/// The last beginnings of items that are in the range, by how many lists they are in.
fn begins(value: &Value, at: &mut usize, depth: usize, wanted: &Range<usize>, last: &mut BTreeMap<usize, usize>) {
    *at += 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *at += text.len(),
        Value::Array(items) => {
            for item in items {
                if wanted.contains(at) {
                    last.insert(depth, *at);
                }
                begins(item, at, depth + 1, wanted, last);
            }
        }
        Value::Object(members) => {
            for member in members.values() {
                begins(member, at, depth, wanted, last);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn content(data: &Value, next: Option<String>) -> Value {
        json!({"data": data, "cursor": next})
    }

    /// All windows of at most so many bytes.
    fn windows(data: &Value, max_bytes: usize) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let answer = of(data, cursor, content, |answer| answer.to_string().len() <= max_bytes).unwrap();
            assert!(answer.to_string().len() <= max_bytes);
            all.push(answer["data"].clone());
            let mut arguments = Map::new();
            arguments.insert(CURSOR.to_owned(), answer["cursor"].clone());
            cursor = Cursor::take(&mut arguments).unwrap();
            if cursor.is_none() {
                return all;
            }
            assert!(all.len() < 10_000, "it never ends");
        }
    }

    #[test]
    fn items_stay_whole_where_they_fit() {
        let note = |at: usize| json!({"at": at, "body": "x".repeat(100), "labels": ["a", "b", "c"]});
        let data = json!({"discussions": (0..20).map(note).collect::<Vec<_>>(), "title": "t"});
        let windows = windows(&data, 700);
        assert!(windows.len() > 3, "{windows:?}");
        let items = windows
            .iter()
            .filter_map(|window| window["discussions"].as_array())
            .flatten();
        assert_eq!(
            items.cloned().collect::<Vec<_>>(),
            *data["discussions"].as_array().unwrap()
        );
    }

    #[test]
    fn a_cursor_of_another_answer_is_refused() {
        let take = |cursor: Value| Cursor::take(json!({"cursor": cursor}).as_object_mut().unwrap());
        assert_eq!(take(Value::Null), Ok(None));
        for bad in [
            json!(""),
            json!("7"),
            json!("9.9.0"),
            json!("-1.9.0"),
            json!("1.9"),
            json!("1.9.x"),
            json!(7),
            json!("a.b"),
        ] {
            assert_eq!(take(bad.clone()).unwrap_err().code, Code::Usage, "{bad}");
        }
        let data = json!({"a": "text"});
        let cursor = take(json!("1.99.0")).unwrap();
        assert_eq!(of(&data, cursor, content, |_| true).unwrap_err().code, Code::Usage);
        assert_eq!(of(&data, None, content, |_| false).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn a_text_that_was_edited_to_the_same_length_is_not_continued() {
        let long = |text: &str| json!({"body": text.repeat(2_000), "age_ms": 7});
        let fits = |answer: &Value| answer.to_string().len() <= 300;
        let first = of(&long("a"), None, content, fits).unwrap();
        let cursor = Cursor::take(json!({"cursor": first["cursor"]}).as_object_mut().unwrap()).unwrap();
        assert!(of(&long("a"), cursor, content, fits).is_ok());
        assert_eq!(of(&long("b"), cursor, content, fits).unwrap_err().code, Code::Usage);
    }

    proptest! {
        /// Nothing is lost, and nothing is told twice.
        #[test]
        fn windows_make_up_the_whole(texts in proptest::collection::vec("[a-zä€😀]{0,300}", 1..12), max in 200_usize..800) {
            let items: Vec<Value> = texts.iter().map(|text| json!({"body": text})).collect();
            let data = json!({"entity": {"body": texts.concat()}, "list": items});
            let windows = windows(&data, max);
            let told = |of: &dyn Fn(&Value) -> String| windows.iter().map(of).collect::<String>();
            let body = told(&|window| window["entity"]["body"].as_str().unwrap_or_default().to_owned());
            prop_assert_eq!(body, texts.concat());
            let listed = told(&|window| {
                let items = window["list"].as_array().cloned().unwrap_or_default();
                items.iter().map(|item| item["body"].as_str().unwrap_or_default().to_owned()).collect()
            });
            prop_assert_eq!(listed, texts.concat());
        }
    }
}
