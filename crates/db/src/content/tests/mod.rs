//! Promises of the content functions, on a database in memory: the store and what is put into it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod entities;
mod sets;
mod whole;

use annals_core::{Code, EntityKind, Iid, NativeId, Oid, ProjectId, UnixMs};
use rusqlite::Connection;

use super::*;
use crate::ids::{
    DiscussionKind, EntityId, EventKind, EventOrigin, FileChange, Files, ForgeKind, GoneReason, JobType, NoteKind,
    ProjectState, Side, State, UserKind,
};
use crate::work::{self, cursor, job, quarantine, set};
use crate::{Error, WriteTx, migrate};

const T0: i64 = 1_700_000_000_000;

struct Store {
    conn: Connection,
    now: i64,
}

impl Store {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        Self { conn, now: T0 }
    }

    /// One transaction, a second after the one before.
    fn write<T>(&mut self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> T {
        self.try_write(f).unwrap()
    }

    fn try_write<T>(&mut self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.now += 1000;
        WriteTx::run(&self.conn, UnixMs(self.now), f)
    }

    fn project(&mut self) -> ProjectId {
        self.write(|tx| {
            let (forge, _) = upsert_forge(tx, &forge("https://forge.example"))?;
            Ok(upsert_project(tx, forge, &project("1", "group/one"))?.0)
        })
    }

    fn int(&self, sql: &str) -> i64 {
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn text(&self, sql: &str) -> String {
        self.conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn seq(&self) -> i64 {
        self.int("SELECT content_seq FROM store")
    }

    fn ops(&self, kind: &str) -> String {
        self.text(&format!(
            "SELECT coalesce(group_concat(op, ' '), '') FROM (SELECT op FROM revisions WHERE subject_kind = '{kind}'
             ORDER BY subject_id, seq)"
        ))
    }

    fn dirty(&self) -> i64 {
        self.int("SELECT count(*) FROM dirty_sources")
    }
}

fn forge(base_url: &str) -> ForgeIn {
    ForgeIn {
        name: base_url.to_owned(),
        kind: ForgeKind::Gitlab,
        base_url: base_url.to_owned(),
        api_url: format!("{base_url}/api/v4"),
    }
}

fn project(native_id: &str, path: &str) -> ProjectIn {
    ProjectIn {
        native_id: NativeId(native_id.to_owned()),
        path: path.to_owned(),
        title: path.to_owned(),
        description: None,
        default_branch: Some("main".to_owned()),
        visibility: Some("public".to_owned()),
        archived: false,
        web_url: None,
        created_at: Some(UnixMs(T0 - 9000)),
        updated_at: Some(UnixMs(T0 - 5000)),
        payload: Some(Payload::raw(*b"{}")),
    }
}

fn user(name: &str) -> UserIn {
    UserIn {
        native_id: NativeId(format!("u-{name}")),
        username: name.to_owned(),
        display_name: None,
        kind: UserKind::Human,
        web_url: None,
    }
}

fn issue(iid: i64, title: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId(format!("i{iid}")),
        iid: Iid(iid),
        title: title.to_owned(),
        body: "the body".to_owned(),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: Some(user("ann")),
        milestone: None,
        closed_by: None,
        labels: vec![LabelIn::named("bug"), LabelIn::named("later")],
        assignees: vec![user("bob")],
        created_at: Some(UnixMs(T0 - 3000)),
        updated_at: Some(UnixMs(T0 - 2000)),
        closed_at: None,
        due_at: None,
        web_url: Some("https://forge.example/1".to_owned()),
        moved_to: None,
        flags: 0,
        payload: Some(Payload::from_parts([(
            "issue",
            format!("{{\"title\":\"{title}\"}}").as_bytes(),
        )])),
    }
}

fn oid(digit: char) -> Oid {
    digit.to_string().repeat(40).parse().unwrap()
}

fn mr(iid: i64, head: char) -> MergeRequestIn {
    MergeRequestIn {
        entity: EntityIn {
            native_id: NativeId(format!("m{iid}")),
            ..issue(iid, "merge me")
        },
        draft: false,
        source_branch: Some("topic".to_owned()),
        target_branch: Some("main".to_owned()),
        source_project: None,
        head_oid: Some(oid(head)),
        merge_commit_oid: None,
        squash_oid: None,
        merged_at: None,
        merged_by: None,
        reviewers: vec![ReviewerIn {
            user: user("cat"),
            state: Some("approved".to_owned()),
        }],
        detail: None,
    }
}

fn note(id: &str, body: &str) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(user("ann")),
        body: body.to_owned(),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(UnixMs(T0 - 1000)),
        updated_at: Some(UnixMs(T0 - 1000)),
        flags: 0,
        position: None,
        payload: Some(Payload::raw(format!("{{\"id\":\"{id}\"}}"))),
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

fn thread(shape: SetShape, discussions: Vec<DiscussionIn>) -> DiscussionSetIn {
    DiscussionSetIn { discussions, shape }
}
