//! What a process tells the next one of its kind about a listening socket, beyond what the kernel tells: the address that it was asked
//! for. By that it is found again: `127.0.0.1:0` means the one socket that was bound for it, and not any on that host.

use super::{Held, Listeners, local_address};
use serde::{Deserialize, Serialize};
use std::{io, os::fd::OwnedFd, path::PathBuf, sync::PoisonError};

/// Where a socket comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The address as it was asked for; none of a socket that was passed to us, as systemd does.
    asked: Option<String>,
    /// The file of a Unix socket that was bound here, absolute.
    file: Option<PathBuf>,
    /// Somebody has taken it.
    taken: bool,
}

impl Listeners {
    /// Copies of all sockets, for [`Listeners::take_over`].
    ///
    /// # Errors
    /// No free descriptor.
    pub fn hand_over(&self) -> io::Result<Vec<(Provenance, OwnedFd)>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = held.iter().map(|held| {
            let provenance = Provenance {
                asked: held.asked.as_ref().map(ToString::to_string),
                file: held.file.clone(),
                taken: held.taken,
            };
            Ok((provenance, held.socket.try_clone()?))
        });
        copies.collect()
    }

    /// Holds these as well; those that were bound by us are let go by [`Listeners::close_unclaimed`] unless they are taken before.
    pub fn take_over(&self, sockets: Vec<(Provenance, OwnedFd)>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (provenance, socket) in sockets {
            let Ok(actual) = local_address(&socket) else { continue };
            let asked = provenance.asked.and_then(|asked| asked.parse().ok());
            held.push(Held {
                actual,
                unclaimed: asked.is_some(),
                asked,
                taken: provenance.taken,
                file: provenance.file,
                socket,
            });
        }
    }
}
