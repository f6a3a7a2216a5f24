//! When a redirect is followed, and with what.
//!
//! Pure: from the request that was sent and the answer's status and `Location` follows the next
//! request. Another origin learns nothing but four harmless headers; what was stripped once stays
//! stripped, also when a later hop leads back.

use annals_core::NetworkErrorKind;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::address::{BadUrl, Origin, Scheme};

/// What another origin may see of the caller's headers.
const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT];
/// What describes a body and goes when the body goes.
const OF_THE_BODY: [HeaderName; 5] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
];

/// What a request carries after its head, as far as redirects care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Nothing,
    /// Bytes that can be sent again.
    Replayable,
    /// A stream that is spent once sent.
    Stream,
}

/// Where a followed redirect leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) origin: Origin,
    pub(crate) method: Method,
    pub(crate) body: KeepBody,
    pub(crate) crossing: Crossing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepBody {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    SameOrigin,
    OtherOrigin,
}

/// Why a redirect is not followed. It does not repeat the location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("more than {0} redirects")]
    TooMany(u8),
    #[error("the redirects lead in a circle")]
    Loop,
    #[error("from https to http")]
    Downgrade,
    #[error("a body would go to another origin")]
    BodyToOtherOrigin,
    #[error("the body cannot be sent again")]
    BodySpent,
    #[error("the location is unusable: {0}")]
    Location(BadUrl),
    #[error("the location is not text")]
    NotText,
}

impl Refusal {
    pub(crate) fn kind(self) -> NetworkErrorKind {
        match self {
            Self::TooMany(_) | Self::Loop => NetworkErrorKind::TooManyRedirects,
            Self::Downgrade | Self::BodyToOtherOrigin | Self::BodySpent | Self::Location(_) | Self::NotText => {
                NetworkErrorKind::RedirectRefused
            }
        }
    }
}

/// The redirects of one exchange.
pub(crate) struct Redirects {
    limit: u8,
    seen: Vec<(Method, Url)>,
}

impl Redirects {
    /// Follows up to `limit` redirects; with 0 a redirect is an answer like any other.
    pub(crate) fn new(limit: u8) -> Self {
        Self {
            limit,
            seen: Vec::new(),
        }
    }

    /// Decides about the answer to `method url`: `None` means that it is the answer.
    pub(crate) fn next(
        &mut self,
        method: &Method,
        url: &Url,
        carries: Carries,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Hop>, Refusal> {
        let location = match status.as_u16() {
            301 | 302 | 303 | 307 | 308 if self.limit > 0 => headers.get(http::header::LOCATION),
            _ => None,
        };
        let Some(location) = location else { return Ok(None) };
        let next = resolve(url, location)?;
        let (from, to) = (Origin::of(url), Origin::of(&next).map_err(Refusal::Location)?);
        let crossing = if from.as_ref() == Ok(&to) {
            Crossing::SameOrigin
        } else {
            Crossing::OtherOrigin
        };
        if url.scheme() == "https" && to.scheme == Scheme::Http {
            return Err(Refusal::Downgrade);
        }
        let next_method = match status.as_u16() {
            301 | 302 if *method == Method::POST => Method::GET,
            303 if *method != Method::HEAD => Method::GET,
            _ => method.clone(),
        };
        let body = if next_method == *method {
            KeepBody::Yes
        } else {
            KeepBody::No
        };
        if body == KeepBody::Yes && carries != Carries::Nothing {
            if crossing == Crossing::OtherOrigin {
                return Err(Refusal::BodyToOtherOrigin);
            }
            if carries == Carries::Stream {
                return Err(Refusal::BodySpent);
            }
        }
        self.seen.push((method.clone(), without_fragment(url)));
        if self.seen.contains(&(next_method.clone(), without_fragment(&next))) {
            return Err(Refusal::Loop);
        }
        if self.seen.len() > usize::from(self.limit) {
            return Err(Refusal::TooMany(self.limit));
        }
        Ok(Some(Hop {
            url: next,
            origin: to,
            method: next_method,
            body,
            crossing,
        }))
    }
}

fn resolve(url: &Url, location: &HeaderValue) -> Result<Url, Refusal> {
    // Some servers send UTF-8 where only ASCII belongs; the URL parser encodes it.
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| Refusal::NotText)?;
    let mut next = url.join(text).map_err(|e| Refusal::Location(BadUrl::NotAbsolute(e)))?;
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Ok(next)
}

fn without_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

/// Removes from the caller's headers what the next request must not carry.
pub(crate) fn strip(headers: &mut HeaderMap, hop: &Hop) {
    if hop.crossing == Crossing::OtherOrigin {
        let mut kept = HeaderMap::with_capacity(HARMLESS.len());
        for name in HARMLESS {
            for value in headers.get_all(&name) {
                kept.append(&name, value.clone());
            }
        }
        *headers = kept;
    }
    if hop.body == KeepBody::No {
        for name in OF_THE_BODY {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn step(method: &str, from: &str, carries: Carries, status: u16, location: &str) -> Result<Option<Hop>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::LOCATION,
            HeaderValue::from_bytes(location.as_bytes()).unwrap(),
        );
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let from = Url::parse(from).unwrap();
        Redirects::new(10).next(&method, &from, carries, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn method_after_a_redirect() {
        use KeepBody::{No, Yes};
        for (method, status, expected, body) in [
            ("GET", 301, "GET", Yes),
            ("GET", 302, "GET", Yes),
            ("GET", 303, "GET", Yes),
            ("GET", 307, "GET", Yes),
            ("GET", 308, "GET", Yes),
            ("HEAD", 301, "HEAD", Yes),
            ("HEAD", 303, "HEAD", Yes),
            ("POST", 301, "GET", No),
            ("POST", 302, "GET", No),
            ("POST", 303, "GET", No),
            ("POST", 307, "POST", Yes),
            ("POST", 308, "POST", Yes),
            ("PUT", 301, "PUT", Yes),
            ("PUT", 303, "GET", No),
            ("DELETE", 302, "DELETE", Yes),
            ("DELETE", 303, "GET", No),
        ] {
            let hop = step(method, "http://a/1", Carries::Replayable, status, "/2")
                .unwrap()
                .unwrap();
            assert_eq!((hop.method.as_str(), hop.body), (expected, body), "{method} {status}");
            assert_eq!(hop.url.as_str(), "http://a/2");
        }
    }

    #[test]
    fn other_answers_are_not_redirects() {
        for status in [200, 204, 300, 304, 305, 400] {
            assert_eq!(
                step("GET", "http://a/1", Carries::Nothing, status, "/2"),
                Ok(None),
                "{status}"
            );
        }
        let from = Url::parse("http://a/1").unwrap();
        let answer = Redirects::new(10).next(
            &Method::GET,
            &from,
            Carries::Nothing,
            StatusCode::FOUND,
            &HeaderMap::new(),
        );
        assert_eq!(answer, Ok(None));
    }

    #[test]
    fn refused_redirects() {
        for (method, from, carries, status, to, expected) in [
            (
                "GET",
                "https://a/1",
                Carries::Nothing,
                302,
                "http://a/2",
                Refusal::Downgrade,
            ),
            (
                "POST",
                "http://a/1",
                Carries::Replayable,
                307,
                "http://b/2",
                Refusal::BodyToOtherOrigin,
            ),
            (
                "POST",
                "http://a/1",
                Carries::Replayable,
                308,
                "http://a:81/2",
                Refusal::BodyToOtherOrigin,
            ),
            (
                "PUT",
                "http://a/1",
                Carries::Replayable,
                301,
                "http://b/2",
                Refusal::BodyToOtherOrigin,
            ),
            ("POST", "http://a/1", Carries::Stream, 307, "/2", Refusal::BodySpent),
            (
                "GET",
                "http://a/1",
                Carries::Nothing,
                302,
                "ftp://a/2",
                Refusal::Location(BadUrl::Scheme),
            ),
            (
                "GET",
                "http://a/1",
                Carries::Nothing,
                302,
                "http://u:p@a/2",
                Refusal::Location(BadUrl::Userinfo),
            ),
            ("GET", "http://a/1", Carries::Nothing, 302, "/1", Refusal::Loop),
            ("GET", "http://a/1", Carries::Nothing, 302, "#there", Refusal::Loop),
        ] {
            assert_eq!(
                step(method, from, carries, status, to),
                Err(expected),
                "{method} {from} {status} {to}"
            );
        }
    }

    #[test]
    fn a_stream_is_dropped_when_the_method_becomes_get() {
        let hop = step("POST", "http://a/1", Carries::Stream, 303, "http://b/2")
            .unwrap()
            .unwrap();
        assert_eq!(
            (hop.method, hop.body, hop.crossing),
            (Method::GET, KeepBody::No, Crossing::OtherOrigin)
        );
    }

    #[test]
    fn the_tenth_redirect_is_followed_and_the_eleventh_is_not() {
        let mut redirects = Redirects::new(10);
        let mut url = Url::parse("http://a/0").unwrap();
        for n in 1..=11 {
            let headers =
                HeaderMap::from_iter([(http::header::LOCATION, HeaderValue::from_str(&format!("/{n}")).unwrap())]);
            let step = redirects.next(&Method::GET, &url, Carries::Nothing, StatusCode::FOUND, &headers);
            match step {
                Ok(Some(hop)) if n <= 10 => url = hop.url,
                Err(Refusal::TooMany(10)) if n == 11 => {}
                other => panic!("redirect {n}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_fragment_is_inherited_and_text_beyond_ascii_is_encoded() {
        let hop = step("GET", "http://a/1#f", Carries::Nothing, 302, "/é")
            .unwrap()
            .unwrap();
        assert_eq!(hop.url.as_str(), "http://a/%C3%A9#f");
    }

    #[test]
    fn another_origin_gets_four_headers_and_the_same_origin_all() {
        let names = [
            "authorization",
            "cookie",
            "private-token",
            "job-token",
            "x-secret",
            "content-type",
            "if-none-match",
        ];
        let mut full = HeaderMap::new();
        for name in names
            .iter()
            .chain(&["accept", "accept-encoding", "accept-language", "user-agent"])
        {
            full.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        let across = step("GET", "http://a/1", Carries::Nothing, 302, "http://b/2")
            .unwrap()
            .unwrap();
        let within = step("GET", "http://a/1", Carries::Nothing, 302, "/2").unwrap().unwrap();

        let (mut stripped, mut kept) = (full.clone(), full.clone());
        strip(&mut stripped, &across);
        strip(&mut kept, &within);

        assert_eq!(stripped.len(), 4);
        assert!(names.iter().all(|name| !stripped.contains_key(*name)));
        assert_eq!(kept, full);
    }
}
