//! Dead references: files that a key names and that do not exist, pipelines that nobody defines, and so on. These are
//! errors, because the server could not do what the file says.

use super::{
    Config,
    diagnostic::{Diagnostic, Findings},
    node::Node,
};
use std::path::Path;

/// Names of the HTTP middleware that exist.
const MIDDLEWARE: [&str; 7] = [
    "cors",
    "gzip",
    "headers",
    "http_metrics",
    "otel",
    "proxy_ip_parser",
    "sendfile",
];

struct Check<'a> {
    root: &'a Node,
    base_dir: &'a Path,
    findings: &'a mut Findings,
}

/// Checks every reference of a converted configuration.
pub(super) fn check(config: &Config, root: &Node, base_dir: &Path, findings: &mut Findings) {
    let mut check = Check {
        root,
        base_dir,
        findings,
    };
    check.http(config);
}

impl Check<'_> {
    fn error(&mut self, key: &str, message: String) {
        let node = self.root.find(key.split('.'));
        let origin = node.map(|node| node.origin.clone()).unwrap_or_default();
        self.findings.errors.push(Diagnostic::at(&origin, key, message));
    }

    /// A file that must exist.
    fn file(&mut self, key: &str, path: &str) {
        if !path.is_empty() && !self.base_dir.join(path).is_file() {
            self.error(key, format!("no such file: {path}"));
        }
    }

    fn http(&mut self, config: &Config) {
        let Some(http) = &config.http else { return };
        if let Some(ssl) = &http.ssl {
            self.file("http.ssl.key", &ssl.key);
            self.file("http.ssl.cert", &ssl.cert);
            self.file("http.ssl.root_ca", &ssl.root_ca);
        }
        if let Some(files) = &http.static_files
            && !self.base_dir.join(&files.dir).is_dir()
        {
            self.error("http.static.dir", format!("no such directory: {}", files.dir));
        }
        for name in &http.middleware {
            if name != "static" && !MIDDLEWARE.contains(&name.as_str()) {
                let node = self.root.find(["http", "middleware"]);
                let origin = node.map(|node| node.origin.clone()).unwrap_or_default();
                let message = format!("requested middleware does not exist: {name}");
                let warning = Diagnostic::at(&origin, "http.middleware", message);
                self.findings.warnings.push(warning);
            }
        }
    }
}
