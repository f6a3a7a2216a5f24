//! Cancellation everywhere: a connection with streaming bodies leaves nothing, wherever it is cut.

use std::time::Duration;

use annals_net_adapter::http::server::{HttpServer, ServerLimits};
use annals_net_adapter::lab::{LabConfig, cancel_everywhere, check};
use annals_net_adapter::{BackendKind, CancelKind, CancelReason, Cx, HostPort, NetError, Outcome};
use futures_util::{AsyncReadExt, AsyncWriteExt};

use crate::app::{Journal, routes};
use crate::{Engine, Server};

/// A body that streams through, an answer whose producer never ends, a handler that waits, events, a WebSocket.
const REQUESTS: [&str; 5] = [
    "POST /stream-echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n0\r\n\r\n\
     GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    "GET /produce HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: test\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x01\x02",
];

/// None of it may fail the scenario, because every part of it may be cut.
async fn busy_server(cx: Cx) {
    let limits = ServerLimits::default().sped_up(20);
    let Ok(listener) = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await else {
        return;
    };
    let at = listener.local_addr();
    let journal = Journal::default();
    let server = HttpServer::new(routes(journal), limits);
    let serving = cx.spawn("server", move |cx| async move { server.serve(&cx, listener).await });
    for request in REQUESTS {
        let client = cx.spawn("client", move |cx| async move {
            let to = HostPort::new("127.0.0.1", at.port());
            let mut stream = cx.net().connect(&cx, &to, Duration::from_secs(1), None).await?;
            let mut answer = vec![0; 200];
            let talk = async {
                stream.write_all(request.as_bytes()).await?;
                stream.read(&mut answer).await
            };
            drop(cx.or_cancel(talk).await);
            Ok::<(), NetError>(())
        });
        if let Ok(mut client) = client {
            drop(cx.timeout(Duration::from_millis(50), client.join(&cx)).await);
        }
    }
    cx.shutdown()
        .begin(CancelReason::new(CancelKind::User, "test", cx.now()));
    if let Ok(mut serving) = serving {
        drop(serving.join(&cx).await);
    }
}

#[test]
fn same_seed_same_server() {
    assert!(check(0..32, busy_server).unwrap() >= 64);
}

#[test]
fn a_connection_cut_anywhere_leaves_nothing_behind() {
    for &kind in BackendKind::compiled() {
        let (mut tried, mut whole) = (0, 0);
        for seed in 1..=4 {
            tried += cancel_everywhere(&LabConfig::new(seed).on(kind), busy_server, |report| {
                report.clean().unwrap();
                whole += usize::from(matches!(report.outcome, Outcome::Ok(())));
            });
        }
        assert!(
            tried > 200 && whole > 0,
            "{kind}: {tried} points, {whole} runs to the end"
        );
    }
}

annals_net_adapter::on_every_runtime!(connections_cut_at_random_moments);

/// Connections in the ordinary suite; `ANNALS_STRESS_ROUNDS` raises it.
const ROUNDS: usize = 200;

#[expect(
    clippy::disallowed_methods,
    reason = "how long to look is the caller's wish, not the product's"
)]
fn rounds() -> usize {
    let wished = std::env::var("ANNALS_STRESS_ROUNDS").ok();
    wished.and_then(|count| count.parse().ok()).unwrap_or(ROUNDS)
}

/// On real clocks, both servers: whatever moment a client leaves at, its request is forgotten.
async fn connections_cut_at_random_moments(cx: Cx) {
    let servers = [
        Server::start(&cx, Engine::Backend).await,
        Server::start(&cx, Engine::Own).await,
    ];
    let mut rng = cx.rng();
    for round in 0..rounds() {
        let at = servers[round % servers.len()].at;
        let request = REQUESTS[rng.usize(..REQUESTS.len())];
        let mut client = cx
            .spawn("client", async move |cx| {
                let to = HostPort::new("127.0.0.1", at.port());
                let mut stream = cx.net().connect(&cx, &to, Duration::from_secs(20), None).await?;
                let mut answer = [0; 4096];
                let talk = async {
                    stream.write_all(request.as_bytes()).await?;
                    while stream.read(&mut answer).await? > 0 {}
                    Ok::<_, std::io::Error>(())
                };
                drop(cx.or_cancel(talk).await);
                Ok::<(), NetError>(())
            })
            .unwrap();
        cx.sleep(Duration::from_micros(rng.u64(..3000))).await.unwrap();
        client.cancel(CancelReason::new(CancelKind::User, "test", cx.now()));
        drop(client.join(&cx).await.unwrap());
    }
    for server in servers {
        // Nothing is in flight any more, or this would take the server's whole patience and say so.
        let report = server.stop(&cx).await;
        assert_eq!((report.cancelled, report.panicked), (0, 0), "{report:?}");
    }
}
