//! Promises of reading what was, on a store in memory whose clock the tests move.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod entities;
mod lists_and_parts;

use annals_core::{EntityKind, Iid, NativeId, ProjectId, UnixMs};
use rusqlite::Connection;

use super::*;
use crate::content::{
    self, DiscussionIn, DiscussionSetIn, EntityIn, EventSetIn, FileChangeIn, FileSetIn, ForgeIn, IssueIn, LabelIn,
    MergeRequestIn, MilestoneIn, NoteIn, Payload, ProjectIn, ResourceEventIn, ReviewerIn, SetShape, UserIn,
};
use crate::ids::{
    DiscussionKind, EntityId, EventKind, EventOrigin, FileChange, Files, ForgeKind, GoneReason, NoteKind, State,
    UserKind,
};
use crate::read::{
    self, Direction, Entity, ListQuery, NameFilter, NoteOrigin, NotePage, NotesQuery, PathPattern, Resolved, Slice,
    Sort, Visibility,
};
use crate::{Error, WriteTx, migrate};

/// Minute 0 of the forge's time.
const T0: i64 = 1_700_000_000_000;

/// A minute of the forge's time.
const fn minute(n: i64) -> UnixMs {
    UnixMs(T0 + n * 60_000)
}

struct Store {
    conn: Connection,
    project: ProjectId,
}

impl Store {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        let project = WriteTx::run(&conn, minute(-1_000), |tx| {
            let forge = ForgeIn {
                name: "forge".to_owned(),
                kind: ForgeKind::Gitlab,
                base_url: "https://forge.example".to_owned(),
                api_url: "https://forge.example/api/v4".to_owned(),
            };
            let (forge, _) = content::upsert_forge(tx, &forge)?;
            let project = ProjectIn {
                native_id: NativeId("1".to_owned()),
                path: "group/app".to_owned(),
                title: "App".to_owned(),
                description: None,
                default_branch: None,
                visibility: None,
                archived: false,
                web_url: None,
                created_at: None,
                updated_at: None,
                payload: None,
            };
            Ok(content::upsert_project(tx, forge, &project)?.0)
        })
        .unwrap();
        Self { conn, project }
    }

    /// Writes what a sync at minute `seen` finds.
    fn at<T>(&self, seen: i64, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> T {
        WriteTx::run(&self.conn, minute(seen), f).unwrap()
    }

    fn put(&self, seen: i64, issue: &IssueIn) -> EntityId {
        self.at(seen, |tx| content::upsert_issue(tx, self.project, issue)).id
    }

    fn put_mr(&self, seen: i64, mr: &MergeRequestIn) -> EntityId {
        self.at(seen, |tx| content::upsert_merge_request(tx, self.project, mr))
            .id
    }

    fn put_notes(&self, seen: i64, of: EntityId, discussions: Vec<DiscussionIn>) {
        let shape = SetShape::OnePage;
        let set = DiscussionSetIn { discussions, shape };
        self.at(seen, |tx| content::replace_discussions(tx, self.project, of, &set));
    }

    fn put_events(&self, seen: i64, of: EntityId, events: Vec<ResourceEventIn>) {
        let set = EventSetIn {
            kinds: vec![EventKind::State, EventKind::Label, EventKind::Milestone],
            events,
            shape: SetShape::OnePage,
        };
        self.at(seen, |tx| content::replace_events(tx, self.project, of, &set));
    }

    fn issue(&self, iid: i64, at: i64) -> Option<Entity> {
        self.seen_by(&Visibility::all(), EntityKind::Issue, iid, at)
    }

    fn mr(&self, iid: i64, at: i64) -> Option<Entity> {
        self.seen_by(&Visibility::all(), EntityKind::MergeRequest, iid, at)
    }

    fn seen_by(&self, visibility: &Visibility, kind: EntityKind, iid: i64, at: i64) -> Option<Entity> {
        entity(&self.conn, visibility, kind, self.project, Iid(iid), minute(at)).unwrap()
    }

    fn bodies(&self, of: EntityId, at: i64) -> Vec<String> {
        let threads = threads(&self.conn, &Visibility::all(), of, NotePage::ALL, minute(at)).unwrap();
        let notes = threads.discussions.into_iter().flat_map(|discussion| discussion.notes);
        notes.map(|note| note.body).collect()
    }

    fn list(&self, at: i64, change: impl FnOnce(&mut ListQuery)) -> (Vec<i64>, u64) {
        let mut query = ListQuery {
            sort: Sort::Iid,
            direction: Direction::Ascending,
            ..ListQuery::of(EntityKind::Issue)
        };
        change(&mut query);
        let list = list(&self.conn, &Visibility::all(), &query, minute(at)).unwrap();
        (list.items.iter().map(|item| item.iid.0).collect(), list.total)
    }

    fn notes(&self, at: i64, change: impl FnOnce(&mut NotesQuery)) -> Vec<String> {
        let mut query = NotesQuery {
            sort: Sort::Created,
            direction: Direction::Ascending,
            ..NotesQuery::default()
        };
        change(&mut query);
        let list = notes(&self.conn, &Visibility::all(), &query, minute(at)).unwrap();
        assert_eq!(list.total, list.notes.len() as u64);
        list.notes.into_iter().map(|listed| listed.note.body).collect()
    }
}

fn user(name: &str) -> UserIn {
    UserIn {
        native_id: NativeId(name.to_owned()),
        username: name.to_owned(),
        display_name: None,
        kind: UserKind::Human,
        web_url: None,
    }
}

fn milestone(title: &str) -> MilestoneIn {
    MilestoneIn {
        native_id: NativeId(title.to_owned()),
        iid: None,
        title: title.to_owned(),
        description: None,
        state: None,
        start_at: None,
        due_at: None,
    }
}

fn labels(names: &[&str]) -> Vec<LabelIn> {
    names.iter().copied().map(LabelIn::named).collect()
}

/// An issue created at minute 0 that last changed at `updated`.
fn issue(iid: i64, updated: i64, title: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId(format!("i{iid}")),
        iid: Iid(iid),
        title: title.to_owned(),
        body: format!("body of {title}"),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: Some(user("ann")),
        milestone: None,
        closed_by: None,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: Some(minute(0)),
        updated_at: Some(minute(updated)),
        closed_at: None,
        due_at: None,
        web_url: Some(format!("https://forge.example/group/app/-/issues/{iid}")),
        moved_to: None,
        flags: 0,
        payload: Some(Payload::raw(format!("{{\"title\":\"{title}\"}}"))),
    }
}

fn mr(iid: i64, updated: i64, title: &str) -> MergeRequestIn {
    MergeRequestIn {
        entity: EntityIn {
            native_id: NativeId(format!("m{iid}")),
            ..issue(iid, updated, title)
        },
        draft: false,
        source_branch: Some("topic".to_owned()),
        target_branch: Some("main".to_owned()),
        source_project: None,
        head_oid: Some("a".repeat(40).parse().unwrap()),
        merge_commit_oid: None,
        squash_oid: None,
        merged_at: None,
        merged_by: None,
        reviewers: vec![ReviewerIn {
            user: user("Cat"),
            state: None,
        }],
        detail: None,
    }
}

fn note(id: &str, created: i64, updated: i64, body: &str) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(user("bob")),
        body: body.to_owned(),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(minute(created)),
        updated_at: Some(minute(updated)),
        flags: 0,
        position: None,
        payload: None,
    }
}

fn discussion(id: &str, notes: Vec<NoteIn>) -> DiscussionIn {
    DiscussionIn {
        native_id: NativeId(id.to_owned()),
        kind: DiscussionKind::Thread,
        resolvable: true,
        resolved: false,
        resolved_by: None,
        resolved_at: None,
        notes,
        payload: None,
    }
}

fn event(id: i64, at: i64, kind: EventKind, action: &str, subject: Option<&str>) -> ResourceEventIn {
    ResourceEventIn {
        native_id: NativeId(id.to_string()),
        kind,
        action: action.to_owned(),
        subject: subject.map(str::to_owned),
        actor: Some(user("dan")),
        created_at: Some(minute(at)),
        origin: EventOrigin::Forge,
    }
}

fn title_of(entity: Option<&Entity>) -> Option<&str> {
    entity.map(|entity| entity.item.title.as_str())
}
