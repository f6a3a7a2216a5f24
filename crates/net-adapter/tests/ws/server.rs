//! A server that speaks WebSocket by the adapter, and notes what it hears.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::http::ProxyConfig;
use annals_net_adapter::http::server::{HttpServer, ServeReport, ServerLimits};
use annals_net_adapter::sync::Notify;
use annals_net_adapter::ws::{WebSocket, WsError, WsMsg, WsOpts, WsUpgrade};
use annals_net_adapter::{CancelKind, CancelReason, Cx, NetError, TaskHandle};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

/// What a handler noted, in order.
#[derive(Clone, Default)]
pub struct Journal(Arc<(Mutex<Vec<String>>, Notify, Notify)>);

impl Journal {
    pub fn note(&self, what: impl Into<String>) {
        self.0.0.lock().unwrap().push(what.into());
        self.0.1.notify_one();
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Let a handler that waits for it go one step on.
    pub fn go_on(&self) {
        self.0.2.notify_one();
    }

    /// Wait for the test to say so.
    pub async fn told(&self, cx: &Cx) {
        drop(self.0.2.notified(cx).await);
    }

    /// Wait for a note that begins so.
    pub async fn wait(&self, cx: &Cx, what: &str) {
        let seen = async {
            while !self.all().iter().any(|note| note.starts_with(what)) {
                self.0.1.notified(cx).await.unwrap();
            }
        };
        let in_time = cx.timeout(Duration::from_secs(20), seen).await;
        assert!(in_time.is_ok(), "{what:?} did not come: {:?}", self.all());
    }
}

pub struct Server {
    pub at: SocketAddr,
    pub journal: Journal,
    task: TaskHandle<ServeReport, NetError>,
}

/// Small messages only, one subprotocol, short goodbyes.
fn opts() -> WsOpts {
    WsOpts {
        max_message: 1000,
        close_wait: Duration::from_secs(2),
        protocol: Some("echo.v1"),
        ..WsOpts::default()
    }
}

async fn echo(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(opts(), async move |cx, mut socket| {
        loop {
            match socket.recv(&cx).await {
                Ok(message @ (WsMsg::Text(_) | WsMsg::Binary(_))) => socket.send(&cx, message).await?,
                Ok(sign) => journal.note(format!("{sign:?}")),
                Err(error) => {
                    journal.note(format!("ended {error:?}"));
                    return Err(error);
                }
            }
        }
    })
}

/// Says one large message, then what it hears.
async fn large(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(opts(), async move |cx, mut socket| {
        socket.send(&cx, "x".repeat(5000)).await?;
        let ended = socket.recv(&cx).await.unwrap_err();
        journal.note(format!("ended {ended:?}"));
        Err(ended)
    })
}

/// Numbers without end, and nothing is read.
async fn numbers(ws: WsUpgrade) -> Response {
    ws.on_upgrade(opts(), async |cx, mut socket| {
        for number in 0_u64.. {
            socket.send(&cx, number.to_string()).await?;
        }
        Ok(())
    })
}

impl Server {
    pub async fn start(cx: &Cx) -> Self {
        Self::try_start(cx).await.unwrap()
    }

    /// `None` where being cancelled is not the test's failure.
    pub async fn try_start(cx: &Cx) -> Option<Self> {
        let app = Router::new()
            .route("/echo", get(echo))
            .route("/large", get(large))
            .route("/numbers", get(numbers));
        Self::with(cx, app, ServerLimits::default().sped_up(4)).await
    }

    /// With other routes and limits.
    pub async fn with(cx: &Cx, app: Router<Journal>, limits: ServerLimits) -> Option<Self> {
        let journal = Journal::default();
        let server = HttpServer::new(app.with_state(journal.clone()), limits);
        let listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.ok()?;
        let at = listener.local_addr();
        let task = cx
            .spawn("server", move |cx| async move { server.serve(&cx, listener).await })
            .ok()?;
        Some(Self { at, journal, task })
    }

    pub async fn client(&self, cx: &Cx, path: &str) -> WebSocket {
        connect(cx, &format!("ws://{}{path}", self.at)).await.unwrap()
    }

    pub fn drain(&self, cx: &Cx) {
        cx.shutdown()
            .begin(CancelReason::new(CancelKind::User, "test", cx.now()));
    }

    /// Drain, and see that nothing is left.
    pub async fn stop(mut self, cx: &Cx) -> ServeReport {
        self.drain(cx);
        let report = self.task.join(cx).await.unwrap().ok().expect("the server ends well");
        assert!(report.drain.quiescent, "left behind: {:?}", report.drain.stragglers);
        report
    }
}

/// A client that goes directly and has some patience.
pub fn direct() -> WsOpts {
    WsOpts {
        close_wait: Duration::from_secs(2),
        proxy: ProxyConfig::Direct,
        ..WsOpts::default()
    }
}

pub async fn connect(cx: &Cx, url: &str) -> Result<WebSocket, WsError> {
    WebSocket::connect(cx, url, direct()).await
}
