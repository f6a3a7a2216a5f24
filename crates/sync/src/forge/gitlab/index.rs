//! The index of a sweep: numbers and update times of every issue or merge request of a project.
//!
//! One GraphQL query per page where there is a token and the installation answers queries, else the list by creation,
//! whose order never changes, in windows like any other list. Without a token nothing but GETs is sent: public
//! installations and the proxies before them refuse a stranger's POST first.

use annals_core::{EntityKind, Iid, NativeId};
use annals_net_adapter::Cx;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{GitLab, now};
use super::payload::WireReferenceNames;
use super::project::Projection;
use crate::forge::error::ForgeError;
use crate::forge::host::Reply;
use crate::forge::paging::{LoopGuard, More, PageHead, Step, Window};
use crate::forge::raw::RawItem;
use crate::forge::{Answer, Fetch, IndexAt, IndexEntry, IndexPage, IndexPosition, Oddity, Via};

#[derive(Deserialize)]
struct Envelope {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    list: Option<Connection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    nodes: Vec<Value>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// What became of a query.
enum Queried {
    Page(IndexPage),
    /// There is no GraphQL.
    Nowhere,
    /// It does not answer this query: another project than REST shows, a cursor it does not know, a token without the
    /// right. The next one may be answered.
    Declined,
}

impl GitLab {
    pub(super) async fn fetch_index(
        &self,
        cx: &Cx,
        via: Via<'_>,
        place: IndexAt<'_>,
        guard: &mut LoopGuard,
    ) -> Fetch<IndexPage> {
        let mut odd = Vec::new();
        let window = match place.at {
            IndexPosition::Window(window) => *window,
            IndexPosition::Start | IndexPosition::Cursor(_) => {
                let queried = if self.may_query() {
                    self.query_index(cx, via, place, guard).await?
                } else {
                    Queried::Declined
                };
                match queried {
                    Queried::Page(page) => return Ok(Answer::New(page)),
                    Queried::Nowhere => {
                        self.capabilities.without_graphql();
                        let host = self.host.name();
                        odd.push(Oddity::new("sweeps read whole lists: there is no GraphQL", host));
                    }
                    Queried::Declined => {}
                }
                if matches!(place.at, IndexPosition::Cursor(_)) {
                    // What it led to cannot be asked for any other way.
                    return Err(self.refused(400));
                }
                Window { start: None, page: 1 }
            }
        };
        let mut listed = self.list_index(cx, via, place, window, guard).await?;
        if let Answer::New(page) = &mut listed {
            page.odd = odd;
        }
        Ok(listed)
    }

    async fn query_index(
        &self,
        cx: &Cx,
        via: Via<'_>,
        place: IndexAt<'_>,
        guard: &mut LoopGuard,
    ) -> Result<Queried, ForgeError> {
        let after = match place.at {
            IndexPosition::Cursor(cursor) => Some(cursor.as_str()),
            IndexPosition::Start | IndexPosition::Window(_) => None,
        };
        let url = self.urls.graphql()?;
        let mut walked = url.clone();
        walked.set_fragment(Some(after.unwrap_or_default()));
        guard.before_request(&walked).map_err(|fault| self.paging(fault))?;
        let body = query(place, self.urls.page_size(), after);
        let fresh = match self.query(cx, via, &url, &body).await {
            Ok(Reply::Fresh(fresh)) => fresh,
            Ok(Reply::Missing | Reply::Refused(405)) => return Ok(Queried::Nowhere),
            // Such an answer may be a proxy's or about this token: both pass.
            Ok(_) => return Ok(Queried::Declined),
            Err(error) => return Err(error),
        };
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&fresh.body) else {
            return Err(ForgeError::protocol(
                self.host.name(),
                "a GraphQL query with something that is no answer to it",
            ));
        };
        let list = envelope
            .data
            .and_then(|data| data.project)
            .and_then(|project| project.list);
        let Some(Connection { nodes, page_info }) = list else {
            return Ok(Queried::Declined);
        };
        let mut projection = Projection::new(now(cx, &fresh));
        let entries: Vec<IndexEntry> = nodes.iter().filter_map(|node| entry(node, &mut projection)).collect();
        self.after(guard, &entries)?;
        let next = page_info.end_cursor.filter(|_| page_info.has_next_page);
        Ok(Queried::Page(IndexPage {
            entries,
            next: next.map(IndexPosition::Cursor),
            odd: Vec::new(),
        }))
    }

    async fn list_index(
        &self,
        cx: &Cx,
        via: Via<'_>,
        place: IndexAt<'_>,
        window: Window,
        guard: &mut LoopGuard,
    ) -> Fetch<IndexPage> {
        let url = self.urls.created(place.project, place.kind, window)?;
        guard.before_request(&url).map_err(|fault| self.paging(fault))?;
        let fresh = match self.get(cx, via, &url, None).await? {
            Reply::Fresh(fresh) => fresh,
            other => return self.other(other),
        };
        let head = PageHead::read(&fresh.headers, &url).map_err(|fault| self.paging(fault))?;
        let items = RawItem::array(&fresh.body, self.urls.most_items())
            .map_err(|bad| ForgeError::body(self.host.name(), bad))?;
        let mut projection = Projection::new(now(cx, &fresh));
        let (mut entries, mut created) = (Vec::new(), Vec::new());
        for item in &items {
            let Ok(value) = serde_json::from_slice::<Value>(item.bytes()) else {
                continue;
            };
            entries.extend(entry(&value, &mut projection));
            created.extend(value.get("created_at").and_then(|at| projection.time(at)));
            let _suspect = projection.take_suspect();
        }
        self.after(guard, &entries)?;
        let more = match head.more(window.page, items.len(), self.urls.page_size()) {
            More::End => None,
            More::Page(page) => Some(page),
            // An opaque link holds for one walk, and this one may need several runs.
            More::Opaque(_) => Some(window.page + 1),
        };
        let (first, last) = (created.iter().min().copied(), created.iter().max().copied());
        let next = match window.after(first, last, more, 0) {
            Step::End => None,
            Step::SameWindow(next) | Step::NewWindow(next) => Some(IndexPosition::Window(next)),
        };
        Ok(Answer::New(IndexPage {
            entries,
            next,
            odd: Vec::new(),
        }))
    }

    fn after(&self, guard: &mut LoopGuard, entries: &[IndexEntry]) -> Result<(), ForgeError> {
        let identities = entries.iter().map(|entry| (entry.iid, entry.updated_at));
        guard.after_page(identities).map_err(|fault| self.paging(fault))
    }
}

/// The query of a page, with its arguments as variables: a path is never part of the text.
fn query(place: IndexAt<'_>, first: usize, after: Option<&str>) -> Bytes {
    let list = match place.kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "mergeRequests",
    };
    let text = format!(
        "query($fullPath: ID!, $first: Int!, $after: String) {{ project(fullPath: $fullPath) {{ \
         list: {list}(first: $first, after: $after, sort: CREATED_ASC) {{ \
         nodes {{ id iid updatedAt }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
    );
    let variables = json!({ "fullPath": place.path, "first": first, "after": after });
    Bytes::from(json!({ "query": text, "variables": variables }).to_string())
}

/// An entity as GraphQL or REST names it: ids of GraphQL are addresses, its numbers text.
fn entry(node: &Value, projection: &mut Projection) -> Option<IndexEntry> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let iid = node.get("iid").and_then(number).filter(|iid| *iid > 0)?;
    let id = node.get("id").and_then(|id| match id {
        Value::String(address) => address.rsplit('/').next().map(str::to_owned),
        other => other.as_i64().map(|id| id.to_string()),
    });
    let updated_at = node.get("updatedAt").or_else(|| node.get("updated_at"));
    let updated_at = updated_at.and_then(|at| projection.time(at));
    let is_trusted = !projection.take_suspect();
    Some(IndexEntry {
        iid: Iid(iid),
        native_id: id.map(NativeId),
        updated_at: updated_at.filter(|_| is_trusted),
    })
}

/// How people name the entity of a payload: `group/project#12`.
pub(super) fn name_of(item: &RawItem) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        references: Option<WireReferenceNames>,
        web_url: Option<String>,
    }
    let Named { references, web_url } = serde_json::from_slice(item.bytes()).ok()?;
    references.and_then(|names| names.full).or(web_url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_core::UnixMs;

    #[test]
    fn entries_come_from_graphql_and_from_rest() {
        let mut projection = Projection::new(UnixMs(1_800_000_000_000));
        let mut read = |value: Value| entry(&value, &mut projection);
        let want = IndexEntry {
            iid: Iid(7),
            native_id: Some(NativeId("107".to_owned())),
            updated_at: Some(UnixMs(1_704_067_205_000)),
        };
        assert_eq!(
            read(json!({"id": "gid://gitlab/Issue/107", "iid": "7", "updatedAt": "2024-01-01T00:00:05Z"})),
            Some(want.clone())
        );
        assert_eq!(
            read(json!({"id": 107, "iid": 7, "updated_at": "2024-01-01T00:00:05.000Z"})),
            Some(want)
        );
        let suspect = read(json!({"iid": "7", "updatedAt": "2999-01-01T00:00:05Z"})).unwrap();
        assert_eq!((suspect.native_id, suspect.updated_at), (None, None));
        for odd in [
            json!({}),
            json!({"iid": "x"}),
            json!({"iid": -1}),
            json!(7),
            json!(null),
        ] {
            assert_eq!(read(odd), None);
        }
    }

    #[test]
    fn a_query_holds_no_text_of_a_project() {
        let place = IndexAt {
            project: "7",
            path: "g/p\" }) { evil",
            kind: EntityKind::MergeRequest,
            at: &IndexPosition::Start,
        };
        let body: Value = serde_json::from_slice(&query(place, 50, Some("c"))).unwrap();
        assert_eq!(
            body["variables"],
            json!({"fullPath": place.path, "first": 50, "after": "c"})
        );
        let text = body["query"].as_str().unwrap();
        assert!(
            text.starts_with("query(") && text.contains("mergeRequests(") && !text.contains("evil"),
            "{text}"
        );
    }
}
