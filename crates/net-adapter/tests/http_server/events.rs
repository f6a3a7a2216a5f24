//! H21: server-sent events.

use std::num::NonZeroUsize;
use std::time::Duration;

use annals_net_adapter::channel::mpsc;
use annals_net_adapter::http::server::{HttpServer, ReqCx, ServerLimits, SseEvent, sse};
use annals_net_adapter::{Budget, CancelKind, CancelReason, Cancelled, Cx, RegionSpec};
use axum::response::Response;
use axum::routing::get;

use crate::app::{self, Journal};
use crate::client::Client;
use crate::{Engine, Server, on_every_server};

on_every_server!(
    h21_events_come_one_by_one_and_silence_is_filled,
    h21_a_client_that_leaves_ends_the_producer,
    h21_a_drain_ends_the_stream_cleanly,
    h21_a_cancelled_server_ends_the_stream,
    h21_a_deadline_ends_the_stream_cleanly,
);

/// The stream, its first event read.
async fn listening(cx: &Cx, server: &Server) -> Client {
    let mut client = server.client(cx).await;
    client.send(cx, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let head = String::from_utf8(client.through(cx, b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(
        head.contains("content-type: text/event-stream\r\n") && head.contains("cache-control: no-store\r\n"),
        "{head}"
    );
    assert_eq!(event(cx, &mut client).await, number(1));
    client
}

fn number(number: u32) -> String {
    format!("event: count\nid: {number}\ndata: number {number}\ndata: of 4\n\n")
}

/// The next event; comments are no events.
async fn event(cx: &Cx, client: &mut Client) -> String {
    loop {
        let chunk = client.chunk(cx).await.expect("the stream goes on");
        if !chunk.starts_with(b":") {
            return String::from_utf8(chunk).unwrap();
        }
    }
}

async fn h21_events_come_one_by_one_and_silence_is_filled(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = listening(&cx, &server).await;
    // The next event is not made before this one has come; until then only comments come.
    for next in 2..=4 {
        for _ in 0..3 {
            assert_eq!(client.chunk(&cx).await.as_deref(), Some(b":\n\n".as_slice()));
        }
        server.journal.go_on();
        assert_eq!(event(&cx, &mut client).await, number(next));
    }
    assert_eq!(event(&cx, &mut client).await, "", "the stream ends with its producer");
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "the connection is kept"
    );
    server.journal.wait(&cx, "events ended: all sent", 1).await;
    server.stop(&cx).await;
}

async fn h21_a_client_that_leaves_ends_the_producer(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let client = listening(&cx, &server).await;
    drop(client);
    server.journal.wait(&cx, "events ended", 1).await;
    let report = server.stop(&cx).await;
    assert_eq!(report.served, 0, "the answer was not completed");
}

async fn h21_a_drain_ends_the_stream_cleanly(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = listening(&cx, &server).await;
    server.drain(&cx);
    assert_eq!(event(&cx, &mut client).await, "", "a last chunk, not a cut");
    client.closed(&cx).await;
    let journal = server.journal.clone();
    let report = server.stop(&cx).await;
    assert_eq!(
        (report.finished_in_drain, report.cancelled),
        (1, 0),
        "nothing was waited for: {report:?}"
    );
    assert!(journal.all().iter().any(|note| note.starts_with("events ended")));
}

async fn h21_a_cancelled_server_ends_the_stream(cx: Cx, engine: Engine) {
    let region = cx.open_region(RegionSpec::collect_all("outer")).unwrap();
    let server = Server::start(region.cx(), engine).await;
    let client = listening(&cx, &server).await;
    region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent, "left behind: {:?}", report.drain.stragglers);
    assert!(server.journal.all().iter().any(|note| note.starts_with("events ended")));
    client.everything(&cx).await;
}

/// An event that was sent before the deadline; then silence, which nothing fills.
async fn until(ReqCx(cx): ReqCx) -> Response {
    let (tx, rx) = mpsc::<SseEvent>(NonZeroUsize::MIN);
    let first = tx.try_reserve(&cx).unwrap();
    first.send(SseEvent::new("sent in time")).unwrap();
    cx.spawn("sender", async move |cx| {
        // As long as it lives, only the deadline ends the stream.
        drop((cx.cancelled().await, tx));
        Ok::<_, Cancelled>(())
    })
    .unwrap();
    let brief = cx.with_budget(Budget::until(cx.now().after(Duration::from_millis(50))));
    sse(&brief, rx, Duration::from_secs(3600))
}

async fn with_until(cx: &Cx, engine: Engine) -> Server {
    let journal = Journal::default();
    let routes = app::routes(journal.clone()).route("/until", get(until));
    let mut server = HttpServer::new(routes, ServerLimits::default().sped_up(20));
    if engine == Engine::Own {
        server = server.with_own_loop();
    }
    let listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr();
    let task = cx
        .spawn("server", move |cx| async move { server.serve(&cx, listener).await })
        .unwrap();
    Server { at, journal, task }
}

async fn h21_a_deadline_ends_the_stream_cleanly(cx: Cx, engine: Engine) {
    let server = with_until(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, "GET /until HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.through(&cx, b"\r\n\r\n").await.unwrap();
    assert_eq!(event(&cx, &mut client).await, "data: sent in time\n\n");
    assert_eq!(event(&cx, &mut client).await, "", "a last chunk, not a cut");
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "the connection is kept"
    );
    server.stop(&cx).await;
}
