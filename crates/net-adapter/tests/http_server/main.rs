//! The conformance list of the HTTP server (runtime.md §11), over raw connections.
//!
//! Each body runs against the server of every compiled backend, against the adapter's own loop on every backend, and in the
//! labs. The client reads strictly: every answer must have exactly one framing and a fresh date.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod app;
mod bodies;
mod client;
mod corpus;
mod escapes;
mod events;
mod heads;
mod life;
mod limits;
mod mutations;
mod stress;
mod upgrades;

use std::net::SocketAddr;

use annals_net_adapter::http::server::{HttpServer, ServeReport, ServerLimits};
use annals_net_adapter::{CancelKind, CancelReason, Cx, NetError, TaskHandle};

use self::app::Journal;
use self::client::Client;

/// Which server stands behind the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The one the backend prefers.
    Backend,
    /// The adapter's own loop.
    Own,
}

/// One test per server and host for each named body, an `async fn(Cx, Engine)`.
macro_rules! on_every_server {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use annals_net_adapter::Cx;
            async fn backend(cx: Cx) { super::$name(cx, crate::Engine::Backend).await; }
            async fn own(cx: Cx) { super::$name(cx, crate::Engine::Own).await; }
            annals_net_adapter::on_every_host!(backend);
            annals_net_adapter::on_every_runtime!(own);
        }
    )+};
}
pub(crate) use on_every_server;

/// A running server with the test routes, and what they noted.
pub struct Server {
    /// Its address.
    pub at: SocketAddr,
    /// What its handlers noted.
    pub journal: Journal,
    task: TaskHandle<ServeReport, NetError>,
}

impl Server {
    /// With the default limits, twenty times as fast.
    pub async fn start(cx: &Cx, engine: Engine) -> Self {
        Self::with(cx, engine, ServerLimits::default().sped_up(20)).await
    }

    /// With these limits.
    pub async fn with(cx: &Cx, engine: Engine, limits: ServerLimits) -> Self {
        let journal = Journal::default();
        let mut server = HttpServer::new(app::routes(journal.clone()), limits);
        if engine == Engine::Own {
            server = server.with_own_loop();
        }
        let listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = listener.local_addr();
        let task = cx
            .spawn("server", move |cx| async move { server.serve(&cx, listener).await })
            .unwrap();
        Self { at, journal, task }
    }

    /// A fresh connection to it.
    pub async fn client(&self, cx: &Cx) -> Client {
        Client::connect(cx, self.at).await
    }

    /// Begin to drain; the report comes with [`Self::stop`].
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
