//! Why a request is turned away before any handler saw it, and the one answer that says so.
//!
//! A refusal always closes the connection: after a head that could not be trusted nobody knows where the next one begins.

use http::{StatusCode, header};

/// A request that is answered by the server itself. Every refusal closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head breaks the grammar, or could be read in two ways.
    BadRequest(&'static str),
    /// The head did not arrive in time.
    Timeout,
    /// The request target is longer than allowed.
    TargetTooLong,
    /// The head has too many bytes or too many fields.
    HeadTooLarge(&'static str),
    /// `CONNECT`, or the asterisk form: this server has nothing to say to either.
    MethodNotAllowed(&'static str),
    /// A version of HTTP other than 1.0 and 1.1.
    VersionNotSupported,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// The peer has as many connections as it may have.
    TooManyConnections,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionNotSupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What was wrong, for the body of the answer and for logs. Never holds bytes of the request.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::BadRequest(why) | Self::HeadTooLarge(why) | Self::MethodNotAllowed(why) => why,
            Self::Timeout => "the request head did not arrive in time",
            Self::TargetTooLong => "the request target is too long",
            Self::VersionNotSupported => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            Self::ExpectationFailed => "the only expectation met here is 100-continue",
            Self::TooManyConnections => "too many connections from this address",
        }
    }

    /// The answer, without the fields every answer gets (`Date`, framing, `Connection`).
    #[must_use]
    pub fn response(self) -> http::Response<String> {
        let status = self.status();
        plain(status, self.why())
    }
}

/// A plain-text answer of the server itself.
pub(crate) fn plain(status: StatusCode, why: &str) -> http::Response<String> {
    let mut response = http::Response::new(format!("{status}: {why}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 §15.5.6 wants the field; an empty list says that nothing is allowed on this target.
        headers.insert(header::ALLOW, http::HeaderValue::from_static(""));
    }
    response
}
