//! From a path to what stands there.

use annals_core::EntityKind;

use super::super::calendar::stamp;
use super::super::project::{Key, Project, Secrecy};
use super::super::state::{Absence, Entity, Face, State, Viewer};
use super::message::{Reply, Request, decode};
use super::policy::Policy;
use super::{list, render};

pub(super) fn route(state: &State, policy: &Policy, viewer: Viewer, request: &Request) -> Reply {
    let inside = request.path().strip_prefix(policy.base_path.as_str());
    let Some(path) = inside.and_then(|path| path.strip_prefix("/api/v4/")) else {
        return Reply::not_found("");
    };
    let path = path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    if let ["projects", name, kind @ ("issues" | "merge_requests"), iid] = parts.as_slice()
        && let Some(reply) = elsewhere(state, name, kind, iid)
    {
        return reply;
    }
    match parts.as_slice() {
        ["version"] => Reply::json(&serde_json::json!({ "version": policy.version, "revision": "simulated" })),
        ["user"] if viewer == Viewer::Member => Reply::json(&serde_json::json!({
            "id": 1, "username": "reader", "name": "Reader", "state": "active", "locked": false,
        })),
        ["personal_access_tokens", "self"] if viewer == Viewer::Member => Reply::json(&serde_json::json!({
            "id": 1, "name": "mirror", "revoked": false, "active": true, "user_id": 1,
            "scopes": ["read_api"], "expires_at": "2031-01-31",
        })),
        ["user"] | ["personal_access_tokens", "self"] => Reply::error(401, "message", "401 Unauthorized"),
        ["projects"] => list::whole(policy, request, &[render::project(state.project())]),
        ["projects", name, rest @ ..] => match find(state.project(), &decode(name)) {
            Found::Here | Found::Moved if state.face() == Face::Hidden => Reply::error(403, "message", "403 Forbidden"),
            Found::Here | Found::Moved if state.face() == Face::Missing => Reply::not_found("Project "),
            Found::Here => project(state, policy, viewer, request, rest),
            Found::Moved => {
                let query = request
                    .target
                    .split_once('?')
                    .map_or(String::new(), |(_, query)| format!("?{query}"));
                let place: String = rest.iter().map(|part| format!("/{part}")).collect();
                let host = request.header("host").unwrap_or("forge.example");
                let location = format!(
                    "http://{host}{}/api/v4/projects/{}{place}{query}",
                    policy.base_path,
                    state.project().id
                );
                Reply::error(301, "message", "This resource has been moved permanently").with("Location", &location)
            }
            Found::Nowhere => Reply::not_found("Project "),
        },
        _ => Reply::not_found(""),
    }
}

enum Found {
    Here,
    Moved,
    Nowhere,
}

fn find(project: &Project, name: &str) -> Found {
    if name == project.id.to_string() || name.eq_ignore_ascii_case(&project.path) {
        Found::Here
    } else if project.old_paths.iter().any(|old| old.eq_ignore_ascii_case(name)) {
        Found::Moved
    } else {
        Found::Nowhere
    }
}

fn project(state: &State, policy: &Policy, viewer: Viewer, request: &Request, rest: &[&str]) -> Reply {
    let project = state.project();
    match rest {
        [] => Reply::json(&render::project(project)),
        ["labels"] => list::whole(
            policy,
            request,
            &project.labels.iter().map(render::label).collect::<Vec<_>>(),
        ),
        ["milestones"] => milestones(state, policy, request),
        ["repository", "branches"] => list::whole(policy, request, &[render::branch(state)]),
        ["repository", "tags"] => list::whole::<u8>(policy, request, &[]),
        ["issues"] => list::entities(state, policy, viewer, request, EntityKind::Issue, |iid| {
            state.head(Key::issue(iid)).map(|head| render::issue(project, &head))
        }),
        ["merge_requests"] => list::entities(state, policy, viewer, request, EntityKind::MergeRequest, |iid| {
            state
                .head(Key::mr(iid))
                .map(|head| render::merge_request(project, &head))
        }),
        ["issues", iid, under @ ..] => match seen(state, viewer, iid.parse().map(Key::issue).ok()) {
            Some(entity) => issue(state, policy, viewer, request, &entity, under),
            None => absent(state, policy, request, iid.parse().map(Key::issue).ok(), "Issue "),
        },
        ["merge_requests", iid, under @ ..] => match seen(state, viewer, iid.parse().map(Key::mr).ok()) {
            Some(entity) => merge_request(state, policy, viewer, request, &entity, under),
            None => absent(state, policy, request, iid.parse().map(Key::mr).ok(), "Merge Request "),
        },
        _ => Reply::not_found(""),
    }
}

fn seen(state: &State, viewer: Viewer, key: Option<Key>) -> Option<std::borrow::Cow<'_, Entity>> {
    state.entity(key?).filter(|entity| viewer.sees(entity.head.secrecy))
}

/// What is said of an entity that no list shows.
fn absent(state: &State, policy: &Policy, request: &Request, key: Option<Key>, what: &str) -> Reply {
    let Some((key, (absence, _))) = key.and_then(|key| Some((key, state.absent(key)?))) else {
        return Reply::not_found(what);
    };
    match absence {
        Absence::Missing => Reply::not_found(what),
        Absence::Hidden => Reply::error(403, "message", "403 Forbidden"),
        Absence::Deleted => Reply::error(410, "message", "410 Gone"),
        Absence::Moved { project, iid } => {
            let host = request.header("host").unwrap_or("forge.example");
            let kind = match key.kind {
                EntityKind::Issue => "issues",
                EntityKind::MergeRequest => "merge_requests",
            };
            let location = format!(
                "http://{host}{}/api/v4/projects/{project}/{kind}/{iid}",
                policy.base_path
            );
            Reply::error(301, "message", "This resource has been moved permanently").with("Location", &location)
        }
    }
}

/// An entity that went to another project, as that project shows it.
fn elsewhere(state: &State, project: &str, kind: &str, iid: &str) -> Option<Reply> {
    let kind = if kind == "issues" {
        EntityKind::Issue
    } else {
        EntityKind::MergeRequest
    };
    let (project, iid) = (project.parse().ok()?, iid.parse().ok()?);
    let head = &state.arrived(project, kind, iid)?.head;
    let full = format!("{ELSEWHERE}{}{iid}", kind.sigil());
    Some(Reply::json(&serde_json::json!({
        "id": head.key.native_id() + 1_000_000, "iid": iid, "project_id": project, "title": head.title,
        "state": head.state.as_str(), "created_at": stamp(head.created_at), "updated_at": stamp(head.updated_at),
        "references": { "short": full, "relative": full, "full": full },
    })))
}

/// The path of every other project.
pub(super) const ELSEWHERE: &str = "annals-sample/elsewhere";

fn milestones(state: &State, policy: &Policy, request: &Request) -> Reply {
    let project = state.project();
    let wanted = request.param("state");
    let rows: Vec<_> = project
        .milestones
        .iter()
        .map(|milestone| render::milestone(project, milestone))
        .filter(|row| {
            wanted
                .as_deref()
                .is_none_or(|state| state == "all" || state == row.state)
        })
        .collect();
    list::whole(policy, request, &rows)
}

fn issue(state: &State, policy: &Policy, viewer: Viewer, request: &Request, entity: &Entity, under: &[&str]) -> Reply {
    let project = state.project();
    match under {
        [] => Reply::json(&render::issue(project, &entity.head)),
        ["closed_by"] => {
            let closing = state
                .keys()
                .filter(|key| key.kind == EntityKind::MergeRequest)
                .filter_map(|key| {
                    let mr = state.entity(key)?;
                    mr.thread
                        .closes
                        .contains(&entity.head.key.iid)
                        .then(|| render::merge_request(project, &mr.head))
                });
            list::whole(policy, request, &closing.collect::<Vec<_>>())
        }
        _ => shared(state, policy, viewer, request, entity, under),
    }
}

fn merge_request(
    state: &State,
    policy: &Policy,
    viewer: Viewer,
    request: &Request,
    entity: &Entity,
    under: &[&str],
) -> Reply {
    let project = state.project();
    let newest = entity.thread.versions.last();
    match under {
        [] => Reply::json(&render::merge_request_detail(project, entity)),
        ["diffs"] => {
            let rows: Vec<_> = newest.iter().flat_map(|v| &v.files).map(render::file).collect();
            list::whole(policy, request, &rows)
        }
        ["changes"] => Reply::json(&render::merge_request_changes(project, entity)),
        ["commits"] => {
            let rows: Vec<_> = newest
                .iter()
                .flat_map(|v| &v.commits)
                .map(|c| render::commit(project, c))
                .collect();
            list::whole(policy, request, &rows)
        }
        ["versions"] => {
            let rows: Vec<_> = entity
                .thread
                .versions
                .iter()
                .rev()
                .map(|v| render::version(&entity.head, v))
                .collect();
            list::whole(policy, request, &rows)
        }
        ["versions", id] => {
            let wanted = id
                .parse()
                .ok()
                .and_then(|id: i64| entity.thread.versions.iter().find(|v| v.id == id));
            wanted.map_or_else(
                || Reply::not_found(""),
                |version| Reply::json(&render::version_detail(project, &entity.head, version)),
            )
        }
        ["closes_issues"] => {
            let rows: Vec<_> = entity
                .thread
                .closes
                .iter()
                .filter_map(|iid| state.head(Key::issue(*iid)))
                .filter(|head| viewer.sees(head.secrecy))
                .map(|head| render::issue(project, &head))
                .collect();
            list::whole(policy, request, &rows)
        }
        _ => shared(state, policy, viewer, request, entity, under),
    }
}

/// What issues and merge requests have alike.
fn shared(state: &State, policy: &Policy, viewer: Viewer, request: &Request, entity: &Entity, under: &[&str]) -> Reply {
    let project = state.project();
    let (head, thread) = (&entity.head, &entity.thread);
    match under {
        ["discussions"] => {
            let rows: Vec<_> = visible(entity, viewer)
                .map(|d| render::discussion(project, head, d))
                .collect();
            list::whole(policy, request, &rows)
        }
        // Nobody awards anything here, but readers ask.
        ["award_emoji"] | ["notes", _, "award_emoji"] => list::whole::<u8>(policy, request, &[]),
        ["notes"] => {
            let mut rows: Vec<_> = visible(entity, viewer)
                .flat_map(|d| d.notes.iter().map(move |note| render::note(project, head, d, note)))
                .collect();
            // Newest first unless asked otherwise, as GitLab does here and not for discussions.
            rows.sort_by(|a, b| (&a.created_at, a.id).cmp(&(&b.created_at, b.id)));
            if request.param("sort").as_deref() != Some("asc") {
                rows.reverse();
            }
            list::whole(policy, request, &rows)
        }
        ["resource_state_events"] => {
            let rows: Vec<_> = thread
                .states
                .iter()
                .map(|e| render::state_event(project, head, e))
                .collect();
            list::whole(policy, request, &rows)
        }
        ["resource_label_events"] => {
            let rows: Vec<_> = thread
                .labels
                .iter()
                .map(|e| render::label_event(project, head, e))
                .collect();
            list::whole(policy, request, &rows)
        }
        ["resource_milestone_events"] => {
            let rows: Vec<_> = thread
                .milestones
                .iter()
                .map(|e| render::milestone_event(project, head, e))
                .collect();
            list::whole(policy, request, &rows)
        }
        _ => Reply::not_found(""),
    }
}

/// The discussions of which this viewer may see something.
fn visible(entity: &Entity, viewer: Viewer) -> impl Iterator<Item = &super::super::project::Discussion> {
    entity
        .thread
        .discussions
        .iter()
        .filter(move |discussion| viewer.sees(discussion.notes.first().map_or(Secrecy::Public, |note| note.secrecy)))
}
