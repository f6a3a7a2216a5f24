//! What the tests of the server share: a server on a real socket, and a client.

use std::sync::Arc;
use std::time::Duration;

use annals_core::{Iid, NativeId, ProjectId, UnixMs};
use annals_db::content::{EntityIn, ForgeIn, IssueIn, ProjectIn, upsert_forge, upsert_issue, upsert_project};
use annals_db::control::{Alive, ProcessId};
use annals_db::ids::{ForgeKind, State};
use annals_db::{Db, OpenOptions};
use annals_net_adapter::http::{HttpClient, HttpConfig, ReqBody, ReqOpts, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::{CancelKind, CancelReason, Cx, Region, RegionSpec};
use annals_search::documents::drain_page;
use annals_search::index::Fts5;
use annals_server::{AppState, DrainOptions};
use serde_json::Value;

/// A running server over a store of its own.
pub struct Served {
    region: Region,
    db: Db,
    client: Arc<dyn HttpClient>,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Served {
    pub async fn start(cx: &Cx) -> Self {
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
        let state = AppState::new(inside, db.clone(), vec!["annals.example".into()]);
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
            db,
            client,
            address,
            _folder: folder,
        }
    }

    /// Mirrors one project of a forge, with one issue, and makes it searchable.
    pub async fn mirror(&self, cx: &Cx, host: &'static str, path: &'static str, title: &'static str) -> ProjectId {
        let written = self.db.write(cx, move |tx| {
            let (forge, _) = upsert_forge(tx, &forge(host))?;
            let (project, _) = upsert_project(tx, forge, &project(host, path))?;
            upsert_issue(tx, project, &issue(host, path, title))?;
            while drain_page(tx, &Fts5)?.sources > 0 {}
            Ok(project)
        });
        written.await.unwrap()
    }

    pub async fn ask(&self, cx: &Cx, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.exchange(cx, request.body(ReqBody::Empty).unwrap()).await
    }

    /// Sends a body.
    pub async fn send(&self, cx: &Cx, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(ReqBody::Bytes(body.into()))
            .unwrap();
        self.exchange(cx, request).await
    }

    async fn exchange(&self, cx: &Cx, request: http::Request<ReqBody>) -> Answer {
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

    pub async fn get(&self, cx: &Cx, path: &str) -> Answer {
        self.ask(cx, "GET", path, &[]).await
    }

    pub async fn stop(self, cx: &Cx) {
        self.region
            .cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        assert!(self.region.close(cx).await.drain.quiescent);
    }
}

fn forge(host: &str) -> ForgeIn {
    ForgeIn {
        name: host.to_owned(),
        kind: ForgeKind::Gitlab,
        base_url: format!("https://{host}"),
        api_url: format!("https://{host}/api/v4"),
    }
}

fn project(host: &str, path: &str) -> ProjectIn {
    ProjectIn {
        native_id: NativeId(path.to_owned()),
        path: path.to_owned(),
        title: path.to_owned(),
        description: None,
        default_branch: None,
        visibility: None,
        archived: false,
        web_url: Some(format!("https://{host}/{path}")),
        created_at: None,
        updated_at: None,
        payload: None,
    }
}

fn issue(host: &str, path: &str, title: &str) -> IssueIn {
    EntityIn {
        native_id: NativeId("9001".to_owned()),
        iid: Iid(1),
        title: title.to_owned(),
        body: String::new(),
        state: State::Open,
        state_reason: None,
        issue_type: None,
        confidential: false,
        locked: false,
        author: None,
        milestone: None,
        closed_by: None,
        labels: Vec::new(),
        assignees: Vec::new(),
        created_at: Some(UnixMs(1_718_000_000_000)),
        updated_at: Some(UnixMs(1_718_000_000_000)),
        closed_at: None,
        due_at: None,
        web_url: Some(format!("https://{host}/{path}/-/issues/1")),
        moved_to: None,
        flags: 0,
        payload: None,
    }
}
