//! GitLab's REST API v4 and the GraphQL queries of a reader, as a pure function.
//!
//! [`answer`] takes the forge's state, its policy and a request and returns the whole response;
//! there is no socket, no clock and no memory in it. `message` holds the two sides, `route`
//! finds what is asked for, `list` cuts lists into pages, `graphql` answers queries, `render` writes
//! rows as GitLab does, `diff` the text of changes.

mod diff;
mod graphql;
mod list;
mod message;
mod policy;
mod render;
mod route;

pub use message::{Reply, Request};
pub use policy::{Access, Graphql, Keyset, Policy, RateHeaders};

use super::calendar::http_date;
use super::rng::fingerprint;
use super::state::{State, Viewer};

/// The response to one request.
#[must_use]
pub fn answer(state: &State, policy: &Policy, request: &Request) -> Reply {
    let mut reply = match (request.method.as_str(), policy.access.viewer(request)) {
        ("GET" | "HEAD", Ok(viewer)) => route::route(state, policy, viewer, request),
        ("POST", Ok(viewer)) if graphql::is_meant(policy, request) => graphql::answer(state, viewer, request),
        ("GET" | "HEAD", Err(refusal)) => refusal,
        ("POST", Err(refusal)) if graphql::is_meant(policy, request) => refusal,
        ("POST", _) if graphql::is_query(request) => Reply::not_found(""),
        _ => Reply::error(405, "error", "405 Not Allowed: this forge is read-only").with("Connection", "close"),
    };
    finish(state, policy, request, &mut reply);
    reply
}

/// What every response carries, and the validator of those that have one.
fn finish(state: &State, policy: &Policy, request: &Request, reply: &mut Reply) {
    reply.set("Date", http_date(state.now()));
    reply.set(
        "X-Request-Id",
        format!("{:016x}", fingerprint(request.target.as_bytes())),
    );
    if let Some(rate) = &policy.rate {
        reply.set("RateLimit-Limit", rate.limit.to_string());
        reply.set(
            "RateLimit-Observed",
            rate.limit.saturating_sub(rate.remaining).to_string(),
        );
        reply.set("RateLimit-Remaining", rate.remaining.to_string());
        reply.set("RateLimit-Reset", (state.now().0 / 1000 + rate.resets_in_s).to_string());
    }
    if reply.status == 200 && request.method != "POST" && policy.etags == policy::Etags::Sent {
        let etag = validator(&reply.body);
        reply.set("Cache-Control", "max-age=0, private, must-revalidate".to_owned());
        let unchanged = request
            .header("if-none-match")
            .is_some_and(|known| known.split(',').any(|e| e.trim() == etag));
        reply.set("ETag", etag);
        if unchanged {
            reply.status = 304;
            reply.body = Vec::new();
        }
    }
    if request.method == "HEAD" {
        reply.hide_body();
    }
}

fn validator(body: &[u8]) -> String {
    format!("W/\"{:016x}{:x}\"", fingerprint(body), body.len())
}

/// Gives a reply whose body was changed the validator of what it now says: GitLab makes it from the bytes it sends, so
/// that a wrong answer is never confirmed later.
pub(in crate::forge) fn seal(reply: &mut Reply) {
    if reply.header("etag").is_some() && reply.hidden_length.is_none() {
        reply.set("ETag", validator(&reply.body));
    }
}

impl Access {
    /// Who asks, or why nobody does.
    fn viewer(&self, request: &Request) -> Result<Viewer, Reply> {
        let bearer = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let given = request.header("private-token").or(bearer);
        match (self, given) {
            (Self::Open, _) => Ok(Viewer::Member),
            (Self::TokenForMembers(_), None) => Ok(Viewer::Anonymous),
            (Self::TokenRequired(token) | Self::TokenForMembers(token), Some(given)) if token == given => {
                Ok(Viewer::Member)
            }
            _ => Err(Reply::error(401, "message", "401 Unauthorized")),
        }
    }
}

pub(in crate::forge) use graphql::is_query;
pub use policy::Etags;
