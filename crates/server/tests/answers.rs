//! What the server answers, asked over a real socket on every runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use annals_db::control::{Alive, ProcessId};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::http::{HttpClient, HttpConfig, ReqBody, ReqOpts, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::{CancelKind, CancelReason, Cx, Region, RegionSpec, on_every_runtime};
use annals_server::{AppState, DrainOptions};
use serde_json::Value;

/// A running server over an empty store.
struct Served {
    region: Region,
    client: Arc<dyn HttpClient>,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Served {
    async fn start(cx: &Cx) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let region = cx.open_region(RegionSpec::collect_all("served")).unwrap();
        let inside = region.cx();
        let me = ProcessId {
            host: "test".into(),
            pid: 1,
            process_start: 1,
        };
        let options = OpenOptions::write(Alive::new(me, |_, _| false));
        let db = Db::open(inside, &folder.path().join("mirror.db"), options)
            .await
            .unwrap();
        let state = AppState::new(inside, db, vec!["annals.example".into()]);
        let listener = annals_server::listen(inside, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.local_addr();
        let stop = DrainOptions {
            notice: Duration::ZERO,
            drain: Duration::from_secs(5),
        };
        inside
            .spawn("serve", move |cx| async move {
                annals_server::serve(&cx, state, listener, stop).await.map(drop)
            })
            .unwrap();
        let tls = TlsClient::new(TlsRoots::Bundled, &[]).unwrap();
        let client = http_client(cx, HttpConfig::new(tls)).unwrap();
        Self {
            region,
            client,
            address,
            _folder: folder,
        }
    }

    async fn ask(&self, cx: &Cx, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(ReqBody::Empty).unwrap();
        let (parts, body) = self
            .client
            .send(cx, request, &ReqOpts::default())
            .await
            .unwrap()
            .into_parts();
        let body = String::from_utf8(body.bytes(cx).await.unwrap().to_vec()).unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, cx: &Cx, path: &str) -> Answer {
        self.ask(cx, "GET", path, &[]).await
    }

    async fn stop(self, cx: &Cx) {
        self.region
            .cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        assert!(self.region.close(cx).await.drain.quiescent);
    }
}

async fn every_response_has_security_headers(cx: Cx) {
    let served = Served::start(&cx).await;
    for path in [
        "/",
        "/health/live",
        "/health/ready",
        "/v1/projects",
        "/v1/search",
        "/nowhere",
        "/v1/nowhere",
    ] {
        let answer = served.get(&cx, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(answer.header("permissions-policy").contains("camera=()"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    served.stop(&cx).await;
}

async fn failures_are_problem_documents(cx: Cx) {
    let served = Served::start(&cx).await;
    let cases = [
        ("/v1/nowhere", 404, "not_found"),
        ("/v1/projects/", 404, "not_found"),
        ("/v1/projects/no%2Fsuch", 404, "not_found"),
        ("/v1/projects/no%2Fsuch/issues", 404, "not_found"),
        ("/v1/projects/no%2Fsuch/issues?cursor=00", 400, "cursor_invalid"),
        ("/v1/projects/no%2Fsuch/issues?limit=0", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?limit=-1", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?state=green", 400, "usage"),
        ("/v1/projects/no%2Fsuch/issues?label=a&label=b", 400, "usage"),
        ("/v1/search?q=x&sate=open", 400, "usage"),
        ("/v1/search?q=after:soon", 400, "query_invalid"),
        ("/v1/search?q=x&facets=colour", 400, "usage"),
    ];
    for (path, status, code) in cases {
        let answer = served.get(&cx, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{path}");
        assert_eq!(problem["type"], format!("urn:annals:problem:{code}"), "{path}");
        assert_eq!(problem["instance"], answer.header("x-request-id"), "{path}");
    }
    let typo = served.get(&cx, "/v1/search?q=x&sate=open").await.json();
    assert_eq!(typo["suggestion"], "state");
    served.stop(&cx).await;
}

async fn only_reading_is_allowed(cx: Cx) {
    let served = Served::start(&cx).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = served.ask(&cx, method, "/v1/projects", &[]).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (405, &Value::from("method_not_allowed")),
            "{method}"
        );
        assert!(answer.header("allow").contains("GET"), "{method}");
    }
    let head = served.ask(&cx, "HEAD", "/v1/projects", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    served.stop(&cx).await;
}

async fn request_ids_are_kept_or_made(cx: Cx) {
    let served = Served::start(&cx).await;
    let kept = served
        .ask(&cx, "GET", "/health/live", &[("x-request-id", "abc-1_Z")])
        .await;
    assert_eq!(kept.header("x-request-id"), "abc-1_Z");
    let replaced = served.ask(&cx, "GET", "/health/live", &[("x-request-id", "a b")]).await;
    assert!(replaced.header("x-request-id").starts_with("r-"));
    served.stop(&cx).await;
}

async fn an_empty_mirror_still_answers(cx: Cx) {
    let served = Served::start(&cx).await;
    assert_eq!(
        served.get(&cx, "/v1/projects").await.json()["data"]["projects"],
        Value::from(Vec::<Value>::new())
    );
    let found = served.get(&cx, "/v1/search?q=anything").await.json();
    assert_eq!(
        (&found["data"]["hits"], &found["page"]["total"]),
        (&Value::from(Vec::<Value>::new()), &Value::from(0))
    );
    let page = served.get(&cx, "/?q=anything").await;
    assert!(
        page.status == 200 && page.body.contains("Nothing found."),
        "{}",
        page.body
    );
    let invalid = served.get(&cx, "/?q=after:soon").await;
    assert!(
        invalid.status == 200 && invalid.body.contains("role=\"alert\""),
        "{}",
        invalid.body
    );
    served.stop(&cx).await;
}

async fn the_stylesheet_may_be_kept_for_ever(cx: Cx) {
    let served = Served::start(&cx).await;
    let page = served.get(&cx, "/").await.body;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let (path, _) = rest.split_once('"').unwrap();
    let style = served.get(&cx, path).await;
    assert_eq!(style.status, 200);
    assert!(style.header("cache-control").contains("immutable"));
    assert!(style.body.len() < 20 * 1024, "the stylesheet has a budget");
    served.stop(&cx).await;
}

on_every_runtime!(
    every_response_has_security_headers,
    failures_are_problem_documents,
    only_reading_is_allowed,
    request_ids_are_kept_or_made,
    an_empty_mirror_still_answers,
    the_stylesheet_may_be_kept_for_ever,
);
