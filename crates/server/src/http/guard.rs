//! The outermost layer: who may ask at all, and the headers of every answer.

use std::sync::Arc;

use annals_core::{Code, Report};
use annals_net_adapter::http::server::ReqCx;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Accepts, Problem};
use crate::app::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most bytes of a request's body.
const BODY_LIMIT: u64 = 1 << 20;

/// No inline code, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The id of a request: the client's if it is a plain word, else ours. In the extensions of every request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Checks the `Host`, names the request, and dresses the answer.
pub(crate) async fn guard(_: ReqCx, State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&state, request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let accepts = Accepts::of(request.uri().path(), request.headers());
    request.extensions_mut().insert(accepts);
    let report = refusal(&state, &request);
    let is_head = request.method() == Method::HEAD;
    let mut response = match report {
        Some(report) => Problem {
            report,
            instance: id.to_string(),
            accepts,
        }
        .into_response(),
        None => next.run(request).await,
    };
    if !is_head && response.status() == axum::http::StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(axum::http::header::ALLOW).cloned();
        let report = Report::new(Code::MethodNotAllowed, "this address can only be read");
        response = Problem {
            report,
            instance: id.to_string(),
            accepts,
        }
        .into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(axum::http::header::ALLOW, allow);
        }
    }
    dress(response.headers_mut(), &id);
    response
}

fn request_id(state: &AppState, headers: &HeaderMap) -> Arc<str> {
    let sent = headers.get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match sent.filter(is_plain) {
        Some(id) => id.into(),
        None => state.next_request_id().into(),
    }
}

/// A page that another site's name resolves to must not be readable by that site (DNS rebinding).
fn refusal(state: &AppState, request: &Request) -> Option<Report> {
    let named = request.uri().authority().cloned();
    let sent = || request.headers().get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let host = named.or_else(sent);
    let name = host.as_ref().map_or("", |h| h.host());
    if state.knows_host(name) {
        return too_large(request.headers());
    }
    let message = format!(
        "{:?} is not a name of this server",
        annals_core::text::visible_line(name)
    );
    Some(Report::new(Code::HostUnknown, message).with_suggestion("add it to `server.allowed_hosts`"))
}

/// No address reads a body; one over what any may have is not waited for.
fn too_large(headers: &HeaderMap) -> Option<Report> {
    let announced = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok()?;
    (announced > BODY_LIMIT).then(|| {
        let message = format!("the body has {announced} bytes; {BODY_LIMIT} are the limit");
        Report::new(Code::PayloadTooLarge, message).with_detail("limit", BODY_LIMIT)
    })
}

fn dress(headers: &mut HeaderMap, id: &str) {
    let fixed: [(HeaderName, &'static str); 6] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    headers.entry(VARY).or_insert(HeaderValue::from_static(
        "Accept, Accept-Encoding, Authorization, Cookie",
    ));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}
