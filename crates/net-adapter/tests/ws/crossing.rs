//! Goodbyes that cross, or come while much still waits to be sent: nothing queued is lost, and nobody is told that it went
//! out when it did not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals_net_adapter::ws::{WebSocket, WsEnd, WsError, WsOpts, WsUpgrade};
use annals_net_adapter::{Cancelled, Cx, on_every_host};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use futures_util::future::join3;

use super::goodbyes::{goodbye, patient, serve, stuff, water};
use super::server::{Journal, direct};
use super::site::{Raw, frame, raw_client, site};

on_every_host!(
    ws_a_server_whose_goodbye_crosses_the_peers_sends_all_that_is_queued,
    ws_a_client_whose_goodbye_crosses_the_peers_sends_all_that_is_queued,
    ws_a_server_told_goodbye_calls_nothing_sent_that_is_not,
    ws_a_server_told_goodbye_sends_what_waits,
    ws_a_client_told_goodbye_calls_nothing_sent_that_is_not,
    ws_a_client_told_goodbye_sends_what_waits,
    ws_whoever_else_says_goodbye_learns_of_the_end,
);

/// So that the other end is as far as it gets, which is the hard case; what is promised holds for any.
async fn let_it_work(cx: &Cx) {
    cx.sleep(Duration::from_millis(50)).await.unwrap();
}

/// The number behind a note.
fn noted(journal: &Journal, what: &str) -> usize {
    let all = journal.all();
    let found = all.iter().find_map(|note| note.strip_prefix(what)?.parse().ok());
    found.unwrap_or_else(|| panic!("no {what:?} in {all:?}"))
}

/// Reads to the goodbye or the end; how many whole messages came, and the goodbye.
async fn drink(raw: &mut Raw) -> (usize, Option<(u8, Vec<u8>)>) {
    let mut whole = 0;
    loop {
        match raw.frame().await {
            Some((0x82, payload)) => {
                assert!(
                    payload.len() == 1 << 20 && payload.iter().all(|byte| *byte == 7),
                    "torn"
                );
                whole += 1;
            }
            last => return (whole, last),
        }
    }
}

/// Queues what the peer does not take, then says goodbye without having read the peer's.
async fn crossed(ws: WsUpgrade, State(journal): State<Journal>) -> Response {
    ws.on_upgrade(patient(), async move |cx, mut socket| {
        let queued = stuff(&cx, &mut socket).await;
        journal.note(format!("stuffed {queued}"));
        journal.told(&cx).await;
        Ok(())
    })
}

async fn ws_a_server_whose_goodbye_crosses_the_peers_sends_all_that_is_queued(cx: Cx) {
    let server = serve(&cx, Router::new().route("/", get(crossed))).await;
    let mut raw = raw_client(&cx, server.at, "/").await;
    server.journal.wait(&cx, "stuffed ").await;
    raw.say(frame(0x88, &4002_u16.to_be_bytes(), true)).await;
    server.journal.go_on();
    let_it_work(&cx).await;
    let queued = noted(&server.journal, "stuffed ");
    assert_eq!(drink(&mut raw).await, (queued, goodbye(1000)));
    assert_eq!(raw.rest().await, b"", "the server closes first");
    server.stop(&cx).await;
}

async fn ws_a_client_whose_goodbye_crosses_the_peers_sends_all_that_is_queued(cx: Cx) {
    let journal = Journal::default();
    let there = journal.clone();
    let (at, mut served) = site(&cx, async move |cx, mut raw: Raw| {
        raw.grant().await.unwrap();
        there.wait(&cx, "stuffed ").await;
        raw.say(frame(0x88, &4002_u16.to_be_bytes(), false)).await;
        there.go_on();
        let_it_work(&cx).await;
        let queued = noted(&there, "stuffed ");
        assert_eq!(drink(&mut raw).await, (queued, goodbye(4001)));
    })
    .await;
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), patient())
        .await
        .unwrap();
    let queued = stuff(&cx, &mut socket).await;
    journal.note(format!("stuffed {queued}"));
    journal.told(&cx).await;
    let end = socket.close(&cx, 4001, "").await;
    assert!(matches!(end, Ok(WsEnd::Clean { code: 4002, .. })), "{end:?}");
    served.join(&cx).await.unwrap().ok().unwrap();
}

/// Waits for a goodbye that is not read to the end for no longer than a moment.
fn hasty() -> WsOpts {
    WsOpts {
        close_wait: Duration::from_millis(60),
        ..direct()
    }
}

/// Sends without end beside a receiver, and notes when a message waits, and how many were called sent.
async fn pour(cx: &Cx, socket: WebSocket, journal: &Journal) {
    let (mut tx, mut rx) = socket.split();
    let sent = AtomicUsize::new(0);
    let sending = async {
        loop {
            match tx.send(cx, water()).await {
                Ok(()) => sent.fetch_add(1, Ordering::Relaxed),
                Err(end) => break end,
            };
        }
    };
    let watching = async {
        let mut before = usize::MAX;
        while before != sent.load(Ordering::Relaxed) {
            before = sent.load(Ordering::Relaxed);
            cx.sleep(Duration::from_millis(20)).await.unwrap();
        }
        journal.note("waiting");
    };
    let (unsent, end, ()) = join3(sending, rx.recv(cx), watching).await;
    assert!(matches!(unsent, WsError::Ended(_)), "{unsent:?}");
    assert!(
        matches!(end, Err(WsError::Ended(WsEnd::Clean { code: 4003, .. }))),
        "{end:?}"
    );
    journal.note(format!("sent {}", sent.load(Ordering::Relaxed)));
}

/// Says goodbye while the other end's message waits. Reads what came only when that end is over, or at once.
async fn told_goodbye(cx: &Cx, mut raw: Raw, journal: &Journal, opts: &WsOpts, mask: bool) {
    journal.wait(cx, "waiting").await;
    raw.say(frame(0x88, &4003_u16.to_be_bytes(), mask)).await;
    let patient = opts.close_wait == patient().close_wait;
    if !patient {
        journal.wait(cx, "sent ").await;
    }
    let (whole, last) = drink(&mut raw).await;
    if patient {
        assert_eq!(last, goodbye(4003));
        if mask {
            assert_eq!(raw.rest().await, b"", "the server closes first");
        }
    }
    drop(raw);
    // The one that waited may have gone out at the very end.
    journal.wait(cx, "sent ").await;
    let sent = noted(journal, "sent ");
    assert!(
        whole == sent || whole == sent + 1,
        "{sent} were called sent, {whole} came"
    );
}

async fn server_told(cx: Cx, opts: WsOpts) {
    let granted = opts.clone();
    let pouring = async move |ws: WsUpgrade, State(journal): State<Journal>| {
        ws.on_upgrade(granted, async move |cx, socket| {
            pour(&cx, socket, &journal).await;
            Ok(())
        })
    };
    let server = serve(&cx, Router::new().route("/", get(pouring))).await;
    let raw = raw_client(&cx, server.at, "/").await;
    told_goodbye(&cx, raw, &server.journal, &opts, true).await;
    server.stop(&cx).await;
}

async fn ws_a_server_told_goodbye_calls_nothing_sent_that_is_not(cx: Cx) {
    server_told(cx, hasty()).await;
}

async fn ws_a_server_told_goodbye_sends_what_waits(cx: Cx) {
    server_told(cx, patient()).await;
}

async fn client_told(cx: Cx, opts: WsOpts) {
    let journal = Journal::default();
    let (there, wait) = (journal.clone(), opts.clone());
    let (at, mut served) = site(&cx, async move |cx, mut raw: Raw| {
        raw.grant().await.unwrap();
        told_goodbye(&cx, raw, &there, &wait, false).await;
    })
    .await;
    let socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts).await.unwrap();
    pour(&cx, socket, &journal).await;
    served.join(&cx).await.unwrap().ok().unwrap();
}

async fn ws_a_client_told_goodbye_calls_nothing_sent_that_is_not(cx: Cx) {
    client_told(cx, hasty()).await;
}

async fn ws_a_client_told_goodbye_sends_what_waits(cx: Cx) {
    client_told(cx, patient()).await;
}

async fn ws_whoever_else_says_goodbye_learns_of_the_end(cx: Cx) {
    // The closer is nobody's whom the server would cancel.
    let outside = cx.clone();
    let left = async move |ws: WsUpgrade, State(journal): State<Journal>| {
        ws.on_upgrade(patient(), async move |cx, socket| {
            let (tx, _) = socket.split();
            let closing = journal.clone();
            outside
                .spawn("closer", async move |cx| {
                    let end = tx.close(&cx, 4004, "").await;
                    closing.note(format!("closer {end:?}"));
                    Ok::<_, Cancelled>(())
                })
                .unwrap();
            journal.told(&cx).await;
            Ok(())
        })
    };
    let server = serve(&cx, Router::new().route("/", get(left))).await;
    let mut raw = raw_client(&cx, server.at, "/").await;
    assert_eq!(raw.frame().await, goodbye(4004));
    // Now the server says goodbye too.
    server.journal.go_on();
    let_it_work(&cx).await;
    raw.say(frame(0x88, &4005_u16.to_be_bytes(), true)).await;
    server.journal.wait(&cx, "closer Ok(Clean { code: 4005").await;
    assert_eq!(raw.rest().await, b"");
    server.stop(&cx).await;
}
