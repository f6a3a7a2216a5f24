//! Conditional requests over the wire.

use annals_net_adapter::http::{Fetched, ReqOpts, Validators, get_if_changed};
use annals_net_adapter::{Cx, on_every_host};

use super::support::{Conn, Site, client, ok, request};

on_every_host!(
    get_if_changed_asks_by_tag_then_by_date,
    get_if_changed_merges_validators,
    get_if_changed_unconditional_304_is_an_answer,
    get_if_changed_never_crosses_origins,
);

fn validators(etag: Option<&str>, last_modified: Option<&str>) -> Validators {
    Validators {
        etag: etag.map(str::to_owned),
        last_modified: last_modified.map(str::to_owned),
    }
}

/// Has `"v2"`, modified on Tuesday; a redirect for `/to/…`.
async fn versioned(mut conn: Conn) {
    while let Some(asked) = conn.ask().await {
        let unchanged = asked.header("if-none-match") == Some("\"v2\"")
            || asked.header("if-modified-since") == Some("Tuesday")
            || asked.target == "/always-304";
        let answer = match asked.target.strip_prefix("/to/") {
            Some(to) => format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
            None if unchanged => "HTTP/1.1 304 Not Modified\r\nETag: \"v2\"\r\n\r\n".to_owned(),
            None if asked.target == "/missing" => {
                "HTTP/1.1 404 Not Found\r\nETag: \"none\"\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            None => ok("body").replace("OK\r\n", "OK\r\nETag: \"v2\"\r\nLast-Modified: Tuesday\r\n"),
        };
        conn.say(answer).await;
    }
}

async fn fetch(cx: &Cx, url: &str, known: &Validators) -> Fetched {
    get_if_changed(cx, &*client(cx), request("GET", url), known, &ReqOpts::default())
        .await
        .unwrap()
}

async fn get_if_changed_asks_by_tag_then_by_date(cx: Cx) {
    let site = Site::open(&cx, versioned).await;
    for (known, tag, date) in [
        (validators(None, None), None, None),
        (validators(Some("\"v1\""), Some("Monday")), Some("\"v1\""), None),
        (validators(None, Some("Monday")), None, Some("Monday")),
        (validators(Some("\"v1\"\n"), Some("Monday")), None, Some("Monday")),
    ] {
        let Fetched::Fresh(response, new) = fetch(&cx, &site.url("/"), &known).await else {
            panic!("{known:?}")
        };
        assert_eq!(
            (response.status().as_u16(), new),
            (200, validators(Some("\"v2\""), Some("Tuesday")))
        );
        let asked = site.seen().asked.pop().unwrap();
        assert_eq!(
            (asked.header("if-none-match"), asked.header("if-modified-since")),
            (tag, date),
            "{known:?}"
        );
    }
    // What is no success is no version either.
    let Fetched::Fresh(response, new) = fetch(&cx, &site.url("/missing"), &validators(None, None)).await else {
        panic!("a 404 is an answer")
    };
    assert_eq!((response.status().as_u16(), new.is_empty()), (404, true));
}

async fn get_if_changed_merges_validators(cx: Cx) {
    let site = Site::open(&cx, versioned).await;
    let known = validators(None, Some("Tuesday"));
    let Fetched::NotModified(merged) = fetch(&cx, &site.url("/"), &known).await else {
        panic!("unchanged")
    };
    assert_eq!(merged, validators(Some("\"v2\""), Some("Tuesday")));
    let Fetched::NotModified(again) = fetch(&cx, &site.url("/"), &merged).await else {
        panic!("unchanged")
    };
    assert_eq!(again, merged);
    // Within one origin a redirect changes nothing about it.
    let Fetched::NotModified(_) = fetch(&cx, &site.url("/to//moved"), &merged).await else {
        panic!("unchanged")
    };
}

async fn get_if_changed_unconditional_304_is_an_answer(cx: Cx) {
    let site = Site::open(&cx, versioned).await;
    let Fetched::Fresh(response, new) = fetch(&cx, &site.url("/always-304"), &Validators::default()).await else {
        panic!("nothing was asked about")
    };
    assert_eq!((response.status().as_u16(), new.is_empty()), (304, true));
}

async fn get_if_changed_never_crosses_origins(cx: Cx) {
    let other = Site::open(&cx, versioned).await;
    let site = Site::open(&cx, versioned).await;
    let known = validators(Some("\"v2\""), None);

    let crossing = site.url(&format!("/to/{}", other.url("/")));
    let Fetched::Fresh(response, new) = fetch(&cx, &crossing, &known).await else {
        panic!("not asked there")
    };
    assert_eq!((response.status().as_u16(), new.is_empty()), (200, true));
    assert_eq!(other.seen().asked[0].header("if-none-match"), None);

    let crossing = site.url(&format!("/to/{}", other.url("/always-304")));
    let Fetched::Fresh(response, _) = fetch(&cx, &crossing, &known).await else {
        panic!("not asked there")
    };
    assert_eq!(response.status(), 304);
}
