//! Bad and hostile payloads, a row of the specification's table each: what is valid around them is
//! stored, and the cursor stands at the last row that was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use crate::common::{Place, process};
use annals_core::Code;
use annals_core::config::{Config, ForgeKind, ForgeSettings};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::http::{Body, HttpClient, HttpError, ReqOpts, Request, Response};
use annals_net_adapter::{Cx, on_every_host, on_every_runtime};
use annals_sync::{Error, Event, Hosts, Progress, SyncOptions, SyncResult, Target};
use bytes::Bytes;
use serde_json::{Value, json};

on_every_host!(
    bad_input_malformed_item,
    bad_input_item_without_ids,
    bad_input_same_id_twice_and_two_ids_with_one_number,
    bad_input_numbers_out_of_range,
    bad_input_unknown_words,
    bad_input_strange_characters,
    bad_input_empty_strings,
    bad_input_hostile_paths,
    bad_input_odd_times,
    bad_input_not_a_list,
    bad_input_bad_child_of_a_set,
    bad_input_token_that_is_none,
    a_missing_list_of_events_is_asked_for_once,
);
on_every_runtime!(bad_input_large_texts_and_many_labels);

/// A forge of fixed answers.
#[derive(Clone, Default)]
struct Canned {
    answers: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What ends so is not there.
    missing: Option<&'static str>,
}

impl Canned {
    fn with(self, path: &str, body: impl Into<Vec<u8>>) -> Self {
        self.answers.lock().unwrap().insert(path.to_owned(), body.into());
        self
    }

    fn issues(rows: &[Value]) -> Self {
        Self::default().with("issues", Value::from(rows.to_vec()).to_string())
    }

    fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path().trim_start_matches("/api/v4/projects/").to_owned();
        self.asked.lock().unwrap().push(request.uri().to_string());
        let is_project = path == "7" || path.starts_with("g%2Fp") && !path.contains("/issues");
        let rest = path.split_once('/').map_or("", |(_, rest)| rest).to_owned();
        let status = if self.missing.is_some_and(|end| rest.ends_with(end)) {
            404
        } else {
            200
        };
        let body = match self.answers.lock().unwrap().get(&rest) {
            Some(body) => body.clone(),
            None if is_project && rest.is_empty() => {
                json!({"id": 7, "path_with_namespace": "g/p", "name": "P", "created_at": "2020-01-01T00:00:00Z"})
                    .to_string()
                    .into_bytes()
            }
            None => b"[]".to_vec(),
        };
        http::Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("date", "Mon, 01 Jan 2024 00:00:00 GMT")
            .header("x-next-page", "")
            .body(Body::from(Bytes::from(body)))
            .unwrap()
    }
}

impl HttpClient for Canned {
    fn send<'a>(
        &'a self,
        _cx: &'a Cx,
        request: Request,
        _opts: &'a ReqOpts,
    ) -> Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + 'a>> {
        Box::pin(async move { Ok(self.answer(&request)) })
    }
}

struct Mirror {
    _place: Place,
    db: Db,
    forge: Canned,
}

impl Mirror {
    async fn of(cx: &Cx, forge: Canned) -> Self {
        let place = Place::new();
        let db = Db::open(cx, &place.path, OpenOptions::write(process(1))).await.unwrap();
        Self {
            _place: place,
            db,
            forge,
        }
    }

    fn options(&self) -> SyncOptions {
        let mut settings = ForgeSettings::new(ForgeKind::GitLab, "https://forge.example".parse().unwrap());
        settings.window = "1000000/1s".parse().unwrap();
        let mut config = Config::default();
        config.forges.insert("canned".to_owned(), settings);
        SyncOptions::new(&config, Hosts::through(Arc::new(self.forge.clone())))
    }

    async fn sync(&self, cx: &Cx) -> (Result<SyncResult, Error>, Vec<Event>) {
        let (progress, mut events) = Progress::channel(std::num::NonZeroUsize::new(10_000).unwrap());
        let target = vec![Target::Url("https://forge.example/g/p".to_owned())];
        let result = annals_sync::sync(cx, &self.db, target, self.options(), progress).await;
        (result, events.drain())
    }

    async fn texts(&self, cx: &Cx, sql: &'static str) -> Vec<String> {
        let read = self.db.read(cx, move |conn| {
            let mut select = conn.prepare(sql)?;
            let rows = select.query_map((), |row| row.get::<_, Option<String>>(0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        read.await.unwrap().into_iter().map(Option::unwrap_or_default).collect()
    }

    async fn close(self, cx: &Cx) {
        self.db.close(cx).await.unwrap();
    }
}

/// A good issue, updated on the given day of 2023.
fn issue(id: i64, day: u32) -> Value {
    json!({
        "id": 1000 + id, "iid": id, "title": format!("Issue {id}"), "description": "text", "state": "opened",
        "author": {"id": 1, "username": "ann", "name": "Ann"}, "labels": [],
        "created_at": "2023-01-01T00:00:00Z", "updated_at": format!("2023-02-{day:02}T00:00:00.000Z"),
    })
}

/// Issues 1 and 3 are good and around; `bad` stands between them as text.
fn around(bad: &str) -> Canned {
    let body = format!("[{},{bad},{}]", issue(1, 1), issue(3, 3));
    Canned::default().with("issues", body)
}

async fn assert_neighbours(cx: &Cx, mirror: &Mirror, why: &str) {
    assert_eq!(
        mirror
            .texts(cx, "SELECT title FROM issues WHERE iid IN (1, 3) ORDER BY iid")
            .await,
        ["Issue 1", "Issue 3"],
        "{why}"
    );
    let cursor = "SELECT tie_id || ' ' || at FROM cursors WHERE stream = 'issues'";
    assert_eq!(mirror.texts(cx, cursor).await, ["1003 1675382400000"], "{why}");
}

async fn aside(cx: &Cx, mirror: &Mirror) -> Vec<String> {
    mirror
        .texts(
            cx,
            "SELECT native_ref || ' ' || code FROM quarantine WHERE resolved_at IS NULL ORDER BY id",
        )
        .await
}

async fn bad_input_malformed_item(cx: Cx) {
    let deep = format!(r#"{{"id":1002,"iid":2,"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for bad in [
        r#"{"id":1002,"iid":2,"title":7,"updated_at":"2023-02-02T00:00:00Z"}"#,
        r#"{"id":1002,"iid":2,"title":"\ud800"}"#,
        r#"{"id":1002,"iid":2,"author":"ann"}"#,
        r#"{"id":1002,"iid":2,"labels":"none"}"#,
        r#"{"id":1002,"iid":2,"id":1002}"#,
        &deep,
    ] {
        let mirror = Mirror::of(&cx, around(bad)).await;
        let (result, told) = mirror.sync(&cx).await;
        assert!(result.unwrap().projects[0].streams[0].quarantined > 0, "{bad}");
        assert_neighbours(&cx, &mirror, bad).await;
        let aside = aside(&cx, &mirror).await;
        assert_eq!(aside.len(), 1, "{bad}");
        assert!(aside[0].ends_with(" transform"), "{aside:?}");
        assert!(
            told.iter().any(|e| matches!(
                e,
                Event::Warning {
                    code: Code::Transform,
                    ..
                }
            )),
            "{bad}"
        );
        let kept = mirror.db.read(&cx, |conn| {
            let hash = conn.query_row("SELECT payload_hash FROM quarantine", (), |row| row.get(0))?;
            annals_db::content::blob::get(conn, &hash)
        });
        assert_eq!(kept.await.unwrap(), bad.as_bytes(), "the bytes are kept as they came");
        mirror.close(&cx).await;
    }
}

async fn bad_input_item_without_ids(cx: Cx) {
    for bad in [
        r#"{"title":"nobody"}"#,
        r#"{"id":1002,"title":"no number"}"#,
        r#"{"iid":2}"#,
        "null",
        "[]",
        r#""text""#,
        "7",
    ] {
        let mirror = Mirror::of(&cx, around(bad)).await;
        mirror.sync(&cx).await.0.unwrap();
        assert_neighbours(&cx, &mirror, bad).await;
        let hash = annals_db::content::blob::hex(&annals_db::content::blob::hash(bad.as_bytes()));
        let aside = aside(&cx, &mirror).await;
        assert!(aside[0].starts_with(&hash), "{bad}: {aside:?}");
        mirror.close(&cx).await;
    }
}

async fn bad_input_same_id_twice_and_two_ids_with_one_number(cx: Cx) {
    let mut newer = issue(2, 2);
    newer["title"] = "newer".into();
    newer["updated_at"] = "2023-02-02T10:00:00Z".into();
    let mirror = Mirror::of(&cx, Canned::issues(&[issue(1, 1), newer, issue(2, 2), issue(3, 3)])).await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "the same id twice").await;
    assert_eq!(
        mirror.texts(&cx, "SELECT title FROM issues WHERE iid = 2").await,
        ["newer"]
    );
    mirror.close(&cx).await;

    let mut twin = issue(2, 2);
    twin["id"] = 5000.into();
    let mirror = Mirror::of(
        &cx,
        Canned::issues(&[issue(1, 1), issue(2, 2), twin.clone(), issue(3, 3)]),
    )
    .await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "two ids with one number").await;
    assert_eq!(
        mirror.texts(&cx, "SELECT title FROM issues WHERE iid = 2").await,
        Vec::<String>::new()
    );
    assert_eq!(aside(&cx, &mirror).await, ["1002 iid_conflict", "5000 iid_conflict"]);
    mirror.close(&cx).await;

    // The other one came in earlier: it keeps the number.
    let mirror = Mirror::of(&cx, Canned::issues(&[issue(1, 1), issue(2, 2), issue(3, 3)])).await;
    mirror.sync(&cx).await.0.unwrap();
    twin["updated_at"] = "2023-02-20T00:00:00Z".into();
    mirror
        .forge
        .clone()
        .with("issues", json!([issue(3, 3), twin]).to_string());
    mirror.sync(&cx).await.0.unwrap();
    assert_eq!(
        mirror.texts(&cx, "SELECT native_id FROM issues WHERE iid = 2").await,
        ["1002"]
    );
    assert_eq!(aside(&cx, &mirror).await, ["5000 iid_conflict"]);
    mirror.close(&cx).await;
}

async fn bad_input_numbers_out_of_range(cx: Cx) {
    for bad in [
        r#"{"id":99999999999999999999999,"iid":2}"#,
        r#"{"id":1002,"iid":2.5}"#,
        r#"{"id":1002,"iid":-2}"#,
        r#"{"id":1002,"iid":0}"#,
        r#"{"id":-1,"iid":2}"#,
        r#"{"id":1002,"iid":1e400}"#,
    ] {
        let mirror = Mirror::of(&cx, around(bad)).await;
        mirror.sync(&cx).await.0.unwrap();
        assert_neighbours(&cx, &mirror, bad).await;
        assert_eq!(aside(&cx, &mirror).await.len(), 1, "{bad}");
        mirror.close(&cx).await;
    }
}

async fn bad_input_unknown_words(cx: Cx) {
    let (mut a, mut b) = (issue(1, 1), issue(2, 2));
    a["state"] = "reticulated".into();
    b["state"] = "reticulated".into();
    b["issue_type"] = "saga".into();
    let mirror = Mirror::of(&cx, Canned::issues(&[a, b])).await;
    let (result, told) = mirror.sync(&cx).await;
    result.unwrap();
    assert_eq!(
        mirror
            .texts(&cx, "SELECT state || coalesce(issue_type, '') FROM issues ORDER BY iid")
            .await,
        ["other", "othersaga"]
    );
    let warnings = told
        .iter()
        .filter(|e| matches!(e, Event::Warning { message, .. } if message.contains("reticulated")));
    assert_eq!(warnings.count(), 1, "one warning per value: {told:?}");
    mirror.close(&cx).await;
}

async fn bad_input_strange_characters(cx: Cx) {
    let mut body = b"[".to_vec();
    body.extend_from_slice(issue(1, 1).to_string().as_bytes());
    body.extend_from_slice(b",{\"id\":1002,\"iid\":2,\"title\":\"nul \\u0000, bell \\u0007, bidi \xe2\x80\xae, raw \xff\xfe\",\"description\":null,\"updated_at\":\"2023-02-02T00:00:00Z\"},");
    body.extend_from_slice(issue(3, 3).to_string().as_bytes());
    body.push(b']');
    let mirror = Mirror::of(&cx, Canned::default().with("issues", body.clone())).await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "strange characters").await;
    let title = mirror.texts(&cx, "SELECT title FROM issues WHERE iid = 2").await;
    assert_eq!(title, ["nul \u{fffd}, bell \u{7}, bidi \u{202e}, raw \u{fffd}\u{fffd}"]);
    let payload = mirror.db.read(&cx, |conn| {
        let sql = "SELECT payload_hash FROM revisions r JOIN issues i ON i.revision_id = r.id WHERE i.iid = 2";
        let hash = conn.query_row(sql, (), |row| row.get(0))?;
        annals_db::content::blob::get(conn, &hash)
    });
    let payload = payload.await.unwrap();
    assert!(
        payload.windows(2).any(|pair| pair == b"\xff\xfe"),
        "the payload is kept as it came"
    );
    mirror.close(&cx).await;
}

async fn bad_input_empty_strings(cx: Cx) {
    let mut row = issue(2, 2);
    row["title"] = "".into();
    row["author"] = json!({"id": 9, "username": "", "name": ""});
    row["labels"] = json!([""]);
    let mirror = Mirror::of(&cx, Canned::issues(&[issue(1, 1), row, issue(3, 3)])).await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "empty strings").await;
    let sql = "SELECT title || '|' || u.username || '|' || u.kind FROM issues i JOIN users u ON u.id = i.author_id WHERE iid = 2";
    assert_eq!(mirror.texts(&cx, sql).await, ["||ghost"]);
    mirror.close(&cx).await;
}

async fn bad_input_hostile_paths(cx: Cx) {
    let mr = json!({
        "id": 2001, "iid": 1, "title": "MR", "state": "opened", "sha": "a".repeat(40),
        "created_at": "2023-01-01T00:00:00Z", "updated_at": "2023-02-01T00:00:00Z",
    });
    let paths = ["../../etc/passwd", "/absolute", "back\\slash", "new\nline", "nul\u{0}"];
    let mut files: Vec<Value> = paths
        .iter()
        .map(|path| json!({"old_path": path, "new_path": path, "diff": "@@ -1 +1 @@\n-a\n+b\n"}))
        .collect();
    files.push(json!({"old_path": "", "new_path": "", "diff": ""}));
    let forge = Canned::default()
        .with("merge_requests", json!([mr]).to_string())
        .with("merge_requests/1", mr.to_string())
        .with("merge_requests/1/diffs", Value::from(files).to_string());
    let mirror = Mirror::of(&cx, forge).await;
    mirror.sync(&cx).await.0.unwrap();
    let stored = mirror
        .texts(&cx, "SELECT new_path FROM mr_file_changes ORDER BY new_path")
        .await;
    assert_eq!(stored.len(), paths.len(), "{stored:?}");
    assert!(stored.contains(&"../../etc/passwd".to_owned()) && stored.contains(&"nul\u{fffd}".to_owned()));
    let aside = mirror.texts(&cx, "SELECT stream FROM quarantine").await;
    assert_eq!(aside, ["merge_request/1/diffs"], "an empty path names no file");
    mirror.close(&cx).await;
}

async fn bad_input_odd_times(cx: Cx) {
    let mut rows = vec![issue(1, 1)];
    for (n, time) in [
        json!("0001-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("2099-01-01T00:00:00Z"),
        json!("soon"),
        json!(null),
        json!(1_675_296_000),
        json!("2023-02-02T00:00:00"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut row = issue(10 + i64::try_from(n).unwrap(), 2);
        row["updated_at"] = time;
        rows.push(row);
    }
    rows.push(issue(3, 3));
    let mirror = Mirror::of(&cx, Canned::issues(&rows)).await;
    let (result, told) = mirror.sync(&cx).await;
    result.unwrap();
    assert_neighbours(&cx, &mirror, "odd times").await;
    let sql = "SELECT iid || ':' || coalesce(updated_at, 'none') || ':' || (flags & 1) FROM issues WHERE iid >= 10 ORDER BY iid";
    assert_eq!(
        mirror.texts(&cx, sql).await,
        [
            "10:none:0",
            "11:253402300799000:1",
            "12:4070908800000:1",
            "13:none:1",
            "14:none:0",
            "15:1675296000000:0",
            "16:1675296000000:0"
        ]
    );
    assert!(
        told.iter()
            .any(|e| matches!(e, Event::Warning { message, .. } if message.contains("without a zone"))),
        "{told:?}"
    );
    mirror.close(&cx).await;
}

async fn bad_input_not_a_list(cx: Cx) {
    for body in [
        "<html>sign in</html>",
        "{\"message\":\"no\"}",
        "[{\"id\":1,\"iid\":1}",
        "",
        "[]]",
    ] {
        let mirror = Mirror::of(&cx, Canned::default().with("issues", body)).await;
        let error = mirror.sync(&cx).await.0.unwrap_err();
        let Error::Incomplete(incomplete) = &error else {
            panic!("{error}")
        };
        assert_eq!(incomplete.failures[0].report.code, Code::Protocol, "{body:?}");
        assert_eq!(
            mirror
                .texts(&cx, "SELECT tie_id FROM cursors WHERE stream = 'issues'")
                .await,
            Vec::<String>::new()
        );
        mirror
            .forge
            .clone()
            .with("issues", json!([issue(1, 1), issue(3, 3)]).to_string());
        mirror.sync(&cx).await.0.unwrap();
        assert_neighbours(&cx, &mirror, body).await;
        mirror.close(&cx).await;
    }
}

async fn bad_input_bad_child_of_a_set(cx: Cx) {
    let note = |id: i64| json!({"id": id, "body": format!("note {id}"), "author": {"id": 1, "username": "ann"}, "created_at": "2023-01-02T00:00:00Z", "updated_at": "2023-01-02T00:00:00Z", "system": false});
    let talk = |second: Value| {
        json!([{"id": "d1", "individual_note": false, "notes": [note(1), second, note(3)]}, {"id": "", "notes": []}])
            .to_string()
    };
    let forge = Canned::issues(&[issue(1, 1), issue(3, 3)]).with("issues/1/discussions", talk(json!({"id": "x"})));
    let mirror = Mirror::of(&cx, forge).await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "a bad note").await;
    assert_eq!(
        mirror.texts(&cx, "SELECT body FROM notes ORDER BY native_id").await,
        ["note 1", "note 3"]
    );
    let open = "SELECT stream FROM quarantine WHERE resolved_at IS NULL";
    assert_eq!(
        mirror.texts(&cx, open).await,
        ["issue/1/discussions", "issue/1/discussions"]
    );
    // The next run fetches the set again, although nothing says that it changed.
    mirror.forge.clone().with(
        "issues/1/discussions",
        json!([{"id": "d1", "notes": [note(1), note(2), note(3)]}]).to_string(),
    );
    mirror.sync(&cx).await.0.unwrap();
    assert_eq!(
        mirror.texts(&cx, "SELECT body FROM notes ORDER BY native_id").await,
        ["note 1", "note 2", "note 3"]
    );
    assert_eq!(mirror.texts(&cx, open).await, Vec::<String>::new());
    mirror.close(&cx).await;
}

async fn a_missing_list_of_events_is_asked_for_once(cx: Cx) {
    let mut forge = Canned::issues(&[issue(1, 1), issue(3, 3)]);
    forge = forge
        .with("issues/1", issue(1, 1).to_string())
        .with("issues/3", issue(3, 3).to_string());
    forge.missing = Some("resource_milestone_events");
    let mirror = Mirror::of(&cx, forge).await;
    let (result, told) = mirror.sync(&cx).await;
    result.unwrap();
    assert_neighbours(&cx, &mirror, "without milestone events").await;
    let warned = told
        .iter()
        .filter(|e| matches!(e, Event::Warning { message, .. } if message.contains("has no list") && message.contains("milestone")));
    assert_eq!(warned.count(), 1, "{told:?}");
    let asked = || {
        mirror
            .forge
            .asked
            .lock()
            .unwrap()
            .iter()
            .filter(|url| url.contains("milestone_events"))
            .count()
    };
    let before = asked();
    assert!(before <= 2, "asked again although it is not there: {before}");
    assert_eq!(
        mirror.texts(&cx, "SELECT capabilities FROM forges").await,
        [r#"{"without":{"events":["milestone"],"keyset":[]}}"#]
    );
    let mut moved = issue(1, 9);
    moved["title"] = "moved".into();
    mirror
        .forge
        .clone()
        .with("issues", json!([issue(3, 3), moved]).to_string());
    mirror.sync(&cx).await.0.unwrap();
    assert_eq!(
        mirror.texts(&cx, "SELECT title FROM issues WHERE iid = 1").await,
        ["moved"]
    );
    assert_eq!(asked(), before, "the next run knows");
    mirror.close(&cx).await;
}

async fn bad_input_token_that_is_none(cx: Cx) {
    for token in ["two\nlines", "grün", "glcbt-64_token-of-a-job"] {
        let mirror = Mirror::of(&cx, Canned::issues(&[issue(1, 1)])).await;
        let mut options = mirror.options();
        let forge = "https://forge.example".parse().unwrap();
        options.credentials.insert(forge, annals_core::Secret::new(token));
        let target = vec![Target::Url("https://forge.example/g/p".to_owned())];
        let error = annals_sync::sync(&cx, &mirror.db, target, options, Progress::silent())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid, "{error}");
        assert!(
            !format!("{error} {error:?} {:?}", error.report()).contains(token),
            "{error}"
        );
        assert!(
            mirror.forge.asked.lock().unwrap().is_empty(),
            "refused before anything is sent"
        );
        mirror.close(&cx).await;
    }
}

async fn bad_input_large_texts_and_many_labels(cx: Cx) {
    const LONG: usize = 17 * 1024 * 1024;
    let mut large = issue(2, 2);
    large["description"] = "é".repeat(LONG / 2).into();
    large["labels"] = (0..5_000).map(|n| format!("label {n}")).collect::<Vec<_>>().into();
    let mirror = Mirror::of(&cx, Canned::issues(&[issue(1, 1), large, issue(3, 3)])).await;
    mirror.sync(&cx).await.0.unwrap();
    assert_neighbours(&cx, &mirror, "a large text").await;
    let sql = "SELECT length(CAST(body AS BLOB)) || ':' || (flags & 2) || ':' || (SELECT count(*) FROM issue_labels WHERE issue_id = issues.id) FROM issues WHERE iid = 2";
    assert_eq!(mirror.texts(&cx, sql).await, ["16777216:2:5000"]);
    // A page over 8 MiB is written in parts, each with its own cursor.
    let pages = mirror
        .texts(
            &cx,
            "SELECT CAST(pages AS TEXT) FROM sync_run_streams WHERE stream = 'issues'",
        )
        .await;
    assert_eq!(pages, ["2"]);
    mirror.close(&cx).await;
}
