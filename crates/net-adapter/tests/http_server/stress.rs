//! Cancellation everywhere: a connection with streaming bodies leaves nothing, wherever it is cut.

use annals_net_adapter::http::server::{HttpServer, ServerLimits};
use annals_net_adapter::lab::{LabConfig, cancel_everywhere, check};
use annals_net_adapter::{BackendKind, Cx, HostPort, NetError, Outcome};
use futures_util::{AsyncReadExt, AsyncWriteExt};

use crate::app::{Journal, routes};

/// A body that streams through, an answer whose producer never ends, a handler that waits: none of it may fail the scenario,
/// because every part of it may be cut.
async fn busy_server(cx: Cx) {
    let limits = ServerLimits::default().sped_up(20);
    let Ok(listener) = cx.net().listen(&cx, "127.0.0.1:0".parse().unwrap()).await else {
        return;
    };
    let at = listener.local_addr();
    let journal = Journal::default();
    let server = HttpServer::new(routes(journal), limits);
    let serving = cx.spawn("server", move |cx| async move { server.serve(&cx, listener).await });
    let requests = [
        "POST /stream-echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n0\r\n\r\n\
         GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET /produce HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x01\x02",
    ];
    for request in requests {
        let client = cx.spawn("client", move |cx| async move {
            let to = HostPort::new("127.0.0.1", at.port());
            let mut stream = cx
                .net()
                .connect(&cx, &to, std::time::Duration::from_secs(1), None)
                .await?;
            let mut answer = vec![0; 200];
            let talk = async {
                stream.write_all(request.as_bytes()).await?;
                stream.read(&mut answer).await
            };
            drop(cx.or_cancel(talk).await);
            Ok::<(), NetError>(())
        });
        if let Ok(mut client) = client {
            drop(cx.timeout(std::time::Duration::from_millis(50), client.join(&cx)).await);
        }
    }
    cx.shutdown().begin(annals_net_adapter::CancelReason::new(
        annals_net_adapter::CancelKind::User,
        "test",
        cx.now(),
    ));
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
