//! Handshakes and messages.

use std::sync::Arc;

use annals_core::NetworkErrorKind;
use annals_net_adapter::http::ProxyConfig;
use annals_net_adapter::sync::Notify;
use annals_net_adapter::ws::{WebSocket, WsEnd, WsError, WsMsg, WsOpts};
use annals_net_adapter::{Cx, Environment, on_every_host};
use bytes::Bytes;

use super::server::{Server, connect, direct};
use super::site::{Raw, accept, field, frame, raw_client, site};

on_every_host!(
    ws_echo_fragments_ping_close,
    a_handshake_that_is_none_is_refused,
    a_request_holds_what_the_caller_says_and_no_more,
    halves_work_in_two_tasks,
    a_websocket_goes_through_a_tunnel,
    ws_a_ping_that_no_frame_holds_is_not_sent,
    ws_a_sign_of_life_is_no_message,
);

async fn ws_echo_fragments_ping_close(cx: Cx) {
    let server = Server::start(&cx).await;
    let mut socket = server.client(&cx, "/echo").await;
    for message in [
        WsMsg::from("hello"),
        WsMsg::from(""),
        WsMsg::from("é値"),
        WsMsg::Binary(Bytes::from_static(&[0, 255])),
        WsMsg::Binary(Bytes::from(vec![7; 1000])),
    ] {
        socket.send(&cx, message.clone()).await.unwrap();
        assert_eq!(socket.recv(&cx).await.unwrap(), message);
    }
    let ping = Bytes::from_static(b"alive?");
    socket.send(&cx, WsMsg::Ping(ping.clone())).await.unwrap();
    assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::Pong(ping));
    server.journal.wait(&cx, "Ping(b\"alive?\")").await;
    let end = socket.close(&cx, 4001, "done").await.unwrap();
    assert_eq!(
        end,
        WsEnd::Clean {
            code: 4001,
            reason: "done".to_owned()
        }
    );
    server
        .journal
        .wait(&cx, "ended Ended(Clean { code: 4001, reason: \"done\" })")
        .await;

    // A message in three frames, a ping between them; the answer to the ping does not wait for the message.
    let mut raw = raw_client(&cx, server.at, "/echo").await;
    raw.say(frame(0x01, b"hel", true)).await;
    raw.say(frame(0x89, b"p", true)).await;
    assert_eq!(raw.frame().await.unwrap(), (0x8a, b"p".to_vec()));
    raw.say(frame(0x00, b"l", true)).await;
    raw.say(frame(0x80, b"o", true)).await;
    assert_eq!(raw.frame().await.unwrap(), (0x81, b"hello".to_vec()));
    // A goodbye without a code is answered with one without.
    raw.say(frame(0x88, b"", true)).await;
    assert_eq!(raw.frame().await.unwrap(), (0x88, vec![]));
    assert_eq!(raw.rest().await, b"", "the server closes first");
    server.journal.wait(&cx, "ended Ended(Clean { code: 1005").await;
    assert_eq!(server.stop(&cx).await.served, 2);
}

async fn a_handshake_that_is_none_is_refused(cx: Cx) {
    let ok = |key: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            accept(key)
        )
    };
    type Answer = Box<dyn FnOnce(&str) -> String + Send>;
    let cases: Vec<(&str, u16, Answer)> = vec![
        (
            "a status",
            403,
            Box::new(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n".into()),
        ),
        (
            "a redirect",
            302,
            Box::new(|_| "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n".into()),
        ),
        ("another key", 101, Box::new(move |_| ok("dGhlIHNhbXBsZSBub25jZQ=="))),
        (
            "no accept",
            101,
            Box::new(|_| "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".into()),
        ),
        (
            "no upgrade",
            101,
            Box::new(move |key| ok(key).replace("Upgrade: websocket\r\n", "")),
        ),
        (
            "another protocol",
            101,
            Box::new(move |key| ok(key).replace("websocket", "h2c")),
        ),
        (
            "no connection",
            101,
            Box::new(move |key| ok(key).replace("Connection: Upgrade\r\n", "")),
        ),
        (
            "an extension nobody offered",
            101,
            Box::new(move |key| ok(key) + "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
        (
            "a subprotocol nobody offered",
            101,
            Box::new(move |key| ok(key) + "Sec-WebSocket-Protocol: chat\r\n"),
        ),
    ];
    for (name, expected, answer) in cases {
        let (at, mut served) = site(&cx, async move |_, mut raw: Raw| {
            let request = raw.head().await.unwrap();
            let key = field(&request, "sec-websocket-key").unwrap();
            raw.say(answer(&key) + "\r\n").await;
            raw.rest().await;
        })
        .await;
        let refused = connect(&cx, &format!("ws://{at}/")).await.unwrap_err();
        assert!(
            matches!(refused, WsError::Handshake { status: Some(status) } if status == expected),
            "{name}: {refused:?}"
        );
        // The connection is closed, or this would wait.
        served.join(&cx).await.unwrap().ok().unwrap();
    }

    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", NetworkErrorKind::Protocol),
        ("", NetworkErrorKind::ClosedEarly),
    ] {
        let (at, _) = site(&cx, async move |_, mut raw: Raw| {
            raw.head().await;
            raw.say(answer).await;
        })
        .await;
        let refused = connect(&cx, &format!("ws://{at}/")).await.unwrap_err();
        assert!(matches!(refused, WsError::Net(kind) if kind == expected), "{refused:?}");
    }
    let closed = cx
        .net()
        .listen(&cx, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .local_addr();
    for (url, expected) in [
        (format!("ws://{closed}/"), NetworkErrorKind::Refused),
        ("ws://no-such-host.invalid/".to_owned(), NetworkErrorKind::Dns),
        ("http://127.0.0.1/".to_owned(), NetworkErrorKind::BadUrl),
        ("ws://user:secret@127.0.0.1/".to_owned(), NetworkErrorKind::BadUrl),
    ] {
        let refused = connect(&cx, &url).await.unwrap_err();
        assert!(
            matches!(refused, WsError::Net(kind) if kind == expected),
            "{url}: {refused:?}"
        );
    }
}

async fn a_request_holds_what_the_caller_says_and_no_more(cx: Cx) {
    let (at, mut served) = site(&cx, async |_, mut raw: Raw| {
        let request = raw.grant().await.unwrap();
        let lines: Vec<_> = request.lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "GET /socket?ticket=1 HTTP/1.1");
        assert_eq!(field(&request, "authorization").as_deref(), Some("Bearer token"));
        assert_eq!(field(&request, "sec-websocket-version").as_deref(), Some("13"));
        assert!(field(&request, "sec-websocket-extensions").is_none());
        // What the server says at once is not lost.
        raw.say(frame(0x81, b"welcome", false)).await;
        assert_eq!(raw.frame().await.unwrap(), (0x88, 1000_u16.to_be_bytes().to_vec()));
        raw.say(frame(0x88, &1000_u16.to_be_bytes(), false)).await;
    })
    .await;
    let mut opts = direct();
    opts.headers.insert("authorization", "Bearer token".parse().unwrap());
    let url = format!("ws://{at}/socket?ticket=1");
    let mut socket = WebSocket::connect(&cx, &url, opts.clone()).await.unwrap();
    assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::from("welcome"));
    socket.close(&cx, 1000, "").await.unwrap();
    served.join(&cx).await.unwrap().ok().unwrap();
    for field in ["host", "connection", "upgrade", "sec-websocket-key", "content-length"] {
        let mut opts: WsOpts = opts.clone();
        opts.headers.insert(field, "x".parse().unwrap());
        let refused = WebSocket::connect(&cx, &url, opts).await.unwrap_err();
        assert!(
            matches!(refused, WsError::Net(NetworkErrorKind::BadUrl)),
            "{field}: {refused:?}"
        );
    }
    assert!(!format!("{opts:?}").contains("token"));
}

async fn halves_work_in_two_tasks(cx: Cx) {
    let server = Server::start(&cx).await;
    let (mut tx, mut rx) = server.client(&cx, "/echo").await.split();
    // Who says goodbye drops what still comes; so the sender waits until all was heard.
    let all_heard = Arc::new(Notify::default());
    let told = all_heard.clone();
    let mut sending = cx
        .spawn("sending", async move |cx| {
            for number in 0..500 {
                tx.send(&cx, format!("{number} {}", "x".repeat(900))).await?;
            }
            drop(told.notified(&cx).await);
            tx.close(&cx, 1000, "").await
        })
        .unwrap();
    let mut heard = 0;
    let end = loop {
        match rx.recv(&cx).await {
            Ok(WsMsg::Text(text)) => {
                assert!(text.starts_with(&format!("{heard} ")), "{heard}: {text}");
                heard += 1;
                if heard == 500 {
                    all_heard.notify_one();
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    // Both halves learn the same end.
    assert_eq!(heard, 500);
    assert!(
        matches!(end, WsError::Ended(WsEnd::Clean { code: 1000, .. })),
        "{end:?}"
    );
    let said = sending.join(&cx).await.unwrap().ok().unwrap();
    assert!(matches!(said, WsEnd::Clean { code: 1000, .. }), "{said:?}");
    server.stop(&cx).await;
}

async fn a_websocket_goes_through_a_tunnel(cx: Cx) {
    let (proxy, mut served) = site(&cx, async |_, mut raw: Raw| {
        let asked = raw.head().await.unwrap();
        assert!(asked.starts_with("CONNECT relay.example:80 HTTP/1.1\r\n"), "{asked}");
        raw.say("HTTP/1.1 200 OK\r\n\r\n").await;
        let request = raw.grant().await.unwrap();
        assert_eq!(field(&request, "host").as_deref(), Some("relay.example"));
        raw.say(frame(0x81, b"through", false)).await;
        raw.rest().await;
    })
    .await;
    let variables = Environment::new([("ALL_PROXY".to_owned(), proxy.to_string())]);
    let opts = WsOpts {
        proxy: ProxyConfig::Variables(variables),
        ..direct()
    };
    let mut socket = WebSocket::connect(&cx, "ws://relay.example/", opts).await.unwrap();
    assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::from("through"));
    drop(socket);
    served.join(&cx).await.unwrap().ok().unwrap();
}

async fn ws_a_ping_that_no_frame_holds_is_not_sent(cx: Cx) {
    let server = Server::start(&cx).await;
    let mut socket = server.client(&cx, "/echo").await;
    for sign in [WsMsg::Ping, WsMsg::Pong] {
        let refused = socket.send(&cx, sign(Bytes::from(vec![0; 126]))).await.unwrap_err();
        assert!(matches!(refused, WsError::TooBig { limit: 125 }), "{refused:?}");
    }
    let longest = Bytes::from(vec![0; 125]);
    socket.send(&cx, WsMsg::Ping(longest.clone())).await.unwrap();
    assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::Pong(longest));
    let end = socket.close(&cx, 1000, "").await.unwrap();
    assert!(matches!(end, WsEnd::Clean { code: 1000, .. }), "{end:?}");
    server.stop(&cx).await;
}

/// The bound on messages is below what a ping and a goodbye may hold.
async fn ws_a_sign_of_life_is_no_message(cx: Cx) {
    let (at, mut served) = site(&cx, async |_, mut raw: Raw| {
        raw.grant().await;
        raw.say(frame(0x89, &[b'p'; 125], false)).await;
        assert_eq!(raw.frame().await.unwrap(), (0x8a, vec![b'p'; 125]));
        raw.say(frame(0x82, &[0; 10], false)).await;
        raw.say(frame(0x82, &[0; 11], false)).await;
        assert_eq!(raw.frame().await.unwrap(), (0x88, 1009_u16.to_be_bytes().to_vec()));
    })
    .await;
    let opts = WsOpts {
        max_message: 10,
        ..direct()
    };
    let mut socket = WebSocket::connect(&cx, &format!("ws://{at}/"), opts).await.unwrap();
    assert!(matches!(socket.recv(&cx).await, Ok(WsMsg::Ping(_))));
    assert!(matches!(socket.recv(&cx).await, Ok(WsMsg::Binary(_))));
    let end = socket.recv(&cx).await.unwrap_err();
    assert!(matches!(end, WsError::TooBig { limit: 10 }), "{end:?}");
    served.join(&cx).await.unwrap().ok().unwrap();
}
