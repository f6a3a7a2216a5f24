//! One function per reader: it takes any bytes, panics if a promise is broken, and says what became of the input.

use annals_core::Coded;
use annals_core::UnixMs;
use annals_core::config::{Config, Layers};
use annals_search::query::{self, MAX_CHARS};
use annals_sync::forge::raw::RawItem;
use bytes::Bytes;
use serde_json::Value;

/// 2024-06-15T12:00:00Z.
const NOW: UnixMs = UnixMs(1_718_452_800_000);

/// Whatever is typed is a query, or is refused for a filter that stands there or for its length.
pub fn search_query(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let read = query::parse(&text, NOW);
    assert_eq!(read, query::parse(&text, NOW));
    match read {
        Ok(query) => {
            let words = || query.terms.iter().flat_map(|term| term.text.words());
            assert!(query.terms.iter().all(|term| !term.text.words().is_empty()));
            assert!(words().all(|word| !word.is_empty()));
            format!(
                "{} terms, {} filters",
                query.terms.len().min(6),
                query.filters.len().min(6)
            )
        }
        Err(refused) => {
            let long = text.chars().count() > MAX_CHARS || refused.reason.contains("64");
            assert!(!refused.key.is_empty() || long, "{refused}");
            assert!(text.to_ascii_lowercase().contains(refused.key), "{refused}");
            assert!(refused.position <= text.chars().count(), "{refused}");
            assert!(query::parse(refused.example, NOW).is_ok(), "{refused}");
            refused.reason.to_owned()
        }
    }
}

/// The body of an answer is split into items by their bytes: whatever is JSON is split where JSON says, and nothing that
/// is taken apart has lost a byte of an item.
pub fn body(data: &[u8]) -> String {
    const LIMIT: usize = 100;
    let body = Bytes::copy_from_slice(data);
    let items = RawItem::array(&body, LIMIT);
    let whole: Result<Value, _> = serde_json::from_slice(data);
    if let Ok(Value::Array(parsed)) = &whole {
        match &items {
            Ok(items) => {
                assert_eq!(items.len(), parsed.len());
                for (item, value) in items.iter().zip(parsed) {
                    assert_eq!(serde_json::from_slice::<Value>(item.bytes()).ok().as_ref(), Some(value));
                }
            }
            Err(refused) => assert!(parsed.len() > LIMIT, "{refused}"),
        }
    }
    if let Ok(Value::Object(_)) = &whole {
        assert!(RawItem::object(&body).is_ok_and(|item| item.text().trim_ascii_start().starts_with('{')));
    }
    let found = match items {
        Ok(items) => {
            let there = |item: &RawItem| {
                data.windows(item.bytes().len().max(1))
                    .any(|window| window == item.bytes())
            };
            assert!(items.iter().all(there), "bytes that nobody sent");
            format!(
                "{} items, {}",
                items.len().min(5),
                items.iter().filter(|item| item.is_too_deep()).count().min(1)
            )
        }
        Err(refused) => refused.to_string().split(" near").next().unwrap_or_default().to_owned(),
    };
    format!("{found}, {}", whole.is_ok())
}

/// A configuration file: it is taken, or every broken rule has a name and a place; never a secret.
pub fn config(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data).into_owned();
    let layers = Layers {
        file: Some(("annals.toml".into(), text.clone())),
        ..Layers::default()
    };
    let read = Config::load(&layers);
    match (read, Config::load(&layers)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
            format!("{} forges", one.forges.len().min(3))
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert!(!one.0.is_empty());
            assert_eq!(one.report().code.as_str(), "config_invalid");
            let lines = text.split('\n').count();
            for error in &one.0 {
                assert!(!error.must_be.is_empty(), "{error:?}");
                assert!(!error.to_string().contains(['\r', '\0', '\u{1b}']), "{error:?}");
                if let Some(at) = error.position {
                    assert!((1..=lines).contains(&at.line) && at.column >= 1, "{error:?}");
                }
            }
            let first = one.0.first().expect("one at least");
            format!(
                "{} {}",
                one.0.len().min(4),
                first.must_be.chars().take(30).collect::<String>()
            )
        }
        (one, other) => panic!("two readings: {one:?} and {other:?}"),
    }
}
