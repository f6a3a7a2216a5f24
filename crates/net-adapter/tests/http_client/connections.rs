//! Which connection a request goes over, how many there are, and when it is sent once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals_core::NetworkErrorKind::{ClosedEarly, PoolBusy, Reset};
use annals_net_adapter::http::{HttpError, Phase, ReqBody, ReqOpts};
use annals_net_adapter::sync::Notify;
use annals_net_adapter::{BackendKind, Cx, Outcome, RegionSpec, on_every_host, testing};

use super::support::{Client, Conn, Site, With, always, client, client_with, get, get_text, kind_of, ok, request};

on_every_host!(
    parity_keep_alive,
    parallel_requests_share_the_permits,
    a_server_that_closes_between_requests_loses_none,
    a_dead_connection_is_replaced_once_for_what_may_be_repeated,
    a_new_connection_that_dies_is_not_replaced,
    an_idle_connection_grows_too_old,
    a_connection_that_speaks_out_of_turn_is_dropped,
    an_unread_body_keeps_its_permit_until_dropped,
    a_full_pool_is_an_error_in_time,
    streams_are_sent_in_chunks_and_once,
);

async fn parity_keep_alive(cx: Cx) {
    let site = always(&cx, ok("hello")).await;
    let client = client(&cx);
    for n in 0..100 {
        assert_eq!(
            get_text(&cx, &client, &site.url(&format!("/{n}"))).await.unwrap(),
            "hello"
        );
    }
    let seen = site.seen();
    assert_eq!((seen.connections, seen.asked.len()), (1, 100));
    // The client's own fields are there, once each, and so is nothing else.
    let names: Vec<_> = seen.asked[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "user-agent", "accept-encoding"]);
    assert_eq!(seen.asked[0].header("host"), Some(site.addr.to_string().as_str()));
}

/// Sends `count` GETs at once and returns the bodies.
async fn at_once(cx: &Cx, client: &Client, url: &str, count: usize) -> Vec<String> {
    let outcome = cx
        .region(RegionSpec::new("requests"), |cx| async move {
            let mut tasks: Vec<_> = (0..count)
                .map(|_| {
                    let (client, url) = (client.clone(), url.to_owned());
                    cx.spawn("request", move |cx| async move { get_text(&cx, &client, &url).await })
                        .unwrap()
                })
                .collect();
            let mut bodies = Vec::new();
            for task in &mut tasks {
                match task.join(&cx).await {
                    Ok(Outcome::Ok(body)) => bodies.push(body),
                    other => panic!("{other:?}"),
                }
            }
            Ok::<_, HttpError>(bodies)
        })
        .await;
    match outcome.body {
        Outcome::Ok(bodies) => bodies,
        other => panic!("{other:?}"),
    }
}

async fn parallel_requests_share_the_permits(cx: Cx) {
    // Nobody is answered before six have asked: the peak is reached, and not passed.
    let (asking, peak, six) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Notify::default()),
    );
    let counters = (asking.clone(), peak.clone());
    let site = Site::open(&cx, move |mut conn: Conn| {
        let (asking, peak, six) = (asking.clone(), peak.clone(), six.clone());
        async move {
            while conn.ask().await.is_some() {
                let now = asking.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
                while peak.load(Ordering::SeqCst) < 6 {
                    six.notified(&conn.cx).await.unwrap();
                }
                six.notify_one();
                asking.fetch_sub(1, Ordering::SeqCst);
                conn.say(ok("x")).await;
            }
        }
    })
    .await;
    let client = client_with(&cx, |config| config.per_host = 6);

    let bodies = at_once(&cx, &client, &site.url("/"), 20).await;

    assert_eq!(bodies.len(), 20);
    assert_eq!(
        (counters.0.load(Ordering::SeqCst), counters.1.load(Ordering::SeqCst)),
        (0, 6)
    );
    let seen = site.seen();
    assert_eq!((seen.asked.len(), seen.connections), (20, 6));
}

/// Copies of each target.
fn copies(site: &Site, target: &str) -> usize {
    site.seen().asked.iter().filter(|asked| asked.target == target).count()
}

async fn a_server_that_closes_between_requests_loses_none(cx: Cx) {
    // Every third answer is the connection's last, which the server keeps to itself.
    let site = Site::open(&cx, |mut conn: Conn| async move {
        for _ in 0..3 {
            if conn.ask().await.is_none() || !conn.say(ok("x")).await {
                return;
            }
        }
    })
    .await;
    let client = client(&cx);
    for n in 0..300 {
        assert_eq!(
            get_text(&cx, &client, &site.url(&format!("/get/{n}"))).await.unwrap(),
            "x"
        );
        if n % 10 == 0 {
            // A POST may fail here, but it is never sent twice.
            let asked = request("POST", &site.url(&format!("/post/{n}"))).body("x".to_owned());
            let sent = kind_of(&cx, &client, asked, &ReqOpts::default()).await;
            assert!(matches!(sent, Ok(1) | Err(ClosedEarly | Reset)), "{sent:?}");
            assert!(copies(&site, &format!("/post/{n}")) <= 1);
        }
    }
    for n in 0..300 {
        assert!((1..=2).contains(&copies(&site, &format!("/get/{n}"))), "GET {n}");
    }
}

/// The first connection answers once, reads the next request, and dies without a word.
async fn dying(mut conn: Conn) {
    let mut answers = 0;
    while conn.ask().await.is_some() {
        if conn.index == 0 && answers == 1 {
            return;
        }
        answers += 1;
        conn.say(ok("x")).await;
    }
}

async fn a_dead_connection_is_replaced_once_for_what_may_be_repeated(cx: Cx) {
    let stream = || {
        ReqBody::Stream(Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(
            b"x",
        ))])))
    };
    for (method, body, expected) in [
        ("GET", ReqBody::Empty, Ok(1)),
        ("PUT", ReqBody::from("x".to_owned()), Ok(1)),
        ("DELETE", ReqBody::Empty, Ok(1)),
        ("PUT", stream(), Err(ClosedEarly)),
        ("POST", ReqBody::from("x".to_owned()), Err(ClosedEarly)),
        ("PATCH", ReqBody::from("x".to_owned()), Err(ClosedEarly)),
    ] {
        let site = Site::open(&cx, dying).await;
        let client = client(&cx);
        get_text(&cx, &client, &site.url("/first")).await.unwrap();

        let asked = request(method, &site.url("/second")).body(body);
        let result = kind_of(&cx, &client, asked, &ReqOpts::default()).await;

        assert_eq!(result, expected, "{method}");
        let seen = site.until(&cx, |seen| seen.asked.len() > 1).await;
        let expected = if expected.is_ok() { vec![0, 1] } else { vec![0] };
        let connections: Vec<_> = seen.asked[1..].iter().map(|asked| asked.connection).collect();
        assert_eq!(connections, expected, "{method}");
    }
}

async fn a_new_connection_that_dies_is_not_replaced(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move {
        conn.ask().await;
    })
    .await;
    let error = get(&cx, &client(&cx), &site.url("/")).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (ClosedEarly, Phase::Head));
    assert_eq!((site.seen().asked.len(), site.seen().connections), (1, 1));
}

/// What only sees the socket at the right moment is seen in the lab, where moments are certain.
#[test]
fn a_connection_the_server_has_closed_is_not_given_to_a_post() {
    for &kind in BackendKind::compiled() {
        testing::lab(kind, |cx| async move {
            let close = Arc::new(Notify::default());
            let told = close.clone();
            let site = Site::open(&cx, move |mut conn: Conn| {
                let told = told.clone();
                async move {
                    conn.ask().await;
                    conn.say(ok("x")).await;
                    told.notified(&conn.cx).await.unwrap_or_default();
                }
            })
            .await;
            let client = client(&cx);
            for n in 1..4 {
                let asked = request("POST", &site.url("/")).body("x".to_owned());
                assert_eq!(kind_of(&cx, &client, asked, &ReqOpts::default()).await, Ok(1));
                // The connection is in the pool when its server leaves.
                close.notify_one();
                site.until(&cx, |seen| seen.connections == n && seen.open == 0).await;
            }
        });
    }
}

async fn an_idle_connection_grows_too_old(cx: Cx) {
    let site = always(&cx, ok("x")).await;
    let client = client_with(&cx, |config| config.pool_idle = Duration::ZERO);
    for _ in 0..3 {
        get_text(&cx, &client, &site.url("/")).await.unwrap();
    }
    assert_eq!(site.seen().connections, 3);
}

async fn a_connection_that_speaks_out_of_turn_is_dropped(cx: Cx) {
    let site = always(
        &cx,
        format!("{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ok("good")),
    )
    .await;
    let client = client(&cx);
    for _ in 0..5 {
        assert_eq!(get_text(&cx, &client, &site.url("/")).await.unwrap(), "good");
    }
    assert_eq!(site.seen().connections, 5);
}

async fn an_unread_body_keeps_its_permit_until_dropped(cx: Cx) {
    let site = always(&cx, ok("hello")).await;
    let client = client_with(&cx, |config| {
        config.per_host = 1;
        config.pool_wait = Duration::from_millis(20);
    });
    let unread = get(&cx, &client, &site.url("/")).await.unwrap();
    let error = get(&cx, &client, &site.url("/")).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (PoolBusy, Phase::Pool));

    drop(unread);
    assert_eq!(get_text(&cx, &client, &site.url("/")).await.unwrap(), "hello");
    // An answer without a body gives the permit back at once.
    let head = client
        .send(&cx, request("HEAD", &site.url("/")), &ReqOpts::default())
        .await;
    assert_eq!(
        kind_of(&cx, &client, request("HEAD", &site.url("/")), &ReqOpts::default()).await,
        Ok(0)
    );
    drop(head);
}

async fn a_full_pool_is_an_error_in_time(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move { conn.gone().await }).await;
    let client = client_with(&cx, |config| {
        config.per_host = 2;
        config.pool_wait = Duration::from_millis(20);
    });
    let region = cx.open_region(RegionSpec::collect_all("hanging")).unwrap();
    for _ in 0..2 {
        let (client, url) = (client.clone(), site.url("/"));
        region
            .cx()
            .spawn(
                "hanging",
                move |cx| async move { get(&cx, &client, &url).await.map(drop) },
            )
            .unwrap();
    }
    site.until(&cx, |seen| seen.connections == 2).await;
    let error = get(&cx, &client, &site.url("/")).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (PoolBusy, Phase::Pool));
    // Another host has permits of its own.
    let other = always(&cx, ok("x")).await;
    assert_eq!(get_text(&cx, &client, &other.url("/")).await.unwrap(), "x");
    assert!(region.close_within(Duration::from_secs(5)).await.drain.quiescent);
}

async fn streams_are_sent_in_chunks_and_once(cx: Cx) {
    let site = always(&cx, ok("x")).await;
    let client = client(&cx);
    let pieces: Vec<_> = (0..20)
        .map(|n| Ok(bytes::Bytes::from(vec![b'a' + n; usize::from(n) * 700])))
        .collect();
    let expected: Vec<u8> = (0..20).flat_map(|n| vec![b'a' + n; usize::from(n) * 700]).collect();
    let asked = request("POST", &site.url("/")).body(ReqBody::Stream(Box::pin(futures_util::stream::iter(pieces))));
    assert_eq!(kind_of(&cx, &client, asked, &ReqOpts::default()).await, Ok(1));

    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let asked = request("POST", &site.url("/")).body(large.clone());
    assert_eq!(kind_of(&cx, &client, asked, &ReqOpts::default()).await, Ok(1));
    let asked = request("POST", &site.url("/"));
    assert_eq!(kind_of(&cx, &client, asked, &ReqOpts::default()).await, Ok(1));

    let seen = site.seen();
    assert_eq!(seen.connections, 1);
    assert_eq!(seen.asked[0].header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen.asked[0].body, expected);
    assert_eq!(seen.asked[1].header("content-length"), Some("1000000"));
    assert_eq!(seen.asked[1].body, large);
    assert_eq!(seen.asked[2].header("content-length"), Some("0"));
}
