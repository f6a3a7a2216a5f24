//! Failures as answers: a problem document for programs (RFC 9457), a page for people.

use std::convert::Infallible;

use annals_core::{Code, Report};
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::guard::RequestId;
use crate::web;

/// What the client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    Html,
    Json,
}

impl Accepts {
    /// The API answers programs; pages answer whoever asks for HTML.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        let asks_for_html = || {
            headers
                .get(ACCEPT)
                .and_then(|v| v.to_str().ok())
                .is_some_and(|v| v.contains("text/html"))
        };
        if !is_api(path) && asks_for_html() {
            Self::Html
        } else {
            Self::Json
        }
    }
}

/// Whether an address is one of the API.
fn is_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// Where a failure is told: the request's id, and in which form.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    instance: String,
    accepts: Accepts,
}

impl Told {
    /// The answer that tells `report`.
    pub(crate) fn problem(&self, report: Report) -> Problem {
        Problem {
            report,
            instance: self.instance.clone(),
            accepts: self.accepts,
        }
    }

    /// The answer for an error that is not the caller's: its causes go to the log, under the request's id.
    pub(crate) fn failure<E: annals_core::Coded>(&self, error: &E) -> Problem {
        let report = error.report();
        if report.code.http_status().is_none_or(|s| s >= 500) {
            tracing::error!(request = %self.instance, error = %error, "request failed");
        }
        self.problem(report)
    }
}

impl<S: Sync> FromRequestParts<S> for Told {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Told {
    /// What the guard noted of a request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let instance = parts
            .extensions
            .get::<RequestId>()
            .map(|id| id.0.to_string())
            .unwrap_or_default();
        let accepts = parts.extensions.get::<Accepts>().copied().unwrap_or(Accepts::Json);
        Self { instance, accepts }
    }
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) report: Report,
    pub(crate) instance: String,
    pub(crate) accepts: Accepts,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = self.report.problem(self.instance);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self.accepts {
            Accepts::Html => (status, web::problem_page(&problem)).into_response(),
            Accepts::Json => {
                let body = serde_json::to_vec(&problem).unwrap_or_default();
                let mut response = (status, body).into_response();
                let kind = HeaderValue::from_static("application/problem+json");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
        };
        if status == StatusCode::SERVICE_UNAVAILABLE || problem.retry_after_ms.is_some() {
            let seconds = problem.retry_after_ms.unwrap_or(1000).div_ceil(1000);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What answers when no route does.
pub(crate) async fn no_such_route(told: Told) -> Problem {
    let report = Report::new(Code::NotFound, "there is nothing at this address");
    told.problem(report.with_suggestion("/v1/projects"))
}
