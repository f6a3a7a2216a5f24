//! TLS towards servers: one configuration for both runtimes.
//!
//! Certificates are always verified, TLS 1.2 and 1.3 are spoken, SNI is sent and ALPN offers
//! HTTP/1.1 only. Without a single trusted root nothing is built.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use annals_core::{NetworkErrorKind, TlsFault};
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};

use super::{Io, NetError, Stream, kind_of_io};
use crate::Cx;

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TlsRoots {
    /// Those of the operating system.
    #[default]
    System,
    /// Mozilla's list, compiled in.
    Bundled,
    /// None but the extra ones.
    None,
}

/// Why no TLS client could be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not one root certificate was found, so no server could be verified.
    #[error("no trusted root certificate was found")]
    NoRoots,
    /// A file with extra certificates cannot be read or holds none.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The TLS library refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// Sets up TLS sessions as a client. Cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Trusts `roots` and every certificate in the PEM files. Reads files: call it at start.
    ///
    /// # Errors
    /// [`TlsError`] when a file is unusable or nothing would be trusted.
    pub fn new(roots: TlsRoots, extra_pem: &[PathBuf]) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        match roots {
            TlsRoots::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::debug!(%error, "some system root certificates cannot be read");
                }
                // Systems carry odd old certificates; one that cannot be used vouches for nobody.
                let (added, ignored) = store.add_parsable_certificates(found.certs);
                tracing::trace!(added, ignored, "system root certificates");
            }
            TlsRoots::Bundled => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            TlsRoots::None => {}
        }
        for path in extra_pem {
            add_pem(&mut store, path)?;
        }
        if store.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Shakes hands over `stream` with the server called `name`, a host name or an IP address.
    ///
    /// # Errors
    /// [`NetError`] of kind `Tls` when the server cannot be trusted or does not speak TLS, of the
    /// stream's own kind when the connection fails, and `Cancelled`.
    ///
    /// # Cancel safety
    /// The stream is closed if the handshake does not finish.
    pub async fn connect(&self, cx: &Cx, stream: Stream, name: &str) -> Result<Stream, NetError> {
        let (peer, local) = (stream.peer_addr(), stream.local_addr());
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| NetError::new(NetworkErrorKind::BadUrl, name, error))?;
        let handshake = TlsConnector::from(self.config.clone()).connect(server, stream);
        match cx.or_cancel(handshake).await {
            Ok(Ok(session)) => Ok(Stream::new(Tls(session), peer, local)),
            Ok(Err(error)) => {
                let kind = if tls_fault(&error).is_some() {
                    NetworkErrorKind::Tls
                } else {
                    kind_of_io(&error)
                };
                Err(NetError::new(kind, name, error))
            }
            Err(cancelled) => Err(NetError::cancelled(name, cancelled)),
        }
    }
}

fn add_pem(store: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let fault = |source: Box<dyn StdError + Send + Sync>| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(e.into()))? {
        let certificate = certificate.map_err(|e| fault(e.into()))?;
        store.add(certificate).map_err(|e| fault(e.into()))?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(fault("no certificate in it".into()))
    }
}

/// The fault of a TLS error anywhere in the chain of causes; `None` if there is none.
pub(crate) fn tls_fault(error: &(dyn StdError + 'static)) -> Option<TlsFault> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(classify(tls));
        }
        // An io::Error hides its payload from `source`: it answers with the payload's own source.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn classify(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::WrongName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Expired,
            _ => TlsFault::Other,
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::Plaintext,
        _ => TlsFault::Other,
    }
}

struct Tls(TlsStream<Stream>);

impl AsyncRead for Tls {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(context)
    }
}

impl Io for Tls {
    fn reset_on_close(&mut self) -> io::Result<()> {
        self.0.get_mut().0.reset_on_close()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn no_roots_is_refused() {
        assert!(matches!(TlsClient::new(TlsRoots::None, &[]), Err(TlsError::NoRoots)));
        assert!(TlsClient::new(TlsRoots::Bundled, &[]).is_ok());
    }

    #[test]
    fn an_unusable_certificate_file_is_named() {
        let missing = PathBuf::from("/nonexistent/roots.pem");
        let error = TlsClient::new(TlsRoots::Bundled, &[missing]).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/roots.pem: "), "{error}");
    }

    #[test]
    fn certificate_errors_have_a_fault() {
        for (error, fault) in [
            (CertificateError::UnknownIssuer, TlsFault::UnknownIssuer),
            (CertificateError::NotValidForName, TlsFault::WrongName),
            (CertificateError::Expired, TlsFault::Expired),
            (CertificateError::NotValidYet, TlsFault::Expired),
            (CertificateError::BadSignature, TlsFault::Other),
        ] {
            let wrapped = io::Error::other(rustls::Error::InvalidCertificate(error));
            assert_eq!(tls_fault(&wrapped), Some(fault));
        }
        assert_eq!(tls_fault(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
        assert_eq!(tls_fault(&io::Error::other("not TLS")), None);
    }
}
