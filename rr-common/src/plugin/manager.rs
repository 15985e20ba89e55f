//! What a service manager hears of a plugin that it has started itself, alone or attached: ready, alive, stopping.
//!
//! A plugin that a supervisor has started is not told of a service manager, and says nothing.

use crate::notify::Notify;
use std::time::{Duration, Instant};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

/// How long the end may take after the deadline of the stop.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// The service manager, from the moment that the plugin is ready.
#[derive(Debug)]
pub(super) struct Manager {
    notify: Notify,
    beats: Option<JoinHandle<()>>,
}

impl Manager {
    /// Says that the plugin is ready, and from now on that it is alive, as long as this runtime and all of these are.
    pub(super) fn ready(threads: Vec<Handle>) -> Self {
        let notify = Notify::from_env();
        if let Err(error) = notify.ready() {
            tracing::warn!(target: "control", %error, "the service manager does not hear that the plugin is ready");
        }
        let every = notify
            .watchdog_limit()
            .map(|limit| limit / 2)
            .filter(|every| !every.is_zero());
        let beats = every.map(|every| tokio::spawn(beat(Notify::from_env(), every, threads)));
        Self { notify, beats }
    }

    /// The stop has begun.
    pub(super) fn stopping(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        self.notify.stopping(left + LAST_STEPS);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(beats) = &self.beats {
            beats.abort();
        }
    }
}

/// One message each time that all threads have answered.
async fn beat(notify: Notify, every: Duration, threads: Vec<Handle>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answers: Vec<_> = threads.iter().map(|thread| thread.spawn(async {})).collect();
        let all = async {
            for answer in answers {
                let _ = answer.await;
            }
        };
        if timeout(every, all).await.is_ok() {
            notify.watchdog();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use tokio::runtime::{Builder, Runtime};

    fn current() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A thread that hangs makes the whole plugin silent.
    #[test]
    fn it_is_alive_when_every_thread_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let heard = || systemd.recv(&mut [0; 64]).is_ok();
        let every = Duration::from_millis(10);
        let runtime = current();
        // Nobody runs this one.
        let hanging = current();
        let silent = beat(Notify::to(&path), every, vec![hanging.handle().clone()]);
        runtime
            .block_on(async { timeout(every * 10, silent).await })
            .unwrap_err();
        assert!(!heard());
        let alive = beat(Notify::to(&path), every, vec![runtime.handle().clone()]);
        runtime.block_on(async {
            let until_heard = async {
                while !heard() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = alive => {}
                heard = timeout(Duration::from_secs(15), until_heard) => heard.unwrap(),
            }
        });
    }
}
