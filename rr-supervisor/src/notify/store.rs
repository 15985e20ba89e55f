//! The listening sockets that systemd keeps for us (`FileDescriptorStoreMax` of the unit), so that a restart of the service refuses
//! no connection: they wait in the kernel's queue, and the next process finds the sockets among those that it inherits.
//!
//! Sockets of a `.socket` unit are systemd's own; only what was bound here is given to it.

use super::Notify;
use crate::sockets::Sockets;
use rr_common::listen::Address;
use std::collections::BTreeSet;

/// The longest name that systemd takes.
const LONGEST: usize = 255;

/// What systemd keeps.
#[derive(Debug)]
pub(super) struct Store {
    /// Unix sockets too. Their files must then outlive us, so it must be sure that there is a store.
    unix: bool,
    names: BTreeSet<String>,
}

impl Store {
    /// Nothing yet.
    pub(super) fn new(unix: bool) -> Self {
        Self {
            unix,
            names: BTreeSet::new(),
        }
    }

    /// Gives systemd what it does not keep yet, and takes back what nobody listens on any more.
    pub(super) fn keep(&mut self, notify: &Notify, sockets: &Sockets) {
        let mut names = BTreeSet::new();
        for (address, bound_here) in sockets.held() {
            if matches!(address, Address::Unix(_)) && !self.unix {
                continue;
            }
            let name = name(&address);
            // Inherited ones come from the store, or from a `.socket` unit.
            if bound_here && !self.names.contains(&name) {
                let stored = sockets.copy(&address).and_then(|copy| notify.store(&name, &copy));
                if let Err(error) = stored {
                    tracing::error!(target: "supervisor", %address, %error, "systemd does not keep the socket for a restart");
                }
            }
            names.insert(name);
        }
        for gone in self.names.difference(&names) {
            notify.forget(gone);
        }
        self.names = names;
    }
}

/// A name that tells the address, of the characters that systemd allows.
pub(super) fn name(address: &Address) -> String {
    let readable = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | '/' => c,
        _ => '_',
    };
    let text = format!("rr-{address}");
    text.chars().map(readable).take(LONGEST).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plugins::catalog::Listen;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn each_socket_is_given_once_and_taken_back_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let heard = || {
            let mut buffer = [0; 300];
            let read = systemd.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
        };
        let notify = Notify::to(&path);
        let sockets = Sockets::new(Vec::new());
        let file = dir.path().join("s.sock");
        let address = |text: &str| Listen {
            address: text.into(),
            plain_http: false,
        };
        let unix = address(&format!("unix://{}", file.display()));
        sockets.of(&[address("127.0.0.1:0"), unix]).unwrap();
        let mut store = Store::new(false);
        store.keep(&notify, &sockets);
        let told = heard().unwrap();
        assert!(told.starts_with("FDSTORE=1\nFDNAME=rr-127.0.0.1_"), "{told}");
        assert_eq!(heard(), None, "the Unix socket's file would go with us");
        store.keep(&notify, &sockets);
        assert_eq!(heard(), None);
        // What was known before and is held no more.
        let mut store = Store::new(true);
        store.names.insert("rr-gone".into());
        store.keep(&notify, &sockets);
        let told: Vec<_> = std::iter::from_fn(heard).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[2].starts_with("FDSTOREREMOVE=1\nFDNAME=rr-gone"));
    }

    #[test]
    fn names_are_what_systemd_takes() {
        let address: Address = "tcp://[::1]:80".parse().unwrap();
        assert_eq!(name(&address), "rr-___1__80");
        let long: Address = format!("unix:///{}", "x".repeat(300)).parse().unwrap();
        assert_eq!(name(&long).len(), LONGEST);
    }
}
