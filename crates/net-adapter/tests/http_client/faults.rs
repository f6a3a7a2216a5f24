//! Every way a server can fail, and the one kind of error it becomes.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use annals_core::NetworkErrorKind::{
    self, BadUrl, BodyTooLarge, ClosedEarly, Dns, NotAdmitted, Other, PoolBusy, Protocol, Proxy, ReadTimeout, Refused,
    Reset, TooManyRedirects, TotalTimeout, Unreachable,
};
use annals_net_adapter::http::{HttpError, Phase, ProxyConfig, ReqOpts};
use annals_net_adapter::net::{Admission, NotAdmitted as Denial};
use annals_net_adapter::sync::Notify;
use annals_net_adapter::{Cx, Environment, on_every_host, on_every_runtime};

use super::support::{Conn, Site, With, client, client_with, get, impatient, kind_of, ok, once, request};

on_every_host!(
    fault_matrix_kinds,
    no_fault_maps_to_other,
    parity_admission,
    a_failing_request_body_is_the_callers_error,
    errors_never_print_secrets,
);

on_every_runtime!(fault_matrix_kinds_of_routes);

const NO_HEAD: &[u8] = b"";

/// What a server does after it has read a request.
#[derive(Clone)]
enum Then {
    Say(Vec<u8>),
    SayAndReset(&'static [u8]),
    SayAndHang(&'static [u8]),
}

/// A server that fails so; a reset waits until it is told to.
async fn failing(cx: &Cx, then: Then) -> (Site, Arc<Notify>) {
    let now = Arc::new(Notify::default());
    let told = now.clone();
    let site = Site::open(cx, move |mut conn: Conn| {
        let (then, told) = (then.clone(), told.clone());
        async move {
            conn.ask().await;
            match then {
                Then::Say(bytes) => {
                    conn.say(bytes).await;
                }
                Then::SayAndReset(bytes) => {
                    conn.say(bytes).await;
                    if told.notified(&conn.cx).await.is_ok() {
                        conn.reset();
                    }
                }
                Then::SayAndHang(bytes) => {
                    conn.say(bytes).await;
                    conn.gone().await;
                }
            }
        }
    })
    .await;
    (site, now)
}

/// One row of the matrix: what happens, and the error it must become.
struct Row(&'static str, Then, NetworkErrorKind, Phase);

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const PART: &str = "HTTP/1.1 200 OK\r\nA: ";

fn matrix() -> Vec<Row> {
    use Phase::{Body, Head, Redirect};
    let say = |text: &str| Then::Say(text.as_bytes().to_vec());
    let hang = |text: &'static str| Then::SayAndHang(text.as_bytes());
    let reset = |text: &'static str| Then::SayAndReset(text.as_bytes());
    let large_head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    let location = "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n";
    vec![
        Row("accept and hang", hang(""), ReadTimeout, Head),
        Row("hang in the head", hang(PART), ReadTimeout, Head),
        Row("hang in the body", hang(LENGTH), ReadTimeout, Body),
        Row("reset before the head", reset(""), Reset, Head),
        Row("reset in the head", reset(PART), Reset, Head),
        Row("reset in the body", reset(LENGTH), Reset, Body),
        Row("reset in chunks", reset(CHUNKS), Reset, Body),
        Row("end before the head", say(""), ClosedEarly, Head),
        Row("end in the head", say(PART), ClosedEarly, Head),
        Row("short body", say(LENGTH), ClosedEarly, Body),
        Row("cut chunk", say(&format!("{CHUNKS}9\r\nx")), ClosedEarly, Body),
        Row("bad chunk", say(&format!("{CHUNKS}zz\r\nx")), Protocol, Body),
        Row("garbage", say("SSH-2.0-OpenSSH_9.9\r\n"), Protocol, Head),
        Row(
            "binary garbage",
            Then::Say(vec![0x15, 3, 1, 0, 2, 2, 50]),
            Protocol,
            Head,
        ),
        Row(
            "line feeds only",
            say("HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
            Protocol,
            Head,
        ),
        Row("head of 64 KiB and more", say(&large_head), Protocol, Head),
        Row("101 fields", say(&many_fields), Protocol, Head),
        Row("HTTP/2", say("HTTP/2 200\r\n\r\n"), Protocol, Head),
        Row(
            "unasked upgrade",
            say("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            Protocol,
            Head,
        ),
        Row(
            "oversized body",
            say("HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n"),
            BodyTooLarge,
            Body,
        ),
        Row("redirect loop", say(location), TooManyRedirects, Redirect),
    ]
}

/// The error of a GET from a server that fails so, and whom it names.
async fn suffer(cx: &Cx, then: Then, phase: Phase) -> HttpError {
    let hangs = matches!(then, Then::SayAndHang(_));
    let (site, reset) = failing(cx, then).await;
    // A reset in the body must not overtake the head.
    if phase == Phase::Head {
        reset.notify_one();
    }
    let opts = if hangs { impatient() } else { ReqOpts::default() };
    let error = match client(cx).send(cx, request("GET", &site.url("/")), &opts).await {
        Err(error) => error,
        Ok(response) => {
            reset.notify_one();
            response.into_body().bytes(cx).await.unwrap_err()
        }
    };
    site.until(cx, |seen| seen.open == 0).await;
    assert_eq!(error.origin, format!("http://{}", site.addr));
    error
}

async fn no_fault_maps_to_other(cx: Cx) {
    for Row(fault, then, _, phase) in matrix() {
        assert_ne!(suffer(&cx, then, phase).await.kind, Other, "{fault}");
    }
}

async fn fault_matrix_kinds(cx: Cx) {
    for Row(fault, then, kind, phase) in matrix() {
        let error = suffer(&cx, then, phase).await;
        assert_eq!((error.kind, error.phase), (kind, phase), "{fault}: {error}");
    }

    let closed = cx
        .net()
        .listen(&cx, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .local_addr();
    for (url, kind, phase) in [
        (format!("http://{closed}/"), Refused, Phase::Connect),
        (format!("https://{closed}/"), Refused, Phase::Connect),
        ("http://no-such-host.invalid/".to_owned(), Dns, Phase::Connect),
        ("http://user@localhost/".to_owned(), BadUrl, Phase::Prepare),
    ] {
        let error = fails(&cx, &url).await;
        assert_eq!((error.kind, error.phase), (kind, phase), "{url}: {error}");
    }
    for (fault, error, kind, phase) in [
        ("the whole takes too long", late(&cx).await, TotalTimeout, Phase::Head),
        ("every connection is taken", crowded(&cx).await, PoolBusy, Phase::Pool),
        ("the proxy refuses CONNECT", walled(&cx).await, Proxy, Phase::Connect),
        ("a private address", forbidden(&cx).await, NotAdmitted, Phase::Connect),
    ] {
        assert_eq!((error.kind, error.phase), (kind, phase), "{fault}: {error}");
    }
}

async fn late(cx: &Cx) -> HttpError {
    let (site, _) = failing(cx, Then::SayAndHang(NO_HEAD)).await;
    let opts = ReqOpts {
        total: Some(Duration::from_millis(50)),
        ..ReqOpts::default()
    };
    let asked = request("GET", &site.url("/"));
    client(cx).send(cx, asked, &opts).await.unwrap_err()
}

async fn crowded(cx: &Cx) -> HttpError {
    let site = once(cx, ok("taken")).await;
    let client = client_with(cx, |config| {
        (config.per_host, config.pool_wait) = (1, Duration::from_millis(20));
    });
    let unread = get(cx, &client, &site.url("/")).await.unwrap();
    let error = get(cx, &client, &site.url("/")).await.unwrap_err();
    drop(unread);
    error
}

async fn walled(cx: &Cx) -> HttpError {
    let proxy = once(cx, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let variables = Environment::new([("HTTPS_PROXY".to_owned(), proxy.addr.to_string())]);
    let client = client_with(cx, |config| config.proxy = ProxyConfig::Variables(variables));
    get(cx, &client, "https://forge.example/").await.unwrap_err()
}

async fn forbidden(cx: &Cx) -> HttpError {
    let site = once(cx, ok("private")).await;
    let elsewhere = "192.0.2.1:80".parse().unwrap();
    let client = client_with(cx, |config| config.admission = Some(Arc::new(Only(elsewhere))));
    get(cx, &client, &site.url("/")).await.unwrap_err()
}

/// Only a real network has no way to an address.
async fn fault_matrix_kinds_of_routes(cx: Cx) {
    // TCP has no broadcast: Linux and macOS refuse the address before a packet is sent.
    let error = fails(&cx, "http://255.255.255.255/").await;
    let refused = matches!(error.kind, Unreachable) || cfg!(target_os = "macos");
    assert!(refused && error.phase == Phase::Connect, "{error}");
    assert_ne!(error.kind, Other);
}

/// The error of a GET that gets no answer.
async fn fails(cx: &Cx, url: &str) -> HttpError {
    get(cx, &client(cx), url).await.unwrap_err()
}

struct Only(SocketAddr);

impl Admission for Only {
    fn admit(&self, _: &str, _: u16, addresses: &[SocketAddr]) -> Result<(), Denial> {
        match addresses.iter().find(|address| **address != self.0) {
            None => Ok(()),
            Some(address) => Err(Denial {
                address: *address,
                rule: "test".to_owned(),
            }),
        }
    }
}

/// Every address is judged before it is dialled.
async fn parity_admission(cx: Cx) {
    let other = once(&cx, ok("other")).await;
    let to = other.addr;
    let site = once(
        &cx,
        format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n"),
    )
    .await;
    let admitted = site.addr;
    let client = client_with(&cx, |config| config.admission = Some(Arc::new(Only(admitted))));

    // A literal is judged like a resolved name, and so is where a redirect leads.
    for url in [
        other.url("/"),
        format!("http://localhost:{}/", to.port()),
        site.url("/"),
    ] {
        let error = get(&cx, &client, &url).await.unwrap_err();
        assert_eq!((error.kind, error.phase), (NotAdmitted, Phase::Connect), "{url}");
    }
    assert_eq!((site.seen().connections, other.seen().connections), (1, 0));
}

async fn a_failing_request_body_is_the_callers_error(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move { conn.gone().await }).await;
    let pieces = [Ok(bytes::Bytes::from_static(b"x")), Err("the source broke".into())];
    let body = annals_net_adapter::http::ReqBody::Stream(Box::pin(futures_util::stream::iter(pieces)));
    let asked = request("POST", &site.url("/")).body(body);
    let error = client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (Other, Phase::Head));
    site.until(&cx, |seen| seen.open == 0).await;
}

/// Everything an error says: its text, its `Debug`, and both of every cause.
fn all_words(error: &HttpError) -> String {
    let mut words = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    words
}

async fn errors_never_print_secrets(cx: Cx) {
    let path = "/SECRET/services?private_token=SECRET&SECRET#SECRET";
    let mut errors = Vec::new();
    for then in [
        Then::Say(Vec::new()),
        Then::SayAndReset(NO_HEAD),
        Then::SayAndHang(NO_HEAD),
        Then::Say(b"HTTP/1.1 SECRET\r\n\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 200 OK\r\nSet-Cookie: SECRET\r\nSECRET SECRET: x\r\n\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 200 OK\r\nX-Token: SECRET\0\r\n\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\nSECRET".to_vec()),
        Then::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nSECRET".to_vec()),
        Then::Say(b"HTTP/1.1 302 Found\r\nLocation: ftp://SECRET/SECRET\r\n\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 302 Found\r\nLocation: http://SECRET:SECRET@h/SECRET\r\n\r\n".to_vec()),
        Then::Say(b"HTTP/1.1 302 Found\r\nLocation: http://[SECRET\r\n\r\n".to_vec()),
        Then::Say(format!("HTTP/1.1 302 Found\r\nLocation: {path}\r\n\r\n").into_bytes()),
    ] {
        let (site, reset) = failing(&cx, then).await;
        reset.notify_one();
        let asked = request("POST", &site.url(path))
            .header("private-token", "SECRET")
            .body("SECRET".to_owned());
        let client = client(&cx);
        errors.push(match client.send(&cx, asked, &impatient()).await {
            Err(error) => error,
            Ok(response) => response.into_body().json::<u64>(&cx).await.unwrap_err(),
        });
    }
    for url in [
        "http://user:SECRET@127.0.0.1/SECRET",
        "http://SECRET@127.0.0.1/",
        "ftp://127.0.0.1/SECRET",
        "/SECRET",
        "http://127.0.0.1:0/SECRET",
    ] {
        errors.push(fails(&cx, url).await);
    }
    let busy = once(&cx, ok("SECRET")).await;
    let full = client_with(&cx, |config| {
        (config.per_host, config.pool_wait) = (1, Duration::from_millis(20))
    });
    let unread = get(&cx, &full, &busy.url(path)).await.unwrap();
    errors.push(get(&cx, &full, &busy.url(path)).await.unwrap_err());
    assert_eq!(errors.last().unwrap().kind, PoolBusy);
    assert!(!format!("{unread:?}").contains("SECRET"), "{unread:?}");
    let shown = unread.extensions().get::<annals_net_adapter::http::FinalUrl>().unwrap();
    assert!(!format!("{shown} {shown:?}").contains("SECRET"));
    for error in &errors {
        assert!(!all_words(error).contains("SECRET"), "{}", all_words(error));
    }
    assert_eq!(
        kind_of(&cx, &client(&cx), request("GET", &busy.url("/")), &ReqOpts::default()).await,
        Ok(6)
    );
}
