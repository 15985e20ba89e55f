//! Development (`up --watch`): code that does not start the very first time is waited for.
//!
//! The pool begins as it would be had the code broken later ([`super::renew`]): each request tries one start and is told in PHP's words
//! why it fails, and the save that repairs it brings the workers.

use super::{
    queue::Request,
    state::{Core, Member},
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process waits.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// The pools of this process wait for code that starts.
pub(crate) fn wait() {
    AWAITED.store(true, Ordering::Relaxed);
}

/// Whether they do.
pub(super) fn is_awaited() -> bool {
    AWAITED.load(Ordering::Relaxed)
}

impl<W: Member, J: Request> Core<W, J> {
    /// The first start has failed, which is no reason to give up.
    pub(super) fn await_repair(&mut self) {
        self.renewed = true;
        self.tell_broken();
    }
}
