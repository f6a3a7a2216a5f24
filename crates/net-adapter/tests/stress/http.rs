//! Connections: requests, bodies in both directions, events, WebSockets.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use annals_net_adapter::channel::mpsc;
use annals_net_adapter::http::server::{HttpServer, ReqCx, ServerLimits, SseEvent, sse};
use annals_net_adapter::http::{HttpClient, HttpConfig, ProxyConfig, ReqBody, ReqOpts, Request, Response, http_client};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::ws::{WebSocket, WsError, WsMsg, WsOpts, WsUpgrade};
use annals_net_adapter::{Cancelled, Cx, HostPort, Outcome, Region, RegionSpec, Stream, TaskError, map_bounded};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{Probe, spawn};
use crate::stress;

stress!(group_of_gets, streaming_body, sse_streams, websocket_echo);

/// A server in a region of its own, which ends with it.
struct Site {
    at: SocketAddr,
    region: Region,
}

impl Site {
    async fn open(cx: &Cx, probe: &Probe) -> Option<Self> {
        let region = cx.open_region(RegionSpec::collect_all("site")).ok()?;
        let listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.ok()?;
        let at = listener.local_addr();
        let server = HttpServer::new(routes(probe.clone()), ServerLimits::default());
        spawn(region.cx(), "server", move |cx| async move {
            drop(server.serve(&cx, listener).await);
        });
        Some(Self { at, region })
    }

    /// Without patience for anybody.
    async fn close(self) {
        self.region.close_within(Duration::from_secs(30)).await;
    }
}

fn routes(probe: Probe) -> Router {
    Router::new()
        .route("/hello", get(hello))
        .route("/echo", post(async |body: Body| axum::response::Response::new(body)))
        .route("/events", get(events))
        .route("/ws", get(talk))
        .with_state(probe)
}

async fn hello(State(probe): State<Probe>) -> &'static str {
    probe.event();
    "hello"
}

const EVENTS: u64 = 6;

/// A task makes events, and says how far it came.
async fn events(ReqCx(cx): ReqCx, State(probe): State<Probe>) -> axum::response::Response {
    let (tx, rx) = mpsc::<SseEvent>(NonZeroUsize::MIN);
    spawn(&cx, "producer", move |cx| async move {
        let unit = probe.start();
        for number in 0..EVENTS {
            if tx.send(&cx, SseEvent::new(number.to_string())).await.is_err() {
                return unit.cancelled();
            }
            probe.event();
        }
        unit.delivered();
    });
    sse(&cx, rx, Duration::from_secs(15)).into_response()
}

async fn talk(ws: WsUpgrade, State(probe): State<Probe>) -> axum::response::Response {
    ws.on_upgrade(WsOpts::default(), async move |cx, mut socket| {
        loop {
            match socket.recv(&cx).await? {
                message @ (WsMsg::Text(_) | WsMsg::Binary(_)) => {
                    probe.event();
                    socket.send(&cx, message).await?;
                }
                WsMsg::Ping(_) | WsMsg::Pong(_) => {}
            }
        }
    })
}

fn client(cx: &Cx) -> Arc<dyn HttpClient> {
    static TLS: OnceLock<TlsClient> = OnceLock::new();
    let tls = TLS.get_or_init(|| TlsClient::new(TlsRoots::Bundled, &[]).unwrap());
    let mut config = HttpConfig::new(tls.clone());
    config.proxy = ProxyConfig::Direct;
    config.per_host = 3;
    http_client(cx, config).unwrap()
}

async fn ask(cx: &Cx, client: &Arc<dyn HttpClient>, at: SocketAddr, path: &str) -> Option<Response> {
    let mut request = Request::new(ReqBody::Empty);
    *request.uri_mut() = format!("http://{at}{path}").parse().unwrap();
    client.send(cx, request, &ReqOpts::default()).await.ok()
}

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct Lost;

impl TaskError for Lost {}

/// More requests than may run, and more that run than the host may have connections.
async fn group_of_gets(cx: Cx, probe: Probe) {
    let Some(site) = Site::open(&cx, &probe).await else {
        return;
    };
    let (at, client, told) = (site.at, client(&cx), probe.clone());
    let limit = NonZeroUsize::new(5).unwrap();
    let inputs = 0..probe.pick(12, 3);
    let (asked, wanted) = (inputs.end, inputs);
    let outcomes = map_bounded(&cx, limit, wanted, move |cx, _| {
        let (client, probe) = (client.clone(), told.clone());
        async move {
            let unit = probe.start();
            let text = match ask(&cx, &client, at, "/hello").await {
                Some(answer) => answer.into_body().bytes(&cx).await.ok(),
                None => None,
            };
            match text {
                Some(text) => {
                    assert_eq!(text, "hello");
                    unit.delivered();
                    Ok(())
                }
                // The server may be the first to hear of the cut.
                None => {
                    unit.cancelled();
                    Err(Lost)
                }
            }
        }
    });
    let outcomes = outcomes.await;
    assert_eq!(outcomes.len() as u64, asked, "one outcome per input");
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Panicked(_))));
    site.close().await;
}

/// Both directions of one connection, in step: each piece comes back before the next one is sent.
async fn streaming_body(cx: Cx, probe: Probe) {
    let Some(site) = Site::open(&cx, &probe).await else {
        return;
    };
    let Ok(clients) = cx.open_region(RegionSpec::collect_all("clients")) else {
        return site.close().await;
    };
    for _ in 0..probe.pick(2, 1) {
        let (at, probe) = (site.at, probe.clone());
        spawn(clients.cx(), "client", move |cx| async move {
            let to = HostPort::new("127.0.0.1", at.port());
            let Ok(stream) = cx.net().connect(&cx, &to, Duration::from_secs(30), None).await else {
                return;
            };
            let mut wire = Wire {
                cx,
                stream,
                input: Vec::new(),
            };
            let head = "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            if wire.say(head).await.is_none() {
                return;
            }
            for piece in 0..probe.pick(8, 3) {
                let unit = probe.start();
                match wire.there_and_back(piece).await {
                    Some(()) => unit.delivered(),
                    None => return unit.cancelled(),
                }
            }
            if wire.say("0\r\n\r\n").await.is_some() {
                wire.until("0\r\n\r\n").await;
            }
        });
    }
    clients.close(&cx).await;
    site.close().await;
}

struct Wire {
    cx: Cx,
    stream: Stream,
    input: Vec<u8>,
}

impl Wire {
    async fn say(&mut self, text: &str) -> Option<()> {
        let said = self.stream.write_all(text.as_bytes());
        self.cx.or_cancel(said).await.ok()?.ok()
    }

    /// What comes up to and with `end`.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let text = String::from_utf8(self.input.clone()).unwrap();
            if let Some((before, after)) = text.split_once(end) {
                self.input = after.as_bytes().to_vec();
                return Some(format!("{before}{end}"));
            }
            let mut piece = [0; 1024];
            let read = self.stream.read(&mut piece);
            match self.cx.or_cancel(read).await.ok()?.ok()? {
                0 => return None,
                count => self.input.extend_from_slice(&piece[..count]),
            }
        }
    }

    async fn there_and_back(&mut self, number: u64) -> Option<()> {
        let piece = format!("<{number}>");
        self.say(&format!("{:x}\r\n{piece}\r\n", piece.len())).await?;
        let came = self.until(&format!("{piece}\r\n")).await?;
        let is_first = came.starts_with("HTTP/1.1 200 OK\r\n");
        assert_eq!(is_first, number == 0, "{came}");
        Some(())
    }
}

/// Each client sees every event once and in order, or hears that there will be no more.
async fn sse_streams(cx: Cx, probe: Probe) {
    let Some(site) = Site::open(&cx, &probe).await else {
        return;
    };
    let (at, client, told) = (site.at, client(&cx), probe.clone());
    let streams = map_bounded(&cx, NonZeroUsize::new(2).unwrap(), 0..2, move |cx, _| {
        let (client, probe) = (client.clone(), told.clone());
        async move {
            let unit = probe.start();
            let whole = follow(&cx, &client, at, &probe).await;
            unit.ended(&whole.ok_or(()));
            Ok::<_, Cancelled>(())
        }
    });
    drop(streams.await);
    site.close().await;
}

async fn follow(cx: &Cx, client: &Arc<dyn HttpClient>, at: SocketAddr, probe: &Probe) -> Option<()> {
    let mut body = ask(cx, client, at, "/events").await?.into_body();
    let mut text = String::new();
    let expected: String = (0..EVENTS).map(|number| format!("data: {number}\n\n")).collect();
    while let Some(piece) = body.chunk(cx).await {
        text.push_str(std::str::from_utf8(&piece.ok()?).unwrap());
        assert!(expected.starts_with(&text), "{text:?}");
        probe.event();
    }
    // A stream that was stopped ends as a whole one, only sooner.
    (text == expected).then_some(())
}

async fn websocket_echo(cx: Cx, probe: Probe) {
    let Some(site) = Site::open(&cx, &probe).await else {
        return;
    };
    let (at, told) = (site.at, probe.clone());
    let talks = map_bounded(&cx, NonZeroUsize::new(2).unwrap(), 0..probe.pick(2, 1), move |cx, _| {
        let probe = told.clone();
        async move {
            drop(converse(&cx, at, &probe).await);
            Ok::<_, Cancelled>(())
        }
    });
    drop(talks.await);
    site.close().await;
}

async fn converse(cx: &Cx, at: SocketAddr, probe: &Probe) -> Result<(), WsError> {
    let opts = WsOpts {
        proxy: ProxyConfig::Direct,
        ..WsOpts::default()
    };
    let mut socket = WebSocket::connect(cx, &format!("ws://{at}/ws"), opts).await?;
    for number in 0..probe.pick(6, 2) {
        let unit = probe.start();
        let text = format!("number {number}");
        let back = async {
            socket.send(cx, text.clone()).await?;
            socket.recv(cx).await
        };
        let back = back.await;
        unit.ended(&back);
        assert_eq!(back?, WsMsg::Text(text));
    }
    socket.close(cx, 1000, "").await.map(drop)
}
