//! Decoding, counting, and how much of an endless body is read.

use std::io::Write;

use annals_core::NetworkErrorKind::{self, BodyTooLarge, ClosedEarly, Protocol, ReadTimeout, TotalTimeout};
use annals_net_adapter::http::{Body, Phase, ReqOpts};
use annals_net_adapter::{Cx, on_every_host, on_every_runtime};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::support::{Conn, Site, With, always, client, client_with, get, impatient, kind_of, ok, once, request};

on_every_host!(
    body_guard_limit,
    body_guard_chunked_endless,
    body_guard_gzip_bomb,
    body_guard_small_declared,
    gzip_is_asked_for_and_undone,
    json_is_read_and_its_errors_show_no_value,
    bodies_end_in_time,
    a_body_made_by_hand_is_read_like_any_other,
);
on_every_runtime!(body_guard_default_limit);

const LIMIT: u64 = 100_000;

fn limited() -> ReqOpts {
    ReqOpts {
        max_body: LIMIT,
        ..ReqOpts::default()
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn framed(fields: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn chunked(fields: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(7000) {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

async fn body_guard_limit(cx: Cx) {
    let limit = usize::try_from(LIMIT).unwrap();
    let zip = "Content-Encoding: gzip\r\n";
    let until_close = |size| [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; size]].concat();
    for (size, expected) in [(limit, Ok(limit)), (limit + 1, Err(BodyTooLarge))] {
        let plain = vec![b'x'; size];
        for answer in [
            framed("", &plain),
            chunked("", &plain),
            until_close(size),
            framed(zip, &gzip(&plain)),
            chunked(zip, &gzip(&plain)),
        ] {
            let site = once(&cx, answer).await;
            let result = kind_of(&cx, &client(&cx), request("GET", &site.url("/")), &limited()).await;
            assert_eq!(result, expected, "{size}");
        }
    }
    // A declared length is judged before a byte is read, and the connection is not used again.
    let site = always(&cx, framed("", &vec![b'x'; limit + 1])).await;
    let client = client(&cx);
    for _ in 0..2 {
        let error = client
            .send(&cx, request("GET", &site.url("/")), &limited())
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.phase), (BodyTooLarge, Phase::Body));
    }
    assert_eq!(site.seen().connections, 2);
    // What has no body is not too large.
    let head = client
        .send(&cx, request("HEAD", &site.url("/")), &limited())
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
}

/// Sends chunks until the client is gone.
async fn endless(mut conn: Conn) {
    conn.ask().await;
    let piece = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    conn.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    while conn.say(&piece).await {}
}

async fn body_guard_chunked_endless(cx: Cx) {
    let site = Site::open(&cx, endless).await;
    let result = kind_of(&cx, &client(&cx), request("GET", &site.url("/")), &limited()).await;
    assert_eq!(result, Err(BodyTooLarge));
    site.until(&cx, |seen| seen.connections == 1 && seen.open == 0).await;
}

/// With the limit nobody set: the server is cut off soon after 64 MiB.
async fn body_guard_default_limit(cx: Cx) {
    let opts = ReqOpts {
        total: None,
        ..ReqOpts::default()
    };
    assert_eq!(opts.max_body, 67_108_864);
    let site = Site::open(&cx, endless).await;
    let mut body = client(&cx)
        .send(&cx, request("GET", &site.url("/")), &opts)
        .await
        .unwrap()
        .into_body();
    let mut read = 0;
    let error = loop {
        match body.chunk(&cx).await.unwrap() {
            Ok(data) => read += data.len() as u64,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, body.chunk(&cx).await.is_none()), (BodyTooLarge, true));
    assert!(read <= opts.max_body && opts.max_body - read < 64 * 1024, "{read}");
    let seen = site.until(&cx, |seen| seen.connections == 1 && seen.open == 0).await;
    // What the system's buffers on both sides hold was sent, too, though nobody read it.
    assert!(seen.sent < (68 + 8) * 1024 * 1024, "{}", seen.sent);
}

async fn body_guard_gzip_bomb(cx: Cx) {
    // 20 MB of nothing in some 20 kB.
    let bomb = gzip(&vec![0; 20_000_000]);
    assert!(bomb.len() < 30_000);
    let site = once(&cx, framed("Content-Encoding: gzip\r\n", &bomb)).await;
    let mut body = client(&cx)
        .send(&cx, request("GET", &site.url("/")), &limited())
        .await
        .unwrap()
        .into_body();
    let mut read = 0;
    let error = loop {
        match body.chunk(&cx).await.unwrap() {
            Ok(data) => {
                assert!(data.len() <= 64 * 1024, "never unfolded further than a piece");
                read += data.len() as u64;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, BodyTooLarge);
    assert!(read <= LIMIT);
}

async fn body_guard_small_declared(cx: Cx) {
    let mut lying = framed("", b"hello");
    lying.extend(vec![b'x'; 50_000]);
    let site = always(&cx, lying).await;
    let client = client(&cx);
    for _ in 0..2 {
        let opts = ReqOpts {
            max_body: 5,
            ..ReqOpts::default()
        };
        assert_eq!(
            kind_of(&cx, &client, request("GET", &site.url("/")), &opts).await,
            Ok(5)
        );
    }
    assert_eq!(site.seen().connections, 2);
}

async fn gzip_is_asked_for_and_undone(cx: Cx) {
    let plain: Vec<u8> = (0..50_000_u32).flat_map(|n| (n % 1000).to_le_bytes()).collect();
    let site = always(&cx, chunked("Content-Encoding: gzip\r\nETag: \"e\"\r\n", &gzip(&plain))).await;
    let client = client(&cx);
    for _ in 0..2 {
        let response = get(&cx, &client, &site.url("/")).await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(response.headers()["etag"], "\"e\"");
        assert_eq!(response.into_body().bytes(&cx).await.unwrap(), plain);
    }
    let seen = site.seen();
    assert_eq!(
        (seen.connections, seen.asked[0].header("accept-encoding")),
        (1, Some("gzip"))
    );

    // Not asked for, not undone; what the caller asks for stands.
    let opts = ReqOpts {
        gzip: false,
        ..ReqOpts::default()
    };
    let asked = request("GET", &site.url("/")).header("accept-encoding", "br");
    let response = client.send(&cx, asked, &opts).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.into_body().bytes(&cx).await.unwrap(), gzip(&plain));
    assert_eq!(site.seen().asked[2].header("accept-encoding"), Some("br"));

    let empty = always(&cx, framed("Content-Encoding: gzip\r\n", b"")).await;
    assert_eq!(
        kind_of(&cx, &client, request("GET", &empty.url("/")), &opts).await,
        Ok(0)
    );
    let half = gzip(&plain);
    for (body, expected) in [
        (&half[..half.len() / 2], ClosedEarly),
        (b"this is no gzip".as_slice(), Protocol),
    ] {
        let site = always(&cx, framed("Content-Encoding: gzip\r\n", body)).await;
        let result = kind_of(&cx, &client, request("GET", &site.url("/")), &ReqOpts::default()).await;
        assert_eq!(result, Err(expected));
    }
}

async fn json_is_read_and_its_errors_show_no_value(cx: Cx) {
    let site = always(&cx, ok(r#"[{"iid":1},{"iid":2}]"#)).await;
    let body = get(&cx, &client(&cx), &site.url("/")).await.unwrap().into_body();
    let value: serde_json::Value = body.json(&cx).await.unwrap();
    assert_eq!(value[1]["iid"], 2);

    let site = always(&cx, ok(r#"["SECRET"]"#)).await;
    let body = get(&cx, &client(&cx), &site.url("/SECRET")).await.unwrap().into_body();
    let error = body.json::<Vec<u64>>(&cx).await.unwrap_err();
    assert_eq!(
        (error.kind, error.origin.as_str()),
        (Protocol, format!("http://{}", site.addr).as_str())
    );
    assert!(!format!("{error} {error:?}").contains("SECRET"));
    assert!(error.to_string().contains("line 1"), "{error}");
}

async fn bodies_end_in_time(cx: Cx) {
    // The head and a part of the body, and then silence.
    let silent = Site::open(&cx, |mut conn: Conn| async move {
        conn.ask().await;
        conn.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        conn.gone().await;
    })
    .await;
    // A byte whenever the last one was taken: never idle, never done.
    let dripping = Site::open(&cx, |mut conn: Conn| async move {
        conn.ask().await;
        conn.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while conn.say("x").await {
            conn.cx.sleep(std::time::Duration::from_millis(1)).await.unwrap();
        }
    })
    .await;
    let client = client_with(&cx, |_| {});
    let total = ReqOpts {
        total: Some(std::time::Duration::from_millis(100)),
        max_body: u64::MAX,
        ..ReqOpts::default()
    };
    let kind = async |site: &Site, opts: &ReqOpts| -> Result<usize, NetworkErrorKind> {
        kind_of(&cx, &client, request("GET", &site.url("/")), opts).await
    };
    assert_eq!(kind(&silent, &impatient()).await, Err(ReadTimeout));
    assert_eq!(kind(&silent, &total).await, Err(TotalTimeout));
    assert_eq!(kind(&dripping, &total).await, Err(TotalTimeout));
    silent.until(&cx, |seen| seen.open == 0).await;
    dripping.until(&cx, |seen| seen.open == 0).await;
}

async fn a_body_made_by_hand_is_read_like_any_other(cx: Cx) {
    assert_eq!(
        Body::from(bytes::Bytes::from_static(b"x")).bytes(&cx).await.unwrap(),
        "x"
    );
    assert_eq!(Body::empty().bytes(&cx).await.unwrap(), "");
    let mut body = Body::from(bytes::Bytes::from_static(b"x"));
    assert_eq!(body.chunk(&cx).await.unwrap().unwrap(), "x");
    assert!(body.chunk(&cx).await.is_none());
}
