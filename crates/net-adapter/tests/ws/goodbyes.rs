//! Goodbyes where they are hard: behind much that waits to be sent, cut short, beside halves that somebody still holds.

use std::sync::Arc;
use std::time::Duration;

use annals_core::{NetworkErrorKind, Outcome};
use annals_net_adapter::http::server::ServerLimits;
use annals_net_adapter::sync::Notify;
use annals_net_adapter::ws::{WebSocket, WsEnd, WsError, WsMsg, WsOpts, WsUpgrade};
use annals_net_adapter::{CancelKind, CancelReason, Cancelled, Cx, on_every_host};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;

use super::server::{Journal, Server, direct};
use super::site::{Raw, frame, raw_client, site};

on_every_host!(
    ws_a_goodbye_goes_out_behind_all_that_is_queued,
    ws_a_fault_is_told_behind_all_that_is_queued,
    ws_a_goodbye_is_answered_behind_all_that_is_queued,
    ws_a_servers_goodbye_and_a_sender_both_go_on,
    ws_a_goodbye_cut_short_gives_the_websocket_up,
    ws_a_goodbye_nobody_answers_gives_up_what_others_hold,
    ws_what_came_before_a_failed_send_is_received,
);

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn patient() -> WsOpts {
    WsOpts {
        close_wait: PATIENCE,
        ..direct()
    }
}

/// What no system takes all of while nobody reads.
pub fn water() -> WsMsg {
    WsMsg::Binary(Bytes::from(vec![7; 1 << 20]))
}

/// Sends to a peer that does not read until a message has to wait, as a rule most of it. How many messages were queued.
pub async fn stuff(cx: &Cx, socket: &mut WebSocket) -> usize {
    let sent = water();
    let mut queued = 1;
    while let Ok(sent) = cx
        .timeout(Duration::from_millis(20), socket.send(cx, sent.clone()))
        .await
    {
        sent.unwrap();
        queued += 1;
    }
    queued
}

pub fn goodbye(code: u16) -> Option<(u8, Vec<u8>)> {
    Some((0x88, code.to_be_bytes().to_vec()))
}

/// Reads on to the goodbye; `None` if there is none.
async fn last_frame(raw: &mut Raw) -> Option<(u8, Vec<u8>)> {
    loop {
        let found = raw.frame().await?;
        if found.0 == 0x88 {
            return Some(found);
        }
    }
}

/// A server with these routes, and handlers that may take their time to clean up.
pub async fn serve(cx: &Cx, routes: Router<Journal>) -> Server {
    let limits = ServerLimits {
        cleanup: PATIENCE,
        drain: PATIENCE,
        ..ServerLimits::default()
    };
    Server::with(cx, routes, limits).await.unwrap()
}

async fn ws_a_goodbye_goes_out_behind_all_that_is_queued(cx: Cx) {
    let now = Arc::new(Notify::default());
    let told = now.clone();
    let (at, mut served) = site(&cx, async move |cx, mut raw: Raw| {
        raw.grant().await.unwrap();
        told.notified(&cx).await.unwrap();
        assert_eq!(last_frame(&mut raw).await, goodbye(4001));
        raw.say(frame(0x88, &4002_u16.to_be_bytes(), false)).await;
    })
    .await;
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), patient())
        .await
        .unwrap();
    stuff(&cx, &mut socket).await;
    let close = socket.close(&cx, 4001, "");
    // Said before the peer begins to read.
    let (end, ()) = futures_util::future::join(close, async { now.notify_one() }).await;
    served.join(&cx).await.unwrap().ok().unwrap();
    assert!(matches!(end, Ok(WsEnd::Clean { code: 4002, .. })), "{end:?}");
}

async fn ws_a_fault_is_told_behind_all_that_is_queued(cx: Cx) {
    let now = Arc::new(Notify::default());
    let told = now.clone();
    let (at, mut served) = site(&cx, async move |cx, mut raw: Raw| {
        raw.grant().await.unwrap();
        told.notified(&cx).await.unwrap();
        // A head that promises too much.
        raw.say([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]).await;
        assert_eq!(last_frame(&mut raw).await, goodbye(1009));
    })
    .await;
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), patient())
        .await
        .unwrap();
    stuff(&cx, &mut socket).await;
    now.notify_one();
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(matches!(end, WsError::TooBig { .. }), "{end:?}");
    served.join(&cx).await.unwrap().ok().unwrap();
}

async fn stuffed(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(patient(), async move |cx, mut socket| {
        stuff(&cx, &mut socket).await;
        journal.note("stuffed");
        let end = socket.recv(&cx).await.unwrap_err();
        journal.note(format!("ended {end:?}"));
        Err(end)
    })
}

async fn ws_a_goodbye_is_answered_behind_all_that_is_queued(cx: Cx) {
    let server = serve(&cx, Router::new().route("/", get(stuffed))).await;
    let mut raw = raw_client(&cx, server.at, "/").await;
    server.journal.wait(&cx, "stuffed").await;
    raw.say(frame(0x88, &4003_u16.to_be_bytes(), true)).await;
    assert_eq!(last_frame(&mut raw).await, goodbye(4003));
    assert_eq!(raw.rest().await, b"", "the server closes first");
    server.journal.wait(&cx, "ended Ended(Clean { code: 4003").await;
    server.stop(&cx).await;
}

/// Its sender works on while the server says goodbye.
async fn left_behind(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(patient(), async move |cx, socket| {
        let (mut tx, _) = socket.split();
        let sending = journal.clone();
        cx.spawn("sender", async move |cx| {
            let end = loop {
                if let Err(end) = tx.send(&cx, water()).await {
                    break end;
                }
            };
            sending.note(format!("sender {end:?}"));
            Ok::<_, Cancelled>(())
        })
        .unwrap();
        // So that it waits, which is the hard case; the promise is for any.
        drop(cx.sleep(Duration::from_millis(50)).await);
        journal.note("leaving");
        Ok(())
    })
}

async fn ws_a_servers_goodbye_and_a_sender_both_go_on(cx: Cx) {
    let server = serve(&cx, Router::new().route("/", get(left_behind))).await;
    let mut raw = raw_client(&cx, server.at, "/").await;
    server.journal.wait(&cx, "leaving").await;
    assert_eq!(last_frame(&mut raw).await, goodbye(1000));
    raw.say(frame(0x88, &1000_u16.to_be_bytes(), true)).await;
    assert_eq!(raw.rest().await, b"");
    // Not because its region cancelled it in the end.
    server.journal.wait(&cx, "sender Ended(").await;
    server.stop(&cx).await;
}

async fn ws_a_goodbye_cut_short_gives_the_websocket_up(cx: Cx) {
    for cancelled in [true, false] {
        let heard = Arc::new(Notify::default());
        let hearing = heard.clone();
        // Says nothing, and waits for the end.
        let (at, mut served) = site(&cx, async move |_, mut raw: Raw| {
            raw.grant().await;
            assert_eq!(raw.frame().await, goodbye(1000));
            hearing.notify_one();
            assert_eq!(raw.rest().await, b"");
        })
        .await;
        let socket = WebSocket::connect(&cx, &format!("ws://{at}/"), patient()).await;
        let (tx, mut rx) = socket.unwrap().split();
        if cancelled {
            let mut closing = cx
                .spawn("closing", async move |cx| tx.close(&cx, 1000, "").await)
                .unwrap();
            heard.notified(&cx).await.unwrap();
            closing.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
            let closed = closing.join(&cx).await.unwrap();
            assert!(matches!(closed, Outcome::Cancelled(_)), "{closed:?}");
        } else {
            let close = tx.close(&cx, 1000, "");
            drop(cx.timeout(Duration::from_millis(20), close).await.unwrap_err());
        }
        // The other half is still held; it learns of the end, and the peer sees it.
        let received = cx.timeout(PATIENCE / 3, rx.recv(&cx)).await;
        let end = received.expect("the other half waits for nothing").unwrap_err();
        assert!(
            matches!(end, WsError::Ended(WsEnd::Abnormal(NetworkErrorKind::Cancelled))),
            "{end:?}"
        );
        let seen = cx.timeout(PATIENCE / 3, served.join(&cx)).await;
        seen.expect("the peer sees the end").unwrap().ok().unwrap();
        drop(rx);
    }
}

/// Somebody holds its receiving half for as long as the test says.
async fn held(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    let opts = WsOpts {
        close_wait: Duration::from_millis(60),
        ..direct()
    };
    ws.on_upgrade(opts, async move |cx, socket| {
        let (_, mut rx) = socket.split();
        cx.spawn("holder", async move |cx| {
            journal.told(&cx).await;
            let end = rx.recv(&cx).await.unwrap_err();
            journal.note(format!("let go {end:?}"));
            Ok::<_, Cancelled>(())
        })
        .unwrap();
        Ok(())
    })
}

async fn ws_a_goodbye_nobody_answers_gives_up_what_others_hold(cx: Cx) {
    let server = serve(&cx, Router::new().route("/", get(held))).await;
    let mut raw = raw_client(&cx, server.at, "/").await;
    assert_eq!(raw.frame().await, goodbye(1000));
    assert_eq!(raw.rest().await, b"");
    assert_eq!(server.journal.all(), [""; 0], "it was not let go before");
    server.journal.go_on();
    server.journal.wait(&cx, "let go Ended(Abnormal(").await;
    server.stop(&cx).await;
}

async fn ws_what_came_before_a_failed_send_is_received(cx: Cx) {
    let (at, mut served) = site(&cx, async |_, mut raw: Raw| {
        raw.grant().await;
        raw.say(frame(0x81, b"one", false)).await;
        raw.say(frame(0x88, &1001_u16.to_be_bytes(), false)).await;
    })
    .await;
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), patient())
        .await
        .unwrap();
    served.join(&cx).await.unwrap().ok().unwrap();
    // The first ones go to a system that does not know it yet.
    let unsent = loop {
        match socket.send(&cx, "anyone?").await {
            Ok(()) => cx.sleep(Duration::from_millis(1)).await.unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(unsent, WsError::Ended(WsEnd::Abnormal(_))), "{unsent:?}");
    assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::from("one"));
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(
        matches!(end, WsError::Ended(WsEnd::Clean { code: 1001, .. })),
        "{end:?}"
    );
}
