//! What of the configuration concerns bodies, in the units used here.

use rr_common::config::section::Http;
use std::{path::PathBuf, time::Duration};

/// Bodies above this are kept in a temporary file instead of in memory.
const SPILL_ABOVE: usize = 1 << 20;

/// Largest text of a form, since a form is in memory while it is parsed. PHP holds it several times over and stops
/// far earlier with its usual `memory_limit`.
pub(super) const MAX_FORM: u64 = 64 << 20;

/// What of the configuration concerns bodies.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest body in bytes.
    pub max_request_size: u64,
    /// Bodies larger than this many bytes are kept in a temporary file.
    pub spill_above: usize,
    /// Forms are passed on as they are.
    pub raw_body: bool,
    /// Directory of all temporary files.
    pub uploads_dir: PathBuf,
    /// Refused extensions, lower case, with dot.
    pub forbid: Vec<String>,
    /// The only accepted extensions, lower case, with dot; empty means all.
    pub allow: Vec<String>,
    /// User and group that own uploaded files.
    pub owner: Option<(u32, u32)>,
    /// Longest wait for the next piece of a body; zero in the configuration means no limit.
    pub idle_timeout: Duration,
}

impl Settings {
    /// The settings of a configuration; `owner` is the user and group of the workers, if they have one of their own.
    pub fn new(http: &Http, owner: Option<(u32, u32)>) -> Self {
        let mebibytes = match http.max_request_size {
            0 => 1000,
            size => size,
        };
        let lower = |list: &[String]| list.iter().map(|entry| entry.to_lowercase()).collect::<Vec<_>>();
        Self {
            max_request_size: mebibytes.saturating_mul(1 << 20),
            spill_above: SPILL_ABOVE,
            raw_body: http.raw_body,
            uploads_dir: match http.uploads.dir.as_str() {
                "" => std::env::temp_dir(),
                dir => PathBuf::from(dir),
            },
            forbid: lower(&http.uploads.forbid),
            allow: lower(&http.uploads.allow),
            owner,
            idle_timeout: match http.io_timeout.0 {
                Duration::ZERO => Duration::MAX,
                timeout => timeout,
            },
        }
    }
}
