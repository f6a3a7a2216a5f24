//! The head of an HTTP/1.1 request: read strictly, or refused.
//!
//! Promise: a head that is accepted has exactly one reading. Whatever two parsers in a row could understand differently
//! (framing given twice, bare line feeds, folded fields, odd spaces) is a [`Refusal`], and a refusal closes the connection.
//! The same code stands in our own loop, in the gate before hyper and in the simulators of `testkit`.

mod line;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use self::line::{Progress, RequestLine};
use super::framing::BodyLength;
use super::refusal::Refusal;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, the empty line at its end included (default 64 KiB).
    pub head_bytes: usize,
    /// Header fields (default 100).
    pub fields: usize,
    /// Bytes of the request target (default 8 KiB).
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
        }
    }
}

/// What may follow on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Another request may follow.
    Keep,
    /// The client asked for the end after this answer, or speaks HTTP/1.0 and did not ask for more.
    Close,
}

impl Persistence {
    /// Keep only if both say so.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keep, Self::Keep) => Self::Keep,
            (Self::Close, _) | (_, Self::Close) => Self::Close,
        }
    }
}

/// A request head that has one reading.
#[derive(Debug)]
pub struct RequestHead {
    /// The method; never `CONNECT`.
    pub method: Method,
    /// Path and query. The authority of an absolute target has become the `Host` field.
    pub target: Uri,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All fields, in order, values as bytes.
    pub headers: HeaderMap,
    /// How the body is delimited.
    pub body: BodyLength,
    /// Whether the client wants to send more after this.
    pub persistence: Persistence,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl RequestHead {
    /// The head as a request, with `body` as its body.
    pub fn into_request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Reads one head from bytes that arrive in pieces. Each byte is looked at once, however small the pieces are.
#[derive(Debug)]
pub struct HeadReader {
    limits: HeadLimits,
    /// Bytes already looked at.
    at: usize,
    line_start: usize,
    after_cr: bool,
    skipped_blank: bool,
    progress: Progress,
    line: Option<RequestLine>,
    fields_start: usize,
    fields: usize,
}

impl HeadReader {
    /// A reader at the start of a head.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            at: 0,
            line_start: 0,
            after_cr: false,
            skipped_blank: false,
            progress: Progress::default(),
            line: None,
            fields_start: 0,
            fields: 0,
        }
    }

    /// Look at what has arrived. `buf` holds everything since the head began; only `read` may take bytes from its front.
    /// A complete head is taken out of `buf`, what follows it stays, and the reader is at the start of the next head.
    ///
    /// # Errors
    /// The refusal that must be answered, after which the connection ends.
    pub fn read(&mut self, buf: &mut BytesMut) -> Result<Option<RequestHead>, Refusal> {
        while let Some(&byte) = buf.get(self.at) {
            if self.at >= self.limits.head_bytes {
                return Err(Refusal::HeadTooLarge("the request head is too large"));
            }
            self.at += 1;
            match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    let end = self.at - 2;
                    if self.end_of_line(buf, end)? {
                        return self.take(buf).map(Some);
                    }
                    self.line_start = self.at;
                }
                _ if self.after_cr => return Err(Refusal::BadRequest("a carriage return without a line feed")),
                b'\r' => self.after_cr = true,
                b'\n' => return Err(Refusal::BadRequest("a line feed without a carriage return")),
                b'\t' => {}
                0..=31 | 127 => return Err(Refusal::BadRequest("a control character in the request head")),
                _ => {}
            }
            if self.line.is_none() && !matches!(byte, b'\r' | b'\n') {
                // Judged byte by byte, so that the refusal does not depend on how the bytes came.
                self.progress.push(byte, self.limits.target_bytes)?;
            }
        }
        Ok(None)
    }

    /// True while no byte of a head has been seen.
    #[must_use]
    pub fn is_at_start(&self) -> bool {
        self.at == 0
    }

    /// One line is complete, it ends before `end`; true if it was the empty line that ends the head.
    fn end_of_line(&mut self, buf: &[u8], end: usize) -> Result<bool, Refusal> {
        let text = buf.get(self.line_start..end).unwrap_or_default();
        if self.line.is_none() {
            if text.is_empty() {
                // RFC 9112 §2.2: one empty line may precede a request, for the sake of old clients.
                if self.skipped_blank {
                    return Err(Refusal::BadRequest("empty lines before the request line"));
                }
                self.skipped_blank = true;
                return Ok(false);
            }
            self.line = Some(RequestLine::parse(text, self.line_start)?);
            self.fields_start = self.at;
            return Ok(false);
        }
        if text.is_empty() {
            return Ok(true);
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            return Err(Refusal::BadRequest("a folded header field"));
        }
        self.fields += 1;
        if self.fields > self.limits.fields {
            return Err(Refusal::HeadTooLarge("too many header fields"));
        }
        Ok(false)
    }

    /// The head is complete: take it out of `buf` and give it a meaning.
    fn take(&mut self, buf: &mut BytesMut) -> Result<RequestHead, Refusal> {
        let head = buf.split_to(self.at).freeze();
        let done = std::mem::replace(self, Self::new(self.limits));
        // `end_of_line` ends a head only after its request line.
        let line = done.line.ok_or(Refusal::BadRequest("no request line"))?;
        let headers = fields(&head, done.fields_start, done.fields)?;
        assemble(&head, &line, headers)
    }
}

/// The header fields of a complete head. httparse judges names and values; the line structure was checked before.
fn fields(head: &Bytes, start: usize, count: usize) -> Result<HeaderMap, Refusal> {
    const ON_STACK: usize = 32;
    let block = head.get(start..).unwrap_or_default();
    let mut few = [httparse::EMPTY_HEADER; ON_STACK];
    let mut many = Vec::new();
    let room: &mut [httparse::Header<'_>] = if count <= ON_STACK {
        &mut few
    } else {
        many.resize(count, httparse::EMPTY_HEADER);
        &mut many
    };
    let parsed = match httparse::parse_headers(block, room) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Ok(httparse::Status::Partial) => return Err(Refusal::BadRequest("a header field that does not end")),
        Err(httparse::Error::HeaderName) => return Err(Refusal::BadRequest("a malformed header field name")),
        Err(httparse::Error::HeaderValue) => return Err(Refusal::BadRequest("a malformed header field value")),
        Err(_) => return Err(Refusal::BadRequest("malformed header fields")),
    };
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        if field.name.eq_ignore_ascii_case("transfer-encoding") && !spaced_plainly(head, field.value) {
            return Err(Refusal::BadRequest("odd spaces around the transfer coding"));
        }
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Refusal::BadRequest("a malformed header field name"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| Refusal::BadRequest("a malformed header field value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// True if nothing, or one space, stands between the colon and `value`, and nothing after it. Parsers have disagreed about
/// other white space around a transfer coding, and no client needs it.
fn spaced_plainly(head: &[u8], value: &[u8]) -> bool {
    let Some(start) = (value.as_ptr() as usize).checked_sub(head.as_ptr() as usize) else {
        return false;
    };
    let before = head.get(..start).unwrap_or_default();
    let after = head.get(start + value.len()..).unwrap_or_default();
    (before.ends_with(b":") || before.ends_with(b": ")) && after.starts_with(b"\r\n")
}

fn assemble(head: &Bytes, line: &RequestLine, mut headers: HeaderMap) -> Result<RequestHead, Refusal> {
    let old = line.version == Version::HTTP_10;
    check_host(&headers, line.version)?;
    let body = body_length(&headers, line.version)?;
    let (target, authority) = line.target(head)?;
    if let Some(authority) = authority {
        // RFC 9112 §3.2.2: the authority of an absolute target replaces whatever `Host` said.
        headers.insert(HOST, authority);
    }
    let expects_continue = match headers.get(EXPECT) {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            if headers.get_all(EXPECT).iter().count() > 1 {
                return Err(Refusal::ExpectationFailed);
            }
            !old && body != BodyLength::Known(0)
        }
        Some(_) => return Err(Refusal::ExpectationFailed),
        None => false,
    };
    let persistence = match (mentions(&headers, b"close"), mentions(&headers, b"keep-alive"), old) {
        (true, _, _) | (false, false, true) => Persistence::Close,
        (false, _, false) | (false, true, true) => Persistence::Keep,
    };
    Ok(RequestHead {
        method: line.method.clone(),
        target,
        version: line.version,
        headers,
        body,
        persistence,
        expects_continue,
    })
}

/// True if the `Connection` list holds `option`.
fn mentions(headers: &HeaderMap, option: &[u8]) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(option))
}

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Refusal::BadRequest("more than one Host field")),
        (Some(host), None) if line::is_authority(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(Refusal::BadRequest("a malformed Host field")),
        (None, None) if version == Version::HTTP_10 => Ok(()),
        (None, None) => Err(Refusal::BadRequest("no Host field")),
    }
}

/// How the body ends: by exactly one rule, or the request is refused (request smuggling lives where two rules meet).
fn body_length(headers: &HeaderMap, version: Version) -> Result<BodyLength, Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (None, _, None, _) => Ok(BodyLength::Known(0)),
        (Some(_), _, Some(_), _) => Err(Refusal::BadRequest("both Content-Length and Transfer-Encoding")),
        (_, Some(_), _, _) => Err(Refusal::BadRequest("more than one Content-Length")),
        (_, _, _, Some(_)) => Err(Refusal::BadRequest("more than one Transfer-Encoding")),
        (Some(length), None, None, _) => decimal(length.as_bytes())
            .map(BodyLength::Known)
            .ok_or(Refusal::BadRequest("a malformed Content-Length")),
        (None, _, Some(_), None) if version == Version::HTTP_10 => {
            Err(Refusal::BadRequest("Transfer-Encoding in HTTP/1.0"))
        }
        (None, _, Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
        (None, _, Some(_), None) => Err(Refusal::BadRequest("a transfer coding other than chunked")),
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
