//! `GET /v1/search`, and the reading of a search that the page shares.

use annals_core::{Coded, ProjectId, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::read::Visibility;
use annals_net_adapter::Cx;
use annals_net_adapter::http::server::ReqCx;
use annals_search::answer::{Facet, SearchRequest};
use annals_search::{SearchResults, query};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Envelope, Located, locate};
use crate::app::AppState;
use crate::http::address::{self, Address};
use crate::http::params::{Params, usage};
use crate::http::problem::Told;

/// Parameters that stand for the query language's filter of the same name.
pub(crate) const FILTERS: [&str; 7] = ["kind", "state", "author", "label", "path", "after", "before"];

/// The parameters of a search.
pub(super) struct Known;

impl address::Known for Known {
    const NAMES: &'static [&'static str] = &[
        "q", "project", "kind", "state", "author", "label", "path", "after", "before", "facets", "limit", "offset",
    ];
}

pub(super) async fn search(
    ReqCx(cx): ReqCx,
    State(state): State<AppState>,
    Address { params, .. }: Address<(), Known>,
    told: Told,
) -> Response {
    let started = cx.now();
    let request = match read(&cx, &state, &params).await {
        Ok(Ok(request)) => request,
        Ok(Err(report)) => return told.problem(report).into_response(),
        Err(error) => return told.failure(&error).into_response(),
    };
    match annals_search::run(&cx, state.db(), &request).await {
        Ok(results) => answer(&request, &results, cx.now().since(started)),
        Err(error) => told.failure(&error).into_response(),
    }
}

/// A search from its parameters; inside, why there is none.
pub(crate) async fn read(
    cx: &Cx,
    state: &AppState,
    params: &Params,
) -> Result<Result<SearchRequest, Report>, annals_db::Error> {
    let mut request = match asked(state, params, cx.unix_ms()) {
        Ok(request) => request,
        Err(report) => return Ok(Err(report)),
    };
    let Some(called) = params.get("project").map(str::to_owned) else {
        return Ok(Ok(request));
    };
    let visibility = state.visibility();
    let found = state.db().read(cx, move |conn| projects(conn, &visibility, &called));
    Ok(found.await?.map(|projects| {
        request.projects = projects;
        request
    }))
}

/// The projects that are called so; commas mean any.
fn projects(
    conn: &ReadConn<'_>,
    visibility: &Visibility,
    called: &str,
) -> Result<Result<Vec<ProjectId>, Report>, annals_db::Error> {
    let mut projects = Vec::new();
    for name in called.split(',') {
        match locate(conn, visibility, name)? {
            Located::One(project) => projects.push(project.id),
            Located::Not(report) => return Ok(Err(report)),
        }
    }
    Ok(Ok(projects))
}

fn asked(state: &AppState, params: &Params, now: UnixMs) -> Result<SearchRequest, Report> {
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
