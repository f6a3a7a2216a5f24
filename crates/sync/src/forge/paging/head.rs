//! What the headers of a page say about the next one.

use http::HeaderMap;
use url::Url;

use super::PagingFault;
use super::link::parse_link;

/// Nobody caps pages below this: a shorter page without any paging header is the last one.
const SMALLEST_CAP: usize = 20;

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
    fn paging_headers_empty_last_page() {
        // Two full pages without a word about a third, which then turns out to be empty.
        let head = head(&[]).unwrap();
        assert_eq!(head.more(1, 100, 100), More::Page(2));
        assert_eq!(head.more(2, 100, 100), More::Page(3));
        assert_eq!(head.more(3, 0, 100), More::End);
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
}
