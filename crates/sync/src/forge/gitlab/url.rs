//! Where things are in GitLab's API v4, and what tells one request from another.

use annals_core::{EntityKind, NetworkErrorKind, UnixMs};
use annals_db::content::blob::{self, Hash};
use annals_db::ids::{EventKind, JobType};
use annals_net_adapter::http::append_query_params;
use url::Url;

use crate::forge::error::ForgeError;
use crate::forge::paging::Window;
use crate::forge::{Catalogue, PageAt, PagePosition, ProjectRef, SetKey, Stream};

/// Builds the addresses of one installation.
#[derive(Debug, Clone)]
pub struct Urls {
    host: String,
    base: String,
    api: String,
    page_size: u32,
}

impl Urls {
    /// `base` is the address of the installation.
    pub fn new(host: &str, base: &str, page_size: u32) -> Self {
        Self {
            host: host.to_owned(),
            base: base.trim_end_matches('/').to_owned(),
            api: super::client::api_url(base),
            page_size,
        }
    }

    /// Rows per page that are asked for.
    pub fn page_size(&self) -> usize {
        usize::try_from(self.page_size).unwrap_or(usize::MAX)
    }

    /// The most items that an answer may have. A forge with a page size of its own stays far below;
    /// each item costs memory before it is looked at, however short it is.
    pub fn most_items(&self) -> usize {
        self.page_size().saturating_mul(10)
    }

    fn make(&self, path: &str, pairs: &[(&str, &str)]) -> Result<Url, ForgeError> {
        self.parse(&append_query_params(&format!("{}{path}", self.api), pairs))
    }

    fn parse(&self, text: &str) -> Result<Url, ForgeError> {
        Url::parse(text).map_err(|_| ForgeError::Network {
            host: self.host.clone(),
            kind: NetworkErrorKind::BadUrl,
            source: None,
        })
    }

    pub fn project(&self, at: &ProjectRef) -> Result<Url, ForgeError> {
        match at {
            ProjectRef::Path(path) => self.make(&format!("/projects/{}", encode(path)), &[]),
            ProjectRef::Id(id) => self.make(&format!("/projects/{}", encode(id)), &[]),
        }
    }

    /// Whose the token is.
    pub fn user(&self) -> Result<Url, ForgeError> {
        self.make("/user", &[])
    }

    /// What the token may do, and how long.
    pub fn own_token(&self) -> Result<Url, ForgeError> {
        self.make("/personal_access_tokens/self", &[])
    }

    pub fn catalogue(&self, project: &str, which: Catalogue) -> Result<Url, ForgeError> {
        let size = self.page_size.to_string();
        let size = ("per_page", size.as_str());
        match which {
            Catalogue::Labels => self.make(&format!("/projects/{}/labels", encode(project)), &[size]),
            Catalogue::Milestones => self.make(
                &format!("/projects/{}/milestones", encode(project)),
                &[("state", "all"), ("include_ancestors", "true"), size],
            ),
        }
    }

    /// A page of a stream; `keyset` asks for opaque positions, which page numbers exclude.
    pub fn page(&self, place: PageAt<'_>, keyset: Keyset) -> Result<Url, ForgeError> {
        let Window { start, page } = match place.at {
            PagePosition::Opaque(url) => return Ok(url.clone()),
            PagePosition::Window(window) => *window,
        };
        let size = self.page_size.to_string();
        let start = start.map(UnixMs::rfc3339);
        let number = page.to_string();
        let mut pairs = vec![
            ("scope", "all"),
            ("state", "all"),
            ("order_by", "updated_at"),
            ("sort", "asc"),
        ];
        if let Some(start) = &start {
            pairs.push(("updated_after", start));
        }
        pairs.push(("per_page", &size));
        if page > 1 {
            pairs.push(("page", &number));
        } else if keyset == Keyset::Ask {
            pairs.push(("pagination", "keyset"));
        }
        self.make(
            &format!("/projects/{}/{}", encode(place.project), place.stream.as_str()),
            &pairs,
        )
    }

    /// Where GraphQL is.
    pub fn graphql(&self) -> Result<Url, ForgeError> {
        self.parse(&format!("{}/api/graphql", self.base))
    }

    /// A page of a list by creation, for an index: that order never changes.
    pub fn created(&self, project: &str, kind: EntityKind, at: Window) -> Result<Url, ForgeError> {
        let (size, number) = (self.page_size.to_string(), at.page.to_string());
        let start = at.start.map(UnixMs::rfc3339);
        let mut pairs = vec![
            ("scope", "all"),
            ("state", "all"),
            ("order_by", "created_at"),
            ("sort", "asc"),
        ];
        if let Some(start) = &start {
            pairs.push(("created_after", start));
        }
        pairs.extend([("per_page", size.as_str()), ("page", number.as_str())]);
        self.make(
            &format!("/projects/{}/{}", encode(project), Stream::of(kind).as_str()),
            &pairs,
        )
    }

    pub fn one(&self, project: &str, kind: EntityKind, iid: i64) -> Result<Url, ForgeError> {
        self.make(
            &format!("/projects/{}/{}/{iid}", encode(project), Stream::of(kind).as_str()),
            &[],
        )
    }

    fn under(&self, project: &str, key: &SetKey, list: &str) -> Result<Url, ForgeError> {
        let size = self.page_size.to_string();
        let parent = Stream::of(key.kind).as_str();
        self.make(
            &format!("/projects/{}/{parent}/{}/{list}", encode(project), key.iid),
            &[("per_page", &size)],
        )
    }

    /// The one list of a set; `Events` has several and asks [`Self::events`].
    pub fn set(&self, project: &str, key: &SetKey) -> Result<Option<Url>, ForgeError> {
        let list = match key.job {
            JobType::Detail => return self.one(project, key.kind, key.iid.0).map(Some),
            JobType::Events => return Ok(None),
            JobType::Discussions => "discussions",
            JobType::Diffs => "diffs",
            JobType::Commits => "commits",
            JobType::Closes => "closes_issues",
        };
        self.under(project, key, list).map(Some)
    }

    pub fn events(&self, project: &str, key: &SetKey, list: EventList) -> Result<Url, ForgeError> {
        self.under(project, key, list.path())
    }

    /// The same list at another page.
    pub fn at_page(url: &Url, page: u64) -> Url {
        let mut next = url.clone();
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "page")
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect();
        next.set_query(None);
        let number = page.to_string();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .chain([("page", number.as_str())])
            .collect();
        Url::parse(&append_query_params(next.as_str(), &pairs)).unwrap_or(next)
    }
}

/// A list of resource events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventList {
    /// Opened, closed, reopened, merged.
    State,
    /// Labels added and removed.
    Label,
    /// Milestones set and removed.
    Milestone,
}

impl EventList {
    pub const ALL: [Self; 3] = [Self::State, Self::Label, Self::Milestone];

    /// The name in capabilities and payloads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Label => "label",
            Self::Milestone => "milestone",
        }
    }

    pub const fn kind(self) -> EventKind {
        match self {
            Self::State => EventKind::State,
            Self::Label => EventKind::Label,
            Self::Milestone => EventKind::Milestone,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::State => "resource_state_events",
            Self::Label => "resource_label_events",
            Self::Milestone => "resource_milestone_events",
        }
    }
}

/// Whether to ask for opaque positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyset {
    /// Ask.
    Ask,
    /// The installation has refused before.
    Leave,
}

/// A path segment: everything but unreserved characters is encoded, slashes too.
fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What identifies a request: method, URL and whose token.
pub fn request_hash(url: &Url, token: &Hash) -> Hash {
    let mut bytes = b"GET ".to_vec();
    bytes.extend_from_slice(url.as_str().as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(token);
    blob::hash(&bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use annals_core::Iid;

    fn urls() -> Urls {
        Urls::new("forge.example", "https://forge.example/base/", 100)
    }

    fn window(start: Option<i64>, page: u64) -> PagePosition {
        PagePosition::Window(Window {
            start: start.map(UnixMs),
            page,
        })
    }

    #[test]
    fn paths_are_encoded() {
        let at = ProjectRef::Path("group/sub group/pröject?x".into());
        assert_eq!(
            urls().project(&at).unwrap().as_str(),
            "https://forge.example/base/api/v4/projects/group%2Fsub%20group%2Fpr%C3%B6ject%3Fx"
        );
    }

    #[test]
    fn a_window_is_asked_for_by_lower_bound_and_page() {
        let page = |stream, at: PagePosition, keyset| {
            let place = PageAt {
                project: "7",
                stream,
                at: &at,
            };
            urls().page(place, keyset).unwrap().to_string()
        };
        let base = "https://forge.example/base/api/v4/projects/7";
        let query = "scope=all&state=all&order_by=updated_at&sort=asc";
        assert_eq!(
            page(Stream::Issues, window(None, 1), Keyset::Ask),
            format!("{base}/issues?{query}&per_page=100&pagination=keyset")
        );
        assert_eq!(
            page(Stream::MergeRequests, window(Some(1_500), 3), Keyset::Ask),
            format!("{base}/merge_requests?{query}&updated_after=1970-01-01T00%3A00%3A01.500Z&per_page=100&page=3")
        );
        assert!(!page(Stream::Issues, window(None, 1), Keyset::Leave).contains("keyset"));
    }

    #[test]
    fn sets_hang_under_their_parent() {
        let key = |kind, job| SetKey {
            kind,
            iid: Iid(12),
            job,
            head_oid: None,
            cause_at: UnixMs(0),
        };
        let of = |kind, job| urls().set("7", &key(kind, job)).unwrap().map(|u| u.path().to_owned());
        let base = "/base/api/v4/projects/7";
        assert_eq!(
            of(EntityKind::Issue, JobType::Discussions).unwrap(),
            format!("{base}/issues/12/discussions")
        );
        assert_eq!(
            of(EntityKind::MergeRequest, JobType::Detail).unwrap(),
            format!("{base}/merge_requests/12")
        );
        assert_eq!(
            of(EntityKind::MergeRequest, JobType::Closes).unwrap(),
            format!("{base}/merge_requests/12/closes_issues")
        );
        assert_eq!(of(EntityKind::Issue, JobType::Events), None);
    }

    #[test]
    fn another_page_of_the_same_list() {
        let url =
            Url::parse("https://f.example/x?per_page=100&updated_after=2024-01-01T00%3A00%3A00.000Z&page=2").unwrap();
        assert_eq!(
            Urls::at_page(&url, 3).as_str(),
            "https://f.example/x?per_page=100&updated_after=2024-01-01T00%3A00%3A00.000Z&page=3"
        );
    }

    #[test]
    fn a_request_is_told_apart_by_url_and_token() {
        let (a, b) = (
            Url::parse("https://f.example/a").unwrap(),
            Url::parse("https://f.example/b").unwrap(),
        );
        let (mine, yours) = (blob::hash(b"mine"), blob::hash(b"yours"));
        assert_eq!(request_hash(&a, &mine), request_hash(&a, &mine));
        assert_ne!(request_hash(&a, &mine), request_hash(&a, &yours));
        assert_ne!(request_hash(&a, &mine), request_hash(&b, &mine));
    }
}
