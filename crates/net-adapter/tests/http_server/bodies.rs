//! H04, H05, H08, H14, H15, H20: bodies in both directions.

use annals_net_adapter::Cx;

use crate::client::Client;
use crate::{Engine, Server, on_every_server};

on_every_server!(
    h04_content_length_is_exact_and_bounded,
    h05_chunked_bodies_decode_exactly,
    h08_malformed_chunks_fail_the_handlers_read,
    h14_continue_is_said_when_the_handler_reads,
    h14_no_continue_for_a_handler_that_never_reads,
    h14_other_expectations_fail,
    h15_an_ignored_body_is_never_a_request,
    h20_a_broken_answer_is_cut,
    a_body_streams_through,
    a_route_has_limits_of_its_own,
    a_large_answer_arrives_whole,
);

annals_net_adapter::on_every_runtime!(h20_a_slow_reader_holds_little);

const MIB: usize = 1 << 20;

async fn h04_content_length_is_exact_and_bounded(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    for size in [0, 1, 70_000, MIB] {
        let answer = client.post(&cx, "/echo", &vec![b'x'; size]).await;
        assert_eq!((answer.status, answer.body.len()), (200, size));
    }
    // Refused before a byte of the body is sent.
    client
        .send(
            &cx,
            format!(
                "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
                MIB + 1
            ),
        )
        .await;
    let answer = client.answer(&cx).await;
    assert!(answer.status == 413 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    server.stop(&cx).await;
}

fn chunked(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.as_bytes(), body].concat()
}

async fn h05_chunked_bodies_decode_exactly(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let bytes: String = (0..300).map(|n| format!("1\r\n{}\r\n", n % 10)).collect::<String>() + "0\r\n\r\n";
    client.send(&cx, chunked("/echo", bytes.as_bytes())).await;
    let expected: String = (0..300).map(|n| (n % 10).to_string()).collect();
    assert_eq!(client.answer(&cx).await.text(), expected);
    client
        .send(
            &cx,
            chunked("/echo", b"5;a=b;c=\"d;\\\"e\"\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        )
        .await;
    assert_eq!(client.answer(&cx).await.text(), "hello");
    client
        .send(&cx, chunked("/headers", b"1\r\nx\r\n0\r\nX-Trailer: merged\r\n\r\n"))
        .await;
    assert!(!client.answer(&cx).await.text().contains("merged"));
    let full = [
        format!("{MIB:x}\r\n").into_bytes(),
        vec![b'x'; MIB],
        b"\r\n0\r\n\r\n".to_vec(),
    ]
    .concat();
    client.send(&cx, chunked("/echo", &full)).await;
    assert_eq!(client.answer(&cx).await.body.len(), MIB);
    let over = [
        format!("{:x}\r\n", MIB + 1).into_bytes(),
        vec![b'x'; MIB + 1],
        b"\r\n0\r\n\r\n".to_vec(),
    ]
    .concat();
    client.try_send(&cx, chunked("/echo", &over)).await;
    let answer = client.answer(&cx).await;
    assert!(answer.status == 413 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn h08_malformed_chunks_fail_the_handlers_read(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let long = [b"5;".as_slice(), &[b'x'; 4097], b"\r\nhello\r\n0\r\n\r\n"].concat();
    for body in [
        b"\r\nhello\r\n0\r\n\r\n".as_slice(),
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        &long,
    ] {
        let mut client = server.client(&cx).await;
        client.send(&cx, chunked("/echo", body)).await;
        client.try_send(&cx, "GET /evil HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let answer = client.answer(&cx).await;
        let shown = String::from_utf8_lossy(body);
        assert!(answer.status == 400 && answer.says_close(), "{shown:?}: {answer:?}");
        client.closed(&cx).await;
    }
    // The handler's own words are sent, when it has some.
    let mut client = server.client(&cx).await;
    client.send(&cx, chunked("/slow-body", b"x\r\n")).await;
    assert_eq!(client.answer(&cx).await.status, 418);
    client.closed(&cx).await;
    assert_eq!(server.journal.all(), ["reading"]);
    server.stop(&cx).await;
}

async fn expecting(cx: &Cx, server: &Server, path: &str, expectation: &str) -> Client {
    let mut client = server.client(cx).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: {expectation}\r\n\r\n");
    client.send(cx, head).await;
    client
}

async fn h14_continue_is_said_when_the_handler_reads(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = expecting(&cx, &server, "/echo", "100-continue").await;
    assert_eq!(
        client.through(&cx, b"\r\n\r\n").await.unwrap(),
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send(&cx, "hello").await;
    assert_eq!(client.answer(&cx).await.text(), "hello");
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "the connection is kept"
    );
    server.stop(&cx).await;
}

async fn h14_no_continue_for_a_handler_that_never_reads(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = expecting(&cx, &server, "/ignore", "100-continue").await;
    let answer = client.answer(&cx).await;
    assert!(answer.status == 200 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn h14_other_expectations_fail(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = expecting(&cx, &server, "/echo", "a-pony").await;
    assert_eq!(client.answer(&cx).await.status, 417);
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn h15_an_ignored_body_is_never_a_request(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let evil = b"GET /evil HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut client = server.client(&cx).await;
    let small = evil.repeat(10 * 1024 / evil.len());
    assert_eq!(client.post(&cx, "/ignore", &small).await.text(), "ignored");
    client
        .send(
            &cx,
            chunked(
                "/ignore",
                &[format!("{:x}\r\n", small.len()).as_bytes(), &small, b"\r\n0\r\n\r\n"].concat(),
            ),
        )
        .await;
    assert_eq!(client.answer(&cx).await.text(), "ignored");
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "the connection is kept"
    );
    let large = evil.repeat(MIB / evil.len());
    let head = format!(
        "POST /ignore HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    client.try_send(&cx, [head.as_bytes(), &large].concat()).await;
    let answer = client.answer(&cx).await;
    assert!(answer.text() == "ignored" && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    assert_eq!(server.journal.all(), [""; 0]);
    server.stop(&cx).await;
}

async fn h20_a_broken_answer_is_cut(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    for path in ["/broken-body", "/panic-body"] {
        for head in ["HTTP/1.1\r\nHost: test", "HTTP/1.0"] {
            let mut client = server.client(&cx).await;
            client.send(&cx, format!("GET {path} {head}\r\n\r\n")).await;
            assert!(
                client.try_answer(&cx, "GET").await.is_none(),
                "{path} {head}: looks whole"
            );
        }
    }
    assert_eq!(server.client(&cx).await.get(&cx, "/hello").await.text(), "hello");
    server.stop(&cx).await;
}

/// What is made and not yet read stays small, however much is sent: nothing on the way keeps the stream.
async fn h20_a_slow_reader_holds_little(cx: Cx) {
    const WHOLE: u64 = 256 << 20;
    let servers = [
        Server::start(&cx, Engine::Backend).await,
        Server::start(&cx, Engine::Own).await,
    ];
    for server in &servers {
        let mut client = server.client(&cx).await;
        client
            .send(&cx, format!("GET /water/{WHOLE} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
        client.through(&cx, b"\r\n\r\n").await.unwrap();
        let mut read = 0;
        while read < WHOLE {
            read += client.chunk(&cx).await.expect("the stream goes on").len() as u64;
            let waiting = server.journal.made() - read;
            assert!(waiting < 16 << 20, "{waiting} bytes are kept for a slow reader");
        }
        assert_eq!(client.chunk(&cx).await.as_deref(), Some(b"".as_slice()));
    }
    for server in servers {
        server.stop(&cx).await;
    }
}

async fn a_body_streams_through(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client
        .send(
            &cx,
            "POST /stream-echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    assert!(
        client
            .through(&cx, b"\r\n\r\n")
            .await
            .unwrap()
            .starts_with(b"HTTP/1.1 200 OK\r\n")
    );
    // Each piece comes back before the next is sent.
    for _ in 0..20 {
        client.send(&cx, "4\r\nping\r\n").await;
        assert_eq!(client.take(&cx, 9).await.unwrap(), b"4\r\nping\r\n");
    }
    client.send(&cx, "0\r\n\r\n").await;
    assert_eq!(client.take(&cx, 5).await.unwrap(), b"0\r\n\r\n");
    let answer = client.post(&cx, "/stream-echo", &vec![b'y'; 100_000]).await;
    assert_eq!(
        (answer.header("content-length"), answer.body.len()),
        (Some("100000"), 100_000)
    );
    server.stop(&cx).await;
}

async fn a_route_has_limits_of_its_own(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    assert_eq!(
        client.post(&cx, "/large", &vec![b'x'; 3 * MIB]).await.text(),
        (3 * MIB).to_string()
    );
    assert_eq!(client.post(&cx, "/small", b"0123456789").await.text(), "10");
    assert_eq!(client.post(&cx, "/small", b"0123456789a").await.status, 413);
    // So little is left unread that the connection is kept.
    client
        .send(&cx, chunked("/small", b"6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n"))
        .await;
    let answer = client.answer(&cx).await;
    assert!(answer.status == 413 && answer.says_close(), "{answer:?}");
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn a_large_answer_arrives_whole(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let answer = client.get(&cx, "/megabytes/3").await;
    assert_eq!(answer.body.len(), 3 * MIB);
    assert!(answer.body.iter().all(|byte| *byte == b'm'));
    assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
    server.stop(&cx).await;
}
