//! Where a response ends, and which answers have no body.

use annals_core::NetworkErrorKind::{BadUrl, ClosedEarly, Protocol};
use annals_net_adapter::http::{Phase, ReqOpts, append_query_params};
use annals_net_adapter::{Cx, on_every_host};

use super::support::{Conn, Site, With, always, client, get, get_text, kind_of, ok, once, request};

on_every_host!(
    parity_content_length,
    answers_without_a_body,
    parity_chunked,
    the_end_of_the_connection_can_end_a_body,
    interim_answers_are_skipped,
    an_early_answer_counts_though_the_request_was_not_read,
    parity_headers,
    requests_that_cannot_be_sent,
    append_query_params_round_trip,
);

async fn parity_content_length(cx: Cx) {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(0)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            Ok(5),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", Ok(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", Err(ClosedEarly)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            Err(Protocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Err(Protocol),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            Err(Protocol),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", Err(Protocol)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Err(Protocol),
        ),
    ] {
        let site = once(&cx, answer).await;
        let result = kind_of(&cx, &client(&cx), request("GET", &site.url("/")), &ReqOpts::default()).await;
        assert_eq!(result, expected, "{answer:?}");
    }
}

async fn answers_without_a_body(cx: Cx) {
    // Whatever the length says, nothing follows; the connection goes on being used.
    let site = Site::open(&cx, |mut conn: Conn| async move {
        while let Some(asked) = conn.ask().await {
            let status = if asked.method == "HEAD" {
                "200"
            } else {
                asked.target.trim_start_matches('/')
            };
            conn.say(format!(
                "HTTP/1.1 {status} x\r\nContent-Length: 99\r\nETag: \"e\"\r\n\r\n"
            ))
            .await;
        }
    })
    .await;
    let client = client(&cx);
    for (method, path) in [("HEAD", "/200"), ("GET", "/204"), ("GET", "/304"), ("HEAD", "/404")] {
        let response = client
            .send(&cx, request(method, &site.url(path)), &ReqOpts::default())
            .await
            .unwrap();
        assert_eq!(response.headers()["etag"], "\"e\"");
        assert_eq!(
            response.into_body().bytes(&cx).await.unwrap().len(),
            0,
            "{method} {path}"
        );
    }
    assert_eq!(site.seen().connections, 1);
}

async fn parity_chunked(cx: Cx) {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, expected) in [
        ("0\r\n\r\n", Ok("")),
        ("5\r\nhello\r\n6;ext=\"1\"\r\n world\r\n0\r\n\r\n", Ok("hello world")),
        ("5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", Ok("hello")),
        ("5\r\nhel", Err(ClosedEarly)),
        ("5\r\nhello\r\n", Err(ClosedEarly)),
        ("xyz\r\nhello\r\n0\r\n\r\n", Err(Protocol)),
        ("5\r\nhelloXX0\r\n\r\n", Err(Protocol)),
        ("fffffffffffffffff\r\nhello\r\n0\r\n\r\n", Err(Protocol)),
    ] {
        let site = once(&cx, format!("{head}{body}")).await;
        let result = get_text(&cx, &client(&cx), &site.url("/")).await;
        assert_eq!(result.as_deref().map_err(|error| error.kind), expected, "{body:?}");
    }
    // In pieces, and again over the same connection.
    let site = Site::open(&cx, move |mut conn: Conn| async move {
        while conn.ask().await.is_some() {
            for byte in format!("{head}3\r\nabc\r\n3\r\ndef\r\n0\r\nA: b\r\n\r\n").bytes() {
                conn.say([byte]).await;
            }
        }
    })
    .await;
    let client = client(&cx);
    for _ in 0..3 {
        assert_eq!(get_text(&cx, &client, &site.url("/")).await.unwrap(), "abcdef");
    }
    assert_eq!(site.seen().connections, 1);
    let response = get(&cx, &client, &site.url("/")).await.unwrap();
    assert!(!response.headers().contains_key("a"));
}

async fn the_end_of_the_connection_can_end_a_body(cx: Cx) {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let site = once(&cx, format!("{head}all of it")).await;
        let client = client(&cx);
        assert_eq!(get_text(&cx, &client, &site.url("/")).await.unwrap(), "all of it");
        assert_eq!(get_text(&cx, &client, &site.url("/")).await.unwrap(), "all of it");
        assert_eq!(site.seen().connections, 2);
    }
    let closing = always(
        &cx,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
    let client = client(&cx);
    for _ in 0..2 {
        assert_eq!(get_text(&cx, &client, &closing.url("/")).await.unwrap(), "x");
    }
    assert_eq!(closing.seen().connections, 2);
}

async fn interim_answers_are_skipped(cx: Cx) {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let site = always(&cx, format!("{interim}{}", ok("final"))).await;
    let client = client(&cx);
    for _ in 0..2 {
        let response = get(&cx, &client, &site.url("/")).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers().contains_key("link")),
            (200, false)
        );
        assert_eq!(response.into_body().bytes(&cx).await.unwrap(), "final");
    }
    assert_eq!(site.seen().connections, 1);
}

async fn an_early_answer_counts_though_the_request_was_not_read(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move {
        conn.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        conn.gone().await;
    })
    .await;
    let asked = request("POST", &site.url("/")).body(vec![7; 300_000]);
    let response = client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.into_body().bytes(&cx).await.unwrap(), "big");
}

async fn parity_headers(cx: Cx) {
    let fields = b"X-Rep: 1\r\nx-other: a\r\nx-rep: 2\r\nX-REP: 3\r\nX-Bytes: \xff\xfe\r\n";
    let mut answer = b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n".to_vec();
    answer.extend_from_slice(fields);
    answer.extend_from_slice(b"\r\n");
    let site = always(&cx, answer).await;
    let asked = request("GET", &site.url("/"))
        .header("x-rep", "1")
        .header("x-rep", "2")
        .header("accept", "a/b");

    let response = client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap();

    let repeats: Vec<_> = response
        .headers()
        .get_all("X-Rep")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    assert_eq!(repeats, ["1", "2", "3"]);
    assert_eq!(response.headers()["x-bytes"].as_bytes(), b"\xff\xfe");
    let seen = site.seen().asked.remove(0);
    let repeats: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "x-rep")
        .map(|(_, v)| v.as_str())
        .collect();
    assert_eq!(repeats, ["1", "2"]);
}

async fn requests_that_cannot_be_sent(cx: Cx) {
    let site = always(&cx, ok("x")).await;
    let client = client(&cx);
    let plain = || request("GET", &site.url("/"));
    for asked in [
        plain().header("host", "elsewhere"),
        plain().header("connection", "close"),
        plain().header("transfer-encoding", "chunked"),
        plain().header("proxy-authorization", "x"),
        plain().header("upgrade", "websocket"),
        request("CONNECT", &site.url("/")),
        request("GET", "http://user@127.0.0.1/"),
        request("GET", "ftp://127.0.0.1/"),
        request("GET", "/no/host"),
    ] {
        let what = format!("{:?} {:?} {:?}", asked.method(), asked.uri(), asked.headers());
        let error = client.send(&cx, asked, &ReqOpts::default()).await.unwrap_err();
        assert_eq!((error.kind, error.phase), (BadUrl, Phase::Prepare), "{what}");
    }
    assert_eq!(site.seen().connections, 0);
    // A length of the caller's own is replaced by the true one.
    let asked = plain().header("content-length", "999");
    assert_eq!(kind_of(&cx, &client, asked, &ReqOpts::default()).await, Ok(1));
    assert_eq!(site.seen().asked[0].header("content-length"), None);
}

async fn append_query_params_round_trip(cx: Cx) {
    let site = always(&cx, ok("x")).await;
    let pairs = [
        ("updated_after", "2024-02-29T23:59:59+00:00"),
        ("scope[]", "a b&c=d"),
        ("q", "ключ 値 %41"),
    ];
    let url = append_query_params(&site.url("/api?page=1&page=2"), &pairs);
    get_text(&cx, &client(&cx), &url).await.unwrap();
    let target = format!("http://h{}", site.seen().asked[0].target);
    let parsed: Vec<_> = url::Url::parse(&target).unwrap().query_pairs().into_owned().collect();
    let mut expected = vec![("page".to_owned(), "1".to_owned()), ("page".to_owned(), "2".to_owned())];
    expected.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(parsed, expected);
}
