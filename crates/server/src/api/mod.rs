//! The API: one file per resource, one shape of answer.

pub(crate) mod entities;
mod projects;
pub(crate) mod search;

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::AppState;
use crate::http::accept;

pub(crate) use projects::{Located, locate, qualified};

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/projects", get(projects::list))
        .route("/projects/{project}", get(projects::one))
        .route("/projects/{project}/issues", get(entities::issues))
        .route("/projects/{project}/issues/{iid}", get(entities::issue))
        .route(
            "/projects/{project}/issues/{iid}/discussions",
            get(entities::issue_discussions),
        )
        .route("/projects/{project}/merge-requests", get(entities::merge_requests))
        .route("/projects/{project}/merge-requests/{iid}", get(entities::merge_request))
        .route(
            "/projects/{project}/merge-requests/{iid}/discussions",
            get(entities::merge_request_discussions),
        )
        .route("/search", get(search::search))
        .route_layer(middleware::from_fn(accept::json))
}

/// A successful answer: `{"data": …, "page"?: …, "meta": {…}}`.
pub(crate) struct Envelope {
    data: Value,
    page: Option<Value>,
    meta: Map<String, Value>,
}

impl Envelope {
    pub(crate) fn new(data: &impl Serialize, elapsed: Duration) -> Self {
        let mut meta = Map::new();
        meta.insert("elapsed_ms".into(), json!(elapsed.as_millis()));
        meta.insert("warnings".into(), json!([]));
        Self {
            data: serde_json::to_value(data).unwrap_or(Value::Null),
            page: None,
            meta,
        }
    }

    pub(crate) fn warnings(self, warnings: &[String]) -> Self {
        self.meta("warnings", json!(warnings))
    }

    pub(crate) fn meta(mut self, name: &str, value: Value) -> Self {
        self.meta.insert(name.into(), value);
        self
    }

    pub(crate) fn page(mut self, page: Value) -> Self {
        self.page = Some(page);
        self
    }
}

impl IntoResponse for Envelope {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("data".into(), self.data);
        if let Some(page) = self.page {
            body.insert("page".into(), page);
        }
        body.insert("meta".into(), Value::Object(self.meta));
        Json(Value::Object(body)).into_response()
    }
}
