//! The pages: rendered here, readable without JavaScript, with nothing from another origin.

mod assets;
mod entity_page;
mod layout;
mod markdown;
mod search_page;
mod snippet;

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

/// The page of an entity: `group/app#12`, `group/app!7`.
fn entity_href(reference: &str) -> Option<String> {
    let (path, kind, iid) = match reference.rsplit_once('#') {
        Some((path, iid)) => (path, "issues", iid),
        None => {
            let (path, iid) = reference.rsplit_once('!')?;
            (path, "merge-requests", iid)
        }
    };
    Some(format!("/p/{}/{kind}/{iid}", segment(path)))
}

/// A path as one segment of another.
fn segment(path: &str) -> String {
    form_urlencoded::byte_serialize(path.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::entity_href;

    #[test]
    fn a_reference_leads_to_its_page() {
        assert_eq!(entity_href("group/app#12").as_deref(), Some("/p/group%2Fapp/issues/12"));
        assert_eq!(entity_href("a b/c!7").as_deref(), Some("/p/a%20b%2Fc/merge-requests/7"));
        assert_eq!(entity_href("no reference"), None);
    }
}
