//! The frame of every page.

use annals_core::report::Problem;
use annals_core::text::visible_line;
use maud::{DOCTYPE, Markup, html};

use super::assets::STYLE_PATH;

/// A whole page around `body`.
pub(crate) fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (visible_line(title)) " · Annals" }
                link rel="stylesheet" href=(STYLE_PATH.as_str());
                link rel="icon" href="data:,";
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    a.name href="/" { "Annals" }
                    nav aria-label="Site" { a href="/" { "Search" } }
                }
                main id="main" { (body) }
                footer { "What your forges said, kept on this machine. " a href="/v1/projects" { "API" } }
            }
        }
    }
}

/// The page that tells a failure.
pub(crate) fn problem_page(problem: &Problem) -> Markup {
    let body = html! {
        h1 { (problem.title) }
        p { (problem.detail) }
        @if let Some(suggestion) = &problem.suggestion { p { "Perhaps: " code { (suggestion) } } }
        @if !problem.errors.is_empty() {
            ul { @for error in &problem.errors { li { (error.field) ": " code { (visible_line(&error.message)) } } } }
        }
        @if !problem.actions.is_empty() {
            h2 { "What to do" }
            ul { @for action in &problem.actions { li { code { (action) } } } }
        }
        p.soft { "Code " code { (problem.code.as_str()) } ", request " code { (problem.instance) } }
    };
    page(problem.title, &body)
}
