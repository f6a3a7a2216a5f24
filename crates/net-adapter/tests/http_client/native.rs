//! The five exchanges every client of a forge is made of, by raw TCP, on every host. The specification asks for them on
//! asupersync, whose own client cannot be trusted with them; the others have no reason to differ.

use std::num::NonZeroU32;
use std::time::Duration;

use annals_core::NetworkErrorKind::{Cancelled, ReadTimeout};
use annals_core::{CancelKind, CancelReason, Outcome};
use annals_net_adapter::http::{HttpError, RateLimiter, ReqOpts, append_query_params};
use annals_net_adapter::{BackendKind, Cx, RegionSpec, on_every_host, testing};
use axum::http::HeaderMap;

use super::support::{Conn, Site, With, client, get, impatient, ok, request};

on_every_host!(
    native_get_headers_query_repeats,
    native_post_json_bearer_keeps_error_body,
    native_paging_over_one_connection,
    native_timeout_and_region_cancel_mid_body,
);

async fn native_get_headers_query_repeats(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move {
        while conn.ask().await.is_some() {
            conn.say("HTTP/1.1 200 OK\r\nX-Part: one\r\nx-part: two\r\nX-Raw: \u{e9}\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let url = append_query_params(
        &site.url("/api/v4/issues?scope=all"),
        &[
            ("labels[]", "a b"),
            ("labels[]", "c&d"),
            ("updated_after", "2024-02-29T23:59:59+00:00"),
        ],
    );
    let asked = request("GET", &url)
        .header("accept", "application/json")
        .header("x-list", "1")
        .header("x-list", "2");
    let response = client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap();
    let parts: Vec<_> = response.headers().get_all("X-PART").iter().collect();
    assert_eq!(parts, ["one", "two"]);
    assert_eq!(response.headers()["x-raw"].as_bytes(), "\u{e9}".as_bytes());
    assert_eq!(response.into_body().bytes(&cx).await.unwrap(), "ok");
    let seen = site.seen().asked.remove(0);
    assert_eq!(
        seen.target,
        "/api/v4/issues?scope=all&labels%5B%5D=a%20b&labels%5B%5D=c%26d&updated_after=2024-02-29T23%3A59%3A59%2B00%3A00"
    );
    let lists: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-list").collect();
    assert_eq!(lists.len(), 2, "{:?}", seen.headers);
    assert_eq!(seen.header("accept"), Some("application/json"));
}

async fn native_post_json_bearer_keeps_error_body(cx: Cx) {
    let problem = r#"{"error":"insufficient_scope"}"#;
    let site = Site::open(&cx, move |mut conn: Conn| async move {
        while conn.ask().await.is_some() {
            conn.say(ok(problem).replace("200 OK", "403 Forbidden")).await;
        }
    })
    .await;
    let asked = request("POST", &site.url("/api/v4/notes"))
        .header("authorization", "Bearer secret")
        .header("content-type", "application/json")
        .body(r#"{"body":"é"}"#.to_owned());
    let response = client(&cx).send(&cx, asked, &ReqOpts::default()).await.unwrap();
    assert_eq!(response.status(), 403, "a status is an answer");
    let told: serde_json::Value = response.into_body().json(&cx).await.unwrap();
    assert_eq!(told["error"], "insufficient_scope");
    let seen = site.seen().asked.remove(0);
    assert_eq!(seen.header("authorization"), Some("Bearer secret"));
    assert_eq!(seen.header("content-length"), Some("13"));
    assert_eq!(seen.body, r#"{"body":"é"}"#.as_bytes());
}

/// Five pages; by `X-Next-Page` below `/header`, by `Link` elsewhere.
async fn pages(mut conn: Conn) {
    while let Some(asked) = conn.ask().await {
        let page: u32 = asked.target.rsplit_once("page=").unwrap().1.parse().unwrap();
        let next = if asked.target.starts_with("/header") {
            format!(
                "X-Next-Page: {}\r\n",
                if page < 5 {
                    (page + 1).to_string()
                } else {
                    String::new()
                }
            )
        } else if page < 5 {
            format!(
                "Link: </link?page={}>; rel=\"next\", </link?page=1>; rel=\"first\"\r\n",
                page + 1
            )
        } else {
            "Link: </link?page=1>; rel=\"first\"\r\n".to_owned()
        };
        conn.say(ok(&page.to_string()).replace("OK\r\n", &format!("OK\r\n{next}")))
            .await;
    }
}

/// Where the next page is, by either field.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let field = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then_some(value)
    };
    if let Some(page) = field("x-next-page") {
        return Some(format!("/header?page={page}"));
    }
    let next = field("link")?
        .split(", ")
        .find(|entry| entry.contains("rel=\"next\""))?;
    Some(next.split(['<', '>']).nth(1)?.to_owned())
}

async fn native_paging_over_one_connection(cx: Cx) {
    let site = Site::open(&cx, pages).await;
    let client = client(&cx);
    for start in ["/header?page=1", "/link?page=1"] {
        let (mut target, mut read) = (Some(start.to_owned()), String::new());
        while let Some(path) = target {
            let response = get(&cx, &client, &site.url(&path)).await.unwrap();
            target = next_page(response.headers());
            let body = response.into_body().bytes(&cx).await.unwrap();
            read.push_str(std::str::from_utf8(&body).unwrap());
        }
        assert_eq!(read, "12345", "{start}");
    }
    assert_eq!((site.seen().connections, site.seen().asked.len()), (1, 10));
}

#[test]
fn native_429_retry_after_virtual_time() {
    for &kind in BackendKind::compiled() {
        testing::lab(kind, |cx| async move {
            let site = Site::open(&cx, |mut conn: Conn| async move {
                while conn.ask().await.is_some() {
                    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
                    let answer = if conn.index == 0 { busy.to_owned() } else { ok("now") };
                    conn.say(answer).await;
                }
            })
            .await;
            let (client, limiter) = (
                client(&cx),
                RateLimiter::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(1)),
            );
            let begun = cx.now();
            let text = loop {
                limiter.acquire(&cx).await.unwrap();
                let response = get(&cx, &client, &site.url("/")).await.unwrap();
                if response.status() == 429 {
                    let wait = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                    limiter.pause_until(cx.now().after(Duration::from_secs(wait)));
                    continue;
                }
                break response.into_body().bytes(&cx).await.unwrap();
            };
            assert_eq!(text, "now");
            let waited = cx.now().since(begun);
            assert!(
                waited >= Duration::from_secs(3600) && waited < Duration::from_secs(3660),
                "{waited:?}"
            );
            // An hour later the connection is too old to be used again.
            assert_eq!((site.seen().asked.len(), site.seen().connections), (2, 2));
        });
    }
}

/// Begins a body and then says nothing more.
async fn half(mut conn: Conn) {
    conn.ask().await;
    conn.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    conn.gone().await;
}

async fn native_timeout_and_region_cancel_mid_body(cx: Cx) {
    let site = Site::open(&cx, half).await;
    let client = client(&cx);
    let response = client
        .send(&cx, request("GET", &site.url("/")), &impatient())
        .await
        .unwrap();
    let error = response.into_body().bytes(&cx).await.unwrap_err();
    assert_eq!(error.kind, ReadTimeout);
    site.until(&cx, |seen| seen.open == 0).await;

    let region = cx.open_region(RegionSpec::collect_all("reading")).unwrap();
    let url = site.url("/");
    let mut reading = region
        .cx()
        .spawn("reading", async move |cx| {
            let mut body = get(&cx, &client, &url).await?.into_body();
            let first = body.chunk(&cx).await.unwrap()?;
            assert_eq!(first, "half");
            // The rest never comes.
            body.chunk(&cx).await.unwrap().map(drop)?;
            Ok::<_, HttpError>(())
        })
        .unwrap();
    // Both the task and its socket are there, then neither.
    site.until(&cx, |seen| seen.asked.len() == 2).await;
    region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    match reading.join(&cx).await.unwrap() {
        Outcome::Cancelled(_) => {}
        Outcome::Err(error) => assert_eq!(error.kind, Cancelled),
        other => panic!("{other:?}"),
    }
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent, "left behind: {:?}", report.drain.stragglers);
    site.until(&cx, |seen| seen.open == 0).await;
}
