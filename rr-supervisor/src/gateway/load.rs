//! How many bytes of calls and answers wait here, of all connections together.

use std::cell::Cell;

/// Bytes from which on large calls and answers are refused.
const HEAVY: usize = 512 << 20;

/// What counts as large then.
pub(super) const LARGE: usize = 64 << 10;

/// The count.
#[derive(Debug, Default)]
pub(super) struct Load(Cell<usize>);

impl Load {
    /// So many of somebody's bytes waited before, and so many do now.
    pub(super) fn change(&self, before: usize, now: usize) {
        self.0.set(self.0.get() + now - before);
    }

    /// Nothing large is taken now.
    pub(super) fn is_heavy(&self) -> bool {
        self.0.get() >= HEAVY
    }
}
