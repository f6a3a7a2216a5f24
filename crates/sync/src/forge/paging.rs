//! How a list is walked, as pure decisions: what the headers of a page say about the next one,
//! where the next window opens, and when a forge is leading us in circles.
//!
//! The promise: no row is skipped by walking on, no request leaves the forge's own origin because
//! of a link, and no walk is endless.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use annals_core::UnixMs;
use http::HeaderMap;
use url::Url;

/// Most pages one pass over a list may have.
pub const MAX_PAGES: u32 = 100_000;

/// Nobody caps pages below this: a shorter page without any paging header is the last one.
const SMALLEST_CAP: usize = 20;

/// Why a list cannot be walked further. The cursor has not moved past anything unread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PagingFault {
    /// The same request or the same page came up twice.
    #[error("page loop: {what}")]
    Loop {
        /// What repeated.
        what: &'static str,
    },
    /// The next link points away from the forge.
    #[error("the next link points to another origin ({origin}); it is not followed")]
    ForeignLink {
        /// Scheme, host and port of the link.
        origin: String,
    },
    /// A paging header that cannot be read.
    #[error("unreadable paging header {header}")]
    Header {
        /// Its name.
        header: &'static str,
    },
}

/// What one answer says about paging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageHead {
    /// Target of `Link: rel="next"`.
    pub next_link: Option<Url>,
    /// Whether there was a `Link` header of paging relations at all.
    pub has_link: bool,
    /// `x-next-page`.
    pub next_page: NextPage,
    /// `x-per-page`: the size the server really uses.
    pub per_page: Option<usize>,
}

/// The header `x-next-page`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPage {
    /// Not sent.
    Absent,
    /// Sent, empty: this was the last page.
    Empty,
    /// The number of the next page.
    Number(u64),
}

/// How to get the page after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum More {
    /// There is none.
    End,
    /// A page number of the same list.
    Page(u64),
    /// An opaque position that only this link knows; good for this pass only.
    Opaque(Url),
}

impl PageHead {
    /// Reads the paging headers of an answer to `request`.
    ///
    /// # Errors
    /// [`PagingFault::ForeignLink`] for a next link to another origin, [`PagingFault::Header`] for
    /// one that is no URL or a page number that is no number.
    pub fn read(headers: &HeaderMap, request: &Url) -> Result<Self, PagingFault> {
        let mut next_link = None;
        let mut has_link = false;
        for value in headers.get_all(http::header::LINK) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for (target, rels) in parse_link(&text) {
                has_link |= rels
                    .iter()
                    .any(|r| matches!(r.as_str(), "next" | "first" | "last" | "prev"));
                if next_link.is_none() && rels.iter().any(|r| r == "next") {
                    let url = request
                        .join(&target)
                        .map_err(|_| PagingFault::Header { header: "link" })?;
                    if url.origin() != request.origin() {
                        return Err(PagingFault::ForeignLink {
                            origin: url.origin().ascii_serialization(),
                        });
                    }
                    next_link = Some(url);
                }
            }
        }
        let next_page = match headers.get("x-next-page") {
            None => NextPage::Absent,
            Some(v) if v.as_bytes().trim_ascii().is_empty() => NextPage::Empty,
            Some(v) => NextPage::Number(
                v.to_str()
                    .ok()
                    .and_then(|t| t.trim().parse().ok())
                    .ok_or(PagingFault::Header { header: "x-next-page" })?,
            ),
        };
        let per_page = headers
            .get("x-per-page")
            .and_then(|v| v.to_str().ok())
            .and_then(|t| t.trim().parse().ok());
        Ok(Self {
            next_link,
            has_link,
            next_page,
            per_page,
        })
    }

    /// Where the list goes on after page number `page` with `rows` rows, `asked` of which were asked
    /// for. Without any header only a page that cannot be full ends the list: a server may deliver
    /// less than was asked for and say nothing.
    #[must_use]
    pub fn more(&self, page: u64, rows: usize, asked: usize) -> More {
        if rows == 0 {
            return More::End;
        }
        if let Some(url) = &self.next_link {
            return match page_parameter(url) {
                Some(number) if !is_opaque(url) => More::Page(number),
                _ => More::Opaque(url.clone()),
            };
        }
        match self.next_page {
            NextPage::Number(number) => More::Page(number),
            NextPage::Empty => More::End,
            // A link header that names other pages but no next one is a last page.
            NextPage::Absent if self.has_link => More::End,
            NextPage::Absent if rows >= self.per_page.unwrap_or(asked.min(SMALLEST_CAP)) => More::Page(page + 1),
            NextPage::Absent => More::End,
        }
    }
}

impl PageHead {
    /// Whether a page of `rows` rows is as long as a page can be. Its validator says nothing then
    /// about the pages that may come after it one day.
    #[must_use]
    pub fn is_full(&self, rows: usize, asked: usize) -> bool {
        rows >= self.per_page.unwrap_or(asked).min(asked)
    }
}

fn is_opaque(url: &Url) -> bool {
    url.query_pairs()
        .any(|(k, _)| matches!(k.as_ref(), "cursor" | "after" | "id_after"))
}

fn page_parameter(url: &Url) -> Option<u64> {
    url.query_pairs()
        .filter(|(k, _)| k == "page")
        .last()
        .and_then(|(_, v)| v.parse().ok())
}

/// The entries of a `Link` header (RFC 8288): target and relation types in lower case. What does
/// not follow the grammar is skipped to the next comma.
#[must_use]
pub fn parse_link(header: &str) -> Vec<(String, Vec<String>)> {
    let mut entries = Vec::new();
    let mut rest = header;
    // Only separators may stand before a target; anything else was a broken entry and is skipped.
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else {
            break;
        };
        let (params, next) = split_params(after);
        let rels = params
            .iter()
            .filter(|(name, _)| name == "rel")
            .flat_map(|(_, value)| {
                value
                    .split_ascii_whitespace()
                    .map(str::to_ascii_lowercase)
                    .collect::<Vec<_>>()
            })
            .collect();
        entries.push((target.trim().to_owned(), rels));
        rest = next;
    }
    entries
}

/// Parameters up to the comma that ends the entry, and what follows it.
fn split_params(text: &str) -> (Vec<(String, String)>, &str) {
    let mut params = Vec::new();
    let (mut name, mut value) = (String::new(), String::new());
    let (mut in_value, mut quoted, mut escaped) = (false, false, false);
    let mut push = |name: &mut String, value: &mut String| {
        if !name.trim().is_empty() {
            params.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        name.clear();
        value.clear();
    };
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' if in_value => quoted = !quoted,
            _ if quoted => value.push(c),
            ';' => {
                push(&mut name, &mut value);
                in_value = false;
            }
            ',' => {
                push(&mut name, &mut value);
                return (params, text.get(at + 1..).unwrap_or_default());
            }
            '=' if !in_value => in_value = true,
            _ if in_value => value.push(c),
            _ => name.push(c),
        }
    }
    push(&mut name, &mut value);
    (params, "")
}

/// Where a list that is sorted ascending by update time is being read: the lower bound that was
/// asked for, and which page of that request comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lower bound; none reads from the beginning.
    pub start: Option<UnixMs>,
    /// Page within the window, from 1.
    pub page: u64,
}

/// What to ask for after a page of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The list is read to its end.
    End,
    /// The next page of the same window.
    SameWindow(Window),
    /// Page one of a later window: everything before it has been read.
    NewWindow(Window),
}

impl Window {
    /// The window that begins `rewind_ms` before a cursor.
    #[must_use]
    pub fn from_cursor(at: Option<UnixMs>, rewind_ms: i64) -> Self {
        Self {
            start: at.map(|at| UnixMs(at.0.saturating_sub(rewind_ms))),
            page: 1,
        }
    }

    /// What comes after a page whose first and last trusted rows were updated at `first` and
    /// `last`, when the answer said `more` follows.
    ///
    /// A new window must leave out at least the first row of this page. That makes every new
    /// window progress, and keeps two honest answers from looking like a page loop.
    #[must_use]
    pub fn after(self, first: Option<UnixMs>, last: Option<UnixMs>, more: Option<u64>, rewind_ms: i64) -> Step {
        let Some(next_page) = more else { return Step::End };
        if let (Some(first), Some(last)) = (first, last) {
            let start = UnixMs(last.0.saturating_sub(rewind_ms));
            if first < start && self.start.is_none_or(|old| old < start) {
                return Step::NewWindow(Self {
                    start: Some(start),
                    page: 1,
                });
            }
        }
        Step::SameWindow(Self {
            start: self.start,
            page: next_page,
        })
    }
}

/// Notices when a pass over a list goes in circles. One guard lives as long as one pass.
#[derive(Debug, Default)]
pub struct LoopGuard {
    asked: HashSet<u64>,
    last_page: Option<u64>,
    pages: u32,
}

impl LoopGuard {
    /// Call before a request is sent.
    ///
    /// # Errors
    /// [`PagingFault::Loop`] when this pass has sent the same one, or [`MAX_PAGES`] of them.
    pub fn before_request(&mut self, url: &Url) -> Result<(), PagingFault> {
        self.pages += 1;
        if self.pages > MAX_PAGES {
            return Err(PagingFault::Loop {
                what: "more than 100,000 pages in one pass",
            });
        }
        if self.asked.insert(hash_of(url.as_str())) {
            Ok(())
        } else {
            Err(PagingFault::Loop {
                what: "the forge led back to a request already sent",
            })
        }
    }

    /// Call with the identities of the rows of a page, in the order they came.
    ///
    /// # Errors
    /// [`PagingFault::Loop`] when the page before had the same rows.
    pub fn after_page<T: Hash>(&mut self, rows: impl IntoIterator<Item = T>) -> Result<(), PagingFault> {
        let mut hasher = DefaultHasher::new();
        let mut any = false;
        for row in rows {
            any = true;
            row.hash(&mut hasher);
        }
        let page = any.then(|| hasher.finish());
        if page.is_some() && page == self.last_page {
            return Err(PagingFault::Loop {
                what: "two pages in a row held the same rows",
            });
        }
        self.last_page = page;
        Ok(())
    }
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn head(pairs: &[(&'static str, &str)]) -> Result<PageHead, PagingFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        PageHead::read(
            &headers,
            &url("https://forge.example/api/v4/projects/1/issues?per_page=100"),
        )
    }

    #[test]
    fn paging_headers_link() {
        let head = head(&[("link", r#"<https://forge.example/api/v4/projects/1/issues?page=3&per_page=100>; rel="next", <https://forge.example/x?page=1>; rel="first""#)]).unwrap();
        assert_eq!(head.more(2, 100, 100), More::Page(3));
        assert_eq!(head.more(2, 0, 100), More::End, "an empty page ends");
    }

    #[test]
    fn paging_keyset() {
        let next = "https://forge.example/api/v4/projects/1/issues?cursor=abc&page=2";
        let head = head(&[("link", &format!("<{next}>; rel=next")), ("x-next-page", "2")]).unwrap();
        assert_eq!(head.more(1, 100, 100), More::Opaque(url(next)));
    }

    #[test]
    fn paging_headers_x_next_page() {
        assert_eq!(head(&[("x-next-page", "7")]).unwrap().more(6, 20, 100), More::Page(7));
        assert_eq!(
            head(&[("x-next-page", "x")]),
            Err(PagingFault::Header { header: "x-next-page" })
        );
    }

    #[test]
    fn paging_headers_empty_x_next_page() {
        assert_eq!(head(&[("x-next-page", "")]).unwrap().more(1, 100, 100), More::End);
    }

    #[test]
    fn paging_headers_none() {
        let head = head(&[]).unwrap();
        assert_eq!(head.more(1, 100, 100), More::Page(2));
        assert_eq!(
            head.more(2, 99, 100),
            More::Page(3),
            "the server may cap its pages without a word"
        );
        assert_eq!(head.more(3, 19, 100), More::End);
        assert_eq!(head.more(1, 5, 5), More::Page(2));
    }

    #[test]
    fn paging_headers_capped_size() {
        // 100 were asked for; the server delivers 50 and says so, or only shows it.
        assert_eq!(head(&[("x-per-page", "50")]).unwrap().more(1, 50, 100), More::Page(2));
        assert_eq!(head(&[]).unwrap().more(1, 50, 100), More::Page(2));
    }

    #[test]
    fn a_link_header_without_next_is_the_last_page() {
        let head = head(&[("link", r#"<https://forge.example/x?page=1>; rel="first""#)]).unwrap();
        assert_eq!(head.more(1, 100, 100), More::End);
    }

    #[test]
    fn foreign_next_link_is_refused() {
        for target in [
            "https://evil.example/api",
            "http://forge.example/api",
            "https://forge.example:444/api",
            "//evil.example/x",
        ] {
            let got = head(&[("link", &format!("<{target}>; rel=\"next\""))]);
            assert!(matches!(got, Err(PagingFault::ForeignLink { .. })), "{target}: {got:?}");
        }
        let same = head(&[("link", "</api/v4/x?page=2>; rel=\"next\"")]).unwrap();
        assert_eq!(same.next_link, Some(url("https://forge.example/api/v4/x?page=2")));
    }

    #[test]
    fn link_header_grammar() {
        let one = |t: &str| parse_link(t);
        assert_eq!(one(""), vec![]);
        assert_eq!(one("<a>"), vec![("a".into(), vec![])]);
        assert_eq!(
            one("<a,b;c>; rel=\"next prev\""),
            vec![("a,b;c".into(), vec!["next".into(), "prev".into()])]
        );
        assert_eq!(
            one("<a>; title=\"x, <b>; rel=next\"; REL=Next,<c>;rel=last"),
            vec![("a".into(), vec!["next".into()]), ("c".into(), vec!["last".into()])]
        );
        assert_eq!(one("garbage, <a>; rel=next"), vec![("a".into(), vec!["next".into()])]);
        assert_eq!(one("<never closed"), vec![]);
        assert_eq!(
            one("<a>; rel=\"never closed"),
            vec![("a".into(), vec!["never".into(), "closed".into()])]
        );
    }

    const T: i64 = 1_700_000_000_000;

    #[test]
    fn paging_window() {
        let at = |ms: i64| Some(UnixMs(T + ms));
        let start = Window::from_cursor(None, 2000);
        assert_eq!(start, Window { start: None, page: 1 });
        // Rows spread over time: the next window opens behind the last row, minus the rewind.
        assert_eq!(
            start.after(at(0), at(60_000), Some(2), 2000),
            Step::NewWindow(Window {
                start: at(58_000),
                page: 1
            })
        );
        // Rows crowded into less than the rewind: only the page number can make progress.
        assert_eq!(
            start.after(at(0), at(1_999), Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        assert_eq!(
            start.after(at(0), at(2_000), Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        // A page without one trusted time.
        assert_eq!(
            start.after(None, None, Some(2), 2000),
            Step::SameWindow(Window { start: None, page: 2 })
        );
        assert_eq!(start.after(at(0), at(60_000), None, 2000), Step::End);
        let window = Window {
            start: at(58_000),
            page: 3,
        };
        assert_eq!(
            window.after(at(58_500), at(59_900), Some(4), 2000),
            Step::SameWindow(Window {
                start: at(58_000),
                page: 4
            })
        );
    }

    #[test]
    fn every_new_window_leaves_out_the_first_row() {
        // The property behind the loop guard: an honest forge can never repeat a page.
        for first in 0..50_i64 {
            for last in first..50 {
                let window = Window {
                    start: Some(UnixMs(-5)),
                    page: 1,
                };
                if let Step::NewWindow(next) = window.after(Some(UnixMs(first)), Some(UnixMs(last)), Some(2), 7) {
                    assert!(next.start > Some(UnixMs(first)) && next.start > window.start);
                }
            }
        }
    }

    #[test]
    fn page_loop_guard_stops_circles() {
        let mut guard = LoopGuard::default();
        guard.before_request(&url("https://a/1")).unwrap();
        guard.after_page([("1", Some(UnixMs(1)))]).unwrap();
        guard.before_request(&url("https://a/2")).unwrap();
        assert!(matches!(
            guard.after_page([("1", Some(UnixMs(1)))]),
            Err(PagingFault::Loop { .. })
        ));
        assert!(matches!(
            guard.before_request(&url("https://a/1")),
            Err(PagingFault::Loop { .. })
        ));
        // Two empty pages are no loop: an empty page ends the list anyway.
        let mut guard = LoopGuard::default();
        guard.after_page::<u8>([]).unwrap();
        guard.after_page::<u8>([]).unwrap();
        // The same row with another time is another page.
        guard.after_page([("1", Some(UnixMs(1)))]).unwrap();
        guard.after_page([("1", Some(UnixMs(2)))]).unwrap();
    }

    #[test]
    fn endless_paging_ends() {
        let mut guard = LoopGuard::default();
        let fault = (0..=MAX_PAGES).find_map(|n| guard.before_request(&url(&format!("https://a/{n}"))).err());
        assert!(matches!(fault, Some(PagingFault::Loop { .. })));
    }
}
