//! The one GraphQL query that a reader sends: numbers and dates of a project's issues or merge requests.
//!
//! It is no GraphQL engine. A query is told by the list it names; its arguments come as variables, and anything
//! but a query of such a list is answered as GitLab answers what it does not understand.

use annals_core::{EntityKind, UnixMs};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::calendar::stamp;
use super::super::project::Key;
use super::super::state::{Face, Order, Slot, State, Viewer};
use super::message::{Reply, Request};
use super::policy::{Graphql, Policy};

const LARGEST_PAGE: usize = 100;

/// Whether a POST asks the GraphQL of this forge.
pub(super) fn is_meant(policy: &Policy, request: &Request) -> bool {
    policy.graphql == Graphql::Served && request.path() == format!("{}/api/graphql", policy.base_path)
}

/// Whether a request of this path is a query rather than a write.
pub(in crate::forge) fn is_query(request: &Request) -> bool {
    request.method == "POST" && request.path().ends_with("/api/graphql") && Ask::read(request).is_some()
}

#[derive(Deserialize)]
struct Body {
    query: String,
    variables: Variables,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variables {
    full_path: String,
    first: usize,
    after: Option<String>,
}

struct Ask {
    kind: EntityKind,
    /// What the answer calls the list.
    alias: String,
    variables: Variables,
}

impl Ask {
    fn read(request: &Request) -> Option<Self> {
        let Body { query, variables } = serde_json::from_slice(&request.body).ok()?;
        let words: String = query.split_whitespace().collect();
        let (kind, name, before) = match (words.split_once("issues("), words.split_once("mergeRequests(")) {
            (Some((before, _)), None) => (EntityKind::Issue, "issues", before),
            (None, Some((before, _))) => (EntityKind::MergeRequest, "mergeRequests", before),
            _ => return None,
        };
        let alias = before
            .strip_suffix(':')
            .and_then(|before| before.rsplit(['{', ',']).next());
        let ask = Self {
            kind,
            alias: alias.unwrap_or(name).to_owned(),
            variables,
        };
        (words.starts_with("query") && !words.contains("mutation")).then_some(ask)
    }
}

pub(super) fn answer(state: &State, viewer: Viewer, request: &Request) -> Reply {
    let Some(ask) = Ask::read(request) else {
        return refuse("Parse error on the query");
    };
    let project = state.project();
    if state.face() != Face::Shown || !project.path.eq_ignore_ascii_case(&ask.variables.full_path) {
        return Reply::json(&json!({ "data": { "project": null } }));
    }
    let after = match ask.variables.after.as_deref().map(read_cursor) {
        None => 0,
        Some(Some(iid)) => iid,
        Some(None) => return refuse("Invalid cursor"),
    };
    let size = ask.variables.first.clamp(1, LARGEST_PAGE);
    let list = state.list(ask.kind).sorted(Order::Created);
    let fits = |slot: &&Slot| slot.iid() > after && slot.seen_by(viewer);
    let rows: Vec<&Slot> = list.iter().filter(fits).take(size + 1).collect();
    let page = rows.get(..size.min(rows.len())).unwrap_or_default();
    let nodes: Vec<Value> = page.iter().map(|slot| node(ask.kind, slot)).collect();
    let connection = json!({
        "nodes": nodes,
        "pageInfo": {
            "hasNextPage": rows.len() > size,
            "endCursor": page.last().map(|slot| write_cursor(slot.iid())),
        },
    });
    Reply::json(&json!({ "data": { "project": { (ask.alias): connection } } }))
}

fn node(kind: EntityKind, slot: &Slot) -> Value {
    let (class, key) = match kind {
        EntityKind::Issue => ("Issue", Key::issue(slot.iid())),
        EntityKind::MergeRequest => ("MergeRequest", Key::mr(slot.iid())),
    };
    // GraphQL prints whole seconds where REST prints milliseconds.
    let updated = UnixMs(slot.at(Order::Updated).0 / 1000 * 1000);
    json!({
        "id": format!("gid://gitlab/{class}/{}", key.native_id()),
        "iid": slot.iid().to_string(),
        "updatedAt": stamp(updated),
    })
}

fn refuse(text: &str) -> Reply {
    Reply::json(&json!({ "errors": [{ "message": text }] }))
}

// Opaque on purpose: a client that takes it apart is wrong.
fn write_cursor(iid: i64) -> String {
    format!("{:x}z", iid ^ 0x5a5a)
}

fn read_cursor(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('z')?;
    Some(i64::from_str_radix(digits, 16).ok()? ^ 0x5a5a)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::super::generate::GenSpec;
    use super::super::answer;
    use super::*;

    fn ask(list: &str, after: Option<&str>) -> Request {
        let query =
            format!("query($fullPath: ID!) {{ project(fullPath: $fullPath) {{ {list}(first: $first) {{ x }} }} }}");
        let variables = json!({"fullPath": "annals-sample/generated", "first": 7, "after": after});
        Request::post(
            "/api/graphql",
            &json!({"query": query, "variables": variables}).to_string(),
        )
    }

    #[test]
    fn a_walk_names_every_entity_once() {
        let state = State::generated(GenSpec::new(3).sized(20, 5));
        for (list, kind, all) in [
            ("issues", EntityKind::Issue, 20),
            ("mergeRequests", EntityKind::MergeRequest, 5),
        ] {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let reply = answer(&state, &Policy::default(), &ask(list, after.as_deref()));
                let body: Value = serde_json::from_slice(&reply.body).unwrap();
                let page = &body["data"]["project"][list];
                for node in page["nodes"].as_array().unwrap() {
                    let iid: i64 = node["iid"].as_str().unwrap().parse().unwrap();
                    let head = state.head(Key { kind, iid }).unwrap();
                    assert_eq!(node["updatedAt"], stamp(UnixMs(head.updated_at.0 / 1000 * 1000)));
                    seen.push(iid);
                }
                after = page["pageInfo"]["endCursor"].as_str().map(str::to_owned);
                if page["pageInfo"]["hasNextPage"] == false {
                    break;
                }
            }
            assert_eq!(seen, (1..=all).collect::<Vec<_>>(), "{list}");
        }
    }

    #[test]
    fn a_write_is_none() {
        let query = |text: &str| {
            Request::post(
                "/api/graphql",
                &json!({"query": text, "variables": {"fullPath": "a/b", "first": 1}}).to_string(),
            )
        };
        assert!(is_query(&ask("issues", None)));
        assert!(!is_query(&query("mutation { issues(x) }")));
        assert!(!is_query(&query("query { users(x) }")));
        assert!(!is_query(&Request::post("/api/v4/projects/1/issues", "{}")));
    }

    #[test]
    fn where_there_is_no_graphql_a_post_is_refused() {
        let state = State::generated(GenSpec::new(3).sized(2, 1));
        let policy = Policy {
            graphql: Graphql::Missing,
            ..Policy::default()
        };
        assert_eq!(answer(&state, &policy, &ask("issues", None)).status, 404);
        assert_eq!(
            answer(&state, &policy, &Request::post("/api/v4/projects/1/issues", "{}")).status,
            405
        );
    }
}
