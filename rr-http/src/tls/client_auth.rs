//! `ssl.client_auth_type`: whether a client must show a certificate, and whether it is checked against `root_ca`.

use super::certificates;
use rr_common::{config::section::Ssl, plugin::StartError};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoClientAuth, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::sync::Arc;

/// The verifier for the configured type. Without `root_ca`, and with an unknown type, no certificate is asked for, as in
/// the reference. Only `root_ca` signs valid certificates: the system's authorities, which the reference also takes, would
/// let in anybody who owns a public one.
pub(super) fn verifier(ssl: &Ssl, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, StartError> {
    if ssl.root_ca.is_empty() {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates("http.ssl.root_ca", &ssl.root_ca)? {
        roots.add(certificate).map_err(|error| failed(ssl, &error))?;
    }
    let checked = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    Ok(match ssl.client_auth_type.as_str() {
        "request_client_cert" => Arc::new(AnyCertificate {
            mandatory: false,
            provider,
        }),
        "require_any_client_cert" => Arc::new(AnyCertificate {
            mandatory: true,
            provider,
        }),
        "verify_client_cert_if_given" => checked
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(ssl, &error))?,
        "require_and_verify_client_cert" => checked.build().map_err(|error| failed(ssl, &error))?,
        "no_client_cert" | "no_client_certs" | "" => Arc::new(NoClientAuth),
        unknown => {
            tracing::warn!(target: "http", client_auth_type = unknown, "unknown http.ssl.client_auth_type: no client certificate is asked for");
            Arc::new(NoClientAuth)
        }
    })
}

fn failed(ssl: &Ssl, error: &dyn std::fmt::Display) -> StartError {
    StartError(format!("http.ssl.root_ca: {}: {error}", ssl.root_ca))
}

/// Takes whatever certificate a client shows, as long as the client owns its key.
#[derive(Debug)]
struct AnyCertificate {
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
