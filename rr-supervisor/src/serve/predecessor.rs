//! What a program before us in this process has left for the start ([`crate::renew`]). What else it has left each room takes for itself.

use crate::{
    logs::ServerLog,
    renew::{self, Lines, baggage::Baggage},
};
use rr_common::listen::Provenance;
use std::os::fd::OwnedFd;

/// What a program before us in this process has left; nothing, if there was none.
#[derive(Debug)]
pub(super) struct Predecessor {
    /// There was one.
    pub renewed: bool,
    /// The lock of the control directory.
    pub lock: Option<OwnedFd>,
    /// The RPC socket of the control directory.
    pub door: Option<OwnedFd>,
    /// Listening sockets.
    pub listeners: Vec<(Provenance, OwnedFd)>,
    /// What the processes that it had have written last.
    pub lines: Lines,
    /// The files shall be read when everything is up.
    pub reload: bool,
    /// What the other rooms have kept.
    pub baggage: Baggage,
}

impl Predecessor {
    /// Unpacks it. The log goes on with the sockets for log lines.
    pub(super) fn unpack(baggage: Option<Baggage>, log: &ServerLog) -> Self {
        let renewed = baggage.is_some();
        let mut baggage = baggage.unwrap_or_default();
        let kept: renew::Kept = baggage.take(renew::ROOM);
        renew::count_on(kept.renewals);
        let (logs, lines) = kept.unpack_logs(&mut baggage);
        log.take_over(logs);
        let listeners = kept.listeners.into_iter();
        let listeners = listeners.filter_map(|(provenance, one)| Some((provenance, baggage.descriptor(one)?)));
        Self {
            renewed,
            listeners: listeners.collect(),
            lock: kept.lock.and_then(|lock| baggage.descriptor(lock)),
            door: kept.door.and_then(|door| baggage.descriptor(door)),
            lines,
            reload: kept.reload,
            baggage,
        }
    }
}
