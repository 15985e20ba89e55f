//! What of the configuration a request meets, in the form in which it is used.

use crate::{
    body,
    middleware::{HttpMetrics, Layers},
};
use http::StatusCode;
use rr_common::{
    config::{self, section::Http},
    plugin::StartError,
};
use rr_otel::Tracer;
use std::{sync::Arc, time::Duration};

/// What of the configuration a request meets.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Status of every internal failure.
    pub(crate) internal_error: StatusCode,
    /// Status for a request that found no free worker.
    pub(crate) no_workers: StatusCode,
    /// Failures are shown to the client.
    pub(crate) debug: bool,
    /// The long form of the request log.
    pub(crate) access_logs: bool,
    /// HTTP/2 on the plain addresses.
    pub(crate) h2c: bool,
    /// Where the plain addresses send everyone, if they do.
    pub(crate) redirect: Option<u16>,
    /// Longest wait for a client that takes no bytes.
    pub(crate) write_timeout: Duration,
    /// What concerns bodies.
    pub(crate) body: body::Settings,
    /// The middleware.
    pub(crate) layers: Layers,
}

impl Settings {
    /// Settings of a configuration that this version can serve.
    pub(crate) fn new(
        http: &Http,
        owner: Option<(u32, u32)>,
        metrics: &Arc<HttpMetrics>,
        tracer: Option<&Tracer>,
    ) -> Result<Self, StartError> {
        check(http)?;
        let internal_error = status(http.internal_error_code, StatusCode::INTERNAL_SERVER_ERROR);
        let redirect = http.ssl.as_ref().filter(|ssl| ssl.redirect);
        Ok(Self {
            internal_error,
            no_workers: status(http.no_workers_code, internal_error),
            debug: http.pool.debug || http.show_errors,
            access_logs: http.access_logs,
            h2c: http.http2.h2c,
            redirect: redirect.map(|ssl| port(&ssl.address)),
            write_timeout: http.io_timeout.0,
            body: body::Settings::new(http, owner),
            layers: Layers::new(&http.middleware, metrics, tracer),
        })
    }
}

/// Says what this version refuses. A supervisor of the same version has said it before, and with the lines of the file.
fn check(http: &Http) -> Result<(), StartError> {
    let unfit = config::unfit_http(http);
    let lines: Vec<_> = unfit.iter().map(|(key, message)| format!("{key}: {message}")).collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(StartError(lines.join("\n"))),
    }
}

/// A status that was checked; zero means the default.
fn status(code: u16, default: StatusCode) -> StatusCode {
    match code {
        0 => default,
        code => StatusCode::from_u16(code).unwrap_or(default),
    }
}

/// The port of an address; what has none is a Unix socket or means HTTPS' own.
fn port(address: &str) -> u16 {
    address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .unwrap_or(443)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rr_common::config::section::{Fcgi, Ssl};

    fn settings(http: &Http) -> Result<Settings, StartError> {
        Settings::new(http, None, &Arc::new(HttpMetrics::new()), None)
    }

    // HTTP-23
    #[test]
    fn what_is_not_there_is_named_at_once() {
        let http = Http {
            middleware: vec!["gzip".into(), "nobody_knows".into(), "static".into()],
            fcgi: Some(Fcgi {
                address: "127.0.0.1:9000".into(),
            }),
            ..Http::default()
        };
        let error = settings(&http).unwrap_err().0;
        let mut lines = error.lines();
        assert!(
            lines.next().unwrap().contains("the middleware gzip, static yet"),
            "{error}"
        );
        assert!(lines.next().unwrap().starts_with("http.fcgi: "), "{error}");
        let http = Http {
            middleware: vec!["nobody_knows".into(), "http_metrics".into()],
            ..Http::default()
        };
        assert!(settings(&http).is_ok());
    }

    // HTTP-19
    #[test]
    fn error_codes_are_final_ones() {
        let with = |internal_error_code, no_workers_code| {
            settings(&Http {
                internal_error_code,
                no_workers_code,
                ..Http::default()
            })
        };
        let settings = with(0, 0).unwrap();
        assert_eq!(
            (settings.internal_error, settings.no_workers),
            (500.try_into().unwrap(), 500.try_into().unwrap())
        );
        let settings = with(555, 503).unwrap();
        assert_eq!(
            (settings.internal_error.as_u16(), settings.no_workers.as_u16()),
            (555, 503)
        );
        assert!(with(103, 0).is_err());
        assert!(with(1000, 0).is_err());
    }

    #[test]
    fn the_redirect_goes_to_the_https_port() {
        let with = |address: &str| {
            let ssl = Ssl {
                redirect: true,
                address: address.into(),
                ..Ssl::default()
            };
            settings(&Http {
                ssl: Some(ssl),
                ..Http::default()
            })
            .unwrap()
            .redirect
        };
        assert_eq!(with("127.0.0.1:8443"), Some(8443));
        assert_eq!(with(":443"), Some(443));
        assert_eq!(with("unix:///run/tls.sock"), Some(443));
    }
}
