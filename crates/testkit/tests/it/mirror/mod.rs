//! A mirror as naive as can be: JSON from the API into the tables of the content schema.

use annals_testkit::forge::model::sql;
use annals_testkit::forge::{Policy, State};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use crate::common::{json, project, rows};

/// A database filled from JSON by rules written here once more.
pub struct Mirror(Connection);

impl Mirror {
    /// Reads everything there is.
    pub fn fill(state: &State, policy: &Policy) -> Self {
        let db = Connection::open_in_memory().unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            db.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
        db.execute_batch("PRAGMA foreign_keys = ON; BEGIN").unwrap();
        let mirror = Self(db);
        let api = project(state);
        mirror.put(
            "forges",
            &[
                ("id", 1.into()),
                ("name", "f".to_owned().into()),
                ("kind", "gitlab".to_owned().into()),
                ("base_url", "u".to_owned().into()),
                ("api_url", "u".to_owned().into()),
            ],
        );
        let row = json(state, policy, &api);
        mirror.put(
            "projects",
            &[
                ("id", 1.into()),
                ("forge_id", 1.into()),
                ("native_id", id(&row)),
                ("path", text(&row["path_with_namespace"])),
                ("path_folded", text(&row["path_with_namespace"])),
                ("title", text(&row["name"])),
                ("description", text(&row["description"])),
                ("default_branch", text(&row["default_branch"])),
                ("visibility", text(&row["visibility"])),
                ("archived", flag(&row["archived"])),
                ("web_url", text(&row["web_url"])),
                ("tracked", 1.into()),
                ("state", "active".to_owned().into()),
                ("created_at", time(&row["created_at"])),
                ("changed_seq", 0.into()),
            ],
        );
        for row in rows(state, policy, &format!("{api}/labels?per_page=7")) {
            mirror.put(
                "labels",
                &[
                    ("project_id", 1.into()),
                    ("native_id", id(&row)),
                    ("name", text(&row["name"])),
                    ("name_folded", text(&row["name"])),
                    ("color", text(&row["color"])),
                    ("description", text(&row["description"])),
                    ("changed_seq", 0.into()),
                ],
            );
        }
        for row in rows(state, policy, &format!("{api}/milestones?state=all&per_page=3")) {
            mirror.put(
                "milestones",
                &[
                    ("project_id", 1.into()),
                    ("native_id", id(&row)),
                    ("iid", int(&row["iid"])),
                    ("title", text(&row["title"])),
                    ("description", text(&row["description"])),
                    ("state", text(&row["state"])),
                    ("start_at", time(&row["start_date"])),
                    ("due_at", time(&row["due_date"])),
                    ("changed_seq", 0.into()),
                ],
            );
        }
        for row in rows(
            state,
            policy,
            &format!("{api}/issues?scope=all&state=all&order_by=updated_at&sort=asc&per_page=50"),
        ) {
            mirror.entity(state, policy, &api, "issue", &row);
        }
        for row in rows(
            state,
            policy,
            &format!("{api}/merge_requests?scope=all&state=all&per_page=50"),
        ) {
            mirror.entity(state, policy, &api, "merge_request", &row);
        }
        mirror
    }

    /// The dump by the model's queries.
    pub fn dump(&self, state: &State) -> String {
        let id: i64 = self
            .0
            .query_row(sql::PROJECT, [state.project().id.to_string()], |row| row.get(0))
            .unwrap();
        let lines = |query| self.0.prepare(query)?.query_map([id], |row| row.get(0))?.collect();
        sql::dump::<rusqlite::Error>(lines).unwrap()
    }

    /// What the model counts as not finished.
    pub fn owed(&self) -> i64 {
        self.0.query_row(sql::OWED, [1], |row| row.get(0)).unwrap()
    }

    fn entity(&self, state: &State, policy: &Policy, api: &str, kind: &str, row: &Value) {
        let iid = row["iid"].as_i64().unwrap();
        let is_mr = kind == "merge_request";
        let at = format!("{api}/{}/{iid}", if is_mr { "merge_requests" } else { "issues" });
        let detail = json(state, policy, &at);
        let mut fields = vec![
            ("project_id", 1.into()),
            ("native_id", id(row)),
            ("iid", iid.into()),
            ("title", text(&row["title"])),
            (
                "body",
                row["description"].as_str().unwrap_or_default().to_owned().into(),
            ),
            (
                "state",
                match row["state"].as_str().unwrap() {
                    "opened" | "locked" => "open",
                    other => other,
                }
                .to_owned()
                .into(),
            ),
            ("confidential", flag(&row["confidential"])),
            ("locked", flag(&row["discussion_locked"])),
            ("author_id", self.user(&row["author"])),
            ("milestone_id", self.find("milestones", &row["milestone"]["id"])),
            ("closed_by_id", self.user(&row["closed_by"])),
            ("created_at", time(&row["created_at"])),
            ("updated_at", time(&row["updated_at"])),
            ("closed_at", time(&row["closed_at"])),
            ("due_at", time(&row["due_date"])),
            ("web_url", text(&row["web_url"])),
            ("flags", 0.into()),
            ("changed_seq", 0.into()),
        ];
        if is_mr {
            let files = rows(state, policy, &format!("{at}/diffs?per_page=100"));
            let cut = files.iter().any(|file| file["too_large"] == true);
            fields.extend([
                ("draft", flag(&row["draft"])),
                ("source_branch", text(&row["source_branch"])),
                ("target_branch", text(&row["target_branch"])),
                ("source_project", row["source_project_id"].to_string().into()),
                ("head_oid", text(&row["sha"])),
                ("base_oid", text(&detail["diff_refs"]["base_sha"])),
                ("start_oid", text(&detail["diff_refs"]["start_sha"])),
                ("merge_commit_oid", text(&row["merge_commit_sha"])),
                ("squash_oid", text(&row["squash_commit_sha"])),
                ("merged_at", time(&row["merged_at"])),
                ("merged_by_id", self.user(&row["merge_user"])),
                ("detail", "complete".to_owned().into()),
                ("files", if cut { "truncated" } else { "complete" }.to_owned().into()),
            ]);
            let mr = self.put("merge_requests", &fields);
            self.links("mr", mr, row);
            for reviewer in row["reviewers"].as_array().unwrap() {
                self.put(
                    "mr_reviewers",
                    &[("mr_id", mr.into()), ("user_id", self.user(reviewer))],
                );
            }
            self.change(state, policy, &at, mr, &detail, &files);
            self.talk(state, policy, &at, "mr_id", mr);
        } else {
            fields.push(("issue_type", text(&row["issue_type"])));
            let issue = self.put("issues", &fields);
            self.links("issue", issue, row);
            self.talk(state, policy, &at, "issue_id", issue);
        }
    }

    fn links(&self, prefix: &str, entity: i64, row: &Value) {
        let parent = format!("{prefix}_id");
        for label in row["labels"].as_array().unwrap() {
            let found: i64 = self
                .0
                .query_row(
                    "SELECT id FROM labels WHERE name = ?1",
                    [label.as_str().unwrap()],
                    |r| r.get(0),
                )
                .unwrap();
            self.put(
                &format!("{prefix}_labels"),
                &[(&parent, entity.into()), ("label_id", found.into())],
            );
        }
        for user in row["assignees"].as_array().unwrap() {
            self.put(
                &format!("{prefix}_assignees"),
                &[(&parent, entity.into()), ("user_id", self.user(user))],
            );
        }
    }

    fn change(&self, state: &State, policy: &Policy, at: &str, mr: i64, detail: &Value, files: &[Value]) {
        let refs = &detail["diff_refs"];
        self.put(
            "mr_versions",
            &[
                ("mr_id", mr.into()),
                ("version", 1.into()),
                ("head_oid", text(&refs["head_sha"])),
                ("base_oid", text(&refs["base_sha"])),
                ("start_oid", text(&refs["start_sha"])),
                ("seen_at", 0.into()),
                ("files", "complete".to_owned().into()),
            ],
        );
        for (rank, row) in rows(state, policy, &format!("{at}/commits?per_page=100"))
            .iter()
            .enumerate()
        {
            let commit = self.put(
                "commits",
                &[
                    ("project_id", 1.into()),
                    ("oid", text(&row["id"])),
                    ("title", text(&row["title"])),
                    ("message", text(&row["message"])),
                    ("author_name", text(&row["author_name"])),
                    ("author_email", text(&row["author_email"])),
                    ("author_at", time(&row["authored_date"])),
                    ("committer_at", time(&row["committed_date"])),
                    ("parents", row["parent_ids"].to_string().into()),
                ],
            );
            self.put(
                "mr_commits",
                &[
                    ("mr_id", mr.into()),
                    ("commit_id", commit.into()),
                    ("position", (rank as i64 + 1).into()),
                    ("from_at", 0.into()),
                ],
            );
        }
        for row in files {
            let diff = row["diff"].as_str().unwrap();
            let change = match row {
                row if row["new_file"] == true => "added",
                row if row["deleted_file"] == true => "deleted",
                row if row["renamed_file"] == true => "renamed",
                row if row["a_mode"] != row["b_mode"] && diff.is_empty() => "mode",
                _ => "modified",
            };
            let count = |sign: char| (diff.lines().filter(|line| line.starts_with(sign)).count() as i64).into();
            self.put(
                "mr_file_changes",
                &[
                    ("mr_id", mr.into()),
                    ("project_id", 1.into()),
                    ("old_path", text(&row["old_path"])),
                    ("new_path", text(&row["new_path"])),
                    ("change", change.to_owned().into()),
                    ("additions", count('+')),
                    ("deletions", count('-')),
                    ("binary", i64::from(diff.starts_with("Binary files ")).into()),
                    ("too_large", flag(&row["too_large"])),
                    ("from_at", 0.into()),
                ],
            );
        }
        for row in rows(state, policy, &format!("{at}/closes_issues?per_page=100")) {
            let path = row["references"]["full"]
                .as_str()
                .unwrap()
                .split('#')
                .next()
                .unwrap()
                .to_owned();
            self.put(
                "entity_references",
                &[
                    ("project_id", 1.into()),
                    ("source_kind", "merge_request".to_owned().into()),
                    ("source_id", mr.into()),
                    ("kind", "closes".to_owned().into()),
                    ("target_path", path.into()),
                    ("target_kind", "issue".to_owned().into()),
                    ("target_iid", int(&row["iid"])),
                ],
            );
        }
    }

    fn talk(&self, state: &State, policy: &Policy, at: &str, parent: &str, entity: i64) {
        for row in rows(state, policy, &format!("{at}/discussions?per_page=100")) {
            let notes = row["notes"].as_array().unwrap();
            let resolvable: Vec<_> = notes.iter().filter(|note| note["resolvable"] == true).collect();
            let resolved = !resolvable.is_empty() && resolvable.iter().all(|note| note["resolved"] == true);
            let settled = resolvable.last().filter(|_| resolved);
            let shape = if row["individual_note"] == true {
                "comment"
            } else {
                "thread"
            };
            let discussion = self.put(
                "discussions",
                &[
                    ("project_id", 1.into()),
                    (parent, entity.into()),
                    ("native_id", text(&row["id"])),
                    ("kind", shape.to_owned().into()),
                    ("resolvable", i64::from(!resolvable.is_empty()).into()),
                    ("resolved", i64::from(resolved).into()),
                    (
                        "resolved_by_id",
                        settled.map_or(Sql::Null, |note| self.user(&note["resolved_by"])),
                    ),
                    (
                        "resolved_at",
                        settled.map_or(Sql::Null, |note| time(&note["resolved_at"])),
                    ),
                    ("first_note_at", time(&notes[0]["created_at"])),
                    ("last_note_at", time(&notes.last().unwrap()["created_at"])),
                    ("changed_seq", 0.into()),
                ],
            );
            for (rank, note) in notes.iter().enumerate() {
                self.note(discussion, rank, note);
            }
        }
        for (kind, part) in [
            ("state", "resource_state_events"),
            ("label", "resource_label_events"),
            ("milestone", "resource_milestone_events"),
        ] {
            for row in rows(state, policy, &format!("{at}/{part}?per_page=100")) {
                let (action, subject) = match kind {
                    "state" => (text(&row["state"]), Sql::Null),
                    "label" => (text(&row["action"]), text(&row["label"]["name"])),
                    _ => (text(&row["action"]), text(&row["milestone"]["title"])),
                };
                self.put(
                    "resource_events",
                    &[
                        ("project_id", 1.into()),
                        (parent, entity.into()),
                        ("native_id", id(&row)),
                        ("kind", kind.to_owned().into()),
                        ("action", action),
                        ("subject", subject),
                        ("actor_id", self.user(&row["user"])),
                        ("created_at", time(&row["created_at"])),
                        ("origin", "forge".to_owned().into()),
                        ("changed_seq", 0.into()),
                    ],
                );
            }
        }
    }

    fn note(&self, discussion: i64, rank: usize, row: &Value) {
        let kind = if row["type"] == "DiffNote" { "diff_note" } else { "note" };
        let note = self.put(
            "notes",
            &[
                ("discussion_id", discussion.into()),
                ("project_id", 1.into()),
                ("native_id", id(row)),
                ("position", (rank as i64 + 1).into()),
                ("author_id", self.user(&row["author"])),
                ("body", text(&row["body"])),
                ("kind", kind.to_owned().into()),
                ("system", flag(&row["system"])),
                ("internal", flag(&row["internal"])),
                ("created_at", time(&row["created_at"])),
                ("updated_at", time(&row["updated_at"])),
                ("flags", 0.into()),
                ("changed_seq", 0.into()),
            ],
        );
        let at = &row["position"];
        if at.is_object() {
            let side = match (at["old_line"].is_i64(), at["new_line"].is_i64()) {
                (true, true) => "both",
                (true, false) => "old",
                _ => "new",
            };
            self.put(
                "diff_note_positions",
                &[
                    ("note_id", note.into()),
                    ("project_id", 1.into()),
                    ("old_path", text(&at["old_path"])),
                    ("new_path", text(&at["new_path"])),
                    ("old_line", int(&at["old_line"])),
                    ("new_line", int(&at["new_line"])),
                    ("start_line", int(&at["line_range"]["start"]["new_line"])),
                    ("side", side.to_owned().into()),
                    ("base_oid", text(&at["base_sha"])),
                    ("start_oid", text(&at["start_sha"])),
                    ("head_oid", text(&at["head_sha"])),
                    ("outdated", 0.into()),
                ],
            );
        }
    }

    fn user(&self, row: &Value) -> Sql {
        if row.is_null() {
            return Sql::Null;
        }
        let known = self.find("users", &row["id"]);
        if known != Sql::Null {
            return known;
        }
        let name = row["username"].as_str().unwrap();
        let kind = match name {
            "ghost" => "ghost",
            _ if name.starts_with("project_") && name.contains("_bot") => "bot",
            _ => "human",
        };
        self.put(
            "users",
            &[
                ("forge_id", 1.into()),
                ("native_id", id(row)),
                ("username", text(&row["username"])),
                ("username_folded", text(&row["username"])),
                ("display_name", text(&row["name"])),
                ("kind", kind.to_owned().into()),
                ("web_url", text(&row["web_url"])),
            ],
        )
        .into()
    }

    fn find(&self, table: &str, native: &Value) -> Sql {
        let query = format!("SELECT id FROM {table} WHERE native_id = ?1");
        self.0
            .query_row(&query, [native.to_string()], |row| row.get::<_, i64>(0))
            .map_or(Sql::Null, Sql::Integer)
    }

    fn put(&self, table: &str, fields: &[(&str, Sql)]) -> i64 {
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let holes = vec!["?"; fields.len()].join(", ");
        let query = format!("INSERT INTO {table} ({}) VALUES ({holes})", names.join(", "));
        let mut statement = self.0.prepare_cached(&query).unwrap();
        statement
            .insert(params_from_iter(fields.iter().map(|(_, value)| value)))
            .unwrap_or_else(|error| {
                // Link tables have no row id to return.
                assert!(
                    matches!(error, rusqlite::Error::StatementChangedRows(1)),
                    "{query}: {error}"
                );
                0
            })
    }
}

fn id(row: &Value) -> Sql {
    row["id"].to_string().into()
}

fn text(value: &Value) -> Sql {
    value.as_str().map_or(Sql::Null, |text| text.to_owned().into())
}

fn int(value: &Value) -> Sql {
    value.as_i64().map_or(Sql::Null, Sql::Integer)
}

fn flag(value: &Value) -> Sql {
    i64::from(value == true).into()
}

fn time(value: &Value) -> Sql {
    value.as_str().map_or(Sql::Null, |text| {
        annals_testkit::forge::calendar::parse(text).unwrap().0.into()
    })
}
