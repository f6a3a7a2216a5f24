//! The request line, and what may stand for a host.

use std::net::Ipv6Addr;
use std::ops::Range;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri, Version};

use super::Refusal;

/// No registered method is longer than half of this.
const LONGEST_METHOD: usize = 32;
/// What follows the target is a version of eight bytes, or wrong.
const LONGEST_REST: usize = 64;

/// A request line that has been judged; the target is a range of the head, so that it needs no copy.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) version: Version,
    target: Range<usize>,
}

impl RequestLine {
    /// Judge `text`, which begins at `offset` of the head.
    pub(super) fn parse(text: &[u8], offset: usize) -> Result<Self, Refusal> {
        let mut words = text.split(|byte| *byte == b' ');
        let (Some(method), Some(target), third, None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(Refusal::BadRequest("a request line with too many spaces"));
        };
        let method = parse_method(method)?;
        let version = parse_version(third.ok_or(Refusal::BadRequest("a request line without a version"))?)?;
        if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(Refusal::BadRequest(
                "a request target with spaces, controls or bytes outside ASCII",
            ));
        }
        if method == Method::CONNECT {
            return Err(Refusal::MethodNotAllowed("CONNECT is not served here"));
        }
        if target == b"*" {
            return Err(Refusal::MethodNotAllowed("the asterisk form is not served here"));
        }
        let start = offset + method.as_str().len() + 1;
        Ok(Self {
            method,
            version,
            target: start..start + target.len(),
        })
    }

    /// Path and query, and the authority of a target in absolute form.
    pub(super) fn target(&self, head: &Bytes) -> Result<(Uri, Option<HeaderValue>), Refusal> {
        let malformed = Refusal::BadRequest("a malformed request target");
        let target = head.slice(self.target.clone());
        // A fragment never travels; the `http` crate would drop it silently.
        if target.contains(&b'#') {
            return Err(malformed);
        }
        if target.first() == Some(&b'/') {
            let path = PathAndQuery::from_maybe_shared(target).map_err(|_| malformed)?;
            return Ok((Uri::from(path), None));
        }
        let absolute = Uri::from_maybe_shared(target).map_err(|_| malformed)?;
        let parts = absolute.into_parts();
        let (Some("http" | "https"), Some(authority)) = (parts.scheme.as_ref().map(|s| s.as_str()), parts.authority)
        else {
            return Err(malformed);
        };
        if !is_authority(authority.as_str().as_bytes()) {
            return Err(malformed);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| malformed)?;
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok((Uri::from(path), Some(host)))
    }
}

/// How far a request line has come: refuses one that can no longer be right, however it goes on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    word: Word,
    /// Bytes of that word.
    bytes: usize,
}

#[derive(Debug, Default)]
enum Word {
    #[default]
    Method,
    Target,
    Rest,
}

impl Progress {
    /// One more byte of the line.
    pub(super) fn push(&mut self, byte: u8, target_limit: usize) -> Result<(), Refusal> {
        self.bytes += 1;
        match self.word {
            Word::Method if byte == b' ' => {
                *self = Self {
                    word: Word::Target,
                    bytes: 0,
                }
            }
            Word::Target if byte == b' ' => {
                *self = Self {
                    word: Word::Rest,
                    bytes: 0,
                }
            }
            Word::Method if self.bytes > LONGEST_METHOD => {
                return Err(Refusal::BadRequest("a method that is too long"));
            }
            Word::Target if self.bytes > target_limit => return Err(Refusal::TargetTooLong),
            Word::Rest if self.bytes >= LONGEST_REST => {
                return Err(Refusal::BadRequest("a request line that does not end"));
            }
            Word::Method | Word::Target | Word::Rest => {}
        }
        Ok(())
    }
}

fn parse_method(text: &[u8]) -> Result<Method, Refusal> {
    Method::from_bytes(text).map_err(|_| Refusal::BadRequest("a method that is not a token"))
}

fn parse_version(text: &[u8]) -> Result<Version, Refusal> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Refusal::VersionNotSupported)
        }
        _ => Err(Refusal::BadRequest("a malformed version")),
    }
}

/// `host` or `host:port` as RFC 3986 writes it, without user information.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text
        .split_once(':')
        .map_or((text, None), |(name, port)| (name, Some(port)));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte);
    !name.is_empty() && name.bytes().all(plain) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}
