//! Whom the client trusts. Real sockets only: certificates are judged by the real clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use annals_core::NetworkErrorKind::{self, ClosedEarly, ConnectTimeout, RedirectRefused, Reset, Tls};
use annals_core::TlsFault;
use annals_net_adapter::http::{Phase, ReqOpts};
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::{Cx, on_every_runtime};
use futures_rustls::TlsAcceptor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::support::{Client, Conn, Site, client_with, get, get_text, kind_of, ok, request};

on_every_runtime!(
    parity_tls,
    fault_matrix_kinds_of_tls,
    requests_over_tls_share_a_connection,
    a_body_cut_below_tls_is_not_complete,
    from_https_to_http_is_refused,
);

const LONG: Duration = Duration::from_secs(60);

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http_client/certs")).join(name)
}

fn acceptor(name: &str, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A client that trusts the test's authority and nobody else.
fn trusting(cx: &Cx) -> Client {
    client_with(cx, |config| {
        config.tls = TlsClient::new(TlsRoots::None, &[certificate("ca.pem")]).unwrap()
    })
}

/// Answers in TLS with the name and protocol the client asked for.
async fn secure(cx: &Cx, name: &str, versions: &[&'static SupportedProtocolVersion]) -> Site {
    let acceptor = acceptor(name, versions);
    Site::open(cx, move |mut conn: Conn| {
        let acceptor = acceptor.clone();
        async move {
            if !conn.shake_hands(&acceptor).await {
                return;
            }
            while conn.ask().await.is_some() {
                let answer = format!("{:?} {:?}", conn.server_name, conn.alpn);
                conn.say(ok(&answer)).await;
            }
        }
    })
    .await
}

fn url(site: &Site, host: &str) -> String {
    format!("https://{host}:{}/", site.addr.port())
}

async fn parity_tls(cx: Cx) {
    let client = trusting(&cx);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let site = secure(&cx, "good", &[version]).await;
        let named = get_text(&cx, &client, &url(&site, "localhost")).await.unwrap();
        assert_eq!(named, r#"Some("localhost") Some("http/1.1")"#);
        // An address is judged too, and is never sent as a name.
        let literal = get_text(&cx, &client, &url(&site, "127.0.0.1")).await.unwrap();
        assert_eq!(literal, r#"None Some("http/1.1")"#);
    }
}

async fn fault_matrix_kinds_of_tls(cx: Cx) {
    let both = [&rustls::version::TLS12, &rustls::version::TLS13];
    for (name, fault) in [
        ("self", TlsFault::UnknownIssuer),
        ("wrong-name", TlsFault::WrongName),
        ("expired", TlsFault::Expired),
    ] {
        let site = secure(&cx, name, &both).await;
        let error = get(&cx, &trusting(&cx), &url(&site, "localhost")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.tls, error.phase),
            (Tls, Some(fault), Phase::Connect),
            "{name}: {error}"
        );
        assert_eq!(error.origin, format!("https://localhost:{}", site.addr.port()));
        assert!(site.seen().asked.is_empty(), "nothing is asked of who is not trusted");
        site.until(&cx, |seen| seen.open == 0).await;
    }
    // Whom the bundled roots do not know is unknown, whatever is installed here.
    let site = secure(&cx, "good", &both).await;
    let bundled = client_with(&cx, |_| {});
    assert_eq!(
        get(&cx, &bundled, &url(&site, "localhost")).await.unwrap_err().tls,
        Some(TlsFault::UnknownIssuer)
    );

    let plaintext = Site::open(&cx, |mut conn: Conn| async move {
        conn.say("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        conn.gone().await;
    })
    .await;
    let error = get(&cx, &trusting(&cx), &url(&plaintext, "localhost"))
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.tls), (Tls, Some(TlsFault::Plaintext)));

    let kind = async |site: &Site, limit: Duration| -> (NetworkErrorKind, Phase) {
        let client = client_with(&cx, |config| config.connect = limit);
        let error = get(&cx, &client, &url(site, "localhost")).await.unwrap_err();
        (error.kind, error.phase)
    };
    let hanging = Site::open(&cx, |mut conn: Conn| async move { conn.gone().await }).await;
    assert_eq!(
        kind(&hanging, Duration::from_millis(100)).await,
        (ConnectTimeout, Phase::Connect)
    );
    let resetting = Site::open(&cx, |conn: Conn| async move { conn.reset() }).await;
    assert_eq!(kind(&resetting, LONG).await, (Reset, Phase::Connect));
    let leaving = Site::open(&cx, |mut conn: Conn| async move {
        // Read what the client says first: closing over unread bytes would be a reset.
        conn.read_some().await;
    })
    .await;
    assert_eq!(kind(&leaving, LONG).await, (ClosedEarly, Phase::Connect));
}

async fn requests_over_tls_share_a_connection(cx: Cx) {
    let site = secure(&cx, "good", &[&rustls::version::TLS13]).await;
    let client = trusting(&cx);
    for _ in 0..20 {
        get_text(&cx, &client, &url(&site, "localhost")).await.unwrap();
    }
    assert_eq!((site.seen().connections, site.seen().asked.len()), (1, 20));
}

async fn a_body_cut_below_tls_is_not_complete(cx: Cx) {
    // The end of the connection ends the body; only TLS's own farewell says that nobody cut it.
    for (farewell, expected) in [(true, Ok(4)), (false, Err(ClosedEarly))] {
        let acceptor = acceptor("good", &[&rustls::version::TLS13]);
        let site = Site::open(&cx, move |mut conn: Conn| {
            let acceptor = acceptor.clone();
            async move {
                conn.shake_hands(&acceptor).await;
                conn.ask().await;
                conn.say("HTTP/1.1 200 OK\r\n\r\nhalf").await;
                if farewell {
                    conn.close().await;
                }
            }
        })
        .await;
        let asked = request("GET", &url(&site, "localhost"));
        assert_eq!(kind_of(&cx, &trusting(&cx), asked, &ReqOpts::default()).await, expected);
    }
}

async fn from_https_to_http_is_refused(cx: Cx) {
    let plain = Site::open(&cx, |_: Conn| async {}).await;
    let to = plain.url("/");
    let acceptor = acceptor("good", &[&rustls::version::TLS13]);
    let site = Site::open(&cx, move |mut conn: Conn| {
        let (acceptor, to) = (acceptor.clone(), to.clone());
        async move {
            conn.shake_hands(&acceptor).await;
            while conn.ask().await.is_some() {
                conn.say(format!(
                    "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
            }
        }
    })
    .await;
    let error = get(&cx, &trusting(&cx), &url(&site, "localhost")).await.unwrap_err();
    assert_eq!((error.kind, error.phase), (RedirectRefused, Phase::Redirect));
    assert_eq!(plain.seen().connections, 0);
}
