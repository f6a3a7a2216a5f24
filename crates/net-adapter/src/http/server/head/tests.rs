//! Tables of heads by the numbers of the conformance list (runtime.md §11).

use proptest::prelude::*;

use super::*;

fn read(input: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    HeadReader::new(HeadLimits::default()).read(&mut BytesMut::from(input))
}

/// The status of the refusal, 0 for a head that is accepted, 1 for one that is not complete; whole and byte by byte.
fn judge(input: &[u8]) -> u16 {
    // The whole refusal counts, words and all: two servers that read other pieces must answer in the same bytes.
    let whole = read(input).map(|head| head.is_some());
    let (mut reader, mut buf, mut last) = (HeadReader::new(HeadLimits::default()), BytesMut::new(), Ok(false));
    for byte in input {
        buf.extend_from_slice(&[*byte]);
        last = reader.read(&mut buf).map(|head| head.is_some());
        if last != Ok(false) {
            break;
        }
    }
    assert_eq!(
        whole,
        last,
        "pieces must not matter for {:?}",
        String::from_utf8_lossy(input)
    );
    whole.map_or_else(|refusal| refusal.status().as_u16(), |complete| u16::from(!complete))
}

fn all(expected: u16, inputs: &[&str]) {
    for input in inputs {
        assert_eq!(judge(input.as_bytes()), expected, "{input:?}");
    }
}

/// `GET /` with these field lines after `Host`.
fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_plain_head_is_read_whole_and_nothing_more() {
    let mut buf = BytesMut::from(
        "GET /a/b?c=d HTTP/1.1\r\nHost: example.org:80\r\nX-A: 1\r\nx-a:  two \t\r\nX-Raw: \u{e9}\r\n\r\nGET /next",
    );
    let head = HeadReader::new(HeadLimits::default()).read(&mut buf).unwrap().unwrap();
    assert_eq!(
        (head.method, head.target, head.version),
        (Method::GET, "/a/b?c=d".parse().unwrap(), Version::HTTP_11)
    );
    let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "two"]);
    assert_eq!(head.headers["x-raw"].as_bytes(), "\u{e9}".as_bytes());
    assert_eq!(
        (head.body, head.persistence, head.expects_continue),
        (BodyLength::Known(0), Persistence::Keep, false)
    );
    assert_eq!(&buf[..], b"GET /next");
}

#[test]
fn one_reader_serves_pipelined_heads() {
    let mut reader = HeadReader::new(HeadLimits::default());
    let mut buf = BytesMut::from("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["/1", "/2"] {
        assert!(reader.is_at_start());
        assert_eq!(reader.read(&mut buf).unwrap().unwrap().target, path);
    }
    assert!(reader.read(&mut buf).unwrap().is_none());
}

#[test]
fn h02_persistence_follows_version_and_connection() {
    let cases = [
        ("HTTP/1.1", "", Persistence::Keep),
        ("HTTP/1.1", "Connection: close\r\n", Persistence::Close),
        ("HTTP/1.1", "Connection: foo, CLOSE\r\n", Persistence::Close),
        (
            "HTTP/1.1",
            "Connection: foo\r\nConnection: close\r\n",
            Persistence::Close,
        ),
        ("HTTP/1.1", "Connection: closed\r\n", Persistence::Keep),
        ("HTTP/1.0", "", Persistence::Close),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", Persistence::Keep),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", Persistence::Close),
    ];
    for (version, fields, expected) in cases {
        let head = read(format!("GET / {version}\r\nHost: a\r\n{fields}\r\n").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(head.persistence, expected, "{version} {fields:?}");
    }
}

#[test]
fn h04_content_length_is_read() {
    for (text, length) in [
        ("0", 0),
        ("1", 1),
        ("007", 7),
        ("9999999999999999999", 9_999_999_999_999_999_999),
    ] {
        let head = read(with(&format!("Content-Length: {text}\r\n")).as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(head.body, BodyLength::Known(length));
    }
    for text in ["Transfer-Encoding: chunked\r\n", "transfer-encoding:Chunked\r\n"] {
        assert_eq!(read(with(text).as_bytes()).unwrap().unwrap().body, BodyLength::Chunked);
    }
}

#[test]
fn h06_two_framings_or_another_coding_are_refused() {
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked \r\n",
        "Transfer-Encoding:  chunked\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked\t\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: chu nked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        assert_eq!(judge(with(fields).as_bytes()), 400, "{fields:?}");
    }
    all(
        400,
        &["POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"],
    );
}

#[test]
fn h07_a_content_length_is_digits_once() {
    for text in [
        "+1",
        "-1",
        "",
        " ",
        "0x1",
        "1 1",
        "1,1",
        "1, 1",
        "12345678901234567890",
        "1.0",
        "1e3",
        "\u{661}",
        "1\t1",
    ] {
        assert_eq!(
            judge(with(&format!("Content-Length: {text}\r\n")).as_bytes()),
            400,
            "{text:?}"
        );
    }
    for fields in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-length: 2\r\n",
    ] {
        assert_eq!(judge(with(fields).as_bytes()), 400, "{fields:?}");
    }
}

#[test]
fn h09_malformed_fields_are_refused() {
    for fields in [
        "X : 1\r\n",
        "X\t: 1\r\n",
        "X: 1\r\n folded\r\n",
        "X: 1\r\n\tfolded\r\n",
        " X: 1\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
        "X: a\n",
        "X: a\nY: b\r\n",
        "X: a\0b\r\n",
        "X: a\u{1}b\r\n",
        "X: a\u{7f}b\r\n",
        "X\0: a\r\n",
        ": a\r\n",
        "X\r\n",
        "X y: a\r\n",
        "\u{e9}: a\r\n",
        "(x): a\r\n",
    ] {
        assert_eq!(judge(with(fields).as_bytes()), 400, "{fields:?}");
    }
    all(
        400,
        &[
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        ],
    );
}

#[test]
fn h10_hosts_methods_and_targets_are_judged() {
    all(
        400,
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [zz]\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
    all(
        0,
        &[
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
            "PURGE //a//b?x=%00&y=[1] HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn h11_versions_and_target_forms() {
    all(
        505,
        &[
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
        ],
    );
    all(
        400,
        &[
            "GET /\r\n\r\n",
            "GET / \r\n\r\n",
            "GET\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
            "GET / HTTP/11\r\nHost: a\r\n\r\n",
            "GET / HTTP/1\r\nHost: a\r\n\r\n",
        ],
    );
    all(
        405,
        &[
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
    for (target, path, host) in [
        ("http://real.example/a?b", "/a?b", "real.example"),
        ("http://real.example:8080", "/", "real.example:8080"),
        ("HTTPS://real.example/", "/", "real.example"),
        ("http://real.example?q", "/?q", "real.example"),
    ] {
        let head = read(format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.target.to_string().as_str(), head.headers["host"].to_str().unwrap()),
            (path, host)
        );
        assert_eq!(head.headers.get_all("host").iter().count(), 1);
    }
    all(
        400,
        &[
            "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/#f HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
}

#[test]
fn h12_one_empty_line_may_come_first() {
    all(0, &["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    all(
        400,
        &[
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    );
    all(1, &["", "\r", "\r\n", "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r"]);
}

#[test]
fn h13_sizes_are_exact() {
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
    assert_eq!(
        (judge(target(8192).as_bytes()), judge(target(8193).as_bytes())),
        (0, 414)
    );
    assert_eq!(judge(format!("GET /{}", "x".repeat(70_000)).as_bytes()), 414);
    assert_eq!(judge("X".repeat(70_000).as_bytes()), 400);
    assert_eq!(judge(format!("GET / {}", "X".repeat(70_000)).as_bytes()), 400);
    let head = |len: usize| {
        let frame = with("X: \r\n").len();
        with(&format!("X: {}\r\n", "y".repeat(len - frame)))
    };
    assert_eq!(head(65_536).len(), 65_536);
    assert_eq!(
        (judge(head(65_536).as_bytes()), judge(head(65_537).as_bytes())),
        (0, 431)
    );
    let fields = |count: usize| with(&"X: y\r\n".repeat(count - 1));
    assert_eq!((judge(fields(100).as_bytes()), judge(fields(101).as_bytes())), (0, 431));
}

#[test]
fn h14_only_one_expectation_is_met() {
    let expects = |version: &str, fields: &str| {
        read(format!("POST / {version}\r\nHost: a\r\n{fields}\r\n").as_bytes())
            .map(|head| head.unwrap().expects_continue)
    };
    assert_eq!(
        expects("HTTP/1.1", "Content-Length: 1\r\nExpect: 100-Continue\r\n"),
        Ok(true)
    );
    assert_eq!(
        expects("HTTP/1.1", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"),
        Ok(true)
    );
    assert_eq!(
        expects("HTTP/1.1", "Expect: 100-continue\r\n"),
        Ok(false),
        "there is no body to wait for"
    );
    assert_eq!(
        expects("HTTP/1.0", "Content-Length: 1\r\nExpect: 100-continue\r\n"),
        Ok(false)
    );
    for fields in [
        "Expect: 200-ok\r\n",
        "Expect:\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
    ] {
        assert_eq!(
            expects("HTTP/1.1", fields),
            Err(Refusal::ExpectationFailed),
            "{fields:?}"
        );
    }
}

#[test]
fn a_refusal_never_repeats_what_was_sent() {
    let refusal = read(b"GET /secret-token HTTP/1.1\r\nHost: a\r\nAuthorization : hunter2\r\n\r\n").unwrap_err();
    let answer = format!("{refusal:?} {:?}", refusal.response());
    assert!(!answer.contains("secret") && !answer.contains("hunter2"), "{answer}");
}

proptest! {
    #[test]
    fn no_bytes_panic_and_pieces_never_matter(input in proptest::collection::vec(
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(b'/'), any::<u8>()], 0..200)) {
        judge(&input);
    }

    #[test]
    fn a_mutated_head_has_one_reading_or_none(at in 0_usize..88, byte: u8) {
        let mut input = b"POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nContent-Length: 12\r\nConnection: close\r\nX: y\r\n\r\n".to_vec();
        input[at] = byte;
        judge(&input);
    }
}
