//! The TLS settings of the HTTPS listener: TLS 1.2 and 1.3 by rustls, HTTP/2 by ALPN.

mod client_auth;

use rr_common::{config::section::Ssl, plugin::StartError};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// True if the section names a certificate, and so asks for HTTPS.
pub(crate) fn enabled(ssl: &Ssl) -> bool {
    !ssl.key.is_empty() && !ssl.cert.is_empty()
}

/// Reads the files that the section names.
pub(crate) fn acceptor(ssl: &Ssl) -> Result<TlsAcceptor, StartError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("http.ssl.cert", &ssl.cert)?;
    let key = PrivateKeyDer::from_pem_file(&ssl.key)
        .map_err(|error| StartError(format!("http.ssl.key: {}: {error}", ssl.key)))?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| StartError(format!("http.ssl: {error}")))?
        .with_client_cert_verifier(client_auth::verifier(ssl, provider)?)
        .with_single_cert(chain, key)
        .map_err(|error| StartError(format!("http.ssl: {} and {}: {error}", ssl.cert, ssl.key)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(|error| StartError(format!("http.ssl: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// All certificates of a file; at least one.
fn certificates(key: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError(format!("{key}: {file}: {error}"));
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(|error| failed(&error))?
        .collect();
    match all.map_err(|error| failed(&error))? {
        none if none.is_empty() => Err(failed(&"no certificate in it")),
        all => Ok(all),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
