//! `GET /v1/projects` and one of them; and how a path segment names a project.

use annals_core::report::FieldError;
use annals_core::{Code, EntityKind, Report};
use annals_db::ReadConn;
use annals_db::read::{ProjectName, Visibility};
use annals_net_adapter::http::server::ReqCx;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Envelope;
use crate::app::AppState;
use crate::http::address::Address;
use crate::http::problem::Told;

pub(super) async fn list(ReqCx(cx): ReqCx, State(state): State<AppState>, _: Address<()>, told: Told) -> Response {
    let started = cx.now();
    let visibility = state.visibility();
    match state
        .db()
        .read(&cx, move |conn| annals_db::read::projects(conn, &visibility))
        .await
    {
        Ok(projects) => Envelope::new(&json!({"projects": projects}), cx.now().since(started)).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

pub(super) async fn one(
    ReqCx(cx): ReqCx,
    State(state): State<AppState>,
    Address { path: project, .. }: Address<String>,
    told: Told,
) -> Response {
    let started = cx.now();
    let visibility = state.visibility();
    let read = move |conn: &ReadConn<'_>| match locate(conn, &visibility, &project)? {
        Located::One(name) => {
            Ok(annals_db::read::project(conn, &visibility, name.id)?.ok_or_else(|| unknown(&project)))
        }
        Located::Not(report) => Ok(Err(report)),
    };
    match state.db().read(&cx, read).await {
        Ok(Ok(project)) => Envelope::new(&project, cx.now().since(started)).into_response(),
        Ok(Err(report)) => told.problem(report).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

/// What a path segment names.
pub(crate) enum Located {
    One(ProjectName),
    Not(Report),
}

/// The project with a local id, a path, or `host/path`.
pub(crate) fn locate(conn: &ReadConn<'_>, visibility: &Visibility, text: &str) -> Result<Located, annals_db::Error> {
    let mut found = annals_db::read::find_projects(conn, visibility, text)?;
    Ok(match (found.pop(), found.is_empty()) {
        (Some(project), true) => Located::One(project),
        (None, _) => Located::Not(unknown(text)),
        (Some(last), false) => {
            found.push(last);
            Located::Not(ambiguous(text, &found))
        }
    })
}

/// Says which projects there are, each as it can be asked for.
fn ambiguous(text: &str, found: &[ProjectName]) -> Report {
    let names: Vec<String> = found.iter().map(qualified).collect();
    let called = names.iter().zip(found).map(|(name, project)| {
        // Of two former projects of one address only the row tells.
        let is_clear = names.iter().filter(|other| *other == name).count() == 1;
        if is_clear {
            name.clone()
        } else {
            project.id.0.to_string()
        }
    });
    let candidates: Vec<FieldError> = called
        .map(|message| FieldError {
            field: "project".to_owned(),
            message,
        })
        .collect();
    let report = Report::new(Code::Ambiguous, format!("{text:?} names {} projects", found.len()));
    let report = report.with_field_errors(&candidates);
    match candidates.into_iter().next() {
        Some(first) => report.with_suggestion(first.message),
        None => report,
    }
}

/// `host/path`, which names a project whatever else is mirrored.
pub(crate) fn qualified(project: &ProjectName) -> String {
    let url = &project.forge_url;
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    format!("{host}/{}", project.path)
}

fn unknown(text: &str) -> Report {
    Report::new(Code::NotFound, format!("there is no project {text:?} in the mirror"))
}

/// Also used by entity routes, which say the same about their own numbers.
pub(crate) fn no_entity(kind: EntityKind, project: &ProjectName, iid: i64) -> Report {
    Report::new(
        Code::NotFound,
        format!(
            "there is no {} {iid} of {} in the mirror",
            kind.as_str().replace('_', " "),
            project.path
        ),
    )
}
