//! H01–H03, H06, H07, H09–H13, H24: heads, and the answers to them.

use annals_net_adapter::Cx;

use crate::{Engine, Server, on_every_server};

on_every_server!(
    h01_one_connection_serves_many_requests_in_order,
    h02_the_connection_is_kept_or_closed_as_asked,
    h03_some_answers_have_no_body,
    h06_another_coding_or_two_framings_are_refused,
    h07_a_content_length_that_is_no_number_is_refused,
    h09_malformed_fields_are_refused,
    h10_hosts_methods_and_targets_are_judged,
    h11_versions_and_target_forms,
    h12_one_empty_line_may_come_first,
    h13_heads_have_a_size,
    h24_every_answer_has_one_framing_and_a_date,
    refusals_keep_their_place_among_pipelined_answers,
);

async fn h01_one_connection_serves_many_requests_in_order(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    for _ in 0..100 {
        assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
    }
    let eight: String = (0..8)
        .map(|n| format!("GET /target?{n} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .collect();
    client.send(&cx, eight).await;
    for n in 0..8 {
        assert!(client.answer(&cx).await.text().starts_with(&format!("/target?{n} ")));
    }
    let report = server.stop(&cx).await;
    assert_eq!((report.served, report.refused, report.drain.completed), (108, 0, 1));
    client.closed(&cx).await;
}

async fn h02_the_connection_is_kept_or_closed_as_asked(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    for path in ["/hello", "/stream"] {
        let mut client = server.client(&cx).await;
        client.send(&cx, format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        let answer = client.answer(&cx).await;
        assert!(answer.status == 200 && answer.says_close(), "{answer:?}");
        client.closed(&cx).await;
    }
    let mut client = server.client(&cx).await;
    for _ in 0..3 {
        client
            .send(&cx, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let answer = client.answer(&cx).await;
        assert_eq!(
            (answer.version.as_str(), answer.header("connection")),
            ("HTTP/1.0", Some("keep-alive"))
        );
    }
    client.send(&cx, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let answer = client.answer(&cx).await;
    assert_eq!(
        (answer.version.as_str(), answer.header("connection")),
        ("HTTP/1.1", None)
    );
    client
        .send(&cx, "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(client.answer(&cx).await.says_close());
    client.closed(&cx).await;
    assert_eq!(server.stop(&cx).await.served, 7);
}

async fn h03_some_answers_have_no_body(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    for (path, length) in [("/hello", Some("5")), ("/stream", None), ("/empty", Some("0"))] {
        client
            .send(&cx, format!("HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
        let answer = client.answer_to(&cx, "HEAD").await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, length),
            "{path}"
        );
    }
    for (path, status) in [("/none", 204), ("/unchanged", 304)] {
        let answer = client.get(&cx, path).await;
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
    }
    assert_eq!(
        client.get(&cx, "/hello").await.text(),
        "hello",
        "nothing was left between the answers"
    );
    server.stop(&cx).await;
}

/// Each input is refused with this status, told so, and the connection closed.
async fn refused(cx: &Cx, engine: Engine, status: u16, inputs: &[String]) {
    let server = Server::start(cx, engine).await;
    for input in inputs {
        let mut client = server.client(cx).await;
        client.send(cx, input).await;
        // What follows a refused head must never be answered.
        client.try_send(cx, "GET /evil HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let answer = client.answer(cx).await;
        let shown = input.get(..input.len().min(80)).unwrap_or(input);
        assert!(answer.status == status && answer.says_close(), "{shown:?}: {answer:?}");
        client.closed(cx).await;
    }
    assert_eq!(server.journal.all(), [""; 0]);
    let report = server.stop(cx).await;
    assert_eq!((report.served, report.refused), (0, inputs.len() as u64));
}

fn with(fields: &[&str]) -> Vec<String> {
    fields
        .iter()
        .map(|fields| format!("POST /echo HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n"))
        .collect()
}

async fn h06_another_coding_or_two_framings_are_refused(cx: Cx, engine: Engine) {
    let inputs = with(&[
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:  chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding : chunked",
    ]);
    let old = "POST /echo HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    refused(&cx, engine, 400, &[inputs, vec![old]].concat()).await;
}

async fn h07_a_content_length_that_is_no_number_is_refused(cx: Cx, engine: Engine) {
    let inputs = with(&[
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: ",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length: 1,1",
        "Content-Length: 12345678901234567890",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
    ]);
    refused(&cx, engine, 400, &inputs).await;
}

async fn h09_malformed_fields_are_refused(cx: Cx, engine: Engine) {
    let inputs = with(&[
        "X : 1",
        "X: 1\r\n folded",
        "X: a\rb",
        "X: a\nY: b",
        "X: a\0b",
        "X: a\u{1}b",
        ": empty",
        "no colon",
    ]);
    let feeds = "GET / HTTP/1.1\nHost: test\n\n".to_owned();
    refused(&cx, engine, 400, &[inputs, vec![feeds]].concat()).await;
}

async fn h10_hosts_methods_and_targets_are_judged(cx: Cx, engine: Engine) {
    let mut inputs = with(&["Host: two"]);
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        inputs.push(head.to_owned());
    }
    refused(&cx, engine, 400, &inputs).await;
}

async fn h11_versions_and_target_forms(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let heads = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("{line}\r\nHost: test\r\n\r\n"))
            .collect::<Vec<_>>()
    };
    for (status, inputs) in [
        (505, heads(&["GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/9.9"])),
        (400, heads(&["GET /", "GET / HTTP/x"])),
        (405, heads(&["CONNECT test:443 HTTP/1.1", "OPTIONS * HTTP/1.1"])),
    ] {
        for input in &inputs {
            let mut client = server.client(&cx).await;
            client.send(&cx, input).await;
            let answer = client.answer(&cx).await;
            assert!(answer.status == status && answer.says_close(), "{input:?}: {answer:?}");
            client.closed(&cx).await;
        }
    }
    let mut client = server.client(&cx).await;
    client
        .send(&cx, "GET http://real.example/target?q HTTP/1.1\r\nHost: other\r\n\r\n")
        .await;
    assert_eq!(client.answer(&cx).await.text(), "/target?q Some(\"real.example\")");
    server.stop(&cx).await;
}

async fn h12_one_empty_line_may_come_first(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, "\r\nGET /hello HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.answer(&cx).await.text(), "hello");
    client.send(&cx, "\r\n".repeat(10)).await;
    assert_eq!(client.answer(&cx).await.status, 400);
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn h13_heads_have_a_size(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let long = |target: usize| format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(target - 1));
    let frame = with(&["X: "])[0].len();
    let head = |size: usize| with(&[&format!("X: {}", "y".repeat(size - frame))])[0].clone();
    let fields = |count: usize| with(&[&vec!["X: y"; count - 1].join("\r\n")])[0].clone();
    for (input, status) in [
        (long(8192), 404),
        (long(8193), 414),
        (head(65_536), 200),
        (head(65_537), 431),
        (fields(100), 200),
        (fields(101), 431),
    ] {
        let mut client = server.client(&cx).await;
        client.send(&cx, &input).await;
        let answer = client.answer(&cx).await;
        assert_eq!((answer.status, answer.says_close()), (status, status > 404));
        if status > 404 {
            client.closed(&cx).await;
        }
    }
    server.stop(&cx).await;
}

async fn h24_every_answer_has_one_framing_and_a_date(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    // The client checks framing and date of each of them.
    for path in ["/hello", "/stream", "/empty", "/nowhere", "/hello", "/peer"] {
        let answer = client.get(&cx, path).await;
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 });
    }
    assert_eq!(client.get(&cx, "/stream").await.text(), "one two three");
    assert_eq!(client.get(&cx, "/peer").await.text(), "127.0.0.1");
    server.stop(&cx).await;
}

async fn refusals_keep_their_place_among_pipelined_answers(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let hello = "GET /short HTTP/1.1\r\nHost: test\r\n\r\n";
    client
        .send(&cx, format!("{hello}{hello}GET / HTTP/3.0\r\n\r\n{hello}"))
        .await;
    assert_eq!(client.answer(&cx).await.text(), "done");
    assert_eq!(client.answer(&cx).await.text(), "done");
    assert_eq!(client.answer(&cx).await.status, 505);
    client.closed(&cx).await;
    assert_eq!(server.journal.all().len(), 2);
    server.stop(&cx).await;
}
