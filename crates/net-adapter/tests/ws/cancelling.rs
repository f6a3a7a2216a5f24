//! Cancelled calls lose nothing and tear nothing.

use std::sync::Arc;
use std::time::Duration;

use annals_core::Outcome;
use annals_net_adapter::lab::{LabConfig, cancel_everywhere, check};
use annals_net_adapter::sync::Notify;
use annals_net_adapter::ws::{WsError, WsMsg};
use annals_net_adapter::{BackendKind, CancelKind, CancelReason, Cx, on_every_host, on_every_runtime};

use super::server::{Server, connect};
use super::site::{Raw, site};

on_every_host!(ws_cancel_in_recv_and_send, ws_a_cancelled_context_says_so);
on_every_runtime!(ws_conversations_cut_at_random_moments);

/// Conversations in the ordinary suite; `ANNALS_STRESS_ROUNDS` raises it.
const ROUNDS: u32 = 200;

async fn ws_cancel_in_recv_and_send(cx: Cx) {
    let server = Server::start(&cx).await;
    let mut socket = server.client(&cx, "/numbers").await;
    // A wait that is cut short all the time, at whatever point it is.
    let mut next = 0_u64;
    while next < 300 {
        match cx.timeout(Duration::from_millis(next % 3), socket.recv(&cx)).await {
            Ok(Ok(WsMsg::Text(text))) => {
                assert_eq!(text, next.to_string(), "lost or seen twice");
                next += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => cx.yield_now().await,
        }
    }
    drop(socket);
    server.stop(&cx).await;

    // A peer that reads only when three sends were cut, whatever lies in between: each frame is whole or not there.
    let now = Arc::new(Notify::default());
    let told = now.clone();
    let (at, mut served) = site(&cx, async move |cx, mut raw: Raw| {
        raw.grant().await.unwrap();
        told.notified(&cx).await.unwrap();
        let mut last = 0;
        loop {
            let (kind, payload) = raw.frame().await.unwrap();
            if kind == 0x88 {
                break;
            }
            let words: Vec<_> = payload
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| u32::from_be_bytes(*word))
                .collect();
            let number = words[0];
            assert!(kind == 0x82 && words == vec![number; WORDS], "torn");
            assert!(last < number, "out of order, or twice");
            last = number;
        }
        assert_eq!(last, LAST, "the last one was waited for");
        raw.say([0x88, 0]).await;
        raw.rest().await;
    })
    .await;
    let mut socket = connect(&cx, &format!("ws://{at}/")).await.unwrap();
    let message = |number: u32| WsMsg::Binary(number.to_be_bytes().repeat(WORDS).into());
    let mut cut = 0;
    for number in 1..LAST {
        let sent = socket.send(&cx, message(number));
        if cx.timeout(Duration::from_millis(20), sent).await.is_err() {
            cut += 1;
        }
        if cut == 3 {
            break;
        }
    }
    assert_eq!(cut, 3, "nothing stops a sender whose peer does not read");
    now.notify_one();
    socket.send(&cx, message(LAST)).await.unwrap();
    socket.close(&cx, 1000, "").await.unwrap();
    served.join(&cx).await.unwrap().ok().unwrap();
}

/// Words of a message, and the number of the last.
const WORDS: usize = 15_000;
const LAST: u32 = 100_000;

async fn ws_a_cancelled_context_says_so(cx: Cx) {
    let server = Server::start(&cx).await;
    let at = server.at;
    let mut waiting = cx
        .spawn("waiting", async move |cx| {
            let mut socket = connect(&cx, &format!("ws://{at}/echo")).await?;
            socket.send(&cx, "x").await?;
            socket.recv(&cx).await?;
            socket.recv(&cx).await.map(drop)
        })
        .unwrap();
    // It hears its own word, then waits for ever.
    while !waiting.is_finished() && server.journal.all().is_empty() {
        cx.sleep(Duration::from_millis(5)).await.unwrap();
        waiting.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    }
    assert!(matches!(waiting.join(&cx).await.unwrap(), Outcome::Cancelled(_)));
    server.stop(&cx).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long to look is the caller's wish, not the product's"
)]
fn rounds() -> u32 {
    let wished = std::env::var("ANNALS_STRESS_ROUNDS").ok();
    wished.and_then(|count| count.parse().ok()).unwrap_or(ROUNDS)
}

/// On real clocks: whatever moment a conversation is cut at, it ends as cancelled or whole, and the server forgets it.
async fn ws_conversations_cut_at_random_moments(cx: Cx) {
    let server = Server::start(&cx).await;
    let at = server.at;
    let mut rng = cx.rng();
    let (mut whole, mut cut) = (0, 0);
    for round in 0..rounds() {
        let mut talking = cx
            .spawn("talking", async move |cx| {
                let mut socket = connect(&cx, &format!("ws://{at}/echo")).await?;
                for _ in 0..8 {
                    socket.send(&cx, "hello").await?;
                    socket.recv(&cx).await?;
                }
                socket.close(&cx, 1000, "").await.map(drop)
            })
            .unwrap();
        // Every tenth one is left alone.
        if !round.is_multiple_of(10) {
            cx.sleep(Duration::from_micros(rng.u64(..3000))).await.unwrap();
            talking.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        }
        match talking.join(&cx).await.unwrap() {
            Outcome::Ok(()) => whole += 1,
            Outcome::Cancelled(_) => cut += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut");
    // Nothing is in flight any more, or this would take the server's whole patience and say so.
    let report = server.stop(&cx).await;
    assert_eq!((report.cancelled, report.panicked), (0, 0), "{report:?}");
}

/// Both sides, from the handshake to the goodbye.
async fn conversation(cx: Cx) -> Result<(), WsError> {
    let Some(server) = Server::try_start(&cx).await else {
        return Err(WsError::Net(annals_core::NetworkErrorKind::Cancelled));
    };
    let at = server.at;
    let talk = async |cx: Cx| {
        let mut socket = connect(&cx, &format!("ws://{at}/echo")).await?;
        for text in ["one", "two"] {
            socket.send(&cx, text).await?;
            socket.recv(&cx).await?;
        }
        socket.send(&cx, WsMsg::Ping(bytes::Bytes::new())).await?;
        socket.recv(&cx).await?;
        socket.close(&cx, 1000, "").await.map(drop)
    };
    let result = talk(cx.clone()).await;
    server.drain(&cx);
    result
}

async fn told(cx: Cx) -> String {
    format!("{:?}", conversation(cx).await)
}

#[test]
fn same_seed_same_conversation() {
    assert!(check(0..32, told).unwrap() >= 64);
}

#[test]
fn a_conversation_cut_anywhere_leaves_nothing_behind() {
    for &kind in BackendKind::compiled() {
        let (mut whole, mut cut) = (0, 0);
        let tried = cancel_everywhere(&LabConfig::new(3).on(kind), conversation, |report| {
            report.clean().unwrap();
            match &report.outcome {
                Outcome::Ok(Ok(())) => whole += 1,
                _ => cut += 1,
            }
        });
        assert!(
            tried >= 30 && whole > 0 && cut > 0,
            "{kind}: {tried} points, {whole} whole, {cut} cut"
        );
    }
}
