//! `wss`: the same trust as every other connection. Real sockets only: certificates are judged by the real clock.

use std::path::PathBuf;
use std::sync::Arc;

use annals_core::NetworkErrorKind;
use annals_net_adapter::net::{TlsClient, TlsRoots};
use annals_net_adapter::ws::{WebSocket, WsError, WsMsg, WsOpts};
use annals_net_adapter::{Cx, on_every_runtime};
use futures_rustls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::server::direct;
use super::site::{Raw, frame, site};

on_every_runtime!(wss_wrong_name_refused);

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http_client/certs")).join(name)
}

fn acceptor(name: &str) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn wss_wrong_name_refused(cx: Cx) {
    let opts = WsOpts {
        tls: Some(TlsClient::new(TlsRoots::None, &[certificate("ca.pem")]).unwrap()),
        ..direct()
    };
    for (name, trusted) in [
        ("good", true),
        ("wrong-name", false),
        ("expired", false),
        ("self", false),
    ] {
        let acceptor = acceptor(name);
        let (at, mut served) = site(&cx, async move |_, raw: Raw| {
            let Ok(session) = acceptor.accept(raw.stream).await else {
                return;
            };
            let mut raw = Raw::new(session);
            raw.grant().await.unwrap();
            // Several records' worth, so that frames and records do not end together.
            raw.say(frame(0x82, &[9; 60_000], false)).await;
            raw.rest().await;
        })
        .await;
        let url = format!("wss://localhost:{}/", at.port());
        match WebSocket::connect(&cx, &url, opts.clone()).await {
            Ok(mut socket) => {
                assert!(trusted, "{name}");
                assert_eq!(socket.recv(&cx).await.unwrap(), WsMsg::Binary(vec![9; 60_000].into()));
            }
            Err(error) => {
                let kind = matches!(error, WsError::Net(NetworkErrorKind::Tls));
                assert!(!trusted && kind, "{name}: {error:?}");
            }
        }
        served.join(&cx).await.unwrap().ok().unwrap();
    }
}
