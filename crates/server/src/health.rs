//! Is it alive, and can it answer?

use annals_core::{Code, Report};
use annals_net_adapter::Stage;
use annals_net_adapter::http::server::ReqCx;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::AppState;
use crate::http::address::Address;
use crate::http::problem::Told;

/// The process answers; it asks nothing of anybody else.
pub(crate) async fn live(_: ReqCx, _: Address<()>) -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// It can do its work: it is not draining and the store can be read.
pub(crate) async fn ready(ReqCx(cx): ReqCx, State(state): State<AppState>, _: Address<()>, told: Told) -> Response {
    if cx.shutdown().stage() != Stage::Running {
        let report = Report::new(Code::NotReady, "the server is draining").with_retry_after_ms(1000);
        return told.problem(report).into_response();
    }
    match state.db().read(&cx, |conn| annals_db::read::content_seq(conn)).await {
        Ok(content_seq) => Json(json!({"status": "ready", "content_seq": content_seq})).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}
