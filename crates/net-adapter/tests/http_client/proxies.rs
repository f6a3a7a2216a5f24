//! The way through a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use annals_core::NetworkErrorKind::{NotAdmitted, Proxy};
use annals_net_adapter::http::{HttpConfig, Phase, ProxyConfig, ReqOpts, http_client};
use annals_net_adapter::net::{Admission, NotAdmitted as Denial, TlsClient, TlsRoots};
use annals_net_adapter::{Cx, Environment, on_every_host, on_every_runtime};

use super::support::{Client, Conn, Site, always, client_with, get, get_text, kind_of, ok, request};

on_every_host!(
    parity_proxy,
    a_proxy_that_refuses_or_is_dead_is_the_proxys_failure,
    an_unsupported_proxy_is_refused_when_the_client_is_built,
    admission_through_a_proxy_judges_the_name,
);
on_every_runtime!(https_goes_through_a_tunnel);

fn through(cx: &Cx, variables: &[(&str, &str)]) -> Client {
    let variables = variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    client_with(cx, |config| {
        config.proxy = ProxyConfig::Variables(Environment::new(variables))
    })
}

/// A proxy that answers everything itself; what it is asked to connect to `refused…` it refuses.
async fn proxy(cx: &Cx) -> Site {
    Site::open(cx, |mut conn: Conn| async move {
        while let Some(asked) = conn.ask().await {
            if asked.method != "CONNECT" {
                conn.say(ok("through")).await;
            } else if asked.target.starts_with("refused") {
                conn.say("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    .await;
            } else {
                conn.say("HTTP/1.1 200 Connected\r\n\r\n").await;
                return;
            }
        }
    })
    .await
}

async fn parity_proxy(cx: Cx) {
    let site = proxy(&cx).await;
    let direct = always(&cx, ok("direct")).await;
    let value = format!("http://user:pass@{}", site.addr);
    let client = through(
        &cx,
        &[
            ("http_proxy", &value),
            ("HTTP_PROXY", "http://ignored:1"),
            ("NO_PROXY", "127.0.0.0/8"),
        ],
    );

    // The whole URL goes to the proxy, over one connection.
    for _ in 0..2 {
        assert_eq!(
            get_text(&cx, &client, "http://forge.example/a?b=c").await.unwrap(),
            "through"
        );
    }
    let seen = site.seen();
    assert_eq!(seen.connections, 1);
    assert_eq!(seen.asked[0].target, "http://forge.example/a?b=c");
    assert_eq!(seen.asked[0].header("host"), Some("forge.example"));
    assert_eq!(seen.asked[0].header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));

    // An exception goes directly, and without the proxy's credentials.
    assert_eq!(get_text(&cx, &client, &direct.url("/a")).await.unwrap(), "direct");
    let asked = direct.seen().asked.remove(0);
    assert_eq!(
        (asked.target.as_str(), asked.header("proxy-authorization")),
        ("/a", None)
    );
}

async fn https_goes_through_a_tunnel(cx: Cx) {
    let site = proxy(&cx).await;
    let client = through(&cx, &[("HTTPS_PROXY", &format!("http://user:pass@{}", site.addr))]);
    // The tunnel opens and nobody answers in it: that is no longer the proxy's failure.
    let error = get(&cx, &client, "https://silent.example/secret").await.unwrap_err();
    assert_ne!(error.kind, Proxy);
    assert_eq!(
        (error.phase, error.origin.as_str()),
        (Phase::Connect, "https://silent.example:443")
    );
    let asked = site.seen().asked.remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("CONNECT", "silent.example:443")
    );
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
}

async fn a_proxy_that_refuses_or_is_dead_is_the_proxys_failure(cx: Cx) {
    let site = proxy(&cx).await;
    let dead = cx
        .net()
        .listen(&cx, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .local_addr();
    let garbage = Site::open(&cx, |mut conn: Conn| async move {
        conn.ask().await;
        conn.say("SSH-2.0-OpenSSH_9.9\r\n").await;
    })
    .await;
    for (proxy, url) in [
        (site.addr, "https://refused.example/"),
        (garbage.addr, "https://forge.example/"),
        (dead, "https://forge.example/"),
        (dead, "http://forge.example/"),
    ] {
        let client = through(&cx, &[("ALL_PROXY", &proxy.to_string())]);
        let error = get(&cx, &client, url).await.unwrap_err();
        assert_eq!((error.kind, error.phase), (Proxy, Phase::Connect), "{url}: {error}");
    }
}

async fn an_unsupported_proxy_is_refused_when_the_client_is_built(cx: Cx) {
    for proxy in ["socks5://user:SECRET@127.0.0.1:1080", "https://127.0.0.1:1"] {
        let variables = Environment::new([("ALL_PROXY".to_owned(), proxy.to_owned())]);
        let mut config = HttpConfig::new(TlsClient::new(TlsRoots::Bundled, &[]).unwrap());
        config.proxy = ProxyConfig::Variables(variables);
        assert!(!format!("{config:?}").contains("SECRET"));
        let Err(error) = http_client(&cx, config) else {
            panic!("built")
        };
        assert_eq!((error.kind, error.phase), (Proxy, Phase::Prepare));
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }
}

struct Nobody;

impl Admission for Nobody {
    fn admit(&self, host: &str, port: u16, addresses: &[SocketAddr]) -> Result<(), Denial> {
        // Who the name is, only the proxy knows.
        assert_eq!((host, port, addresses), ("forbidden.example", 80, [].as_slice()));
        Err(Denial {
            address: "0.0.0.0:0".parse().unwrap(),
            rule: "test".to_owned(),
        })
    }
}

async fn admission_through_a_proxy_judges_the_name(cx: Cx) {
    let site = proxy(&cx).await;
    let variables = Environment::new([("HTTP_PROXY".to_owned(), site.addr.to_string())]);
    let client = client_with(&cx, |config| {
        config.proxy = ProxyConfig::Variables(variables);
        config.admission = Some(Arc::new(Nobody));
    });
    let asked = request("GET", "http://forbidden.example/");
    assert_eq!(
        kind_of(&cx, &client, asked, &ReqOpts::default()).await,
        Err(NotAdmitted)
    );
    assert_eq!(site.seen().connections, 0);
}
