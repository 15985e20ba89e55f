//! The gate on its way to the next program of this process: the descriptors of which it consists.

use super::gate::{Gate, lock};
use crate::renew::baggage::{Baggage, Descriptor};
use nix::sys::epoll::Epoll;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::atomic::Ordering,
};

/// The name under which it is packed.
const ROOM: &str = "watch";

/// What has closed the gate in the program before us.
#[derive(Debug)]
pub(super) struct Left {
    mark: File,
    /// The kernel's queue; none, if it had to go.
    changes: Option<OwnedFd>,
    /// There were changes that had not come to rest.
    moving: bool,
}

/// All of it in words.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    gate: Option<Descriptor>,
    mark: Option<Descriptor>,
    changes: Option<Descriptor>,
    moving: bool,
}

impl Gate {
    /// Packs it, with what closes it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn pack(&self, baggage: &mut Baggage) -> io::Result<()> {
        let mut kept = Kept {
            gate: Some(baggage.add(self.copy()?)),
            ..Kept::default()
        };
        if let Some(parts) = self.present() {
            kept.mark = Some(baggage.add(parts.mark.as_fd().try_clone_to_owned()?));
            let changes = lock(&parts.changes).as_ref().map(OwnedFd::try_clone).transpose()?;
            kept.changes = changes.map(|changes| baggage.add(changes));
            kept.moving = parts.moving.load(Ordering::Relaxed);
        }
        baggage.put(ROOM, &kept)
    }

    /// The gate of the program before; none if it has left none.
    pub(crate) fn unpack(baggage: &mut Baggage) -> Option<Self> {
        let kept: Kept = baggage.take(ROOM);
        let mut take = |which: Option<Descriptor>| baggage.descriptor(which?);
        let gate = take(kept.gate)?;
        let left = take(kept.mark).map(|mark| Left {
            mark: mark.into(),
            changes: take(kept.changes),
            moving: kept.moving,
        });
        Some(Self::over(Epoll(gate), left))
    }
}

impl Left {
    /// Whether there may be changes of which the plugins were not told, or not of the last of them.
    pub(super) fn is_moving(&self) -> bool {
        self.moving || self.changes.is_none()
    }

    /// Lets go of the queue, and keeps the gate closed until the plugins have been told.
    pub(super) fn make_room(&mut self) -> bool {
        let _ = (&self.mark).write(&1_u64.to_ne_bytes());
        self.changes.take().is_some()
    }
}
