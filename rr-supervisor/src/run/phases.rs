//! What a phase of the start and the stop is to the plugins and the services.

use super::{Run, order::Phase};
use std::time::Instant;

impl Run {
    pub(super) fn start(&mut self, phase: Phase, now: Instant) {
        match phase {
            Phase::Plugins(role) => self.fleet.start(role, now),
            Phase::Services => self.services.start(now),
        }
        self.systemd.starting(self.fleet.ready_by(), now);
    }

    pub(super) fn has_settled(&self, phase: Phase) -> bool {
        match phase {
            Phase::Plugins(role) => self.fleet.has_settled(role),
            // That they have been started is all that is known of them.
            Phase::Services => true,
        }
    }

    pub(super) fn stop(&mut self, phase: Phase, deadline: Instant, now: Instant) {
        match phase {
            Phase::Plugins(role) => self.fleet.stop(role, deadline, now),
            Phase::Services => self.services.stop(deadline, now),
        }
    }

    pub(super) fn is_down(&self, phase: Phase) -> bool {
        match phase {
            Phase::Plugins(role) => self.fleet.is_down(role),
            Phase::Services => self.services.is_down(),
        }
    }
}
