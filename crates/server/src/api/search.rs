//! `GET /v1/search`, and the reading of a search that the page shares.

use annals_core::{Coded, Report, UnixMs};
use annals_net_adapter::http::server::ReqCx;
use annals_search::answer::{Facet, SearchRequest};
use annals_search::{SearchResults, query};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Envelope;
use crate::app::AppState;
use crate::http::params::{Params, usage};
use crate::http::problem::Told;

/// Parameters that stand for the query language's filter of the same name.
pub(crate) const FILTERS: [&str; 8] = ["project", "kind", "state", "author", "label", "path", "after", "before"];

const KNOWN: [&str; 12] = [
    "q", "project", "kind", "state", "author", "label", "path", "after", "before", "facets", "limit", "offset",
];

pub(super) async fn search(
    ReqCx(cx): ReqCx,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
    told: Told,
) -> Response {
    let started = cx.now();
    let request = match Params::read(raw.as_deref(), &KNOWN).and_then(|params| read(&state, &params, cx.unix_ms())) {
        Ok(request) => request,
        Err(report) => return told.problem(report).into_response(),
    };
    match annals_search::run(&cx, state.db(), &request).await {
        Ok(results) => answer(&request, &results, cx.now().since(started)),
        Err(error) => told.failure(&error).into_response(),
    }
}

/// A search from its parameters.
pub(crate) fn read(state: &AppState, params: &Params, now: UnixMs) -> Result<SearchRequest, Report> {
    let mut request = SearchRequest::new(params.get("q").unwrap_or_default(), now);
    for key in FILTERS {
        let Some(value) = params.get(key) else { continue };
        request
            .filters
            .extend(query::filter(key, value, now).map_err(|e| annals_search::Error::from(e).report())?);
    }
    for name in params
        .get("facets")
        .unwrap_or_default()
        .split(',')
        .filter(|n| !n.is_empty())
    {
        let known = || Facet::ALL.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
        let facet = Facet::of(name).ok_or_else(|| usage(format!("unknown facet {name:?}; there are {}", known())))?;
        if !request.facets.contains(&facet) {
            request.facets.push(facet);
        }
    }
    request.limit = usize::try_from(params.limit()?).unwrap_or(usize::MAX);
    request.offset = usize::try_from(params.offset()?).unwrap_or(usize::MAX);
    request.visibility = state.visibility();
    Ok(request)
}

fn answer(request: &SearchRequest, results: &SearchResults, elapsed: std::time::Duration) -> Response {
    Envelope::new(results, elapsed)
        .warnings(&results.warnings)
        .meta("mode", json!(results.mode))
        .meta("stale", json!(results.stale))
        .page(json!({
            "total": results.total,
            "limit": request.limit,
            "offset": request.offset,
            "next_offset": results.next_offset,
        }))
        .into_response()
}
