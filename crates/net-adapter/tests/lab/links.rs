//! What can be wrong with a link. Times are virtual, so they are exact.

use std::time::Duration;

use annals_core::NetworkErrorKind;
use annals_net_adapter::lab::{Check, LabConfig};
use annals_net_adapter::net::{LinkFaults, Stream, VirtualNet};
use annals_net_adapter::{BackendKind, Cancelled, Cx, HostPort, NetError, RegionSpec};
use futures_util::{AsyncReadExt, AsyncWriteExt};

const MS: Duration = Duration::from_millis(1);

fn link(cx: &Cx) -> LinkFaults {
    VirtualNet::of(cx).unwrap().link("scenario", "localhost")
}

/// A server that sends everything back until the stream ends.
async fn echo(cx: &Cx) -> HostPort {
    let mut listener = cx.net().listen(cx, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let to = HostPort::new("localhost", listener.local_addr().port());
    let serve = |cx: Cx| async move {
        while let Ok((stream, _)) = listener.accept(&cx).await {
            let answer = |cx: Cx| async move {
                let (mut read, mut write) = stream.split();
                let mut buffer = vec![0; 1000];
                while let Ok(n @ 1..) = cx.or_cancel(read.read(&mut buffer)).await? {
                    if cx.or_cancel(write.write_all(&buffer[..n])).await?.is_err() {
                        break;
                    }
                }
                Ok::<_, Cancelled>(())
            };
            cx.spawn("answer", answer).unwrap();
        }
        Ok::<_, Cancelled>(())
    };
    cx.spawn("server", serve).unwrap();
    to
}

async fn dial(cx: &Cx, to: &HostPort) -> Result<Stream, NetError> {
    cx.net().connect(cx, to, Duration::from_secs(5), None).await
}

async fn there_and_back(cx: &Cx, stream: &mut Stream, bytes: usize) -> std::io::Result<()> {
    let sent = vec![7; bytes];
    cx.or_cancel(stream.write_all(&sent)).await.unwrap()?;
    let mut back = vec![0; bytes];
    cx.or_cancel(stream.read_exact(&mut back)).await.unwrap()?;
    assert_eq!(sent, back);
    Ok(())
}

/// Runs over seeds on every lab, twice each: a fault is as deterministic as everything else. The scenario ends with
/// everything it started.
fn on_seeds<Fut: Future<Output = ()> + Send + 'static>(scenario: fn(Cx) -> Fut) {
    let whole = move |cx: Cx| async move {
        let region = cx.open_region(RegionSpec::collect_all("whole")).unwrap();
        let mut task = region
            .cx()
            .spawn("scenario", move |cx| async move {
                scenario(cx).await;
                Ok::<_, Cancelled>(())
            })
            .unwrap();
        let ended = task.join(&cx).await.unwrap();
        assert!(ended.is_ok(), "{ended:?}");
        region.close_within(Duration::from_secs(1)).await;
    };
    Check::new(0..8).run(whole).unwrap();
}

#[test]
fn lab_link_faults_latency() {
    on_seeds(|cx| async move {
        link(&cx).latency(100 * MS..200 * MS);
        let to = echo(&cx).await;
        let start = cx.now();
        let mut stream = dial(&cx, &to).await.unwrap();
        let connected = cx.now().since(start);
        assert!((100 * MS..200 * MS).contains(&connected), "{connected:?}");
        let start = cx.now();
        there_and_back(&cx, &mut stream, 10).await.unwrap();
        let round = cx.now().since(start);
        assert!((200 * MS..400 * MS).contains(&round), "{round:?}");
    });
}

#[test]
fn lab_link_faults_bandwidth() {
    on_seeds(|cx| async move {
        link(&cx).latency(MS..2 * MS).bandwidth(10_000);
        let to = echo(&cx).await;
        let mut stream = dial(&cx, &to).await.unwrap();
        let start = cx.now();
        there_and_back(&cx, &mut stream, 5_000).await.unwrap();
        // Half a second there; the way back begins when the first piece has arrived.
        let took = cx.now().since(start);
        assert!((500 * MS..1_100 * MS).contains(&took), "{took:?}");
    });
}

#[test]
fn lab_link_faults_refuse() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        let faults = link(&cx);
        faults.refuse();
        assert_eq!(dial(&cx, &to).await.unwrap_err().kind, NetworkErrorKind::Refused);
        faults.heal();
        there_and_back(&cx, &mut dial(&cx, &to).await.unwrap(), 10)
            .await
            .unwrap();
        // Of two links the one that names the host counts.
        let net = VirtualNet::of(&cx).unwrap();
        net.link("*", "*").refuse();
        assert!(dial(&cx, &to).await.is_ok(), "the healed link is closer");
        let elsewhere = HostPort::new("127.0.0.1", to.port);
        assert_eq!(dial(&cx, &elsewhere).await.unwrap_err().kind, NetworkErrorKind::Refused);
    });
}

#[test]
fn lab_link_faults_hang() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        link(&cx).hang();
        let start = cx.now();
        assert_eq!(dial(&cx, &to).await.unwrap_err().kind, NetworkErrorKind::ConnectTimeout);
        assert_eq!(cx.now().since(start), Duration::from_secs(5));
    });
}

#[test]
fn lab_link_faults_no_dns() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        link(&cx).no_dns();
        assert_eq!(dial(&cx, &to).await.unwrap_err().kind, NetworkErrorKind::Dns);
        assert!(dial(&cx, &HostPort::new("127.0.0.1", to.port)).await.is_ok());
    });
}

#[test]
fn lab_link_faults_reset() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        link(&cx).reset_after(1_500);
        let mut stream = dial(&cx, &to).await.unwrap();
        there_and_back(&cx, &mut stream, 1_000).await.unwrap();
        let reset = there_and_back(&cx, &mut stream, 1_000).await.unwrap_err();
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
        there_and_back(&cx, &mut dial(&cx, &to).await.unwrap(), 1_000)
            .await
            .unwrap();
    });
}

#[test]
fn lab_link_faults_truncate() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        link(&cx).truncate_after(1_500);
        let mut stream = dial(&cx, &to).await.unwrap();
        cx.or_cancel(stream.write_all(&[7; 4_000])).await.unwrap().unwrap();
        let mut back = Vec::new();
        cx.or_cancel(stream.read_to_end(&mut back)).await.unwrap().unwrap();
        assert_eq!(back.len(), 1_500, "an orderly end, too early");
    });
}

/// Ten connections at the same time: always all of them, in an order that the seed decides.
#[test]
fn lab_link_faults_reorder() {
    async fn order(cx: Cx) -> Vec<usize> {
        let to = echo(&cx).await;
        VirtualNet::of(&cx).unwrap().link("*", "localhost").reorder_connects();
        let done = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let region = cx.open_region(RegionSpec::new("dial")).unwrap();
        for i in 0..10 {
            let (to, done) = (to.clone(), done.clone());
            let connect = move |cx: Cx| async move {
                dial(&cx, &to).await?;
                done.lock().unwrap().push(i);
                Ok::<_, NetError>(())
            };
            region.cx().spawn("client", connect).unwrap();
        }
        region.close(&cx).await;
        done.lock().unwrap().clone()
    }
    for &kind in BackendKind::compiled() {
        let run = |seed| LabConfig::new(seed).on(kind).run(order).outcome.ok().unwrap();
        let orders: std::collections::BTreeSet<_> = (0..8).map(run).collect();
        assert!(orders.len() > 4, "{kind}: {orders:?}");
        assert!(orders.iter().all(|order| order.len() == 10));
        assert_eq!(run(3), run(3), "{kind}");
    }
}

#[test]
fn lab_link_faults_partition() {
    on_seeds(|cx| async move {
        let to = echo(&cx).await;
        let mut stream = dial(&cx, &to).await.unwrap();
        there_and_back(&cx, &mut stream, 10).await.unwrap();
        // A link that nobody had spoken about when the connection was made stays whole.
        let (from, to_time) = (cx.now(), cx.now().after(1_000 * MS));
        let faults = link(&cx);
        faults.partition(from, to_time);
        there_and_back(&cx, &mut stream, 10).await.unwrap();
        let start = cx.now();
        let mut late = dial(&cx, &to).await.unwrap();
        assert!(cx.now().since(start) >= 900 * MS, "the dial waits for the end");
        // Bytes wait too, and arrive; nothing is closed.
        faults.partition(cx.now(), cx.now().after(500 * MS));
        let start = cx.now();
        there_and_back(&cx, &mut late, 10).await.unwrap();
        assert!(cx.now().since(start) >= 500 * MS);
        // Healed early, they arrive early.
        let far = cx.now().after(Duration::from_secs(3_600));
        faults.partition(cx.now(), far);
        let mut healer = cx
            .spawn("healer", move |cx| async move {
                cx.sleep(20 * MS).await?;
                faults.heal();
                Ok::<_, Cancelled>(())
            })
            .unwrap();
        let start = cx.now();
        there_and_back(&cx, &mut late, 10).await.unwrap();
        let took = cx.now().since(start);
        assert!((20 * MS..1_000 * MS).contains(&took), "{took:?}");
        assert!(healer.join(&cx).await.unwrap().is_ok());
    });
}
