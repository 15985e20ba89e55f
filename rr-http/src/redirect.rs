//! `ssl.redirect`: the plain server sends everyone to HTTPS.

use crate::{reply::Reply, request};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};

const HSTS: (HeaderName, HeaderValue) = (
    header::STRICT_TRANSPORT_SECURITY,
    HeaderValue::from_static("max-age=31536000; includeSubDomains; preload"),
);

/// The answer to any request: 308 to the same place under HTTPS.
pub(crate) fn answer(head: &Parts, port: u16) -> Response<Reply> {
    let mut response = Response::new(Reply::Empty);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(HSTS.0, HSTS.1);
    if let Ok(location) = HeaderValue::try_from(location(head, port)) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn location(head: &Parts, port: u16) -> String {
    let host = without_port(request::host(head));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    }
}

/// The host without its port; a numeric IPv6 host keeps its brackets.
fn without_port(host: &str) -> &str {
    let end = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    &host[..end]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::Request;

    // HTTP-05
    #[test]
    fn the_place_stays_the_same() {
        for (host, port, target, expected) in [
            ("a.test:8080", 443, "/x?y=1", "https://a.test/x?y=1"),
            ("a.test", 8443, "/", "https://a.test:8443/"),
            ("[::1]:8080", 8443, "/", "https://[::1]:8443/"),
            ("[::1]", 443, "/", "https://[::1]/"),
        ] {
            let head = Request::get(target)
                .header("host", host)
                .body(())
                .unwrap()
                .into_parts()
                .0;
            let response = answer(&head, port);
            assert_eq!(response.status(), 308);
            assert_eq!(response.headers()["location"], expected);
            assert!(response.headers().contains_key("strict-transport-security"));
        }
    }
}
