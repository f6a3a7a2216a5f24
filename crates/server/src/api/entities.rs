//! Issues and merge requests: lists walked by cursor, and one of them with its discussions.

use std::str::FromStr;
use std::time::Duration;

use annals_core::{Code, EntityKind, Iid, Report, UnixMs};
use annals_db::ReadConn;
use annals_db::ids::State as EntityState;
use annals_db::read::{
    Direction, Entity, List, ListQuery, NameFilter, NotePage, Slice, Sort, Threads, Visibility, content_seq, entity,
    list, threads,
};
use annals_net_adapter::http::server::ReqCx;
use annals_search::reference::qualify;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::projects::no_entity;
use super::{Envelope, Located, locate};
use crate::app::AppState;
use crate::http::address::{self, Address};
use crate::http::cursor::Cursor;
use crate::http::params::{Params, usage};
use crate::http::problem::Told;

const KNOWN: [&str; 11] = [
    "state",
    "author",
    "assignee",
    "label",
    "milestone",
    "after",
    "before",
    "sort",
    "order",
    "limit",
    "cursor",
];

/// The parameters of a list.
pub(super) struct Known;

impl address::Known for Known {
    const NAMES: &'static [&'static str] = &KNOWN;
}

pub(super) async fn issues(cx: ReqCx, state: State<AppState>, address: Address<String, Known>, told: Told) -> Response {
    listing(cx, EntityKind::Issue, state, address, told).await
}

pub(super) async fn merge_requests(
    cx: ReqCx,
    state: State<AppState>,
    address: Address<String, Known>,
    told: Told,
) -> Response {
    listing(cx, EntityKind::MergeRequest, state, address, told).await
}

async fn listing(
    ReqCx(cx): ReqCx,
    kind: EntityKind,
    State(state): State<AppState>,
    Address {
        path: project, params, ..
    }: Address<String, Known>,
    told: Told,
) -> Response {
    let started = cx.now();
    let asked = match Asked::read(kind, &project, &params, &state, cx.unix_ms()) {
        Ok(asked) => asked,
        Err(report) => return told.problem(report).into_response(),
    };
    let visibility = state.visibility();
    let (mut query, cursor, limit) = (asked.query, asked.cursor, asked.limit);
    let read = move |conn: &ReadConn<'_>| {
        let located = match locate(conn, &visibility, &project)? {
            Located::One(name) => name,
            Located::Not(report) => return Ok(Err(report)),
        };
        query.projects = vec![located.id];
        let seq = match cursor {
            Some(cursor) => cursor.seq,
            None => content_seq(conn)?,
        };
        query.slice = Slice::Walk {
            seq,
            after: cursor.map(|c| c.after),
            limit,
        };
        let mut page = list(conn, &visibility, &query)?;
        qualify(conn, &mut page.items)?;
        Ok(Ok((page, seq)))
    };
    match state.db().read(&cx, read).await {
        Ok(Ok((page, seq))) => {
            let next = page
                .next
                .map(|after| state.seal().seal(Cursor { seq, after }, &asked.filters));
            answer(&page, next, limit, cx.now().since(started))
        }
        Ok(Err(report)) => told.problem(report).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

fn answer(page: &List, next: Option<String>, limit: usize, elapsed: Duration) -> Response {
    Envelope::new(&json!({"items": page.items}), elapsed)
        .meta("changed_during_walk", json!(page.changed_during_walk))
        .page(json!({"total": page.total, "limit": limit, "next": next}))
        .into_response()
}

/// A list as it was asked for.
struct Asked {
    query: ListQuery,
    /// Everything that decides what the list holds; a cursor is good for the same only.
    filters: String,
    cursor: Option<Cursor>,
    limit: usize,
}

impl Asked {
    fn read(kind: EntityKind, project: &str, params: &Params, state: &AppState, now: UnixMs) -> Result<Self, Report> {
        let name = |key| params.get(key).map(NameFilter::parse);
        let mut query = ListQuery::of(kind);
        query.states = params.get("state").map(states).transpose()?.unwrap_or_default();
        query.author = name("author");
        query.assignee = name("assignee");
        query.labels = name("label").into_iter().collect();
        query.milestone = name("milestone");
        query.after = params.time("after", now)?;
        query.before = params.time("before", now)?;
        query.sort = params
            .one_of::<SortBy>("sort", "updated, created, iid")?
            .map_or(Sort::Updated, |s| s.0);
        query.direction = params
            .one_of::<Order>("order", "desc, asc")?
            .map_or(Direction::Descending, |o| o.0);
        let others = KNOWN.iter().filter(|k| **k != "cursor" && **k != "limit");
        let named = others.filter_map(|k| Some(format!("{k}={}", params.get(k)?)));
        let filters = [kind.as_str().to_owned(), project.to_owned()]
            .into_iter()
            .chain(named)
            .collect::<Vec<_>>()
            .join("\n");
        let cursor = params
            .get("cursor")
            .map(|text| state.seal().open(text, &filters))
            .transpose()?;
        Ok(Self {
            query,
            filters,
            cursor,
            limit: usize::try_from(params.limit()?).unwrap_or(usize::MAX),
        })
    }
}

fn states(text: &str) -> Result<Vec<EntityState>, Report> {
    let one = |word: &str| match word {
        "open" => Ok(EntityState::Open),
        "closed" => Ok(EntityState::Closed),
        "merged" => Ok(EntityState::Merged),
        other => Err(usage(format!("state is {other:?}; it must be open, closed or merged"))),
    };
    text.split(',').map(one).collect()
}

struct SortBy(Sort);

impl FromStr for SortBy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "updated" => Ok(Self(Sort::Updated)),
            "created" => Ok(Self(Sort::Created)),
            "iid" => Ok(Self(Sort::Iid)),
            _ => Err(()),
        }
    }
}

struct Order(Direction);

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "desc" => Ok(Self(Direction::Descending)),
            "asc" => Ok(Self(Direction::Ascending)),
            _ => Err(()),
        }
    }
}

/// An entity of a project, or why there is none.
pub(crate) fn find(
    conn: &ReadConn<'_>,
    visibility: &Visibility,
    kind: EntityKind,
    project: &str,
    iid: &str,
) -> Result<Result<Entity, Report>, annals_db::Error> {
    let name = match locate(conn, visibility, project)? {
        Located::One(name) => name,
        Located::Not(report) => return Ok(Err(report)),
    };
    let Ok(number) = iid.parse::<i64>() else {
        return Ok(Err(Report::new(Code::NotFound, format!("{iid:?} is not a number"))));
    };
    let Some(mut found) = entity(conn, visibility, kind, name.id, Iid(number))? else {
        return Ok(Err(no_entity(kind, &name, number)));
    };
    qualify(conn, std::slice::from_mut(&mut found.item))?;
    Ok(Ok(found))
}

macro_rules! entity_routes {
    ($kind:expr, $one:ident, $discussions:ident) => {
        pub(super) async fn $one(
            cx: ReqCx,
            state: State<AppState>,
            address: Address<(String, String)>,
            told: Told,
        ) -> Response {
            single(cx, $kind, state, address, told).await
        }

        pub(super) async fn $discussions(
            cx: ReqCx,
            state: State<AppState>,
            address: Address<(String, String)>,
            told: Told,
        ) -> Response {
            discussions(cx, $kind, state, address, told).await
        }
    };
}

entity_routes!(EntityKind::Issue, issue, issue_discussions);
entity_routes!(EntityKind::MergeRequest, merge_request, merge_request_discussions);

async fn single(
    ReqCx(cx): ReqCx,
    kind: EntityKind,
    State(state): State<AppState>,
    Address {
        path: (project, iid), ..
    }: Address<(String, String)>,
    told: Told,
) -> Response {
    let started = cx.now();
    let visibility = state.visibility();
    match state
        .db()
        .read(&cx, move |conn| find(conn, &visibility, kind, &project, &iid))
        .await
    {
        Ok(Ok(entity)) => Envelope::new(&entity, cx.now().since(started)).into_response(),
        Ok(Err(report)) => told.problem(report).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}

async fn discussions(
    ReqCx(cx): ReqCx,
    kind: EntityKind,
    State(state): State<AppState>,
    Address {
        path: (project, iid), ..
    }: Address<(String, String)>,
    told: Told,
) -> Response {
    let started = cx.now();
    let visibility = state.visibility();
    let read = move |conn: &ReadConn<'_>| -> Result<Result<Threads, Report>, annals_db::Error> {
        match find(conn, &visibility, kind, &project, &iid)? {
            Ok(entity) => Ok(Ok(threads(conn, &visibility, entity.id(), NotePage::ALL)?)),
            Err(report) => Ok(Err(report)),
        }
    };
    match state.db().read(&cx, read).await {
        Ok(Ok(threads)) => {
            let data = json!({"discussions": threads.discussions});
            let page = json!({"total_notes": threads.total_notes});
            Envelope::new(&data, cx.now().since(started)).page(page).into_response()
        }
        Ok(Err(report)) => told.problem(report).into_response(),
        Err(error) => told.failure(&error).into_response(),
    }
}
