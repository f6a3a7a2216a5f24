//! What can be said about an item that cannot be read.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is read from an item that did not decode, to give it a name and a way to be fetched alone.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Handle {
    /// The forge's own id.
    pub id: Option<String>,
    /// Its number.
    pub iid: Option<i64>,
}

impl Handle {
    /// Reads what can be read; never fails.
    #[must_use]
    pub fn of(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Loose<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            #[serde(borrow)]
            iid: Option<&'a RawValue>,
        }
        let Ok(loose) = serde_json::from_str::<Loose<'_>>(text) else {
            return Self::default();
        };
        let positive = |raw: Option<&RawValue>| raw.and_then(|r| r.get().parse::<i64>().ok()).filter(|n| *n > 0);
        let id = loose.id.and_then(|raw| {
            serde_json::from_str::<String>(raw.get())
                .ok()
                .filter(|s| !s.is_empty() && s.len() <= 64)
                .or_else(|| positive(Some(raw)).map(|n| n.to_string()))
        });
        Self {
            id,
            iid: positive(loose.iid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_item_still_has_a_handle() {
        let handle = |t: &str| Handle::of(t);
        assert_eq!(
            handle(r#"{"id":5,"iid":3,"title":[]}"#),
            Handle {
                id: Some("5".into()),
                iid: Some(3)
            }
        );
        assert_eq!(
            handle(r#"{"id":"abc","iid":-3}"#),
            Handle {
                id: Some("abc".into()),
                iid: None
            }
        );
        assert_eq!(handle(r#"{"iid":3,"id":1.5}"#), Handle { id: None, iid: Some(3) });
        assert_eq!(handle("{\"id\":"), Handle::default());
        assert_eq!(handle("[1]"), Handle::default());
    }
}
