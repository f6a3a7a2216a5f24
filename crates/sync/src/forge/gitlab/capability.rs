//! What an installation turned out not to have. Learnt once, kept with the forge, so that the next
//! run does not ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use annals_core::{EntityKind, Iid};
use serde_json::{Value, json};

use super::url::{EventList, Keyset};
use crate::forge::Stream;

/// What is known to be missing.
#[derive(Debug, Default)]
pub struct Capabilities(Mutex<Missing>);

#[derive(Debug, Default)]
struct Missing {
    keyset: BTreeSet<Stream>,
    /// There is no GraphQL, or not for us.
    graphql: bool,
    events: BTreeSet<EventList>,
    /// Entities that are there, and whose list of a kind is not; no other one has shown it so far.
    lacking: BTreeMap<EventList, BTreeSet<Lacking>>,
    /// Lists that some entity has shown.
    shown: BTreeSet<EventList>,
}

/// Project, kind and number of an entity.
type Lacking = (String, EntityKind, i64);

/// One entity without a list says something about the entity. So many, and none with it, say that
/// the installation has no such list.
const PROOF: usize = 2;

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
        Self(Mutex::new(Missing {
            keyset,
            graphql: value.pointer("/without/graphql") == Some(&Value::Bool(true)),
            events,
            ..Missing::default()
        }))
    }

    /// The form that is kept; empty while nothing is missing.
    pub fn write(&self) -> Value {
        let missing = self.lock();
        if missing.keyset.is_empty() && missing.events.is_empty() && !missing.graphql {
            return json!({});
        }
        let keyset: Vec<_> = missing.keyset.iter().map(|stream| stream.as_str()).collect();
        let events: Vec<_> = missing.events.iter().map(|list| list.as_str()).collect();
        let mut without = json!({ "keyset": keyset, "events": events });
        if missing.graphql
            && let Some(without) = without.as_object_mut()
        {
            without.insert("graphql".to_owned(), Value::Bool(true));
        }
        json!({ "without": without })
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

    pub fn has_graphql(&self) -> bool {
        !self.lock().graphql
    }

    pub fn without_graphql(&self) {
        self.lock().graphql = true;
    }

    pub fn has_events(&self, list: EventList) -> bool {
        !self.lock().events.contains(&list)
    }

    /// An entity showed its list: the installation has it.
    pub fn shows_events(&self, list: EventList) {
        let mut missing = self.lock();
        missing.lacking.remove(&list);
        missing.shown.insert(list);
    }

    /// An entity is there and its list is not. True once that proves that no entity has one: then
    /// nobody asks again.
    pub fn lacks_events(&self, list: EventList, project: &str, kind: EntityKind, iid: Iid) -> bool {
        let mut missing = self.lock();
        if missing.shown.contains(&list) {
            return false;
        }
        let lacking = missing.lacking.entry(list).or_default();
        lacking.insert((project.to_owned(), kind, iid.0));
        if lacking.len() >= PROOF {
            missing.events.insert(list);
        }
        missing.events.contains(&list)
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
        let lacks = |list, iid| known.lacks_events(list, "7", EntityKind::Issue, Iid(iid));
        assert!(known.has_graphql());
        known.without_graphql();
        assert!(!lacks(EventList::Milestone, 1) && !lacks(EventList::Milestone, 1));
        assert!(lacks(EventList::Milestone, 2));
        let again = Capabilities::read(&known.write());
        assert_eq!(again.keyset(Stream::Issues), Keyset::Leave);
        assert_eq!(again.keyset(Stream::MergeRequests), Keyset::Ask);
        assert!(!again.has_graphql() && !again.has_events(EventList::Milestone) && again.has_events(EventList::Label));
        assert_eq!(Capabilities::read(&json!({"without": 7})).write(), json!({}));
    }

    #[test]
    fn a_list_that_somebody_shows_is_never_missing() {
        let known = Capabilities::default();
        let lacks = |iid| known.lacks_events(EventList::State, "7", EntityKind::Issue, Iid(iid));
        assert!(!lacks(1));
        known.shows_events(EventList::State);
        assert!((2..9).all(|iid| !lacks(iid)));
        assert_eq!((known.has_events(EventList::State), known.write()), (true, json!({})));
    }
}
