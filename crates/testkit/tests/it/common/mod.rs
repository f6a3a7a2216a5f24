//! A reader of the simulated API that is as naive as can be.

use annals_testkit::forge::gitlab::answer;
use annals_testkit::forge::{Policy, Reply, Request, State};
use serde_json::Value;

/// Asks once.
pub fn get(state: &State, policy: &Policy, target: &str) -> Reply {
    answer(state, policy, &Request::get(target))
}

/// Asks once for JSON that must be there.
pub fn json(state: &State, policy: &Policy, target: &str) -> Value {
    let reply = get(state, policy, target);
    assert_eq!(reply.status, 200, "{target}: {}", String::from_utf8_lossy(&reply.body));
    serde_json::from_slice(&reply.body).unwrap()
}

/// Follows `Link: rel="next"` to the end. Returns the rows of each page.
pub fn pages(state: &State, policy: &Policy, target: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(target.to_owned());
    while let Some(target) = next {
        let reply = get(state, policy, &target);
        assert_eq!(reply.status, 200, "{target}: {}", String::from_utf8_lossy(&reply.body));
        pages.push(serde_json::from_slice(&reply.body).unwrap());
        next = next_link(&reply);
        assert!(pages.len() < 100_000, "endless paging");
    }
    pages
}

/// All rows of a list.
pub fn rows(state: &State, policy: &Policy, target: &str) -> Vec<Value> {
    pages(state, policy, target).concat()
}

/// Where the next page is, as path and query.
pub fn next_link(reply: &Reply) -> Option<String> {
    let link = reply
        .header("link")?
        .split(", ")
        .find(|link| link.ends_with("rel=\"next\""))?
        .to_owned();
    let address = link.split(['<', '>']).nth(1)?.to_owned();
    Some(address.trim_start_matches("http://forge.example").to_owned())
}

/// The API path of the project.
pub fn project(state: &State) -> String {
    format!("/api/v4/projects/{}", state.project().id)
}
