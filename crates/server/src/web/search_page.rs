//! `/`: a form, its hits, and what else they could be narrowed by.

use annals_core::text::visible_line;
use annals_core::time::relative;
use annals_core::{Code, Report, UnixMs};
use annals_db::read::ProjectRow;
use annals_net_adapter::http::append_query_params;
use annals_net_adapter::http::server::ReqCx;
use annals_search::answer::{Facet, Hit, SearchRequest};
use annals_search::{Error, SearchResults};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::layout::page;
use super::{entity_href, snippet};
use crate::api;
use crate::app::AppState;
use crate::http::address::{self, Address};
use crate::http::params::Params;
use crate::http::problem::Told;

const KNOWN: [&str; 11] = [
    "q", "project", "kind", "state", "author", "label", "path", "after", "before", "limit", "offset",
];

/// The parameters of the page.
pub(super) struct Known;

impl address::Known for Known {
    const NAMES: &'static [&'static str] = &KNOWN;
}

/// Hits on a page.
const HITS: usize = 20;

pub(super) async fn search(
    ReqCx(cx): ReqCx,
    State(state): State<AppState>,
    Address { params, .. }: Address<(), Known>,
    told: Told,
) -> Response {
    let now = cx.unix_ms();
    let request = match api::search::read(&cx, &state, &params).await {
        Ok(request) => request,
        Err(error) => return told.failure(&error).into_response(),
    };
    let request = request.map(|mut request| {
        request.facets = vec![Facet::Kind, Facet::State, Facet::Label, Facet::Author];
        request.limit = if params.get("limit").is_some() {
            request.limit
        } else {
            HITS
        };
        request
    });
    let found = match request {
        // A wrong value of a filter is shown in the form it came from.
        Err(report) if report.code == Code::QueryInvalid => Found::Invalid(report),
        Err(report) => return told.problem(report).into_response(),
        Ok(request) => match annals_search::run(&cx, state.db(), &request).await {
            Ok(results) => Found::Results(Box::new((request, results))),
            Err(error @ Error::Query(_)) => Found::Invalid(annals_core::Coded::report(&error)),
            Err(error) => return told.failure(&error).into_response(),
        },
    };
    let visibility = state.visibility();
    let projects = state
        .db()
        .read(&cx, move |conn| annals_db::read::projects(conn, &visibility))
        .await;
    match projects {
        Ok(projects) => render(&params, &found, &projects, now).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

enum Found {
    Results(Box<(SearchRequest, SearchResults)>),
    Invalid(Report),
}

fn render(params: &Params, found: &Found, projects: &[ProjectRow], now: UnixMs) -> Markup {
    let query = params.get("q").unwrap_or_default();
    let title = if query.is_empty() {
        "Search".to_owned()
    } else {
        format!("{query} · Search")
    };
    let body = html! {
        h1 { "Search" }
        (form(params, projects))
        @match found {
            Found::Invalid(report) => {
                p.banner role="alert" { (report.message) }
                @for action in &report.actions { p.soft { "On the command line: " code { (action) } } }
            }
            Found::Results(answer) => (results(params, &answer.0, &answer.1, now)),
        }
    };
    page(&title, &body)
}

fn form(params: &Params, projects: &[ProjectRow]) -> Markup {
    let value = |name| params.get(name).unwrap_or_default();
    html! {
        form.search role="search" action="/" method="get" {
            label.wide { "Words, \"a phrase\", label:bug, -word"
                input type="search" name="q" value=(value("q")) autofocus maxlength="1024";
            }
            // What has no field of its own is kept too.
            @for name in ["path", "before", "limit"] {
                @if let Some(value) = params.get(name) { input type="hidden" name=(name) value=(value); }
            }
            div.row {
                @if projects.len() > 1 {
                    label { "Project" select name="project" {
                        option value="" { "any" }
                        @for project in projects {
                            @let name = called(project, projects);
                            @let chosen = [name.as_str(), &project.name.id.0.to_string()].contains(&value("project"));
                            option value=(name) selected[chosen] { (visible_line(&name)) }
                        }
                    } }
                }
                (choice("kind", "Kind", &[("issue", "issues"), ("mr", "merge requests"), ("discussion", "discussions")], value("kind")))
                (choice("state", "State", &[("open", "open"), ("closed", "closed"), ("merged", "merged")], value("state")))
                label { "Label" input name="label" value=(value("label")) size="12"; }
                label { "Author" input name="author" value=(value("author")) size="12"; }
                label { "Changed since" input name="after" value=(value("after")) size="12" placeholder="2026-01-31, 7d"; }
                button type="submit" { "Search" }
            }
        }
    }
}

/// What names one project of these: its path, with the host if another has the same one.
fn called(project: &ProjectRow, projects: &[ProjectRow]) -> String {
    let name = &project.name;
    let same = |other: &&ProjectRow| annals_core::text::fold(&other.name.path) == annals_core::text::fold(&name.path);
    if projects.iter().filter(same).count() > 1 {
        api::qualified(name)
    } else {
        name.path.clone()
    }
}

fn choice(name: &str, label: &str, options: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label { (label) select name=(name) {
            option value="" { "any" }
            @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
        } }
    }
}

fn results(params: &Params, request: &SearchRequest, results: &SearchResults, now: UnixMs) -> Markup {
    let first = request.offset + 1;
    let last = request.offset + results.hits.len();
    html! {
        @for warning in &results.warnings { p.soft { (warning) } }
        p role="status" {
            @if results.hits.is_empty() { "Nothing found." }
            @else { (first) "–" (last) " of " (results.total) }
            @if results.stale.dirty > 0 { span.soft { " · " (results.stale.dirty) " changes are not searchable yet" } }
        }
        ol.hits start=(first) { @for hit in &results.hits { (hit_item(hit, now)) } }
        nav.pages aria-label="Pages" {
            @if request.offset > 0 {
                a rel="prev" href={ "/" (params.with_offset(request.offset.saturating_sub(request.limit) as u64)) } { "Previous" }
            }
            @if let Some(next) = results.next_offset {
                a rel="next" href={ "/" (params.with_offset(next as u64)) } { "Next" }
            }
        }
        @if results.total > 1 { (facets(params, results)) }
    }
}

fn hit_item(hit: &Hit, now: UnixMs) -> Markup {
    let title = if hit.title.is_empty() {
        "(no title)".into()
    } else {
        visible_line(&hit.title)
    };
    html! {
        li {
            h3 {
                @match (entity_href(hit), hit.url.as_deref()) {
                    (Some(href), _) => a href=(href) { bdi dir="auto" { (title) } },
                    // What has no page here, a commit, is read at the forge.
                    (None, Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
                        a href=(url) rel="noopener noreferrer" { bdi dir="auto" { (title) } }
                    },
                    _ => bdi dir="auto" { (title) },
                }
            }
            p.soft {
                (hit.kind.as_str().replace('_', " ")) " · " (hit.reference)
                @if let Some(at) = hit.updated_at { " · " time datetime=(at.rfc3339()) { (relative(at, now)) } }
            }
            p { (snippet::marked(&hit.snippet, &hit.highlights)) }
        }
    }
}

/// Each value is a link that adds its filter.
fn facets(params: &Params, results: &SearchResults) -> Markup {
    html! {
        h2 { "Narrow down" }
        div.facets {
            @for (facet, counts) in &results.facets {
                @if counts.values.len() > 1 {
                    div {
                        strong { (facet.as_str()) }
                        ul {
                            @for value in counts.values.iter().take(8) {
                                li { a href=(narrowed(params, facet.as_str(), &value.value)) { (visible_line(&value.value)) } " " span.soft { (value.count) } }
                            }
                            @let more = counts.values.len().saturating_sub(8) + counts.more;
                            @if more > 0 { li.soft { (more) " more" } }
                        }
                    }
                }
            }
        }
    }
}

fn narrowed(params: &Params, name: &str, value: &str) -> String {
    let quoted = if value.contains([' ', ',', '"']) {
        format!("\"{}\"", value.replace('"', ""))
    } else {
        value.to_owned()
    };
    let others = KNOWN.iter().filter(|k| **k != name && **k != "offset");
    let mut pairs: Vec<(&str, &str)> = others.filter_map(|k| Some((*k, params.get(k)?))).collect();
    pairs.push((name, &quoted));
    append_query_params("/", &pairs)
}

#[cfg(test)]
mod tests {
    use annals_core::ProjectId;
    use annals_db::ids::SourceKind;

    use super::*;

    #[test]
    fn a_commit_is_read_at_its_forge() {
        let commit = |url: &str| Hit {
            doc_key: "c".to_owned(),
            kind: SourceKind::Commit,
            reference: "group/app@0123".to_owned(),
            title: "Take the lock".to_owned(),
            snippet: String::new(),
            highlights: Vec::new(),
            score: None,
            url: Some(url.to_owned()),
            updated_at: None,
            project_id: ProjectId(1),
            entity: None,
        };
        let shown = |url: &str| hit_item(&commit(url), UnixMs(0)).into_string();
        assert!(shown("https://one.example/c/0123").contains("href=\"https://one.example/c/0123\""));
        assert!(!shown("javascript:alert(1)").contains("href"));
    }
}
