//! H18, H19, H23: handlers that fail, clients that leave, servers that end.

use std::time::Duration;

use annals_net_adapter::http::server::ServerLimits;
use annals_net_adapter::{CancelKind, CancelReason, Cx, RegionSpec};

use crate::client::Client;
use crate::{Engine, Server, on_every_server};

on_every_server!(
    h18_a_panic_costs_one_answer,
    h18_a_handler_has_its_time,
    h19_a_client_that_leaves_cancels_its_request,
    h19_a_half_closed_client_has_left,
    h19_a_client_that_leaves_ends_the_answers_producer,
    h23_a_drain_finishes_what_is_in_flight,
    what_an_answer_holds_of_its_region_goes_before_the_region,
    cancelling_the_server_ends_it_at_once,
    a_server_goes_on_accepting_during_its_notice,
);

async fn h18_a_panic_costs_one_answer(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let answer = client.get(&cx, "/panic").await;
    assert!(
        answer.status == 500 && answer.says_close() && !answer.text().contains("as told"),
        "{answer:?}"
    );
    client.closed(&cx).await;
    assert_eq!(server.client(&cx).await.get(&cx, "/hello").await.text(), "hello");
    assert_eq!(server.stop(&cx).await.panicked, 1);
}

/// A host fails its test when the runtime's report counts a permit.
async fn what_an_answer_holds_of_its_region_goes_before_the_region(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    assert_eq!(client.get(&cx, "/held").await.text(), "held");
    client.send(&cx, "HEAD /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.answer_to(&cx, "HEAD").await.status, 200);
    server.stop(&cx).await;
}

async fn h18_a_handler_has_its_time(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    let answer = client.get(&cx, "/brief").await;
    assert!(answer.status == 504 && answer.says_close(), "{answer:?}");
    server.journal.wait(&cx, "cleaned", 1).await;
    assert_eq!(server.journal.all(), ["waiting", "cancelled Deadline", "cleaned"]);
    client.closed(&cx).await;
    assert_eq!(server.stop(&cx).await.timed_out, 1);
}

async fn h19_a_client_that_leaves_cancels_its_request(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    for round in 1..=5 {
        let mut client = server.client(&cx).await;
        client.send(&cx, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").await;
        server.journal.wait(&cx, "waiting", round).await;
        drop(client);
        server.journal.wait(&cx, "cancelled ClientGone", round).await;
        // It was asked to end, not dropped: it cleans up.
        server.journal.wait(&cx, "cleaned", round).await;
    }
    assert_eq!(server.stop(&cx).await.cancelled, 0, "the clients did it");
}

async fn h19_a_half_closed_client_has_left(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").await;
    server.journal.wait(&cx, "waiting", 1).await;
    client.half_close(&cx).await;
    server.journal.wait(&cx, "cleaned", 1).await;
    assert!(server.journal.all().contains(&"cancelled ClientGone".to_owned()));
    client.closed(&cx).await;
    server.stop(&cx).await;
}

async fn h19_a_client_that_leaves_ends_the_answers_producer(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut client = server.client(&cx).await;
    client.send(&cx, "GET /produce HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.through(&cx, b"tick ").await.expect("the first piece");
    drop(client);
    server.journal.wait(&cx, "produced", 1).await;
    assert_eq!(server.journal.all(), ["producing", "produced Ok(ClientGone)"]);
    server.stop(&cx).await;
}

async fn in_flight(cx: &Cx, server: &Server, path: &str) -> Client {
    let mut client = server.client(cx).await;
    client
        .send(cx, format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .await;
    client
}

async fn h23_a_drain_finishes_what_is_in_flight(cx: Cx, engine: Engine) {
    let server = Server::start(&cx, engine).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut client = server.client(&cx).await;
        client.get(&cx, "/hello").await;
        idle.push(client);
    }
    let mut busy = [
        in_flight(&cx, &server, "/short").await,
        in_flight(&cx, &server, "/short").await,
    ];
    let endless = in_flight(&cx, &server, "/wait").await;
    server.journal.wait(&cx, "working", 2).await;
    server.journal.wait(&cx, "waiting", 1).await;
    server.drain(&cx);
    for client in idle {
        client.closed(&cx).await;
    }
    assert!(
        Client::try_connect(&cx, server.at).await.is_none(),
        "the listener is closed"
    );
    for client in &mut busy {
        let answer = client.answer(&cx).await;
        assert!(answer.text() == "done" && answer.says_close(), "{answer:?}");
    }
    let journal = server.journal.clone();
    let report = server.stop(&cx).await;
    assert_eq!(
        (report.idle_closed, report.finished_in_drain, report.cancelled),
        (3, 2, 1),
        "{report:?}"
    );
    assert_eq!(
        journal.all().last().map(String::as_str),
        Some("cleaned"),
        "the endless one was asked to end"
    );
    drop(endless);
}

async fn cancelling_the_server_ends_it_at_once(cx: Cx, engine: Engine) {
    let region = cx.open_region(RegionSpec::collect_all("outer")).unwrap();
    let server = Server::start(region.cx(), engine).await;
    let client = in_flight(&cx, &server, "/wait").await;
    server.journal.wait(&cx, "waiting", 1).await;
    region.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
    let report = region.close(&cx).await;
    assert!(report.drain.quiescent, "left behind: {:?}", report.drain.stragglers);
    assert_eq!(server.journal.all(), ["waiting", "cancelled User", "cleaned"]);
    drop(client);
}

async fn a_server_goes_on_accepting_during_its_notice(cx: Cx, engine: Engine) {
    let limits = ServerLimits {
        notice: Duration::from_millis(300),
        ..ServerLimits::default().sped_up(20)
    };
    let server = Server::with(&cx, engine, limits).await;
    server.drain(&cx);
    let mut client = server.client(&cx).await;
    assert_eq!(client.get(&cx, "/hello").await.text(), "hello");
    let report = server.stop(&cx).await;
    assert_eq!((report.served, report.idle_closed), (1, 1));
    client.closed(&cx).await;
}
