//! The heads of HTTP/1.1 as a client sees them: requests written, responses read.
//!
//! A response head has exactly one reading or it is a [`HeadFault`]: framing that is given twice or
//! not understood, bare line feeds and folded lines are refused, because whoever stands between
//! might read them otherwise. The same code judges what hyper is given and what our own connection
//! reads.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::http::server::framing::BodyLength;

/// Bytes of a response head.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// Fields of a response head.
pub(crate) const MAX_FIELDS: usize = 100;
/// Interim answers (100, 103) before the real one.
const MAX_INTERIM: u8 = 16;

/// A response head with one reading.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ResponseBody,
    pub(crate) after: After,
}

/// How the body of a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseBody {
    Framed(BodyLength),
    /// The end of the connection is the end of the body.
    UntilClose,
}

impl ResponseBody {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::Framed(BodyLength::Known(0))
    }
}

/// What becomes of the connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

/// Why a response head is refused. It does not repeat any byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("a line feed without a carriage return in the response head")]
    BareLf,
    #[error("the response head is larger than 64 KiB")]
    TooLarge,
    #[error("the response has more than 100 header fields")]
    TooManyFields,
    #[error("a malformed response head")]
    Malformed,
    #[error("an HTTP version other than 1.0 and 1.1")]
    Version,
    #[error("a malformed or contradictory Content-Length")]
    ContentLength,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("a transfer coding other than chunked")]
    Coding,
    #[error("an upgrade that nobody asked for")]
    Upgrade,
    #[error("too many interim answers")]
    Interim,
}

/// Finds the final response head in bytes that arrive in pieces, skipping interim answers.
#[derive(Debug)]
pub(crate) struct HeadReader {
    /// Bytes already searched for the end of the head.
    searched: usize,
    interim: u8,
    no_body: bool,
    /// A 101 was asked for.
    upgrade: bool,
}

/// What [`HeadReader::read`] found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: ResponseHead,
    /// The bytes of the head, the empty line included: what the gate hands on to a foreign client.
    #[cfg_attr(
        not(feature = "tokio"),
        allow(dead_code, reason = "only tokio brings a client of its own")
    )]
    pub(crate) raw: Bytes,
}

impl HeadReader {
    /// A reader for the response to a request with this method.
    pub(crate) fn new(method: &Method) -> Self {
        Self {
            searched: 0,
            interim: 0,
            no_body: *method == Method::HEAD,
            upgrade: false,
        }
    }

    /// A reader for the response to a GET that asks for another protocol.
    pub(crate) fn for_upgrade() -> Self {
        Self {
            upgrade: true,
            ..Self::new(&Method::GET)
        }
    }

    /// Looks at what has arrived; a complete head, and interim ones before it, are taken out of
    /// `buffer`. `None` asks for more bytes.
    pub(crate) fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Found>, HeadFault> {
        loop {
            let Some(end) = self.end_of_head(buffer)? else {
                return Ok(None);
            };
            let raw = buffer.split_to(end).freeze();
            self.searched = 0;
            let head = parse(&raw, self.no_body)?;
            match head.status.as_u16() {
                101 if self.upgrade => return Ok(Some(Found { head, raw })),
                101 => return Err(HeadFault::Upgrade),
                100..=199 => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Err(HeadFault::Interim);
                    }
                }
                _ => return Ok(Some(Found { head, raw })),
            }
        }
    }

    fn end_of_head(&mut self, buffer: &[u8]) -> Result<Option<usize>, HeadFault> {
        // What is not HTTP is refused at once instead of being waited for until the timer ends it.
        const START: &[u8] = b"HTTP/1.";
        let compared = START.len().min(buffer.len());
        if buffer.get(..compared) != START.get(..compared) {
            let http = buffer.get(..5.min(compared)) == START.get(..5.min(compared));
            return Err(if http { HeadFault::Version } else { HeadFault::NotHttp });
        }
        let limit = buffer.len().min(MAX_HEAD);
        let mut at = self.searched;
        while let Some(found) = buffer
            .get(at..limit)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        {
            at += found + 1;
            let line = buffer.get(..at).unwrap_or_default();
            if !line.ends_with(b"\r\n") {
                return Err(HeadFault::BareLf);
            }
            if line.ends_with(b"\r\n\r\n") {
                return Ok(Some(at));
            }
        }
        self.searched = at;
        if buffer.len() > MAX_HEAD {
            Err(HeadFault::TooLarge)
        } else {
            Ok(None)
        }
    }
}

/// Reads one complete head.
fn parse(raw: &Bytes, head_request: bool) -> Result<ResponseHead, HeadFault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(raw) {
        Ok(httparse::Status::Complete(length)) if length == raw.len() => {}
        Ok(_) => return Err(HeadFault::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooManyFields),
        Err(httparse::Error::Version) => return Err(HeadFault::Version),
        Err(_) => return Err(HeadFault::Malformed),
    }
    let version = match response.version {
        Some(0) => Version::HTTP_10,
        Some(1) => Version::HTTP_11,
        _ => return Err(HeadFault::Version),
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(HeadFault::Malformed)?;
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadFault::Malformed)?;
        let value = HeaderValue::from_maybe_shared(raw.slice_ref(field.value)).map_err(|_| HeadFault::Malformed)?;
        headers.append(name, value);
    }
    let bodyless = head_request || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let body = if bodyless {
        ResponseBody::Framed(BodyLength::Known(0))
    } else {
        body_of(&headers, version)?
    };
    let after = match (version, body) {
        (_, ResponseBody::UntilClose) => After::Close,
        (Version::HTTP_10, _) if !mentions(&headers, "keep-alive") => After::Close,
        _ if mentions(&headers, "close") => After::Close,
        _ => After::Keep,
    };
    Ok(ResponseHead {
        status,
        version,
        headers,
        body,
        after,
    })
}

fn body_of(headers: &HeaderMap, version: Version) -> Result<ResponseBody, HeadFault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(ResponseBody::UntilClose),
        (Some(_), Some(_)) => Err(HeadFault::LengthAndCoding),
        (Some(coding), None) => {
            let plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            if plain && version == Version::HTTP_11 {
                Ok(ResponseBody::Framed(BodyLength::Chunked))
            } else {
                Err(HeadFault::Coding)
            }
        }
        (None, Some(first)) => {
            // The same length twice has one reading, and some proxies send it so.
            if lengths.any(|other| other != first) {
                return Err(HeadFault::ContentLength);
            }
            let length = decimal(first.as_bytes()).ok_or(HeadFault::ContentLength)?;
            Ok(ResponseBody::Framed(BodyLength::Known(length)))
        }
    }
}

/// Digits only, at most 19 of them, so that no value can wrap.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

fn mentions(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

/// Writes a request head. Names and values come checked in their types: neither can hold a line end.
pub(crate) fn write_head(method: &Method, target: &str, headers: &HeaderMap, out: &mut BytesMut) {
    let size = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>();
    out.reserve(method.as_str().len() + target.len() + size + 16);
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads in pieces of `step` bytes; the head and what is left.
    fn read(method: Method, input: &[u8], step: usize) -> Result<Option<(ResponseHead, Vec<u8>)>, HeadFault> {
        let mut reader = HeadReader::new(&method);
        let mut buffer = BytesMut::new();
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            if let Some(found) = reader.read(&mut buffer)? {
                let read: usize = input.len() - buffer.len();
                assert!(input.get(..read).unwrap().ends_with(&found.raw) || step < input.len());
                return Ok(Some((found.head, buffer.to_vec())));
            }
        }
        Ok(None)
    }

    fn get(input: &[u8]) -> Result<Option<ResponseHead>, HeadFault> {
        let whole = read(Method::GET, input, usize::MAX).map(|found| found.map(|(head, _)| head));
        let bytewise = read(Method::GET, input, 1).map(|found| found.map(|(head, _)| head));
        assert_eq!(format!("{whole:?}"), format!("{bytewise:?}"), "pieces must not matter");
        whole
    }

    #[test]
    fn the_length_of_a_body_has_one_reading() {
        use BodyLength::{Chunked, Known};
        use ResponseBody::{Framed, UntilClose};
        for (fields, expected) in [
            ("", Ok(UntilClose)),
            ("Content-Length: 0\r\n", Ok(Framed(Known(0)))),
            ("content-length:  42  \r\n", Ok(Framed(Known(42)))),
            ("Content-Length: 42\r\nContent-Length: 42\r\n", Ok(Framed(Known(42)))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framed(Chunked))),
            (
                "Content-Length: 1\r\nContent-Length: 2\r\n",
                Err(HeadFault::ContentLength),
            ),
            ("Content-Length: 1, 1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: +1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: -1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: \r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 0x1\r\n", Err(HeadFault::ContentLength)),
            (
                "Content-Length: 99999999999999999999\r\n",
                Err(HeadFault::ContentLength),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Err(HeadFault::LengthAndCoding),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Err(HeadFault::LengthAndCoding),
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(HeadFault::Coding)),
            ("Transfer-Encoding: identity\r\n", Err(HeadFault::Coding)),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(HeadFault::Coding),
            ),
        ] {
            let head = get(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
            assert_eq!(head.map(|head| head.unwrap().body), expected, "{fields:?}");
        }
        let old = get(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.map(|_| ()), Err(HeadFault::Coding));
    }

    #[test]
    fn some_answers_never_have_a_body() {
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let input = format!("HTTP/1.1 {status} x\r\nContent-Length: 100\r\n\r\n");
            let (head, _) = read(method, input.as_bytes(), usize::MAX).unwrap().unwrap();
            assert!(head.body.is_empty(), "{status}");
            assert_eq!(head.after, After::Keep);
            assert_eq!(head.headers["content-length"], "100");
        }
    }

    #[test]
    fn what_becomes_of_the_connection() {
        for (input, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", After::Keep),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
                After::Close,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, close\r\n\r\n",
                After::Close,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", After::Close),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", After::Close),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
                After::Keep,
            ),
        ] {
            assert_eq!(get(input.as_bytes()).unwrap().unwrap().after, expected, "{input:?}");
        }
    }

    #[test]
    fn interim_answers_are_skipped_and_what_follows_the_head_stays() {
        let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        let (head, rest) = read(Method::GET, input, usize::MAX).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), rest.as_slice()), (200, b"body".as_slice()));
        assert!(!head.headers.contains_key("link"));
        let endless = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
        assert_eq!(get(&endless).map(|_| ()), Err(HeadFault::Interim));
    }

    #[test]
    fn names_ignore_case_repeats_keep_their_order_and_values_are_bytes() {
        let head = get(b"HTTP/1.1 200 \r\nX-A: 1\r\nx-a: 2\r\nX-B: \xff\xfe\r\nContent-Length: 0\r\n\r\n")
            .unwrap()
            .unwrap();
        let values: Vec<_> = head.headers.get_all("X-a").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [b"1", b"2"]);
        assert_eq!(head.headers["x-b"].as_bytes(), b"\xff\xfe");
    }

    #[test]
    fn malformed_heads_are_refused() {
        let cases: &[(&[u8], HeadFault)] = &[
            (b"SSH-2.0-OpenSSH_9.9\r\n", HeadFault::NotHttp),
            (b"\x15\x03\x01", HeadFault::NotHttp),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", HeadFault::NotHttp),
            (b"HTTP/2.0 200 OK\r\n\r\n", HeadFault::Version),
            (b"HTTP/1.7 200 OK\r\n\r\n", HeadFault::Version),
            (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", HeadFault::BareLf),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", HeadFault::BareLf),
            (b"HTTP/1.1 20x OK\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 200 OK\r\nnothing\r\n\r\n", HeadFault::Malformed),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HeadFault::Upgrade),
        ];
        for (input, fault) in cases {
            assert_eq!(
                get(input).map(|_| ()),
                Err(*fault),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn the_limits_of_a_head_are_exact() {
        let fields = |count: usize| format!("HTTP/1.1 204 No\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
        assert_eq!(
            read(Method::GET, &fields(100), usize::MAX)
                .unwrap()
                .unwrap()
                .0
                .headers
                .len(),
            100
        );
        assert_eq!(
            read(Method::GET, &fields(101), usize::MAX).map(|_| ()),
            Err(HeadFault::TooManyFields)
        );

        let sized = |bytes: usize| {
            let frame = "HTTP/1.1 204 No\r\nA: \r\n\r\n".len();
            format!("HTTP/1.1 204 No\r\nA: {}\r\n\r\n", "b".repeat(bytes - frame)).into_bytes()
        };
        assert_eq!(sized(MAX_HEAD).len(), MAX_HEAD);
        assert!(read(Method::GET, &sized(MAX_HEAD), 1000).unwrap().is_some());
        assert_eq!(
            read(Method::GET, &sized(MAX_HEAD + 1), 1000).map(|_| ()),
            Err(HeadFault::TooLarge)
        );
    }

    #[test]
    fn an_unfinished_head_asks_for_more() {
        for input in [
            b"".as_slice(),
            b"H",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n",
        ] {
            assert!(get(input).unwrap().is_none());
        }
    }

    #[test]
    fn a_request_head_is_written_as_given() {
        let mut headers = HeaderMap::new();
        headers.append("host", HeaderValue::from_static("h"));
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        let mut out = BytesMut::new();
        write_head(&Method::GET, "/a?b", &headers, &mut out);
        assert_eq!(
            out,
            b"GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n\r\n".as_slice()
        );
    }

    proptest! {
        #[test]
        fn a_mutated_head_has_one_reading_or_none(
            start in 0..HEADS.len(), at in 0_usize..120, replaced in 0_usize..3,
            with in prop_oneof![
                Just("\r".to_owned()), Just("\n".to_owned()), Just("\r\n".to_owned()), Just("\r\n\r\n".to_owned()),
                Just("Content-Length: 1\r\n".to_owned()), Just("Transfer-Encoding: chunked\r\n".to_owned()),
                Just(" ".to_owned()), Just("\t".to_owned()), Just(":".to_owned()), Just("0".to_owned()), any::<char>().prop_map(String::from)
            ],
        ) {
            let mut input = HEADS[start].as_bytes().to_vec();
            let at = at.min(input.len());
            let end = (at + replaced).min(input.len());
            input.splice(at..end, with.bytes());
            // It compares whole with bytewise reading itself.
            if let Ok(Some(head)) = get(&input) {
                let lengths = head.headers.get_all(CONTENT_LENGTH).iter().count();
                let codings = head.headers.get_all(TRANSFER_ENCODING).iter().count();
                let bodyless = head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304);
                prop_assert!(bodyless || lengths == 0 || codings == 0, "two framings: {head:?}");
            }
        }
    }

    const HEADS: [&str; 4] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ];
}
