//! Whenever a request is cancelled: it ends at once, its socket is closed, its permit is free.

use annals_core::NetworkErrorKind;
use annals_net_adapter::http::{HttpError, Phase, ReqBody, ReqOpts};
use annals_net_adapter::lab::{LabConfig, cancel_everywhere};
use annals_net_adapter::{
    BackendKind, CancelKind, CancelReason, Cx, Outcome, RegionSpec, TaskError, TaskHandle, on_every_host,
    on_every_runtime,
};

use super::support::{Client, Conn, Site, client, client_with, get, get_text, ok, request};

on_every_host!(
    parity_abort,
    fifty_cancelled_requests_leave_every_permit,
    a_cancelled_context_sends_nothing
);
on_every_runtime!(a_cancelled_handshake_closes_its_socket);

fn reason(cx: &Cx) -> CancelReason {
    CancelReason::new(CancelKind::User, "test", cx.now())
}

/// `/head` is never answered, `/body` half, `/send` never read, everything else is answered.
async fn stalling(mut conn: Conn) {
    while let Some(asked) = conn.ask().await {
        match asked.target.as_str() {
            "/head" => conn.gone().await,
            "/body" => {
                conn.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
                conn.gone().await;
            }
            _ => {
                conn.say(ok("x")).await;
            }
        }
    }
}

/// Asks for `path`, body included, in a task of its own.
fn start(cx: &Cx, client: &Client, url: String, body: ReqBody) -> TaskHandle<String, HttpError> {
    let client = client.clone();
    cx.spawn("request", move |cx| async move {
        let mut asked = request("POST", &url);
        *asked.body_mut() = body;
        let response = client.send(&cx, asked, &ReqOpts::default()).await?;
        let body = response.into_body().bytes(&cx).await?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    })
    .unwrap()
}

async fn parity_abort(cx: Cx) {
    let site = Site::open(&cx, stalling).await;
    let endless = || ReqBody::Stream(Box::pin(futures_util::stream::pending()));
    for (path, body) in [
        ("/head", ReqBody::Empty),
        ("/body", ReqBody::Empty),
        ("/head", endless()),
    ] {
        // One of its own each time: no connection waits from the round before.
        let client = client_with(&cx, |config| config.per_host = 1);
        let connections = site.seen().connections;
        let mut running = start(&cx, &client, site.url(path), body);
        site.until(&cx, |seen| seen.connections > connections).await;
        let mut waiting = start(&cx, &client, site.url("/never"), ReqBody::Empty);
        cx.yield_now().await;

        waiting.cancel(reason(&cx));
        assert!(
            matches!(waiting.join(&cx).await.unwrap(), Outcome::Cancelled(_)),
            "waiting for a permit"
        );
        running.cancel(reason(&cx));
        assert!(
            matches!(running.join(&cx).await.unwrap(), Outcome::Cancelled(_)),
            "{path}"
        );

        site.until(&cx, |seen| seen.open == 0).await;
        assert_eq!(get_text(&cx, &client, &site.url("/fine")).await.unwrap(), "x", "{path}");
    }
}

async fn fifty_cancelled_requests_leave_every_permit(cx: Cx) {
    let site = Site::open(&cx, stalling).await;
    let client = client_with(&cx, |config| config.per_host = 6);
    let mut requests: Vec<_> = (0..50)
        .map(|_| start(&cx, &client, site.url("/head"), ReqBody::Empty))
        .collect();
    site.until(&cx, |seen| seen.asked.len() == 6).await;
    for request in &requests {
        request.cancel(reason(&cx));
    }
    for request in &mut requests {
        assert!(matches!(request.join(&cx).await.unwrap(), Outcome::Cancelled(_)));
    }
    site.until(&cx, |seen| seen.open == 0).await;
    // Six bodies at once need six permits, and there are no more. (How many of the fifty had connected is chance: a
    // permit that comes free may start a request that is not cancelled yet.)
    let mut bodies = Vec::new();
    for _ in 0..6 {
        bodies.push(get(&cx, &client, &site.url("/fine")).await.unwrap());
    }
    site.until(&cx, |seen| seen.open == 6).await;
    let mut seventh = start(&cx, &client, site.url("/never"), ReqBody::Empty);
    cx.yield_now().await;
    seventh.cancel(reason(&cx));
    assert!(matches!(seventh.join(&cx).await.unwrap(), Outcome::Cancelled(_)));
    assert!(!site.seen().asked.iter().any(|asked| asked.target == "/never"));
}

async fn a_cancelled_context_sends_nothing(cx: Cx) {
    let site = Site::open(&cx, stalling).await;
    let client = client(&cx);
    let region = cx.open_region(RegionSpec::new("cancelled")).unwrap();
    region.cancel(reason(&cx));
    let error = get(region.cx(), &client, &site.url("/fine")).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (NetworkErrorKind::Cancelled, Phase::Pool));
    assert_eq!(error.cancel_reason().unwrap().kind, CancelKind::User);
    assert_eq!(site.seen().connections, 0);
    // A body that was begun before ends as well, although its bytes are here.
    let mut body = get(&cx, &client, &site.url("/fine")).await.unwrap().into_body();
    let error = body.chunk(region.cx()).await.unwrap().unwrap_err();
    assert_eq!(error.kind, NetworkErrorKind::Cancelled);
    assert!(body.chunk(&cx).await.is_none());
    site.until(&cx, |seen| seen.open == 0).await;
}

async fn a_cancelled_handshake_closes_its_socket(cx: Cx) {
    // Accepts and says nothing: the client waits in TLS.
    let site = Site::open(&cx, |mut conn: Conn| async move { conn.gone().await }).await;
    let client = client_with(&cx, |config| config.per_host = 1);
    for connections in 1..4 {
        let mut running = start(&cx, &client, format!("https://{}/", site.addr), ReqBody::Empty);
        site.until(&cx, |seen| seen.connections == connections).await;
        running.cancel(reason(&cx));
        assert!(matches!(running.join(&cx).await.unwrap(), Outcome::Cancelled(_)));
        site.until(&cx, |seen| seen.open == 0).await;
    }
}

/// A redirect, a kept connection, a body in pieces: the awaits of a request, one after the other.
async fn three_requests(cx: Cx) -> Result<(), String> {
    let site = Site::try_open(&cx, |mut conn: Conn| async move {
        while let Some(asked) = conn.ask().await {
            if asked.target == "/moved" {
                conn.say("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
                    .await;
            } else {
                conn.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                    .await;
                conn.say("3\r\ndef\r\n0\r\n\r\n").await;
            }
        }
    })
    .await
    .map_err(|error| error.to_string())?;
    let client = client_with(&cx, |config| config.per_host = 1);
    for path in ["/moved", "/", "/"] {
        get_text(&cx, &client, &site.url(path))
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn a_request_cancelled_at_any_await_leaves_nothing() {
    for &kind in BackendKind::compiled() {
        let (mut whole, mut cut) = (0, 0);
        let tried = cancel_everywhere(&LabConfig::new(5).on(kind), three_requests, |report| {
            report.clean().unwrap();
            match &report.outcome {
                Outcome::Ok(Ok(())) => whole += 1,
                _ => cut += 1,
            }
        });
        assert!(
            tried >= 30 && whole > 0 && cut > 0,
            "{kind}: {tried} points, {whole} whole, {cut} cut"
        );
    }
}
