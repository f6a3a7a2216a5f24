//! A small mirror in memory, written through the store's own functions.

pub mod world;

use annals_core::{Iid, NativeId, ProjectId, UnixMs};
use annals_db::WriteTx;
use annals_db::content::{
    DiffPositionIn, DiscussionIn, DiscussionSetIn, EntityIn, FileChangeIn, FileSetIn, ForgeIn, IssueIn, LabelIn,
    MergeRequestIn, MilestoneIn, NoteIn, ProjectIn, ReviewerIn, SetShape, UserIn, replace_discussions,
    replace_file_changes, upsert_forge, upsert_issue, upsert_merge_request, upsert_project,
};
use annals_db::ids::{DiscussionKind, EntityId, FileChange, Files, ForgeId, ForgeKind, NoteKind, State, UserKind};
use annals_search::answer::{Facet, SearchRequest, SearchResults, answer};
use annals_search::documents::{Drained, drain_page};
use annals_search::index::{Fts5, TextIndex};
use annals_search::query;
use rusqlite::{Connection, ToSql};

/// 2024-06-15T12:00:00Z
pub const NOW: UnixMs = UnixMs(1_718_452_800_000);
pub const DAY: i64 = 86_400_000;

pub struct Mirror {
    pub conn: Connection,
    pub forge: ForgeId,
    pub project: ProjectId,
}

impl Mirror {
    /// A forge with one project, `group/app`.
    pub fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        for step in annals_db::migrate::embedded() {
            conn.execute_batch(step.sql).unwrap();
        }
        conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")
            .unwrap();
        let (forge, _) = WriteTx::run(&conn, NOW, |tx| upsert_forge(tx, &forge())).unwrap();
        let mut mirror = Self {
            conn,
            forge,
            project: ProjectId(0),
        };
        mirror.project = mirror.add_project("group/app", "100");
        mirror
    }

    pub fn add_project(&self, path: &str, native_id: &str) -> ProjectId {
        self.write(|tx| upsert_project(tx, self.forge, &project(path, native_id)))
            .0
    }

    /// Another forge, with a project of this path.
    pub fn add_elsewhere(&self, host: &str, path: &str) -> ProjectId {
        let base_url = format!("https://{host}");
        let forge = ForgeIn {
            name: host.to_owned(),
            api_url: format!("{base_url}/api/v4"),
            base_url,
            ..forge()
        };
        let (forge, _) = self.write(|tx| upsert_forge(tx, &forge));
        self.write(|tx| upsert_project(tx, forge, &project(path, "100"))).0
    }

    pub fn write<T>(&self, f: impl FnOnce(&WriteTx<'_>) -> Result<T, annals_db::Error>) -> T {
        WriteTx::run(&self.conn, NOW, f).unwrap()
    }

    pub fn issue(&self, issue: &IssueIn) -> EntityId {
        self.write(|tx| upsert_issue(tx, self.project, issue)).id
    }

    pub fn merge_request(&self, mr: &MergeRequestIn) -> EntityId {
        self.write(|tx| upsert_merge_request(tx, self.project, mr)).id
    }

    pub fn discuss(&self, entity: EntityId, discussions: Vec<DiscussionIn>) {
        let set = DiscussionSetIn {
            discussions,
            shape: SetShape::OnePage,
        };
        self.write(|tx| replace_discussions(tx, self.project, entity, &set));
    }

    pub fn change_files(&self, mr: EntityId, files: &[(&str, &str)]) {
        let change = |(old, new): &(&str, &str)| FileChangeIn {
            old_path: (*old).to_owned(),
            new_path: (*new).to_owned(),
            change: if old == new {
                FileChange::Modified
            } else {
                FileChange::Renamed
            },
            additions: None,
            deletions: None,
            binary: false,
            too_large: false,
            patch_hash: None,
        };
        let files = files.iter().map(change).collect();
        let set = FileSetIn {
            files,
            extent: Files::Complete,
            shape: annals_db::content::SetShape::OnePage,
            head_oid: None,
            at: Some(NOW),
        };
        self.write(|tx| replace_file_changes(tx, self.project, mr, &set));
    }

    /// Makes everything that is owed.
    pub fn drain(&self) -> Drained {
        self.drain_with(&Fts5)
    }

    pub fn drain_with(&self, index: &dyn TextIndex) -> Drained {
        let mut total = Drained::default();
        loop {
            let page = self.write(|tx| drain_page(tx, index));
            if page.sources == 0 {
                return total;
            }
            total += page;
        }
    }

    pub fn search(&self, text: &str) -> SearchResults {
        self.ask(&SearchRequest {
            limit: 1_000,
            facets: Facet::ALL.to_vec(),
            ..SearchRequest::new(text, NOW)
        })
    }

    pub fn ask(&self, request: &SearchRequest) -> SearchResults {
        let query = query::parse(&request.query, request.now).unwrap();
        answer(&self.conn, &Fts5, &query, request).unwrap()
    }

    /// The references of what a query finds, in order.
    pub fn refs(&self, text: &str) -> Vec<String> {
        self.search(text).hits.into_iter().map(|hit| hit.reference).collect()
    }

    /// The same without the project and sorted, for tables: `~#1` is a discussion of `#1`.
    pub fn found(&self, text: &str) -> String {
        let short = |hit: annals_search::answer::Hit| {
            let kind = if hit.kind.as_str() == "discussion" { "~" } else { "" };
            format!("{kind}{}", hit.reference.trim_start_matches("group/app"))
        };
        sorted(
            &self
                .search(text)
                .hits
                .into_iter()
                .map(short)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    pub fn number(&self, sql: &str, values: &[&dyn ToSql]) -> i64 {
        self.conn.query_row(sql, values, |row| row.get(0)).unwrap()
    }

    pub fn text(&self, sql: &str, values: &[&dyn ToSql]) -> String {
        self.conn.query_row(sql, values, |row| row.get(0)).unwrap()
    }
}

pub fn forge() -> ForgeIn {
    ForgeIn {
        name: "gitlab.example".to_owned(),
        kind: ForgeKind::Gitlab,
        base_url: "https://gitlab.example".to_owned(),
        api_url: "https://gitlab.example/api/v4".to_owned(),
    }
}

pub fn project(path: &str, native_id: &str) -> ProjectIn {
    ProjectIn {
        native_id: NativeId(native_id.to_owned()),
        path: path.to_owned(),
        title: path.to_owned(),
        description: None,
        default_branch: None,
        visibility: None,
        archived: false,
        web_url: Some(format!("https://gitlab.example/{path}")),
        created_at: None,
        updated_at: None,
        payload: None,
    }
}

/// Words in the order in which [`Mirror::found`] has them.
pub fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.sort_unstable();
    words.join(" ")
}

pub fn user(username: &str, display_name: &str) -> UserIn {
    UserIn {
        native_id: NativeId(format!("u-{username}")),
        username: username.to_owned(),
        display_name: Some(display_name.to_owned()),
        kind: UserKind::Human,
        web_url: None,
    }
}

pub fn ada() -> UserIn {
    user("ada", "Ada Lovelace")
}

pub fn bob() -> UserIn {
    user("bob", "Bob")
}

pub fn issue(iid: i64, title: &str, body: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId((9_000 + iid).to_string()),
        iid: Iid(iid),
        title: title.to_owned(),
        body: body.to_owned(),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: Some(ada()),
        milestone: None,
        closed_by: None,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: Some(UnixMs(NOW.0 - 30 * DAY)),
        updated_at: Some(UnixMs(NOW.0 - iid * DAY)),
        closed_at: None,
        due_at: None,
        web_url: Some(format!("https://gitlab.example/group/app/-/issues/{iid}")),
        moved_to: None,
        flags: 0,
        payload: None,
    }
}

pub fn merge_request(iid: i64, title: &str, body: &str) -> MergeRequestIn {
    MergeRequestIn {
        entity: EntityIn {
            native_id: NativeId((8_000 + iid).to_string()),
            web_url: Some(format!("https://gitlab.example/group/app/-/merge_requests/{iid}")),
            ..issue(iid, title, body)
        },
        draft: false,
        source_branch: Some(format!("feature-{iid}")),
        target_branch: Some("main".to_owned()),
        source_project: None,
        head_oid: None,
        merge_commit_oid: None,
        squash_oid: None,
        merged_at: None,
        merged_by: None,
        reviewers: Vec::new(),
        detail: None,
    }
}

pub fn reviewer(user: UserIn) -> ReviewerIn {
    ReviewerIn { user, state: None }
}

pub fn labels(names: &[&str]) -> Vec<LabelIn> {
    names.iter().map(|name| LabelIn::named(*name)).collect()
}

pub fn milestone(title: &str) -> MilestoneIn {
    MilestoneIn {
        native_id: NativeId(format!("m-{title}")),
        iid: None,
        title: title.to_owned(),
        description: None,
        state: None,
        start_at: None,
        due_at: None,
    }
}

pub fn note(id: &str, author: UserIn, body: &str) -> NoteIn {
    NoteIn {
        native_id: NativeId(id.to_owned()),
        author: Some(author),
        body: body.to_owned(),
        kind: NoteKind::Note,
        system: false,
        internal: false,
        created_at: Some(UnixMs(NOW.0 - 2 * DAY)),
        updated_at: Some(UnixMs(NOW.0 - 2 * DAY)),
        flags: 0,
        position: None,
        payload: None,
    }
}

pub fn diff_note(id: &str, author: UserIn, body: &str, old_path: &str, new_path: &str) -> NoteIn {
    NoteIn {
        kind: NoteKind::DiffNote,
        position: Some(DiffPositionIn {
            old_path: Some(old_path.to_owned()),
            new_path: Some(new_path.to_owned()),
            old_line: None,
            new_line: Some(3),
            start_line: None,
            side: None,
            base_oid: None,
            start_oid: None,
            head_oid: None,
            outdated: false,
            hunk: None,
        }),
        ..note(id, author, body)
    }
}

pub fn discussion(id: &str, notes: Vec<NoteIn>) -> DiscussionIn {
    DiscussionIn {
        native_id: NativeId(id.to_owned()),
        kind: DiscussionKind::Thread,
        resolvable: false,
        resolved: false,
        resolved_by: None,
        resolved_at: None,
        notes,
        payload: None,
    }
}
