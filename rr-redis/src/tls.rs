//! The `tls` part: authorities, and the certificate that we show if the server asks for one.

use crate::settings::SetupError;
use redis::{ClientTlsConfig, TlsCertificates};
use rr_common::config::section::RedisTls;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;

/// What the files hold, for our own connections and for the cluster client.
pub(crate) struct Identity {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) certificates: TlsCertificates,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads and checks the files.
    pub(crate) fn read(section: &RedisTls) -> Result<Self, SetupError> {
        if section.root_ca.is_empty() {
            return Err(SetupError::NoAuthority);
        }
        let authorities = file("root_ca", &section.root_ca)?;
        let mut roots = RootCertStore::empty();
        for authority in certificates("root_ca", &section.root_ca, &authorities)? {
            let added = roots.add(authority);
            added.map_err(|error| wrong("root_ca", &section.root_ca, &error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Tls(error.to_string()))?
            .with_root_certificates(roots);
        let (config, shown) = match (section.cert.as_str(), section.key.as_str()) {
            ("", "") => (config.with_no_client_auth(), None),
            ("", _) | (_, "") => return Err(SetupError::HalfIdentity),
            (cert, key) => {
                let (chain, secret) = (file("cert", cert)?, file("key", key)?);
                let parsed = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| wrong("key", key, &error))?;
                let config = config.with_client_auth_cert(certificates("cert", cert, &chain)?, parsed);
                let shown = ClientTlsConfig {
                    client_cert: chain,
                    client_key: secret,
                };
                (config.map_err(|error| SetupError::Tls(error.to_string()))?, Some(shown))
            }
        };
        Ok(Self {
            config: Arc::new(config),
            certificates: TlsCertificates {
                client_tls: shown,
                root_cert: Some(authorities),
            },
        })
    }
}

fn file(key: &'static str, file: &str) -> Result<Vec<u8>, SetupError> {
    std::fs::read(file).map_err(|error| wrong(key, file, &error))
}

fn certificates(key: &'static str, file: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(key, file, &"no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(key, file, &error)),
    }
}

fn wrong(key: &'static str, file: &str, why: &dyn std::fmt::Display) -> SetupError {
    SetupError::File {
        key,
        file: file.to_owned(),
        why: why.to_string(),
    }
}
