//! What an installation turned out not to have. Learnt once, kept with the forge, so that the next
//! run does not ask again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::url::{EventList, Keyset};
use crate::forge::Stream;

/// What is known to be missing.
#[derive(Debug, Default)]
pub struct Capabilities(Mutex<Missing>);

#[derive(Debug, Default)]
struct Missing {
    keyset: BTreeSet<Stream>,
    events: BTreeSet<EventList>,
}

impl Capabilities {
    /// Reads what an earlier client wrote; what cannot be read is as good as nothing.
    pub fn read(value: &Value) -> Self {
        let words = |key: &str| -> Vec<String> {
            let list = value.get("without").and_then(|w| w.get(key)).and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(|w| w.as_str().map(str::to_owned))
                .collect()
        };
        let keyset = words("keyset").iter().filter_map(|name| Stream::parse(name)).collect();
        let named = words("events");
        let events = EventList::ALL
            .into_iter()
            .filter(|list| named.iter().any(|n| n == list.as_str()))
            .collect();
        Self(Mutex::new(Missing { keyset, events }))
    }

    /// The form that is kept; empty while nothing is missing.
    pub fn write(&self) -> Value {
        let missing = self.lock();
        if missing.keyset.is_empty() && missing.events.is_empty() {
            return json!({});
        }
        let keyset: Vec<_> = missing.keyset.iter().map(|stream| stream.as_str()).collect();
        let events: Vec<_> = missing.events.iter().map(|list| list.as_str()).collect();
        json!({ "without": { "keyset": keyset, "events": events } })
    }

    pub fn keyset(&self, stream: Stream) -> Keyset {
        if self.lock().keyset.contains(&stream) {
            Keyset::Leave
        } else {
            Keyset::Ask
        }
    }

    pub fn without_keyset(&self, stream: Stream) {
        self.lock().keyset.insert(stream);
    }

    pub fn has_events(&self, list: EventList) -> bool {
        !self.lock().events.contains(&list)
    }

    pub fn without_events(&self, list: EventList) {
        self.lock().events.insert(list);
    }

    fn lock(&self) -> MutexGuard<'_, Missing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_reads_back() {
        let known = Capabilities::read(&json!({}));
        assert_eq!((known.keyset(Stream::Issues), known.write()), (Keyset::Ask, json!({})));
        known.without_keyset(Stream::Issues);
        known.without_events(EventList::Milestone);
        let again = Capabilities::read(&known.write());
        assert_eq!(again.keyset(Stream::Issues), Keyset::Leave);
        assert_eq!(again.keyset(Stream::MergeRequests), Keyset::Ask);
        assert!(!again.has_events(EventList::Milestone) && again.has_events(EventList::Label));
        assert_eq!(Capabilities::read(&json!({"without": 7})).write(), json!({}));
    }
}
