//! How a WebSocket ends: in order, for a fault of the peer, or without a word.

use std::time::Duration;

use annals_core::NetworkErrorKind::{self, ClosedEarly, Protocol, ReadTimeout, Reset};
use annals_net_adapter::ws::{WebSocket, WsEnd, WsError, WsMsg, WsOpts};
use annals_net_adapter::{Cx, on_every_host, on_every_runtime};

use super::server::{Server, connect, direct};
use super::site::{Raw, frame, raw_client, site};

on_every_host!(
    ws_too_big_sends_1009,
    ws_what_breaks_the_protocol_is_told_so,
    ws_lost_tcp_is_abnormal,
    ws_a_silent_peer_is_noticed,
    ws_a_goodbye_is_waited_for_in_time,
);
// Virtual time stands still while somebody works.
on_every_runtime!(ws_a_flood_holds_up_no_end);

async fn ws_too_big_sends_1009(cx: Cx) {
    let server = Server::start(&cx).await;
    let clean = |end: &WsError| matches!(end, WsError::Ended(WsEnd::Clean { code: 1009, .. }));

    let mut socket = server.client(&cx, "/echo").await;
    socket.send(&cx, "x".repeat(1001)).await.unwrap();
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(clean(&end), "{end:?}");
    server.journal.wait(&cx, "ended TooBig { limit: 1000 }").await;

    // Too large only in sum, and told before the last of it has come.
    let mut raw = raw_client(&cx, server.at, "/echo").await;
    raw.say(frame(0x02, &[0; 600], true)).await;
    raw.say(frame(0x00, &[0; 600], true)).await;
    assert_eq!(raw.frame().await.unwrap(), (0x88, 1009_u16.to_be_bytes().to_vec()));
    drop(raw);

    // A head that promises too much is enough.
    let mut raw = raw_client(&cx, server.at, "/echo").await;
    raw.say([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    assert_eq!(raw.frame().await.unwrap(), (0x88, 1009_u16.to_be_bytes().to_vec()));
    drop(raw);

    // The same on the client's side.
    let opts = WsOpts {
        max_message: 4999,
        ..direct()
    };
    let url = format!("ws://{}/large", server.at);
    let mut socket = WebSocket::connect(&cx, &url, opts).await.unwrap();
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(matches!(end, WsError::TooBig { limit: 4999 }), "{end:?}");
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(matches!(end, WsError::Ended(WsEnd::Abnormal(Protocol))), "{end:?}");
    server.journal.wait(&cx, "ended Ended(Clean { code: 1009").await;
    server.stop(&cx).await;
}

async fn ws_what_breaks_the_protocol_is_told_so(cx: Cx) {
    let server = Server::start(&cx).await;
    for (what, bytes, code) in [
        ("text that is not UTF-8", frame(0x81, &[b'a', 0xff], true), 1007_u16),
        ("text cut within a character", frame(0x81, &[0xc3], true), 1007),
        ("a frame without a mask", frame(0x81, b"hello", false), 1002),
        ("an unknown frame", frame(0x83, b"", true), 1002),
        ("reserved bits", frame(0xc1, b"x", true), 1002),
        ("a continuation of nothing", frame(0x80, b"x", true), 1002),
        ("a ping in pieces", frame(0x09, b"x", true), 1002),
        ("a long ping", frame(0x89, &[0; 126], true), 1002),
        (
            "a message within a message",
            [frame(0x01, b"a", true), frame(0x81, b"b", true)].concat(),
            1002,
        ),
    ] {
        let mut raw = raw_client(&cx, server.at, "/echo").await;
        raw.say(&bytes).await;
        // What comes behind it is not read as a message.
        raw.say(frame(0x81, b"evil", true)).await;
        let said = raw.frame().await.unwrap();
        assert_eq!(said, (0x88, code.to_be_bytes().to_vec()), "{what}");
        assert_eq!(raw.rest().await, b"", "{what}");
        drop(raw);
    }
    let report = server.stop(&cx).await;
    assert_eq!((report.served, report.panicked), (9, 0));
}

async fn ws_lost_tcp_is_abnormal(cx: Cx) {
    type Ending = fn(Raw);
    let orderly: Ending = drop;
    let reset: Ending = |raw| raw.stream.reset().unwrap();
    let half = &frame(0x81, b"hello", false)[..4];
    for (what, last, ending, expected) in [
        ("an end between messages", &b""[..], orderly, ClosedEarly),
        ("an end within a message", half, orderly, ClosedEarly),
        (
            "an end between fragments",
            &frame(0x01, b"a", false),
            orderly,
            ClosedEarly,
        ),
        ("a reset", &b""[..], reset, Reset),
    ] {
        let last = last.to_vec();
        let (at, mut served) = site(&cx, async move |_, mut raw: Raw| {
            raw.grant().await;
            raw.say(frame(0x81, b"one", false)).await;
            // A reset may throw away what was not read: the client says when it has it.
            raw.frame().await;
            raw.say(last).await;
            ending(raw);
        })
        .await;
        let mut socket = connect(&cx, &format!("ws://{at}/")).await.unwrap();
        assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::from("one"));
        socket.send(&cx, "got it").await.unwrap();
        served.join(&cx).await.unwrap().ok().unwrap();
        for _ in 0..2 {
            let end = socket.recv(&cx).await.unwrap_err();
            let is = |kind: NetworkErrorKind| matches!(&end, WsError::Ended(WsEnd::Abnormal(found)) if *found == kind);
            assert!(is(expected), "{what}: {end:?}");
        }
        let unsent = socket.send(&cx, "anyone?").await.unwrap_err();
        assert!(
            matches!(unsent, WsError::Ended(WsEnd::Abnormal(_))),
            "{what}: {unsent:?}"
        );
        let end = socket.close(&cx, 1000, "").await.unwrap();
        assert_eq!(end, WsEnd::Abnormal(expected), "{what}");
    }

    let server = Server::start(&cx).await;
    drop(raw_client(&cx, server.at, "/echo").await);
    server.journal.wait(&cx, "ended Ended(Abnormal(").await;
    server.stop(&cx).await;
}

async fn ws_a_silent_peer_is_noticed(cx: Cx) {
    let opts = WsOpts {
        ping_every: Some(Duration::from_millis(40)),
        pong_within: Duration::from_millis(40),
        ..direct()
    };
    // Answers three pings, then no more.
    let (at, mut served) = site(&cx, async |_, mut raw: Raw| {
        raw.grant().await;
        for _ in 0..3 {
            let (kind, payload) = raw.frame().await.unwrap();
            assert_eq!(kind, 0x89);
            raw.say(frame(0x8a, &payload, false)).await;
        }
        assert_eq!(raw.frame().await.unwrap().0, 0x89);
        raw.rest().await;
    })
    .await;
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(socket.recv(&cx).await, Ok(WsMsg::Pong(_))));
    }
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(matches!(end, WsError::Ended(WsEnd::Abnormal(ReadTimeout))), "{end:?}");
    drop(socket);
    served.join(&cx).await.unwrap().ok().unwrap();
}

async fn ws_a_goodbye_is_waited_for_in_time(cx: Cx) {
    let opts = || WsOpts {
        close_wait: Duration::from_millis(60),
        ..direct()
    };
    // No goodbye at all.
    let (at, _) = site(&cx, async |_, mut raw: Raw| {
        raw.grant().await;
        raw.rest().await;
    })
    .await;
    let socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts()).await.unwrap();
    let end = socket.close(&cx, 1000, "").await.unwrap();
    assert_eq!(end, WsEnd::Abnormal(ReadTimeout));

    // A goodbye, but the connection stays: both have said all there is to say.
    for ours in [true, false] {
        let (at, _) = site(&cx, async move |_, mut raw: Raw| {
            raw.grant().await;
            if ours {
                raw.frame().await;
            }
            raw.say(frame(0x88, &1001_u16.to_be_bytes(), false)).await;
            raw.rest().await;
        })
        .await;
        let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts()).await.unwrap();
        let end = if ours {
            socket.close(&cx, 1000, "").await.unwrap()
        } else {
            match socket.recv(&cx).await.unwrap_err() {
                WsError::Ended(end) => end,
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(end, WsEnd::Clean { code: 1001, .. }), "{end:?}");
    }
}

async fn ws_a_flood_holds_up_no_end(cx: Cx) {
    for fault in [true, false] {
        let (at, mut served) = site(&cx, async move |_, mut raw: Raw| {
            raw.grant().await;
            if fault {
                // A head that promises too much.
                raw.say([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]).await;
            }
            let water = frame(0x82, &[], false).repeat(32 * 1024);
            while raw.say(&water).await {}
        })
        .await;
        let opts = WsOpts {
            close_wait: Duration::from_millis(60),
            ..direct()
        };
        let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts).await.unwrap();
        if fault {
            let end = socket.recv(&cx).await.unwrap_err();
            assert!(matches!(end, WsError::TooBig { .. }), "{end:?}");
        } else {
            let end = socket.close(&cx, 1000, "").await.unwrap();
            assert_eq!(end, WsEnd::Abnormal(ReadTimeout));
        }
        // The flood ends where nobody takes it any more.
        served.join(&cx).await.unwrap().ok().unwrap();
    }
}
