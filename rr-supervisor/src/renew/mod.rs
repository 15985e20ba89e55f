//! The supervisor's own program is replaced by a newer one in place (`upgrade self`, SIGUSR2): the same process, the same pid, the
//! same descriptors.
//!
//! First the new program is run as a child and says what it is ([`check`]): whether it could serve the configuration that is in force,
//! and speaks the same versions of the contract and of what is handed over. A bad one changes nothing. Then everything
//! that others hold on to is put together ([`pack`], [`baggage`]) and this process executes the new program ([`execute`]). To the plugins that
//! is a supervisor's death and an adoption ([`crate::adopt`]), but connections of RPC clients and listening sockets stay open, so that
//! nobody outside notices. The configuration in force is handed over too: what the files say by now is the business of a reload, which
//! follows at once after a signal. If the execution fails everything goes on as before.

pub(crate) mod baggage;
pub(crate) mod check;
mod execute;
mod lines;
mod pack;
mod task;
pub(crate) mod words;

use execute::block_signals;
pub(crate) use execute::{Origin, unblock_signals};
pub(crate) use lines::Lines;
pub(crate) use pack::objection;
pub(crate) use task::{Due, Renewal};

use baggage::Descriptor;
use rr_common::listen::Provenance;
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// Tells whoever asked for it: it is about to happen, or why it does not.
pub(crate) type Told = oneshot::Sender<Result<(), String>>;

/// The name under which [`Kept`] is packed.
pub(crate) const ROOM: &str = "server";

/// What the next program must have before anything else.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Times that this process has become another program.
    pub renewals: u64,
    /// The lock of the control directory.
    pub lock: Option<Descriptor>,
    /// Listening sockets.
    pub listeners: Vec<(Provenance, Descriptor)>,
    /// Our ends of the plugins' sockets for log lines.
    pub logs: Vec<Descriptor>,
    /// The RPC socket of the control directory.
    pub door: Option<Descriptor>,
    /// The files shall be read when the next program is up.
    pub reload: bool,
    /// What came there last.
    pub lines: Vec<lines::LastLines>,
}

/// Somebody wants the supervisor's program to be replaced.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The new program; the file that this one came from without it.
    pub binary: Option<PathBuf>,
    /// Who waits, unless it was a signal. After that the files are read anew too, as RoadRunner's restart by this signal does.
    pub told: Option<Told>,
}

/// Times that this process has become a new program.
static RENEWALS: AtomicU64 = AtomicU64::new(0);

/// Why the last attempt came to nothing after all had been checked.
static FAILURE: Mutex<String> = Mutex::new(String::new());

/// What this process has become so far: how often another program, and why the last attempt came to nothing.
pub(crate) fn history() -> (u64, String) {
    let failure = FAILURE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (RENEWALS.load(Ordering::Relaxed), failure)
}

/// The programs before this one had counted so many.
pub(crate) fn count_on(renewals: u64) {
    RENEWALS.store(renewals, Ordering::Relaxed);
}

/// Notes how the last attempt went.
pub(crate) fn note_failure(text: &str) {
    text.clone_into(&mut FAILURE.lock().unwrap_or_else(PoisonError::into_inner));
}
