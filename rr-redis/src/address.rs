//! Addresses as the section writes them: `host:port`, or the path of a Unix socket.

use redis::ConnectionAddr;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// Reads an address; without a port it is `port`. `None` if it is none.
    pub(crate) fn parse(text: &str, port: u16) -> Option<Self> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        if text.starts_with('/') {
            return Some(Self::Unix(text.into()));
        }
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, port),
            Some((host, number)) => (host, number.parse().ok()?),
            None => (text, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        let valid = !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@');
        (valid && !text.is_empty()).then(|| Self::Tcp(host.to_owned(), port))
    }

    /// The same for the cluster client of the `redis` crate.
    pub(crate) fn for_cluster(&self, tls: bool) -> ConnectionAddr {
        match self {
            Self::Tcp(host, port) if tls => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Self::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
            Self::Unix(path) => ConnectionAddr::Unix(path.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let tcp = |host: &str, port| Some(Address::Tcp(host.into(), port));
        assert_eq!(Address::parse("127.0.0.1:6380", 6379), tcp("127.0.0.1", 6380));
        assert_eq!(Address::parse("redis.local", 6379), tcp("redis.local", 6379));
        assert_eq!(Address::parse("tcp://redis.local:1", 6379), tcp("redis.local", 1));
        assert_eq!(Address::parse(":7000", 6379), tcp("127.0.0.1", 7000));
        assert_eq!(Address::parse("[::1]:7000", 6379), tcp("::1", 7000));
        assert_eq!(Address::parse("::1", 6379), tcp("::1", 6379));
        assert_eq!(
            Address::parse("/run/redis.sock", 0),
            Some(Address::Unix("/run/redis.sock".into()))
        );
        assert_eq!(Address::parse("unix:///run/r", 0), Some(Address::Unix("/run/r".into())));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "  ",
            "host:port",
            "host:70000",
            "redis://user@host:1",
            "a b:1",
            "unix://",
        ] {
            assert_eq!(Address::parse(text, 6379), None, "{text:?}");
        }
    }
}
