//! Rows for the tests of queries, put in as they lie in the file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use annals_core::UnixMs;
use rusqlite::{Connection, Params, params};
use serde_json::{Value, json};

use crate::content::blob;
use crate::{WriteTx, migrate};

/// When everything is first seen, unless a test says what was recorded of it: after every time in a test.
const FIRST_SEEN: i64 = 4_000_000_000_000;

/// Two projects, `group/one` and `group/two`, and whatever a test puts into them.
pub struct Mirror {
    pub conn: Connection,
}

/// A merge request; its number is its row too.
pub struct Mr<'a> {
    pub project: i64,
    pub iid: i64,
    pub author: &'a str,
    pub state: &'a str,
    pub created_at: i64,
    pub updated_at: i64,
    pub merged_at: Option<i64>,
    pub merged_by: Option<&'a str>,
    pub files: &'a str,
}

impl Default for Mr<'_> {
    fn default() -> Self {
        Self {
            project: 1,
            iid: 1,
            author: "ann",
            state: "open",
            created_at: 10,
            updated_at: 10,
            merged_at: None,
            merged_by: None,
            files: "complete",
        }
    }
}

/// A note, on a line of a file if it has a path.
pub struct Remark<'a> {
    /// `issue_id` or `mr_id`.
    pub parent: (&'a str, i64),
    pub author: &'a str,
    pub at: i64,
    pub body: &'a str,
    pub path: Option<&'a str>,
    pub system: bool,
    pub internal: bool,
}

impl Default for Remark<'_> {
    fn default() -> Self {
        Self {
            parent: ("mr_id", 1),
            author: "bob",
            at: 20,
            body: "a remark",
            path: None,
            system: false,
            internal: false,
        }
    }
}

impl Mirror {
    pub fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        crate::file::set_pragmas(&conn, crate::file::Role::Writer).unwrap();
        for step in migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO forges (id, name, kind, base_url, api_url)
               VALUES (1, 'forge', 'gitlab', 'https://forge.example', 'https://forge.example/api/v4');
             INSERT INTO projects (id, forge_id, native_id, path, path_folded, title, archived, tracked, state, changed_seq)
               VALUES (1, 1, 'p1', 'group/one', 'group/one', 'One', 0, 1, 'active', 0),
                      (2, 1, 'p2', 'group/two', 'group/two', 'Two', 0, 1, 'active', 0);",
        )
        .unwrap();
        Self { conn }
    }

    pub fn run(&self, sql: &str, values: impl Params) -> i64 {
        self.conn.execute(sql, values).unwrap();
        self.conn.last_insert_rowid()
    }

    pub fn user(&self, name: &str) -> i64 {
        let kind = if name.ends_with("-bot") { "bot" } else { "human" };
        self.conn
            .execute(
                "INSERT OR IGNORE INTO users (forge_id, native_id, username, username_folded, kind) VALUES (1, ?1, ?1, ?1, ?2)",
                params![name, kind],
            )
            .unwrap();
        self.conn
            .query_row("SELECT id FROM users WHERE native_id = ?1", [name], |row| row.get(0))
            .unwrap()
    }

    pub fn mr(&self, mr: &Mr<'_>) -> i64 {
        let row = self.run(
            "INSERT INTO merge_requests (project_id, native_id, iid, title, body, state, confidential, locked, author_id,
                 created_at, updated_at, merged_at, merged_by_id, closed_at, flags, draft, detail, files, changed_seq)
             VALUES (?1, ?2, ?2, 'Change ' || ?2, '', ?3, 0, 0, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 'complete', ?10, 0)",
            params![
                mr.project,
                mr.iid,
                mr.state,
                self.user(mr.author),
                mr.created_at,
                mr.updated_at,
                mr.merged_at,
                mr.merged_by.map(|name| self.user(name)),
                (mr.state == "closed").then_some(mr.updated_at),
                mr.files,
            ],
        );
        let state = json!({
            "title": format!("Change {}", mr.iid), "author": mr.author, "state": mr.state, "merged_at": mr.merged_at,
        });
        self.record("merge_request", row, "first", FIRST_SEEN, &state);
        row
    }

    /// An issue by `ann`, as old as it is new.
    pub fn issue(&self, project: i64, iid: i64, at: i64) -> i64 {
        let row = self.run(
            "INSERT INTO issues (project_id, native_id, iid, title, body, state, confidential, locked, author_id,
                 created_at, updated_at, flags, changed_seq)
             VALUES (?1, ?2, ?2, 'Issue ' || ?2, '', 'open', 0, 0, ?3, ?4, ?4, 0, 0)",
            params![project, iid, self.user("ann"), at],
        );
        let state = json!({"title": format!("Issue {iid}"), "author": "ann", "state": "open"});
        self.record("issue", row, "first", FIRST_SEEN, &state);
        row
    }

    /// A change of a file that holds from `from` to `to`.
    pub fn change(&self, mr: i64, kind: &str, paths: (&str, &str), (from, to): (i64, Option<i64>)) {
        self.run(
            "INSERT INTO mr_file_changes (mr_id, project_id, old_path, new_path, change, binary, too_large, from_at, to_at)
             SELECT id, project_id, ?2, ?3, ?4, 0, 0, ?5, ?6 FROM merge_requests WHERE id = ?1",
            params![mr, paths.0, paths.1, kind, from, to],
        );
    }

    /// A change that holds since the merge request is there.
    pub fn changes(&self, mr: i64, kind: &str, old: &str, new: &str) {
        self.change(mr, kind, (old, new), (10, None));
    }

    /// A merge request with this number that renames a file.
    pub fn rename(&self, iid: i64, old: &str, new: &str) -> i64 {
        let mr = self.mr(&Mr {
            iid,
            updated_at: 10 + iid,
            ..Mr::default()
        });
        self.changes(mr, "renamed", old, new);
        mr
    }

    pub fn commit(&self, project: i64, digit: char, at: i64, kind: &str, old: &str, new: &str) {
        let commit = self.run(
            "INSERT INTO commits (project_id, oid, title, message, author_name, author_at, committer_at, parents)
             VALUES (?1, ?2, 'Commit ' || ?3, '', 'Ann', ?4, ?4, '[]')",
            params![project, digit.to_string().repeat(40), digit.to_string(), at],
        );
        self.run(
            "INSERT INTO commit_file_changes (commit_id, project_id, old_path, new_path, change) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![commit, project, old, new, kind],
        );
    }

    /// A note in a discussion of its own; its row.
    pub fn remark(&self, remark: &Remark<'_>) -> i64 {
        let (column, parent) = remark.parent;
        let table = if column == "mr_id" { "merge_requests" } else { "issues" };
        let discussion = self.run(
            &format!(
                "INSERT INTO discussions (project_id, {column}, native_id, kind, resolvable, resolved, first_note_at,
                     changed_seq)
                 SELECT project_id, id, 'd' || (SELECT count(*) FROM discussions), 'thread', ?2, 0, ?3, 0
                   FROM {table} WHERE id = ?1"
            ),
            params![parent, remark.path.is_some(), remark.at],
        );
        let state = json!({"kind": "thread", "resolvable": remark.path.is_some(), "resolved": false});
        self.record("discussion", discussion, "first", FIRST_SEEN, &state);
        let kind = if remark.path.is_some() { "diff_note" } else { "note" };
        let note = self.run(
            "INSERT INTO notes (discussion_id, project_id, native_id, position, author_id, body, kind, system, internal,
                 created_at, updated_at, flags, changed_seq)
             SELECT id, project_id, 'n' || id, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 0 FROM discussions WHERE id = ?1",
            params![
                discussion,
                self.user(remark.author),
                remark.body,
                kind,
                remark.system,
                remark.internal,
                remark.at
            ],
        );
        if let Some(path) = remark.path {
            self.run(
                "INSERT INTO diff_note_positions (note_id, project_id, old_path, new_path, new_line, outdated)
                 SELECT id, project_id, ?2, ?2, 7, 0 FROM notes WHERE id = ?1",
                params![note, path],
            );
        }
        let place = remark
            .path
            .map(|path| json!({"old_path": path, "new_path": path, "new_line": 7}));
        let state = json!({
            "author": remark.author, "body": remark.body, "kind": kind, "system": remark.system,
            "internal": remark.internal, "position": place,
        });
        self.record("note", note, "first", FIRST_SEEN, &state);
        note
    }

    /// A resource event.
    pub fn event(&self, parent: (&str, i64), kind: &str, action: &str, subject: Option<&str>, at: i64) {
        let (column, row) = parent;
        let table = if column == "mr_id" { "merge_requests" } else { "issues" };
        self.run(
            &format!(
                "INSERT INTO resource_events (project_id, {column}, native_id, kind, action, subject, actor_id, created_at,
                     origin, changed_seq)
                 SELECT project_id, id, (SELECT count(*) FROM resource_events), ?2, ?3, ?4, ?5, ?6, 'forge', 0
                   FROM {table} WHERE id = ?1"
            ),
            params![row, kind, action, subject, self.user("cat"), at],
        );
    }

    /// What was recorded of a subject at a time, instead of what was first seen of it after all.
    pub fn revision(&self, kind: &str, row: i64, at: i64, state: &Value) {
        self.run(
            "DELETE FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2 AND valid_from = ?3",
            params![kind, row, FIRST_SEEN],
        );
        self.record(kind, row, "changed", at, state);
    }

    /// An issue or merge request that went, and is not back.
    pub fn gone(&self, kind: &str, row: i64, at: i64) {
        let table = if kind == "issue" { "issues" } else { "merge_requests" };
        let update = format!("UPDATE {table} SET gone_at = ?2, gone_reason = 'deleted' WHERE id = ?1");
        self.run(&update, [row, at]);
        self.record(kind, row, "gone", at, &json!({}));
    }

    /// One that went for a while.
    pub fn away(&self, kind: &str, row: i64, (from, to): (i64, i64), back: &Value) {
        self.record(kind, row, "gone", from, &json!({}));
        self.record(kind, row, "back", to, back);
    }

    fn record(&self, kind: &str, row: i64, op: &str, at: i64, state: &Value) {
        WriteTx::run(&self.conn, UnixMs(at), |tx| {
            let hash = blob::put(tx, state.to_string().as_bytes())?;
            tx.execute(
                "INSERT INTO revisions (subject_kind, subject_id, seq, op, valid_from, observed_at, state_hash, projection)
                 SELECT ?1, ?2, (SELECT coalesce(max(seq), 0) + 1 FROM revisions WHERE subject_kind = ?1 AND subject_id = ?2),
                        ?5, ?3, ?3, ?4, 1",
                params![kind, row, at, hash, op],
            )?;
            Ok(())
        })
        .unwrap();
    }
}
