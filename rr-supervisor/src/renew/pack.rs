//! The loop's side of a renewal: what stands against it, and the moment itself, in which each room packs what the next program is to have.

use super::{Due, Kept, ROOM, block_signals, execute::execute, history, unblock_signals};
use crate::{fleet::Fleet, gateway::Frozen, reload::Reload, run::Run};
use std::{convert::Infallible, io, time::Instant};

/// Why this process cannot become another program now.
pub(crate) fn objection(fleet: &Fleet, reload: &Reload, is_running: bool) -> Option<String> {
    match is_running {
        true if reload.is_running() => Some("a reload is under way".to_owned()),
        true => fleet.unsettled(Instant::now()),
        false => Some("the server is starting or stopping".to_owned()),
    }
}

impl Run {
    /// Becomes another program. Comes back with the reason if that fails; nothing has changed then.
    pub(crate) fn become_another(&mut self, due: Due) -> String {
        let Due { binary, reload, frozen } = due;
        let Frozen {
            mut baggage,
            thaw: _thaw,
        } = frozen;
        let mut attempt = || -> io::Result<Infallible> {
            self.remember();
            let (logs, _hold) = self.fleet.hold_log()?;
            let mut kept = Kept {
                renewals: history().0 + 1,
                door: Some(baggage.add(self.renewal.door.try_clone()?)),
                reload,
                ..Kept::default()
            };
            let now = Instant::now();
            self.fleet.pack(logs, &mut baggage, &mut kept)?;
            self.endpoints.pack(&mut baggage, now)?;
            self.reload.pack(&mut baggage)?;
            self.services.pack(&mut baggage, now)?;
            baggage.put(ROOM, &kept)?;
            block_signals()?;
            let failed = execute(&binary, &self.renewal.origin, &baggage);
            unblock_signals();
            failed
        };
        match attempt() {
            Err(error) => format!("{}: {error}", binary.display()),
        }
    }
}
