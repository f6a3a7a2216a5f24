//! The routes the tests call.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals_net_adapter::channel::mpsc;
use annals_net_adapter::http::server::{PeerAddr, ReqCx, RouteLimits, SseEvent, sse};
use annals_net_adapter::sync::{Notify, Semaphore};
use annals_net_adapter::ws::{WsMsg, WsOpts, WsUpgrade};
use annals_net_adapter::{Cancelled, Cx};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};

/// What handlers noted, in order.
#[derive(Clone, Default)]
pub struct Journal(Arc<(Mutex<Vec<String>>, Notify, Notify, AtomicU64)>);

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
    pub async fn told(&self, cx: &Cx) -> Result<(), Cancelled> {
        self.0.2.notified(cx).await
    }

    /// Bytes that `/water` has made.
    pub fn made(&self) -> u64 {
        self.0.3.load(Ordering::SeqCst)
    }

    /// Wait until so many notes begin with `what`.
    pub async fn wait(&self, cx: &Cx, what: &str, count: usize) {
        let seen = async {
            while self.all().iter().filter(|note| note.starts_with(what)).count() < count {
                self.0.1.notified(cx).await.unwrap();
            }
        };
        let in_time = cx.timeout(Duration::from_secs(20), seen).await;
        assert!(in_time.is_ok(), "{count} × {what:?} did not come: {:?}", self.all());
    }
}

pub fn routes(journal: Journal) -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route(
            "/target",
            get(async |uri: Uri, headers: HeaderMap| format!("{} {:?}", uri, headers.get("host"))),
        )
        .route("/peer", get(async |PeerAddr(peer): PeerAddr| peer.ip().to_string()))
        .route("/echo", post(async |body: Bytes| body))
        .route(
            "/headers",
            post(async |headers: HeaderMap, _: Bytes| format!("{headers:?}")),
        )
        .route("/stream-echo", post(async |body: Body| Response::new(body)))
        .route("/ignore", post(async || "ignored"))
        .route(
            "/small",
            post(async |body: Bytes| body.len().to_string()).layer(RouteLimits::new().body_bytes(10)),
        )
        .route(
            "/large",
            post(async |body: Bytes| body.len().to_string()).layer(RouteLimits::new().body_bytes(3 << 20)),
        )
        .route("/stream", get(pieces))
        .route("/held", get(held))
        .route("/empty", get(async || StatusCode::OK))
        .route("/none", get(async || StatusCode::NO_CONTENT))
        .route("/unchanged", get(async || (StatusCode::NOT_MODIFIED, "not sent")))
        .route("/panic", get(async || -> &'static str { panic!("as told") }))
        .route("/panic-body", get(panicking_body))
        .route("/broken-body", get(broken_body))
        .route("/evil", get(evil))
        .route("/wait", get(wait))
        .route(
            "/brief",
            get(wait).layer(RouteLimits::new().handler(Duration::from_millis(50))),
        )
        .route("/short", get(short))
        .route("/slow-body", post(slow_body))
        .route("/produce", get(produce))
        .route("/events", get(events))
        .route("/ws", get(websocket))
        .route("/ws-panic", get(websocket_panic))
        .route("/flood", get(flood))
        .route("/water/{bytes}", get(water))
        .route(
            "/megabytes/{count}",
            get(async |Path(count): Path<usize>| Response::new(Body::from(vec![b'm'; count << 20]))),
        )
        .with_state(journal)
}

async fn pieces() -> Response {
    Response::new(Body::from_stream(stream::iter(
        ["one ", "", "two ", "three"].map(Ok::<_, Infallible>),
    )))
}

/// An answer of known length that holds a permit of its request's region.
async fn held(ReqCx(cx): ReqCx) -> Response {
    let permit = Semaphore::new(1).acquire(&cx, 1).await.unwrap();
    let body = Body::from_stream(stream::iter(["held"]).map(move |piece| {
        let _held = &permit;
        Ok::<_, Infallible>(piece)
    }));
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("4"));
    response
}

/// An answer without end, which notes when nobody wants it any more.
async fn flood(State(journal): State<Journal>) -> Response {
    struct Ends(Journal);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.note("flood ended");
        }
    }
    let water = Bytes::from(vec![b'w'; 256 * 1024]);
    Response::new(Body::from_stream(stream::unfold(Ends(journal), move |ends| {
        let water = water.clone();
        async move { Some((Ok::<_, Infallible>(water), ends)) }
    })))
}

/// So many bytes, counted as they are made.
async fn water(State(journal): State<Journal>, Path(bytes): Path<u64>) -> Response {
    let piece = Bytes::from(vec![b'w'; 64 * 1024]);
    let pieces = bytes / piece.len() as u64;
    Response::new(Body::from_stream(stream::iter(0..pieces).map_each(move |_| {
        journal.0.3.fetch_add(piece.len() as u64, Ordering::SeqCst);
        Ok::<_, Infallible>(piece.clone())
    })))
}

async fn panicking_body() -> Response {
    Response::new(Body::from_stream(stream::iter(0..2).map_each(|number| {
        assert!(number == 0, "as told");
        Ok::<_, Infallible>("first")
    })))
}

async fn broken_body() -> Response {
    Response::new(Body::from_stream(stream::iter([
        Ok("first"),
        Err(std::io::Error::other("as told")),
    ])))
}

trait MapEach: stream::Stream + Sized {
    fn map_each<T>(self, f: impl FnMut(Self::Item) -> T) -> impl stream::Stream<Item = T> {
        futures_util::StreamExt::map(self, f)
    }
}

impl<S: stream::Stream> MapEach for S {}

impl IntoResponse for Note {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

struct Note(&'static str);

async fn evil(State(journal): State<Journal>) -> Note {
    journal.note("evil");
    Note("evil")
}

/// Waits until it is cancelled, then cleans up, and says both.
async fn wait(ReqCx(cx): ReqCx, State(journal): State<Journal>) -> String {
    journal.note("waiting");
    let reason = cx.cancelled().await;
    journal.note(format!("cancelled {:?}", reason.kind));
    cx.sleep_full(Duration::from_millis(20)).await;
    journal.note("cleaned");
    "too late".to_owned()
}

/// Works for a while that is shorter than any limit.
async fn short(ReqCx(cx): ReqCx, State(journal): State<Journal>) -> Result<&'static str, StatusCode> {
    journal.note("working");
    cx.sleep(Duration::from_millis(100))
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok("done")
}

/// Says when it begins to read.
async fn slow_body(State(journal): State<Journal>, body: Body) -> Response {
    journal.note("reading");
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(body) => body.len().to_string().into_response(),
        Err(_) => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

/// A task of the request's region makes the body, for ever.
async fn produce(ReqCx(cx): ReqCx, State(journal): State<Journal>) -> Result<Response, StatusCode> {
    let (tx, rx) = mpsc::<Bytes>(NonZeroUsize::MIN);
    let made = cx.spawn("producer", move |cx| async move {
        let mut sent = 0;
        let ended = loop {
            if let Err(error) = tx.send(&cx, Bytes::from_static(b"tick ")).await {
                break format!(
                    "{:?}",
                    cx.cancel_reason().map(|reason| reason.kind).ok_or(error.to_string())
                );
            }
            sent += 1;
            if sent == 1 {
                journal.note("producing");
            }
            cx.sleep(Duration::from_millis(5)).await.ok();
        };
        cx.sleep_full(Duration::from_millis(20)).await;
        journal.note(format!("produced {ended}"));
        Ok::<(), Cancelled>(())
    });
    made.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let body = stream::unfold((rx, cx), async |(mut rx, cx)| {
        let item = rx.recv(&cx).await.ok()?;
        Some((Ok::<_, Infallible>(item), (rx, cx)))
    });
    Ok(Response::new(Body::from_stream(body)))
}

/// One event at once, another each time the test says so; after four the stream ends by itself.
async fn events(ReqCx(cx): ReqCx, State(journal): State<Journal>) -> Result<Response, StatusCode> {
    let (tx, rx) = mpsc::<SseEvent>(NonZeroUsize::MIN);
    let made = cx.spawn("events", move |cx| async move {
        for number in 1..=4 {
            let event = SseEvent::new(format!("number {number}\nof 4"))
                .event("count")
                .id(&number.to_string());
            if let Err(error) = tx.send(&cx, event).await {
                journal.note(format!("events ended: {}", error.why));
                return Ok(());
            }
            journal.note("event");
            if number < 4 && journal.told(&cx).await.is_err() {
                journal.note("events ended: cancelled");
                return Ok(());
            }
        }
        journal.note("events ended: all sent");
        Ok::<(), Cancelled>(())
    });
    made.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(sse(&cx, rx, Duration::from_millis(40)))
}

/// Echoes; what ends it is noted.
async fn websocket(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(WsOpts::default(), async move |cx, mut socket| {
        journal.note("websocket");
        loop {
            match socket.recv(&cx).await {
                Ok(message @ (WsMsg::Text(_) | WsMsg::Binary(_))) => socket.send(&cx, message).await?,
                Ok(WsMsg::Ping(_) | WsMsg::Pong(_)) => {}
                Err(error) => {
                    journal.note(format!("websocket ended: {error}"));
                    return Err(error);
                }
            }
        }
    })
}

async fn websocket_panic(ws: WsUpgrade) -> Response {
    ws.on_upgrade(WsOpts::default(), async |_, _| panic!("as told"))
}
