//! What every answer has, whoever made it: one framing, a date, and the truth about the connection.

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, StatusCode, Version};
use http_body::Body as _;

use super::framing::Encoder;
use super::head::Persistence;
use super::outgoing::Outgoing;
use crate::UnixMs;

/// What an answer must know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// `HEAD`: the headers of `GET`, and no body.
    pub(crate) head_only: bool,
    pub(crate) version: Version,
    /// Whether the client wants, and may have, another answer after this one.
    pub(crate) persistence: Persistence,
}

impl Asked {
    /// For an answer to something that was no request.
    pub(crate) const NOTHING: Self = Self {
        head_only: false,
        version: Version::HTTP_11,
        persistence: Persistence::Close,
    };
}

/// An answer that is ready to be written.
pub(crate) struct Prepared {
    pub(crate) parts: Parts,
    pub(crate) body: Outgoing,
    pub(crate) encoder: Encoder,
    pub(crate) persistence: Persistence,
}

/// Give a handler's response its connection fields and exactly one framing. What the handler said about either is dropped,
/// but `Connection: close`, and a `Content-Length` for a body whose length nobody else knows.
pub(crate) fn prepare(response: Response, asked: Asked, wished: Persistence, date: HeaderValue) -> Prepared {
    let (mut parts, mut body) = response.into_parts();
    if parts.status.is_informational() {
        tracing::error!(status = %parts.status, "a handler answered with an interim status");
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        body = Body::empty();
    }
    let headers = &mut parts.headers;
    let mut persistence = wished;
    if headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    {
        persistence = Persistence::Close;
    }
    let upgrade = headers
        .remove(UPGRADE)
        .filter(|_| parts.status == StatusCode::UPGRADE_REQUIRED);
    for name in [CONNECTION, TRANSFER_ENCODING, KEEP_ALIVE, PROXY_CONNECTION] {
        headers.remove(name);
    }
    let declared = declared_length(parts.status, headers.get_all(CONTENT_LENGTH).iter());
    headers.remove(CONTENT_LENGTH);
    let encoder = if matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        body = Body::empty();
        Encoder::Nothing
    } else {
        let exact = body.size_hint().exact();
        if asked.head_only {
            // axum took the body away but left its length in the header.
            if let Some(length) = declared.or(exact.filter(|bytes| *bytes > 0)) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            body = Body::empty();
            Encoder::Nothing
        } else if let Some(length) = exact.or(declared) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            Encoder::Length(length)
        } else if asked.version == Version::HTTP_10 {
            persistence = Persistence::Close;
            Encoder::UntilClose
        } else {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            Encoder::Chunked
        }
    };
    let connection = match (persistence, asked.version, upgrade.is_some()) {
        (Persistence::Close, _, false) => Some("close"),
        (Persistence::Close, _, true) => Some("close, upgrade"),
        (Persistence::Keep, Version::HTTP_10, _) => Some("keep-alive"),
        (Persistence::Keep, _, true) => Some("upgrade"),
        (Persistence::Keep, _, false) => None,
    };
    if let Some(connection) = connection {
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
    }
    if let Some(upgrade) = upgrade {
        // RFC 9110 §15.5.22: a 426 says what is required.
        headers.insert(UPGRADE, upgrade);
    }
    headers.insert(DATE, date);
    parts.version = asked.version;
    Prepared {
        parts,
        body: Outgoing::new(body, encoder),
        encoder,
        persistence,
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

fn declared_length<'a>(status: StatusCode, mut values: impl Iterator<Item = &'a HeaderValue>) -> Option<u64> {
    match (values.next(), values.next()) {
        (Some(value), None) if status != StatusCode::NO_CONTENT => value.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// The status line and the fields, as our own loop writes them.
pub(crate) fn write_head(parts: &Parts, out: &mut BytesMut) {
    let version: &[u8] = if parts.version == Version::HTTP_10 {
        b"HTTP/1.0 "
    } else {
        b"HTTP/1.1 "
    };
    out.put_slice(version);
    out.put_slice(parts.status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(parts.status.canonical_reason().unwrap_or("Status").as_bytes());
    out.put_slice(b"\r\n");
    // A `HeaderValue` holds no CR and no LF by construction: a field cannot become two.
    for (name, value) in &parts.headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// The `Date` field, written once a second.
#[derive(Debug)]
pub(crate) struct DateClock {
    second: i64,
    value: HeaderValue,
}

impl DateClock {
    pub(crate) fn new() -> Self {
        Self {
            second: i64::MIN,
            value: HeaderValue::from_static(""),
        }
    }

    pub(crate) fn at(&mut self, now: UnixMs) -> HeaderValue {
        let second = now.0.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.value = HeaderValue::from_str(&imf_fixdate(second)).unwrap_or(HeaderValue::from_static(""));
        }
        self.value.clone()
    }
}

/// RFC 9110 §5.6.7, e.g. `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(unix_second: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let (day, second) = (unix_second.div_euclid(86_400), unix_second.rem_euclid(86_400));
    // The civil calendar from a day count, with years that begin in March so that the leap day comes last.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month >= 10);
    let name = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at)).copied();
    format!(
        "{}, {of_month:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, day.rem_euclid(7)).unwrap_or_default(),
        name(&MONTHS, month).unwrap_or_default(),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    const GET: Asked = Asked {
        head_only: false,
        version: Version::HTTP_11,
        persistence: Persistence::Keep,
    };

    fn text(response: Response, asked: Asked, wished: Persistence) -> (String, Encoder, Persistence) {
        let prepared = prepare(response, asked, wished, HeaderValue::from_static("now"));
        let mut out = BytesMut::new();
        write_head(&prepared.parts, &mut out);
        (
            String::from_utf8(out.to_vec()).unwrap(),
            prepared.encoder,
            prepared.persistence,
        )
    }

    fn stream() -> Body {
        Body::from_stream(futures_util::stream::iter([Ok::<_, std::convert::Infallible>("abc")]))
    }

    #[test]
    fn h24_every_answer_has_exactly_one_framing() {
        let old = Asked {
            version: Version::HTTP_10,
            ..GET
        };
        let head = Asked { head_only: true, ..GET };
        let lying = || ([("content-length", "7"), ("transfer-encoding", "gzip")], "abc").into_response();
        let cases: [(Response, Asked, &str, Encoder); 8] = [
            ("abc".into_response(), GET, "content-length: 3\r\n", Encoder::Length(3)),
            (lying(), GET, "content-length: 3\r\n", Encoder::Length(3)),
            (
                Response::new(stream()),
                GET,
                "transfer-encoding: chunked\r\n",
                Encoder::Chunked,
            ),
            (Response::new(stream()), old, "", Encoder::UntilClose),
            (
                ([("content-length", "3")], stream()).into_response(),
                GET,
                "content-length: 3\r\n",
                Encoder::Length(3),
            ),
            (
                ([("content-length", "3")], Body::empty()).into_response(),
                head,
                "content-length: 3\r\n",
                Encoder::Nothing,
            ),
            (
                (StatusCode::NO_CONTENT, "abc").into_response(),
                GET,
                "",
                Encoder::Nothing,
            ),
            (
                (StatusCode::NOT_MODIFIED, "abc").into_response(),
                GET,
                "",
                Encoder::Nothing,
            ),
        ];
        for (number, (response, asked, framing, encoder)) in cases.into_iter().enumerate() {
            let (written, used, _) = text(response, asked, Persistence::Keep);
            let lines: String = written
                .split_inclusive("\r\n")
                .filter(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding"))
                .collect();
            assert_eq!((lines.as_str(), used), (framing, encoder), "case {number}: {written}");
            assert!(written.contains("date: now\r\n") && written.ends_with("\r\n\r\n"));
        }
    }

    #[test]
    fn h02_the_answer_says_what_becomes_of_the_connection() {
        let old = Asked {
            version: Version::HTTP_10,
            ..GET
        };
        let kept = text("x".into_response(), GET, Persistence::Keep).0;
        assert!(
            kept.starts_with("HTTP/1.1 200 OK\r\n") && !kept.contains("connection"),
            "{kept}"
        );
        assert!(
            text("x".into_response(), GET, Persistence::Close)
                .0
                .contains("connection: close\r\n")
        );
        let kept = text("x".into_response(), old, Persistence::Keep).0;
        assert!(
            kept.starts_with("HTTP/1.0 200 OK\r\n") && kept.contains("connection: keep-alive\r\n"),
            "{kept}"
        );
        let (closed, _, persistence) = text(([("connection", "close")], "x").into_response(), GET, Persistence::Keep);
        assert!(closed.contains("connection: close\r\n") && persistence == Persistence::Close);
        let (until_close, _, persistence) = text(Response::new(stream()), old, Persistence::Keep);
        assert!(until_close.contains("connection: close\r\n") && persistence == Persistence::Close);
    }

    #[test]
    fn an_interim_status_from_a_handler_is_a_bug_not_an_answer() {
        assert!(
            text(StatusCode::CONTINUE.into_response(), GET, Persistence::Keep)
                .0
                .starts_with("HTTP/1.1 500 ")
        );
    }

    #[test]
    fn dates_are_those_of_the_rfc() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
        ] {
            assert_eq!(imf_fixdate(second), text);
        }
        let mut clock = DateClock::new();
        assert_eq!(clock.at(UnixMs(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(clock.at(UnixMs(784_111_778_000)), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
