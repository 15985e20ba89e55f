//! What a client connects to.

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// An address and how to talk to it.
#[derive(Clone, Debug)]
pub enum Target {
    /// Plain TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// TLS, trusting one certificate.
    Tls(SocketAddr, Arc<rustls::RootCertStore>),
}

/// A connection of whatever kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Target {
    /// TLS to `address`, trusting exactly this PEM certificate.
    pub(super) fn tls(address: SocketAddr, certificate: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        roots.add(certificate).unwrap();
        Self::Tls(address, Arc::new(roots))
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(..) => "https",
            Self::Tcp(_) | Self::Unix(_) => "http",
        }
    }

    /// What goes into the `Host` header.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".into(),
            Self::Tls(address, _) => format!("localhost:{}", address.port()),
        }
    }

    /// Connects, with the TLS handshake where there is one.
    pub(super) async fn connect(&self, http2: bool) -> Result<Box<dyn Stream>, String> {
        let tcp = async |address: &SocketAddr| {
            let stream = TcpStream::connect(address).await;
            stream.map_err(|e| format!("connect to {address}: {e}"))
        };
        match self {
            Self::Tcp(address) => Ok(Box::new(tcp(address).await?)),
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(
                    stream.map_err(|e| format!("connect to {}: {e}", path.display()))?,
                ))
            }
            Self::Tls(address, roots) => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let mut config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|e| e.to_string())?
                    .with_root_certificates(Arc::clone(roots))
                    .with_no_client_auth();
                let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
                config.alpn_protocols = vec![protocol.to_vec()];
                let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
                let connector = TlsConnector::from(Arc::new(config));
                let stream = connector.connect(name, tcp(address).await?).await;
                Ok(Box::new(stream.map_err(|e| format!("TLS: {e}"))?))
            }
        }
    }
}
