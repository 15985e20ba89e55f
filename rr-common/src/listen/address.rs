//! Reading addresses: `host:port`, `:port`, `tcp://host:port`, `unix://path?mode=0660&owner=user:group`.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    str::FromStr,
};

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// An address and what its socket's file is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Mode of a Unix socket's file; without one the umask decides.
    pub mode: Option<u32>,
    /// User of a Unix socket's file.
    pub user: Option<String>,
    /// Group of a Unix socket's file.
    pub group: Option<String>,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `host:port` nor a known scheme.
    #[error("expected host:port, :port, tcp://host:port or unix://path, not {0:?}")]
    Form(String),
    /// The host's name has no address.
    #[error("the host of {0:?} cannot be resolved: {1}")]
    Host(String, String),
    /// An unknown or unreadable part after the `?`.
    #[error("{0:?}: expected mode=0660 (octal) or owner=user:group after the path")]
    Option(String),
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let bare = |address| Self {
            address,
            mode: None,
            user: None,
            group: None,
        };
        if let Some(rest) = text.strip_prefix("unix://") {
            return unix(text, rest);
        }
        let host_port = text.strip_prefix("tcp://").unwrap_or(text);
        if host_port.contains("://") {
            return Err(AddressError::Form(text.to_owned()));
        }
        tcp(text, host_port).map(bare)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Endpoint::from_str(text).map(|endpoint| endpoint.address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn tcp(text: &str, host_port: &str) -> Result<Address, AddressError> {
    let form = || AddressError::Form(text.to_owned());
    if let Ok(address) = host_port.parse() {
        return Ok(Address::Tcp(address));
    }
    let (host, port) = host_port.rsplit_once(':').ok_or_else(form)?;
    let port: u16 = port.parse().map_err(|_| form())?;
    if host.is_empty() {
        return Ok(Address::Tcp((Ipv4Addr::UNSPECIFIED, port).into()));
    }
    if host.contains([':', '[', ']', '/', ' ']) {
        return Err(form());
    }
    let unresolved = |reason: String| AddressError::Host(text.to_owned(), reason);
    let found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| unresolved(error.to_string()))?
        .collect();
    // IPv4 first: it exists everywhere, also in containers whose /etc/hosts names ::1 without having IPv6.
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .map(|address| Address::Tcp(*address))
        .ok_or_else(|| unresolved("no address".into()))
}

fn unix(text: &str, rest: &str) -> Result<Endpoint, AddressError> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() || path.contains('\0') {
        return Err(AddressError::Form(text.to_owned()));
    }
    let mut endpoint = Endpoint {
        address: Address::Unix(path.into()),
        mode: None,
        user: None,
        group: None,
    };
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let bad = || AddressError::Option(option.to_owned());
        match option.split_once('=').ok_or_else(bad)? {
            ("mode", mode) => {
                let mode = u32::from_str_radix(mode, 8).map_err(|_| bad())?;
                endpoint.mode = Some(mode).filter(|mode| *mode <= 0o777);
                endpoint.mode.ok_or_else(bad)?;
            }
            ("owner", owner) => {
                let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
                endpoint.user = named(user);
                endpoint.group = named(group);
            }
            _ => return Err(bad()),
        }
    }
    Ok(endpoint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_roadrunner_are_read() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("tcp://127.0.0.1:6001", "127.0.0.1:6001"),
            ("tcp://:6001", "0.0.0.0:6001"),
            ("[::1]:80", "[::1]:80"),
            ("tcp://[::]:80", "[::]:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("unix://a/b.sock", "unix://a/b.sock"),
            ("unix:///run/b.sock", "unix:///run/b.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_socket_file_may_have_a_mode_and_an_owner() {
        let endpoint: Endpoint = "unix:///run/a.sock?mode=0660&owner=www-data:web".parse().unwrap();
        assert_eq!(endpoint.address, Address::Unix("/run/a.sock".into()));
        assert_eq!(endpoint.mode, Some(0o660));
        assert_eq!(endpoint.user.as_deref(), Some("www-data"));
        assert_eq!(endpoint.group.as_deref(), Some("web"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "8080",
            "127.0.0.1",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "http://127.0.0.1:80",
            "unix://",
            "unix:///a?mode=9",
            "unix:///a?mode=7777",
            "unix:///a?x=1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_path_and_options_are_read_or_refused(text in ".*") {
            let _ = format!("unix://{text}").parse::<Endpoint>();
        }

        #[test]
        fn any_port_is_read_or_refused(text in "[0-9:\\[\\]./a]*") {
            let _ = tcp(&text, &format!("127.0.0.1:{text}"));
        }
    }
}
