//! What systemd hears of the server: ready, one line of state, alive, stopping; and the listening sockets that it keeps for us.

mod pulse;
mod store;
mod words;

use crate::{fleet::Roster, sockets::Sockets};
use pulse::Pulse;
pub(crate) use rr_common::notify::Notify;
use std::{
    env, io,
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    runtime::Handle,
    time::{Interval, MissedTickBehavior, interval},
};

/// How long the end may take besides the grace period: the last ends of processes and the last lines of the log.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// How long one step of the start may take besides what its plugins are allowed.
const SPARE: Duration = Duration::from_secs(10);

/// Whether systemd keeps Unix sockets too, whose files must then outlive us. Only a newer one (254) tells that there is a store.
pub(crate) fn keeps_unix_sockets() -> bool {
    env::var_os("FDSTORE").is_some() && env::var_os("NOTIFY_SOCKET").is_some()
}

/// The service manager, as the loop talks to it.
#[derive(Debug)]
pub(crate) struct Systemd {
    notify: Notify,
    /// One tick is one `WATCHDOG=1`.
    ticks: Option<Interval>,
    pulse: Pulse,
    store: Store,
    said: String,
}

impl Systemd {
    /// With a watchdog if the unit (`WatchdogSec`) or `endure.watchdog_sec` asks for one: both are limits of our silence. A message
    /// goes out only if the RPC thread is alive as well.
    pub(crate) fn new(notify: Notify, watchdog_sec: u64, rpc_thread: Handle) -> Self {
        Self {
            ticks: ticks(&notify, watchdog_sec),
            pulse: Pulse::new(rpc_thread),
            store: Store::new(keeps_unix_sockets()),
            said: String::new(),
            notify,
        }
    }

    /// Another `endure.watchdog_sec`.
    pub(crate) fn set_watchdog(&mut self, watchdog_sec: u64) {
        self.ticks = ticks(&self.notify, watchdog_sec);
    }

    /// What the configuration says is about to take effect; [`Systemd::ready`] ends that.
    pub(crate) fn reloading(&self) {
        self.notify.reloading();
    }

    /// Closes inherited sockets that no address of the configuration means, and lets systemd forget those that it keeps for us.
    pub(crate) fn drop_untaken(notify: &Notify, sockets: &Sockets) {
        for address in sockets.drop_untaken() {
            tracing::warn!(target: "config", %address, "a socket was passed to the server that no address of its configuration means; it is closed");
            notify.forget(&store::name(&address));
        }
    }

    /// A step of the start begins, whose plugins must be ready by then.
    pub(crate) fn starting(&self, ready_by: Option<Instant>, now: Instant) {
        if let Some(ready_by) = ready_by {
            self.notify.extend(ready_by.saturating_duration_since(now) + SPARE);
        }
    }

    /// Everything is up.
    ///
    /// # Errors
    /// The message could not be sent.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.notify.ready()
    }

    /// The stop has begun.
    pub(crate) fn stopping(&self, grace: Duration) {
        self.notify.stopping(grace + LAST_STEPS);
    }

    /// Shows the state of the plugins, and gives systemd the sockets that it does not keep yet.
    pub(crate) fn show(&mut self, roster: &Roster, sockets: &Sockets) {
        if !self.notify.is_on() {
            return;
        }
        let words = words::of(roster);
        if words != self.said {
            self.notify.status(&words);
            self.said = words;
        }
        self.store.keep(&self.notify, sockets);
    }

    /// Waits for the next time to say that we are alive, and says so. Only the loop calls it, so that a loop that hangs is silent.
    pub(crate) async fn beat(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => return std::future::pending().await,
        }
        if self.pulse.take() {
            self.notify.watchdog();
        } else {
            tracing::error!(target: "supervisor", "the RPC thread does not answer; systemd hears nothing until it does");
        }
    }
}

/// When to say that we are alive, if anybody wants to know.
fn ticks(notify: &Notify, watchdog_sec: u64) -> Option<Interval> {
    let configured = Some(watchdog_sec).filter(|seconds| *seconds > 0 && notify.is_on());
    let limits = [notify.watchdog_limit(), configured.map(Duration::from_secs)];
    // Twice as often as asked for, so that a late tick is no alarm.
    let every = limits.into_iter().flatten().min().map(|limit| limit / 2);
    every.filter(|every| !every.is_zero()).map(|every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    })
}
