//! What must be the same on every runtime and belongs to no other file: names, the socket's options, validators.

use annals_core::NetworkErrorKind::{BadUrl, Dns};
use annals_net_adapter::http::{Fetched, ReqOpts, Validators, get_if_changed};
use annals_net_adapter::{Cx, on_every_host};

use super::support::{Conn, Site, always, client, get, get_text, ok, request};

on_every_host!(parity_dns, parity_validators);

async fn parity_dns(cx: Cx) {
    // Where the system knows two addresses of this name, the first one is dead here and the second one answers.
    let site = always(&cx, ok("by name")).await;
    let client = client(&cx);
    for name in ["localhost", "LOCALHOST"] {
        let url = format!("http://{name}:{}/", site.addr.port());
        assert_eq!(get_text(&cx, &client, &url).await.unwrap(), "by name");
    }
    // One name is one host, however it is written: one connection.
    assert_eq!(site.seen().connections, 1);
    assert!(site.seen().asked[0].header("host").unwrap().starts_with("localhost:"));
    for (url, kinds) in [
        ("http://no-such-host.invalid/", &[Dns][..]),
        // A name that cannot be one fails here or in the resolver.
        (&format!("http://{}.example/", "a".repeat(64)), &[Dns, BadUrl]),
    ] {
        let error = get(&cx, &client, url).await.unwrap_err();
        assert!(
            kinds.contains(&error.kind) && !error.kind.is_transient(),
            "{url}: {error}"
        );
    }
}

/// The page changes when it is told to.
async fn parity_validators(cx: Cx) {
    let site = Site::open(&cx, |mut conn: Conn| async move {
        for version in ["1", "1", "2"] {
            let Some(asked) = conn.ask().await else { return };
            let tag = format!("\"{version}\"");
            let answer = if asked.header("if-none-match") == Some(&tag) {
                format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\nLast-Modified: Friday\r\n\r\n")
            } else {
                ok(version).replace("OK\r\n", &format!("OK\r\nETag: {tag}\r\n"))
            };
            conn.say(answer).await;
        }
    })
    .await;
    let client = client(&cx);
    let fetch = async |known: &Validators| {
        let asked = request("GET", &site.url("/"));
        get_if_changed(&cx, &*client, asked, known, &ReqOpts::default())
            .await
            .unwrap()
    };
    let Fetched::Fresh(response, first) = fetch(&Validators::default()).await else {
        panic!("nothing was known")
    };
    assert_eq!(response.into_body().bytes(&cx).await.unwrap(), "1");
    assert_eq!((first.etag.as_deref(), &first.last_modified), (Some("\"1\""), &None));
    let Fetched::NotModified(merged) = fetch(&first).await else {
        panic!("it has not changed")
    };
    assert_eq!(
        (merged.etag.as_deref(), merged.last_modified.as_deref()),
        (Some("\"1\""), Some("Friday"))
    );
    let Fetched::Fresh(response, second) = fetch(&merged).await else {
        panic!("it has changed")
    };
    assert_eq!(response.into_body().bytes(&cx).await.unwrap(), "2");
    // What was known of the old version says nothing about the new one.
    assert_eq!((second.etag.as_deref(), &second.last_modified), (Some("\"2\""), &None));
    assert_eq!(site.seen().connections, 1, "a 304 keeps the connection");
}

/// A small request never waits for the answer to the one before it. Shown by the option, not by a clock.
#[cfg(target_os = "linux")]
mod nodelay {
    use std::net::SocketAddr;

    use annals_net_adapter::{Cx, on_every_runtime};
    use rustix::net::sockopt::tcp_nodelay;
    use rustix::net::{getpeername, getsockname};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    use super::super::support::{Conn, Site, client, get_text, ok};

    on_every_runtime!(parity_nodelay);

    async fn parity_nodelay(cx: Cx) {
        let site = Site::open(&cx, |mut conn: Conn| async move {
            while conn.ask().await.is_some() {
                let (server, client) = (conn.local_addr(), conn.peer_addr());
                let both = [delays(server, client), delays(client, server)];
                conn.say(ok(&format!("{both:?}"))).await;
            }
        })
        .await;
        let told = get_text(&cx, &client(&cx), &site.url("/")).await.unwrap();
        assert_eq!(told, "[Some(false), Some(false)]");
    }

    /// Whether this process's socket between these two addresses holds small packets back; `None` if it has none.
    fn delays(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|fd| pidfd_getfd(&own, fd, PidfdGetfdFlags::empty()).ok())
            .find(|socket| {
                let is = |name: rustix::io::Result<rustix::net::SocketAddrAny>, at: SocketAddr| {
                    name.is_ok_and(|name| SocketAddr::try_from(name).is_ok_and(|name| name == at))
                };
                is(getsockname(socket), local)
                    && getpeername(socket).is_ok_and(|name| name.is_some_and(|name| is(Ok(name), peer)))
            })
            .map(|socket| !tcp_nodelay(&socket).unwrap())
    }
}
