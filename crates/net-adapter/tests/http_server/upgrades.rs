//! H22, H25: leaving HTTP for WebSocket, beside everything else on the same port.

use std::num::NonZeroUsize;
use std::sync::Arc;

use annals_net_adapter::ws::{WebSocket, WsMsg, WsOpts};
use annals_net_adapter::{Cancelled, Cx, Outcome, map_bounded};

use crate::client::Client;
use crate::{Engine, Server, on_every_server};

on_every_server!(
    h22_bytes_behind_the_request_reach_the_websocket,
    h22_an_upgrade_keeps_its_place_among_pipelined_answers,
    h22_what_is_no_upgrade_is_refused,
    h22_a_drain_says_goodbye,
    h22_a_panic_says_goodbye,
    h25_all_kinds_of_connections_share_a_port,
);

/// The example of RFC 6455 §1.3, and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn asking(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// A frame as a client sends it, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

async fn switched(cx: &Cx, client: &mut Client) {
    let head = String::from_utf8(client.through(cx, b"\r\n\r\n").await.unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for field in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "date: ", ACCEPT] {
        assert!(head.contains(field), "{head}");
    }
    for framing in ["content-length", "transfer-encoding", "close"] {
        assert!(!head.contains(framing), "{head}");
    }
}

async fn h22_bytes_behind_the_request_reach_the_websocket(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    // One packet: the request, a frame, and the begin of another.
    let early = [asking("/ws").as_bytes(), &frame(1, b"early"), &[0x82, 0x81]].concat();
    client.send(&cx, early).await;
    switched(&cx, &mut client).await;
    assert_eq!(client.take(&cx, 7).await.unwrap(), b"\x81\x05early");
    client.send(&cx, [0, 0, 0, 0, 7]).await;
    assert_eq!(client.take(&cx, 3).await.unwrap(), b"\x82\x01\x07");
    client.send(&cx, frame(8, &1000_u16.to_be_bytes())).await;
    assert_eq!(client.take(&cx, 4).await.unwrap(), b"\x88\x02\x03\xe8");
    client.closed(&cx).await;
    server
        .journal
        .wait(
            &cx,
            "websocket ended: the WebSocket has ended: closed with code 1000",
            1,
        )
        .await;
    let report = server.stop(&cx).await;
    assert_eq!((report.served, report.refused), (1, 0));
}

async fn h22_an_upgrade_keeps_its_place_among_pipelined_answers(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let first = "GET /short HTTP/1.1\r\nHost: test\r\n\r\nGET /megabytes/1 HTTP/1.1\r\nHost: test\r\n\r\n";
    let bytes = [first.as_bytes(), asking("/ws").as_bytes(), &frame(1, b"last")].concat();
    client.send(&cx, bytes).await;
    assert_eq!(client.answer(&cx).await.text(), "done");
    assert_eq!(client.answer(&cx).await.body.len(), 1 << 20);
    switched(&cx, &mut client).await;
    assert_eq!(client.take(&cx, 6).await.unwrap(), b"\x81\x04last");
    drop(client);
    server.journal.wait(&cx, "websocket ended", 1).await;
    assert_eq!(server.stop(&cx).await.served, 3);
}

async fn h22_what_is_no_upgrade_is_refused(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let good = asking("/ws");
    let without = |field: &str| {
        let kept = good.split_inclusive("\r\n").filter(|line| !line.starts_with(field));
        kept.collect::<String>()
    };
    let mut client = server.client(&cx).await;
    for request in [
        good.replace("Version: 13", "Version: 8"),
        without("Sec-WebSocket-Version"),
        without("Connection"),
        without("Upgrade"),
        good.replace("Upgrade: websocket", "Upgrade: h2c"),
        "GET /ws HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
    ] {
        client.send(&cx, &request).await;
        let answer = client.answer(&cx).await;
        assert_eq!(
            (
                answer.status,
                answer.header("sec-websocket-version"),
                answer.header("upgrade"),
                answer.header("connection")
            ),
            (426, Some("13"), Some("websocket"), Some("upgrade")),
            "{request}"
        );
    }
    for request in [
        good.replace(KEY, "short"),
        without("Sec-WebSocket-Key"),
        good.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Key: {KEY}\r\n\r\n")),
        good.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nxy"),
        good.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        client.send(&cx, &request).await;
        assert_eq!(client.answer(&cx).await.status, 400, "{request}");
    }
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "the connection is kept"
    );
    let mut old = server.client(&cx).await;
    old.send(&cx, good.replace("HTTP/1.1", "HTTP/1.0")).await;
    let answer = old.answer(&cx).await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("keep-alive")));
    drop(old);
    assert_eq!(server.journal.all(), [""; 0]);
    server.stop(&cx).await;
}

async fn h22_a_drain_says_goodbye(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, asking("/ws")).await;
    switched(&cx, &mut client).await;
    server.journal.wait(&cx, "websocket", 1).await;
    server.drain(&cx);
    assert_eq!(client.take(&cx, 4).await.unwrap(), b"\x88\x02\x03\xe9");
    client.send(&cx, frame(8, &1001_u16.to_be_bytes())).await;
    client.closed(&cx).await;
    let report = server.stop(&cx).await;
    assert_eq!((report.finished_in_drain, report.cancelled), (1, 0), "{report:?}");
}

async fn h22_a_panic_says_goodbye(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, asking("/ws-panic")).await;
    switched(&cx, &mut client).await;
    assert_eq!(client.take(&cx, 4).await.unwrap(), b"\x88\x02\x03\xf3");
    client.send(&cx, frame(8, &1011_u16.to_be_bytes())).await;
    client.closed(&cx).await;
    assert_eq!(server.stop(&cx).await.panicked, 1);
}

async fn h25_all_kinds_of_connections_share_a_port(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let at = server.at;
    let open = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = open.clone();
    let all = map_bounded(&cx, NonZeroUsize::new(64).unwrap(), 0..64, move |cx: Cx, number| {
        let held = held.clone();
        async move {
            if number % 3 == 0 {
                let url = format!("ws://{at}/ws");
                let mut socket = WebSocket::connect(&cx, &url, WsOpts::default()).await.unwrap();
                let said = WsMsg::Text(format!("number {number}"));
                socket.send(&cx, said.clone()).await.unwrap();
                assert_eq!(socket.recv(&cx).await.unwrap(), said);
                held.lock().unwrap().push((None, Some(socket)));
                return Ok::<_, Cancelled>(());
            }
            let mut client = Client::connect(&cx, at).await;
            for _ in 0..3 {
                assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
            }
            if number % 3 == 1 {
                client.send(&cx, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n").await;
                client.through(&cx, b"data: number 1\n").await.expect("an event");
            }
            held.lock().unwrap().push((Some(client), None));
            Ok(())
        }
    })
    .await;
    assert!(all.iter().all(|outcome| matches!(outcome, Outcome::Ok(()))), "{all:?}");
    server.drain(&cx);
    // Each kind learns of it in its own way.
    let held = std::mem::take(&mut *open.lock().unwrap());
    assert_eq!(held.len(), 64);
    for (client, socket) in held {
        match (client, socket) {
            (Some(client), _) => drop(client.everything(&cx).await),
            (None, Some(mut socket)) => {
                let end = socket.recv(&cx).await.unwrap_err().to_string();
                assert_eq!(end, "the WebSocket has ended: closed with code 1001");
            }
            (None, None) => unreachable!("one or the other"),
        }
    }
    // 21 keep-alive connections, 21 streams of events, whose connections are idle once they have ended, 22 WebSockets.
    let report = server.stop(&cx).await;
    assert_eq!(
        (report.idle_closed, report.finished_in_drain, report.cancelled),
        (42, 43, 0),
        "{report:?}"
    );
}
