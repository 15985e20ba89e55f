//! What a section `http` may not ask of this version: what is not there yet, and statuses that end no answer. To leave such a thing
//! out in silence could lay files or addresses open, so the server refuses to start with it. The plugin asks the same of what it is
//! given; a program of somebody else's in its place may have what ours has not.

use super::section::Http;

/// Middleware that this version has.
const SERVED: [&str; 2] = ["http_metrics", "otel"];
/// Middleware that is known and not there yet. Whoever brings one moves its name.
const MISSING: [&str; 5] = ["gzip", "headers", "proxy_ip_parser", "sendfile", "static"];

/// The names that may stand in `http.middleware`; any other is a warning.
pub(super) fn known_middleware() -> impl Iterator<Item = &'static str> {
    SERVED.into_iter().chain(MISSING)
}

/// Everything that this version refuses: the key, and in which way.
pub fn unfit_http(http: &Http) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut missing = |key, what: &str| {
        let message = format!("this version does not have {what} yet; take it out of the configuration");
        found.push((key, message));
    };
    let middleware = http.middleware.iter().map(String::as_str);
    let middleware: Vec<_> = middleware.filter(|name| MISSING.contains(name)).collect();
    if !middleware.is_empty() {
        missing("http.middleware", &format!("the middleware {}", middleware.join(", ")));
    }
    if http.ssl.as_ref().is_some_and(|ssl| ssl.acme.is_some()) {
        missing("http.ssl.acme", "certificates by ACME");
    }
    if http.fcgi.as_ref().is_some_and(|fcgi| !fcgi.address.is_empty()) {
        missing("http.fcgi", "FastCGI");
    }
    for (key, code) in [
        ("http.internal_error_code", http.internal_error_code),
        ("http.no_workers_code", http.no_workers_code),
    ] {
        // Zero means the default.
        if code != 0 && !(200..600).contains(&code) {
            found.push((key, format!("{code} is no status of a final answer")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::{Acme, Fcgi, Ssl};

    #[test]
    fn what_is_not_there_is_named_by_its_key() {
        let http = Http {
            middleware: ["gzip", "nobody_knows", "static", "otel"].map(Into::into).into(),
            fcgi: Some(Fcgi {
                address: "127.0.0.1:9000".into(),
            }),
            ssl: Some(Ssl {
                acme: Some(Acme::default()),
                ..Ssl::default()
            }),
            internal_error_code: 103,
            no_workers_code: 1000,
            ..Http::default()
        };
        let found = unfit_http(&http);
        let keys: Vec<_> = found.iter().map(|(key, _)| *key).collect();
        let expected = [
            "http.middleware",
            "http.ssl.acme",
            "http.fcgi",
            "http.internal_error_code",
            "http.no_workers_code",
        ];
        assert_eq!(keys, expected);
        assert!(found[0].1.contains("the middleware gzip, static yet"), "{found:?}");
        let http = Http {
            middleware: ["nobody_knows", "http_metrics"].map(Into::into).into(),
            no_workers_code: 503,
            ..Http::default()
        };
        assert!(unfit_http(&http).is_empty());
    }
}
