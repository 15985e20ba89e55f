//! The `http` section.

use super::{Pool, Ssl};
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The HTTP plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Http {
    /// Where plain HTTP listens: host:port, tcp://host:port or unix://path; several are separated by commas.
    #[schemars(extend("format" = "addresses"))]
    pub address: String,
    /// Status of every internal failure.
    #[schemars(range(max = 599))]
    pub internal_error_code: u16,
    /// Why a request failed goes to the client, as with `pool.debug`; `rr up` sets it.
    pub show_errors: bool,
    /// The long form of the request log.
    pub access_logs: bool,
    /// Largest request body in MiB; 0 means 1000.
    pub max_request_size: u64,
    /// Pass urlencoded and multipart bodies to PHP as they are.
    pub raw_body: bool,
    /// Names of middleware; the last one is the outermost.
    pub middleware: Vec<String>,
    /// Networks of proxies whose forwarding headers are believed.
    pub trusted_subnets: Vec<String>,
    /// Uploaded files.
    pub uploads: Uploads,
    /// HTTPS.
    pub ssl: Option<Ssl>,
    /// HTTP/2.
    pub http2: Http2,
    /// HTTP/3 (experimental).
    pub http3: Option<Http3>,
    /// FastCGI.
    pub fcgi: Option<Fcgi>,
    /// Added headers and CORS.
    pub headers: Option<Headers>,
    /// Files served without PHP.
    #[serde(rename = "static")]
    pub static_files: Option<Static>,
    /// The workers.
    pub pool: Pool,

    /// Threads that serve connections; 0 means one for each eight CPUs, at least one.
    pub threads: u64,
    /// Longest wait for a request's complete head.
    #[schemars(extend("x-zero" = true))]
    pub read_header_timeout: Dur,
    /// Longest wait for the next piece of a request body, and for a client that takes no bytes.
    #[schemars(extend("x-zero" = true))]
    pub io_timeout: Dur,
    /// Longest idleness of a kept-alive connection.
    #[schemars(extend("x-zero" = true))]
    pub idle_timeout: Dur,
    /// Largest request head in KiB.
    pub max_header_size: u64,
    /// Connections at once; further ones wait in the kernel's queue; 0 means no limit.
    pub max_connections: u64,
    /// Status for a request that found no free worker; 0 means `internal_error_code`.
    pub no_workers_code: u16,
}

/// Uploaded files.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Uploads {
    /// Directory of the temporary files; empty means the system's.
    pub dir: String,
    /// Extensions, with dot, that are refused.
    pub forbid: Vec<String>,
    /// Extensions, with dot, that alone are accepted; empty means all.
    pub allow: Vec<String>,
}

/// HTTP/2.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Http2 {
    /// HTTP/2 without TLS on the plain address.
    pub h2c: bool,
    /// Streams at once on one connection.
    pub max_concurrent_streams: u32,
}

/// HTTP/3.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Http3 {
    /// Where HTTP/3 listens (UDP).
    #[schemars(extend("format" = "address"))]
    pub address: String,
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
}

/// FastCGI.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Fcgi {
    /// Where FastCGI listens.
    #[schemars(extend("format" = "address"))]
    pub address: String,
}

/// Added headers and CORS.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Headers {
    /// Cross-origin rules.
    pub cors: Option<Cors>,
    /// Headers added to each request.
    pub request: BTreeMap<String, String>,
    /// Headers set on each answer.
    pub response: BTreeMap<String, String>,
}

/// Cross-origin rules.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Cors {
    /// Origins, separated by commas.
    pub allowed_origin: String,
    /// A pattern of origins; overrides `allowed_origin`.
    pub allowed_origin_regex: String,
    /// Request headers, separated by commas.
    pub allowed_headers: String,
    /// Methods, separated by commas.
    pub allowed_methods: String,
    /// Answer headers that scripts may read, separated by commas.
    pub exposed_headers: String,
    /// Cookies and credentials are allowed.
    pub allow_credentials: bool,
    /// Seconds for which a preflight answer is valid.
    pub max_age: i64,
    /// Status of a preflight answer; 0 means 200.
    pub options_success_status: u16,
    /// Log each decision.
    pub debug: bool,
}

/// Files served without PHP.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Static {
    /// Their directory.
    pub dir: String,
    /// Extensions, with dot, that go to PHP.
    pub forbid: Vec<String>,
    /// Extensions, with dot, that alone are served; empty means all.
    pub allow: Vec<String>,
    /// Send an ETag.
    pub calculate_etag: bool,
    /// Make it a weak one.
    pub weak: bool,
    /// Headers added to the request.
    pub request: BTreeMap<String, String>,
    /// Headers set on the answer.
    pub response: BTreeMap<String, String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            address: String::new(),
            internal_error_code: 500,
            show_errors: false,
            access_logs: false,
            max_request_size: 1000,
            raw_body: false,
            middleware: Vec::new(),
            trusted_subnets: Vec::new(),
            uploads: Uploads::default(),
            ssl: None,
            http2: Http2::default(),
            http3: None,
            fcgi: None,
            headers: None,
            static_files: None,
            pool: Pool::default(),
            threads: 0,
            read_header_timeout: Dur::secs(60),
            io_timeout: Dur::secs(300),
            idle_timeout: Dur::secs(3600),
            max_header_size: 1024,
            max_connections: 0,
            no_workers_code: 0,
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            h2c: false,
            max_concurrent_streams: 128,
        }
    }
}
