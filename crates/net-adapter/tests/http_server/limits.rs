//! H16, H17: clients that are slow, silent, or many.

use std::time::Duration;

use annals_net_adapter::Cx;
use annals_net_adapter::http::server::ServerLimits;

use crate::{Engine, Server, on_every_server};

on_every_server!(
    h16_a_head_has_its_time,
    h16_silence_between_requests_ends_without_a_word,
    h16_silence_within_a_body_is_answered,
    h16_a_client_that_never_reads_is_cut_off,
    h17_connections_over_the_limit_wait,
    h17_one_peer_gets_so_many_connections,
    a_connection_serves_so_many_requests,
);

async fn h16_a_head_has_its_time(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    // Bytes keep coming, but not fast enough.
    for byte in b"GET /" {
        client.send(&cx, [*byte]).await;
        cx.sleep(Duration::from_millis(50)).await.unwrap();
    }
    let answer = client.answer(&cx).await;
    assert!(answer.status == 408 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    assert_eq!(server.stop(&cx).await.refused, 1);
}

async fn h16_silence_between_requests_ends_without_a_word(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let never_spoke = server.client(&cx).await;
    let mut client = server.client(&cx).await;
    client.get(&cx, "/hello").await;
    client.closed(&cx).await;
    never_spoke.closed(&cx).await;
    assert_eq!(server.stop(&cx).await.idle_closed, 2);
}

async fn h16_silence_within_a_body_is_answered(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client
        .send(
            &cx,
            "POST /slow-body HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf",
        )
        .await;
    let answer = client.answer(&cx).await;
    assert!(answer.status == 408 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    assert_eq!(server.journal.all(), ["reading"]);
    server.stop(&cx).await;
}

async fn h16_a_client_that_never_reads_is_cut_off(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, "GET /flood HTTP/1.1\r\nHost: test\r\n\r\n").await;
    server.journal.wait(&cx, "flood ended", 1).await;
    // What the systems had buffered still comes, but nothing that looks like an end.
    assert!(client.through(&cx, b"\r\n0\r\n\r\n").await.is_none());
    server.stop(&cx).await;
}

async fn h17_connections_over_the_limit_wait(cx: Cx, engine: Engine) {
    let limits = ServerLimits {
        connections: 64,
        ..ServerLimits::default().sped_up(20)
    };
    let server = Server::with(&cx, engine, limits).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = server.client(&cx).await;
        client.send(&cx, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n").await;
        clients.push(client);
    }
    // The last 36 are served as the first leave.
    for mut client in clients {
        assert_eq!(client.answer(&cx).await.text(), "hello");
    }
    assert_eq!(server.stop(&cx).await.served, 100);
}

async fn h17_one_peer_gets_so_many_connections(cx: Cx, engine: Engine) {
    let limits = ServerLimits {
        per_peer: 4,
        ..ServerLimits::default().sped_up(20)
    };
    let server = Server::with(&cx, engine, limits).await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut client = server.client(&cx).await;
        assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
        kept.push(client);
    }
    for _ in 0..2 {
        let mut client = server.client(&cx).await;
        let answer = client.answer(&cx).await;
        assert!(answer.status == 503 && answer.says_close(), "{answer:?}");
        client.closed(&cx).await;
    }
    for client in &mut kept {
        assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
    }
    assert_eq!(server.stop(&cx).await.refused, 2);
}

async fn a_connection_serves_so_many_requests(cx: Cx, engine: Engine) {
    let limits = ServerLimits {
        requests_per_connection: 3,
        ..ServerLimits::default().sped_up(20)
    };
    let server = Server::with(&cx, engine, limits).await;
    let mut client = server.client(&cx).await;
    for last in [false, false, true] {
        assert_eq!(client.get(&cx, "/hello").await.says_close(), last);
    }
    client.closed(&cx).await;
    server.stop(&cx).await;
}
