//! TLS towards a collector: the system's authorities, or those of a file.

use crate::settings::{Certificates, SettingsError};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    env, fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsConnector;

/// Where distributions keep the authorities that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connector for these certificates; `protocols` are offered to the server.
pub(crate) fn connector(certificates: &Certificates, protocols: &[&[u8]]) -> Result<TlsConnector, SettingsError> {
    let failed = |error: &dyn fmt::Display| SettingsError::Tls(error.to_string());
    let roots = roots(certificates.authorities.as_deref())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots);
    let mut config = match &certificates.own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
            let chain = chain(certificate)?;
            config
                .with_client_auth_cert(chain, read)
                .map_err(|error| failed(&error))?
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    let system = || {
        let set = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let known = BUNDLES.iter().map(PathBuf::from);
        set.into_iter().chain(known).find(|path| path.is_file())
    };
    let file = file.map(Path::to_owned).or_else(system).ok_or_else(|| {
        let known = BUNDLES.join(", ");
        SettingsError::Tls(format!(
            "no certificate authorities for TLS: none of {known} exists; install ca-certificates, or set `insecure: true`"
        ))
    })?;
    let (valid, _) = roots.add_parsable_certificates(chain(&file)?);
    match valid {
        0 => Err(named(&file, &"no certificate authority in it")),
        _ => Ok(roots),
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let all = CertificateDer::pem_file_iter(file).map_err(|error| named(file, &error))?;
    all.collect::<Result<_, _>>().map_err(|error| named(file, &error))
}

fn named(file: &Path, error: &dyn fmt::Display) -> SettingsError {
    SettingsError::Tls(format!("{}: {error}", file.display()))
}
