//! Where a collector is.

use http::Uri;

/// A place that takes spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// With TLS.
    pub(crate) tls: bool,
    /// Name or address, an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
}

impl Target {
    /// This computer.
    pub(crate) fn local(port: u16, path: &str) -> Self {
        Self {
            tls: true,
            host: "localhost".into(),
            port,
            path: path.into(),
        }
    }

    /// Takes over what a text says: `host`, `host:port`, or a URL, whose scheme decides about TLS. Answers the URL's path.
    ///
    /// # Errors
    /// The text is neither.
    pub(crate) fn read(&mut self, text: &str) -> Result<String, String> {
        let wrong = || format!("expected host:port or a URL, found {text:?}");
        let url = match text.contains("://") {
            true => text.to_owned(),
            false => format!("any://{text}"),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let default = match uri.scheme_str() {
            Some("http") => {
                self.tls = false;
                Some(80)
            }
            Some("https") => {
                self.tls = true;
                Some(443)
            }
            Some("any") => None,
            _ => return Err(wrong()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // A colon without a number behind it is a port that cannot be read.
        let port = authority.port_u16();
        if host.is_empty() || (port.is_none() && authority.as_str().ends_with(':')) {
            return Err(wrong());
        }
        self.host = host.to_owned();
        self.port = port.or(default).unwrap_or(self.port);
        Ok(uri.path_and_query().map_or("", |path| path.as_str()).to_owned())
    }

    /// What the `Host` header says.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// A path with its slash in front.
pub(crate) fn absolute(path: &str) -> String {
    match path.trim() {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // OTEL-01
    #[test]
    fn addresses_and_urls_are_read() {
        for (text, tls, authority, path) in [
            ("10.0.0.1:4318", true, "10.0.0.1:4318", "/"),
            ("collector", true, "collector:1", "/"),
            ("[::1]:9", true, "[::1]:9", "/"),
            ("http://c:4318", false, "c:4318", "/"),
            ("http://c/a/b?x=1", false, "c:80", "/a/b?x=1"),
            ("https://c/", true, "c:443", "/"),
        ] {
            let mut target = Target::local(1, "");
            let found = target.read(text).unwrap();
            assert_eq!((target.tls, &*target.authority()), (tls, authority), "{text}");
            assert_eq!(absolute(&found), path, "{text}");
        }
        for broken in ["", "ftp://x:1", "a b:1", "http://", "c:", ":4318"] {
            assert!(Target::local(1, "").read(broken).is_err(), "{broken}");
        }
    }
}
