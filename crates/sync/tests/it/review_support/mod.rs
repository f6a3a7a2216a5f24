//! A GitLab in memory whose every answer a test can bend: lists, single objects, statuses, and a
//! hook that runs before each answer.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part; a test may panic"
)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use annals_core::config::{Config, ForgeKind, ForgeSettings};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::Cx;
use annals_net_adapter::http::{Body, HttpClient, HttpError, ReqOpts, Request, Response};
use annals_sync::{Error, Hosts, Progress, SyncOptions, SyncResult, Target};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::common::{Place, process};

/// Sees each request before it is answered, and may change what is answered.
pub type Hook = Box<dyn FnMut(&mut Contents, &str) + Send>;

/// What the forge answers from, and what it was asked.
#[derive(Default)]
pub struct Contents {
    /// Lists by what follows the project in the path.
    pub lists: BTreeMap<String, Vec<Value>>,
    /// Single answers by the path after `projects/`.
    pub objects: BTreeMap<String, Value>,
    /// Statuses by the path after `projects/`, before anything else.
    pub status: BTreeMap<String, u16>,
    /// Every request.
    pub log: Vec<String>,
    /// Runs before each answer.
    pub hook: Option<Hook>,
    /// Whether lists carry an entity tag.
    pub etags: bool,
}

/// The forge.
#[derive(Clone, Default)]
pub struct StandIn(Arc<Mutex<Contents>>);

fn answer(status: u16, body: Vec<u8>, next: &str, etag: Option<&str>) -> Response {
    let mut answer = http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("date", "Mon, 01 Jan 2024 00:00:00 GMT")
        .header("x-next-page", next);
    if let Some(etag) = etag {
        answer = answer.header("etag", etag);
    }
    answer.body(Body::from(Bytes::from(body))).unwrap()
}

impl StandIn {
    /// What it answers from.
    pub fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }

    fn answer(&self, request: &Request) -> Response {
        let mut contents = self.contents();
        let uri = request.uri().to_string();
        contents.log.push(uri.clone());
        if let Some(mut hook) = contents.hook.take() {
            hook(&mut contents, &uri);
            contents.hook.get_or_insert(hook);
        }
        let query: BTreeMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace("%3A", ":")))
            .collect();
        let path = request.uri().path().trim_start_matches("/api/v4/projects/");
        if let Some(status) = contents.status.get(path) {
            return answer(*status, b"{}".to_vec(), "", None);
        }
        if let Some(object) = contents.objects.get(path) {
            return answer(200, object.to_string().into_bytes(), "", None);
        }
        let Some((_, list)) = path.split_once('/') else {
            return answer(404, b"{}".to_vec(), "", None);
        };
        if query.contains_key("pagination") {
            return answer(405, b"{}".to_vec(), "", None);
        }
        let mut rows = contents.lists.get(list).cloned().unwrap_or_default();
        if query.contains_key("order_by") {
            let at = |row: &Value| row["updated_at"].as_str().unwrap_or_default().to_owned();
            if let Some(after) = query.get("updated_after") {
                rows.retain(|row| at(row).trim_end_matches('Z') >= after.trim_end_matches('Z'));
            }
            rows.sort_by_key(at);
        }
        let number = |name: &str, default: usize| query.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        let (size, page, all) = (number("per_page", 20), number("page", 1), rows.len());
        let shown: Vec<_> = rows.into_iter().skip((page - 1) * size).take(size).collect();
        let body = Value::from(shown).to_string().into_bytes();
        let etag = contents.etags.then(|| {
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            format!("W/\"{:x}\"", hasher.finish())
        });
        let asked = request.headers().get("if-none-match").and_then(|tag| tag.to_str().ok());
        if etag.is_some() && etag.as_deref() == asked {
            return answer(304, Vec::new(), "", etag.as_deref());
        }
        let next = if page * size < all {
            (page + 1).to_string()
        } else {
            String::new()
        };
        answer(200, body, &next, etag.as_deref())
    }
}

impl HttpClient for StandIn {
    fn send<'a>(
        &'a self,
        _cx: &'a Cx,
        request: Request,
        _options: &'a ReqOpts,
    ) -> Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + 'a>> {
        Box::pin(async move { Ok(self.answer(&request)) })
    }
}

/// The forge with the project `g/p`, number 7, and a store that mirrors it.
pub struct Mirror {
    _place: Place,
    pub db: Db,
    pub forge: StandIn,
    pub page_size: u64,
    pub events: bool,
}

impl Mirror {
    pub async fn new(cx: &Cx) -> Self {
        let place = Place::new();
        let db = Db::open(cx, &place.path, OpenOptions::write(process(1))).await.unwrap();
        let forge = StandIn::default();
        for key in ["7", "g%2Fp"] {
            forge.contents().objects.insert(key.to_owned(), project(7, "g/p"));
        }
        Self {
            _place: place,
            db,
            forge,
            page_size: 100,
            events: true,
        }
    }

    /// Sets a list of the project.
    pub fn set(&self, list: &str, rows: Vec<Value>) {
        self.forge.contents().lists.insert(list.to_owned(), rows);
    }

    /// Syncs `g/p`.
    pub async fn sync(&self, cx: &Cx) -> Result<SyncResult, Error> {
        self.sync_paths(cx, &["g/p"]).await
    }

    /// Syncs the projects with these paths, named by their addresses.
    pub async fn sync_paths(&self, cx: &Cx, paths: &[&str]) -> Result<SyncResult, Error> {
        let mut settings = ForgeSettings::new(ForgeKind::GitLab, "https://forge.example".parse().unwrap());
        settings.window = "1000000/1s".parse().unwrap();
        let mut config = Config::default();
        config.forges.insert("canned".to_owned(), settings);
        config.sync.page_size = self.page_size.try_into().unwrap();
        config.sync.events = self.events;
        let options = SyncOptions::new(&config, Hosts::through(Arc::new(self.forge.clone())));
        let targets = paths
            .iter()
            .map(|path| Target::Url(format!("https://forge.example/{path}")))
            .collect();
        annals_sync::sync(cx, &self.db, targets, options, Progress::silent()).await
    }

    /// The first column of a query; null as an empty text.
    pub async fn texts(&self, cx: &Cx, sql: &'static str) -> Vec<String> {
        let found = self.db.read(cx, move |conn| {
            let mut select = conn.prepare(sql)?;
            let rows = select.query_map((), |row| row.get::<_, Option<String>>(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        found
            .await
            .unwrap()
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect()
    }
}

/// A project.
pub fn project(id: i64, path: &str) -> Value {
    json!({"id": id, "path_with_namespace": path, "name": "P", "created_at": "2020-01-01T00:00:00Z"})
}

/// An issue.
pub fn issue(iid: i64, at: &str) -> Value {
    json!({"id": 100 + iid, "iid": iid, "title": format!("i{iid}"), "state": "opened",
           "created_at": "2020-01-01T00:00:00Z", "updated_at": at, "labels": []})
}

/// A discussion of one note.
pub fn discussion(n: i64) -> Value {
    json!({"id": format!("d{n}"), "individual_note": true, "notes": [note(n)]})
}

/// A note.
pub fn note(n: i64) -> Value {
    json!({"id": 1000 + n, "body": format!("n{n}"), "author": {"id": 1, "username": "u"},
           "created_at": "2020-01-02T00:00:00Z", "updated_at": "2020-01-02T00:00:00Z", "system": false})
}
