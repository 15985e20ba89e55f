//! The words in which [`super::freeze`] packs what is on the RPC thread. Clients are named by their place in the list. Whoever reads
//! them trusts none: what makes no sense is left out.

use super::{intake::Intake, outlet::Outlet};
use crate::renew::baggage::{Baggage, Descriptor, Span};
use rr_common::rpc::Quiet;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, io, os::fd::AsFd, path::PathBuf, time::Duration};

/// The name under which it is packed.
const ROOM: &str = "gateway";

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub clients: Vec<KeptClient>,
    pub plugins: Vec<KeptPlugin>,
}

/// A connection with what has come and what is still to go over it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptStream {
    pub socket: Descriptor,
    /// Bytes that were read and belong to frames that nobody has taken.
    pub unread: Span,
    /// Bytes of a refused frame that are still to come.
    pub skip: usize,
    /// Bytes that the peer has not taken.
    pub unsent: Span,
}

/// A client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptClient {
    pub stream: KeptStream,
    /// It sends nothing more.
    pub ended: bool,
}

/// A plugin.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptPlugin {
    pub name: String,
    /// Calls that have arrived.
    pub arrivals: u64,
    /// Its connections; new calls go over the last one if that is `present`.
    pub links: Vec<KeptLink>,
    pub present: bool,
    pub waiting: Vec<KeptWaiting>,
}

/// A plugin's connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptLink {
    pub stream: KeptStream,
    /// The plugin's socket, and whether it takes connections that are lent.
    pub path: PathBuf,
    pub leases: bool,
    pub generation: u32,
    pub page: Option<KeptPage>,
    pub calls: Vec<KeptCall>,
}

/// The page of the connections that are lent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptPage {
    pub file: Descriptor,
    pub free: Vec<u32>,
}

/// What a plugin has under a number.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptCall {
    pub place: usize,
    pub generation: u32,
    pub held: KeptHeld,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum KeptHeld {
    /// A call, with its place among all of the plugin's.
    Caller(KeptCaller, u64),
    /// A client's connection, with its slot in the page.
    Client(usize, u32),
}

/// Who called.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptCaller {
    pub client: usize,
    pub sequence: u32,
    pub codec_bit: u8,
    pub method: Span,
    pub given_back: u16,
}

/// A call that waits for its plugin.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptWaiting {
    pub arrival: u64,
    pub caller: KeptCaller,
    pub frame: Span,
    /// How much longer it waits.
    pub left: Duration,
}

/// The bytes of a connection that goes on.
pub(super) struct Bytes {
    unread: Vec<u8>,
    skip: usize,
    unsent: Vec<u8>,
}

impl KeptStream {
    pub(super) fn pack(stream: &Quiet, intake: &Intake, outlet: &Outlet, baggage: &mut Baggage) -> io::Result<Self> {
        let (unread, skip) = intake.unread();
        Ok(Self {
            unread: baggage.add_bytes(unread),
            skip,
            unsent: baggage.add_bytes(&outlet.unsent()),
            socket: baggage.add(stream.as_fd().try_clone_to_owned()?),
        })
    }

    /// Nothing if it is not there, or has ended by now.
    pub(super) fn unpack(&self, baggage: &mut Baggage) -> Option<(Quiet, Bytes)> {
        let bytes = Bytes {
            unread: baggage.bytes(self.unread)?.to_vec(),
            skip: self.skip,
            unsent: baggage.bytes(self.unsent)?.to_vec(),
        };
        let stream = Quiet::inherited(baggage.descriptor(self.socket)?).ok()?;
        Some((stream, bytes))
    }
}

impl Bytes {
    /// Gives them to whoever goes on with the connection.
    pub(super) fn give(self, intake: &RefCell<Intake>, outlet: &Outlet) {
        let mut intake = intake.borrow_mut();
        intake.keep(&self.unread);
        intake.pass_over(self.skip);
        outlet.send(&self.unsent);
    }
}

impl Kept {
    pub(super) fn put(&self, baggage: &mut Baggage) -> io::Result<()> {
        baggage.put(ROOM, self)
    }

    pub(super) fn take(baggage: &mut Baggage) -> Self {
        baggage.take(ROOM)
    }
}
