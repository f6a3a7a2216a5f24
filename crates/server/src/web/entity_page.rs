//! One issue or merge request: its text, its facts, its threads.

use annals_core::text::visible_line;
use annals_core::time::relative;
use annals_core::{EntityKind, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::read::{
    Discussion, Entity, Event, File, Note, NotePage, Revision, Threads, events, files, revisions, threads,
};
use annals_net_adapter::http::server::ReqCx;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::layout::page;
use super::markdown;
use crate::api::entities::find;
use crate::app::AppState;
use crate::http::address::{self, Address};
use crate::http::params::Params;
use crate::http::problem::Told;

/// Notes on a page.
const NOTES: usize = 100;

/// The parameters of the page.
pub(super) struct Known;

impl address::Known for Known {
    const NAMES: &'static [&'static str] = &["offset"];
}

pub(super) async fn issue(
    cx: ReqCx,
    state: State<AppState>,
    address: Address<(String, String), Known>,
    told: Told,
) -> Response {
    show(cx, EntityKind::Issue, state, address, told).await
}

pub(super) async fn merge_request(
    cx: ReqCx,
    state: State<AppState>,
    address: Address<(String, String), Known>,
    told: Told,
) -> Response {
    show(cx, EntityKind::MergeRequest, state, address, told).await
}

/// Everything the page shows, from one snapshot.
struct Shown {
    entity: Entity,
    threads: Threads,
    events: Vec<Event>,
    files: Vec<File>,
    revisions: Vec<Revision>,
}

async fn show(
    ReqCx(cx): ReqCx,
    kind: EntityKind,
    State(state): State<AppState>,
    Address { path, params, .. }: Address<(String, String), Known>,
    told: Told,
) -> Response {
    let (project, iid) = path;
    let offset = match params.offset() {
        Ok(offset) => usize::try_from(offset).unwrap_or(usize::MAX),
        Err(report) => return told.problem(report).into_response(),
    };
    let visibility = state.visibility();
    let read = move |conn: &ReadConn<'_>| -> Result<Result<Shown, Report>, annals_db::Error> {
        let entity = match find(conn, &visibility, kind, &project, &iid)? {
            Ok(entity) => entity,
            Err(report) => return Ok(Err(report)),
        };
        let id = entity.id();
        Ok(Ok(Shown {
            threads: threads(conn, &visibility, id, NotePage { offset, limit: NOTES })?,
            events: events(conn, id)?,
            files: files(conn, id)?,
            revisions: revisions(conn, id)?,
            entity,
        }))
    };
    match state.db().read(&cx, read).await {
        Ok(Ok(shown)) => render(&shown, offset, &params, cx.unix_ms()).into_response(),
        Ok(Err(report)) => told.problem(report).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

fn render(shown: &Shown, offset: usize, params: &Params, now: UnixMs) -> Markup {
    let entity = &shown.entity;
    let item = &entity.item;
    let title = if item.title.is_empty() {
        "(no title)".into()
    } else {
        visible_line(&item.title)
    };
    let body = html! {
        @if let Some(at) = item.gone_at {
            p.banner role="note" {
                "The forge no longer shows this since " (at.date_text())
                @if let Some(reason) = item.gone_reason { " (" (reason.as_str()) ")" } "."
            }
        }
        h1 { bdi dir="auto" { (title) } " " span.soft { (item.reference) } }
        p {
            span class={ "badge " (item.state.as_str()) } { (item.state.as_str()) }
            @if item.draft { " " span.badge { "draft" } }
            @if item.confidential { " " span.badge { "confidential" } }
            " by " (visible_line(&item.author))
            @if let Some(at) = item.created_at { ", " (when(at, now)) }
            @if let Some(at) = item.updated_at { " · changed " (when(at, now)) }
            @if let Some(url) = &item.url { " · " a href=(url) rel="noopener noreferrer" { "at the forge" } }
        }
        (facts(entity))
        div { (markdown::render(&entity.body)) }
        (discussions(&shown.threads, offset, params, now))
        (changes(shown, now))
    };
    page(&format!("{title} · {}", item.reference), &body)
}

fn when(at: UnixMs, now: UnixMs) -> Markup {
    html! { time datetime=(at.rfc3339()) title=(at.utc_text()) { (relative(at, now)) } }
}

fn facts(entity: &Entity) -> Markup {
    let item = &entity.item;
    let mr = entity.merge_request.as_ref();
    html! {
        p {
            @for label in &item.labels { span.label { (visible_line(label)) } " " }
            @if let Some(milestone) = &item.milestone { "Milestone " strong { (visible_line(milestone)) } ". " }
            @if !item.assignees.is_empty() { "Assigned to " (item.assignees.join(", ")) ". " }
            @if let Some(mr) = mr {
                @if let (Some(from), Some(to)) = (&mr.source_branch, &mr.target_branch) {
                    code { (visible_line(from)) } " into " code { (visible_line(to)) } ". "
                }
                @if let Some(by) = &mr.merged_by { "Merged by " (visible_line(by)) ". " }
            }
        }
    }
}

fn discussions(threads: &Threads, offset: usize, params: &Params, now: UnixMs) -> Markup {
    let shown: usize = threads.discussions.iter().map(|d| d.notes.len()).sum();
    let next = offset + NOTES;
    html! {
        h2 { "Discussions" span.soft { " · " (threads.total_notes) " notes" } }
        @if shown == 0 { p.soft { "None." } }
        @for discussion in &threads.discussions { (thread(discussion, now)) }
        nav.pages aria-label="Notes" {
            @if offset > 0 { a rel="prev" href=(params.with_offset(offset.saturating_sub(NOTES) as u64)) { "Earlier notes" } }
            @if (next as u64) < threads.total_notes { a rel="next" href=(params.with_offset(next as u64)) { "Later notes" } }
        }
    }
}

fn thread(discussion: &Discussion, now: UnixMs) -> Markup {
    html! {
        section.thread {
            @if discussion.resolvable {
                p.soft { @if discussion.resolved { "Resolved" } @else { "Open thread" } }
            }
            @for entry in &discussion.notes { (note(entry, now)) }
        }
    }
}

fn note(note: &Note, now: UnixMs) -> Markup {
    html! {
        article class={ "note" @if note.system { " system" } } {
            header {
                strong { (visible_line(&note.author)) }
                @if note.internal { " " span.badge { "internal" } }
                @if let Some(at) = note.created_at { " · " (when(at, now)) }
                @if let Some(position) = &note.position {
                    @if let Some(path) = position.new_path.as_ref().or(position.old_path.as_ref()) {
                        " · " span.where { (visible_line(path)) @if let Some(line) = position.new_line.or(position.old_line) { ":" (line) } }
                        @if position.outdated { " " span.badge { "outdated" } }
                    }
                }
            }
            div { (markdown::render(&note.body)) }
        }
    }
}

fn changes(shown: &Shown, now: UnixMs) -> Markup {
    html! {
        @if !shown.files.is_empty() {
            h2 { "Files" span.soft { " · " (shown.files.len()) } }
            table { tbody { @for file in &shown.files { tr {
                td.where { (visible_line(&file.new_path)) @if file.old_path != file.new_path { " ← " (visible_line(&file.old_path)) } }
                td { (file.change.as_str()) }
            } } } }
        }
        @if !shown.events.is_empty() {
            h2 { "Events" }
            table { tbody { @for event in &shown.events { tr {
                td { @if let Some(at) = event.at { (when(at, now)) } }
                td { (visible_line(&event.actor)) }
                td { (event.kind.as_str()) " " (event.action) @if let Some(subject) = &event.subject { " " (visible_line(subject)) } }
            } } } }
        }
        @if shown.revisions.len() > 1 {
            h2 { "Recorded changes" }
            table { tbody { @for revision in &shown.revisions { tr {
                td { (when(revision.valid_from, now)) }
                td { (revision.op.as_str()) }
                td { (revision.changed.join(", ")) }
            } } } }
        }
    }
}

/// The class of a state's badge is its name, so the stylesheet must know each.
#[cfg(test)]
mod tests {
    use annals_db::ids::State as EntityState;

    #[test]
    fn every_state_has_a_colour() {
        let style = include_str!("../../assets/style.css");
        for state in [EntityState::Open, EntityState::Closed, EntityState::Merged] {
            assert!(style.contains(&format!(".{} {{", state.as_str())), "{}", state.as_str());
        }
    }
}
