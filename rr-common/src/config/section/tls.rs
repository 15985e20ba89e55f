//! TLS settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The HTTPS listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Ssl {
    /// Where HTTPS listens.
    #[schemars(extend("format" = "address"))]
    pub address: String,
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
    /// Authorities that sign client certificates, PEM.
    pub root_ca: String,
    /// no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert; used with `root_ca`.
    pub client_auth_type: String,
    /// Answer plain HTTP with a redirect to HTTPS.
    pub redirect: bool,
    /// Certificates from an ACME authority.
    pub acme: Option<Acme>,
}

/// A key pair for a listener, or for a client that must show one.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Tls {
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
    /// Authorities that sign the other side's certificates, PEM.
    pub root_ca: String,
    /// no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert; used with `root_ca`.
    pub client_auth_type: String,
}

/// Certificates from an ACME authority.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-aliases" = { "certs_dir": "cache_dir" }))]
pub struct Acme {
    /// Directory of the certificates and the account key; older texts call it `certs_dir`.
    pub cache_dir: String,
    /// Contact address.
    pub email: String,
    /// Names in the certificate.
    pub domains: Vec<String>,
    /// http-01 or tlsalpn-01.
    pub challenge_type: String,
    /// Port of the http-01 challenge; 0 means 80.
    pub alt_http_port: u16,
    /// Port of the tlsalpn-01 challenge; 0 means the HTTPS port.
    pub alt_tlsalpn_port: u16,
    /// The authority's production endpoint instead of its staging one.
    pub use_production_endpoint: bool,
}

impl Ssl {
    /// True when there are a key and a certificate to serve with.
    pub fn has_key_pair(&self) -> bool {
        !self.key.is_empty() && !self.cert.is_empty()
    }
}

impl Default for Ssl {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:443".into(),
            key: String::new(),
            cert: String::new(),
            root_ca: String::new(),
            client_auth_type: "no_client_cert".into(),
            redirect: false,
            acme: None,
        }
    }
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            cache_dir: "rr_cache_dir".into(),
            email: String::new(),
            domains: Vec::new(),
            challenge_type: String::new(),
            alt_http_port: 0,
            alt_tlsalpn_port: 0,
            use_production_endpoint: false,
        }
    }
}
