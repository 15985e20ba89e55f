//! The files that are watched in development: looked at before the first worker reads one.

use crate::watch::{self, Gate, Prepared, WatchError, Wish};
use rr_common::config::Config;
use std::path::Path;

/// What is watched.
#[derive(Debug)]
pub(super) struct Watched {
    /// What requests wait for.
    pub gate: Gate,
    /// What is to be watched.
    pub wish: Option<Wish>,
    /// The watch on it, which has not begun.
    pub prepared: Option<Prepared>,
}

impl Watched {
    /// What a configuration asks for; with `everything` the project in this directory, and the configuration's file in it.
    ///
    /// # Errors
    /// It cannot be watched.
    pub(super) fn prepare(
        gate: Gate,
        config: &Config,
        everything: bool,
        place: (&Path, &Path),
    ) -> Result<Self, WatchError> {
        let warn = |text| tracing::warn!(target: "watch", "{text}");
        let wish = Wish::of(config, everything, place, warn)?;
        let prepared = wish.clone().map(|wish| watch::prepare(wish, &gate)).transpose()?;
        if wish.is_none() {
            // Nobody would ever open it again.
            gate.forget_left();
        }
        Ok(Self { gate, wish, prepared })
    }

    /// What a plugin's requests wait for, if they do.
    pub(super) fn closing(&self) -> Option<Gate> {
        let holds = self.prepared.as_ref().is_some_and(Prepared::holds);
        holds.then(|| self.gate.clone())
    }
}
