//! The pages: rendered here, readable without JavaScript, with nothing from another origin.

mod assets;
mod entity_page;
mod layout;
mod markdown;
mod search_page;
mod snippet;

use annals_core::EntityKind;
use annals_search::answer::Hit;
use axum::Router;
use axum::routing::get;

use crate::app::AppState;

pub(crate) use layout::problem_page;

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(search_page::search))
        .route("/p/{project}/issues/{iid}", get(entity_page::issue))
        .route("/p/{project}/merge-requests/{iid}", get(entity_page::merge_request))
        .route(&assets::STYLE_PATH, get(assets::style))
}

/// The page of a hit's entity: by the project's row, as its path may be that of several.
fn entity_href(hit: &Hit) -> Option<String> {
    let (kind, iid) = hit.entity?;
    let kind = match kind {
        EntityKind::Issue => "issues",
        EntityKind::MergeRequest => "merge-requests",
    };
    Some(format!("/p/{}/{kind}/{iid}", hit.project_id.0))
}
