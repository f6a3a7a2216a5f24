//! Many at once, and the end of their server.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use annals_net_adapter::ws::{WsEnd, WsError, WsMsg};
use annals_net_adapter::{Cancelled, Cx, Outcome, map_bounded, on_every_host};

use super::server::{Server, connect};

on_every_host!(ws_512_clients_drain);

async fn ws_512_clients_drain(cx: Cx) {
    const CLIENTS: usize = 512;
    let server = Server::start(&cx).await;
    let url = format!("ws://{}/echo", server.at);
    let open = Arc::new(Mutex::new(Vec::new()));
    let all_open = open.clone();
    let many = NonZeroUsize::new(64).unwrap();
    let all = map_bounded(&cx, many, 0..CLIENTS, move |cx: Cx, number| {
        let (open, url) = (all_open.clone(), url.clone());
        async move {
            let mut socket = connect(&cx, &url).await.unwrap();
            let said = WsMsg::Text(number.to_string());
            socket.send(&cx, said.clone()).await.unwrap();
            assert_eq!(socket.recv(&cx).await.unwrap(), said);
            open.lock().unwrap().push(socket);
            Ok::<_, Cancelled>(())
        }
    })
    .await;
    assert!(all.iter().all(|outcome| matches!(outcome, Outcome::Ok(()))));
    server.drain(&cx);
    let open = std::mem::take(&mut *open.lock().unwrap());
    assert_eq!(open.len(), CLIENTS);
    let ends = map_bounded(
        &cx,
        NonZeroUsize::new(CLIENTS).unwrap(),
        open,
        |cx: Cx, mut socket| async move {
            let end = socket.recv(&cx).await.unwrap_err();
            let clean = matches!(end, WsError::Ended(WsEnd::Clean { code: 1001, .. }));
            assert!(clean, "{end:?}");
            Ok::<_, Cancelled>(())
        },
    )
    .await;
    assert!(ends.iter().all(|outcome| matches!(outcome, Outcome::Ok(()))));
    let report = server.stop(&cx).await;
    assert_eq!(
        (report.served, report.finished_in_drain, report.cancelled),
        (CLIENTS as u64, CLIENTS as u64, 0)
    );
}
