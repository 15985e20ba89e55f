//! The log of the whole server: the outputs and the thread that writes them, for the supervisor's own lines and for
//! those of every plugin.
//!
//! A plugin gets a socket from [`ServerLog::socket`], by inheritance and named in `RR_LOG_FD`; it formats its lines
//! itself, as the `logs` section says that the supervisor sends it. For `up` that section is changed by [`for_people`].

use rr_common::config::section::Logs;
use rr_common::telemetry::sink::{Input, Sink};
use rr_common::telemetry::{LogError, Tail, log};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// How long the outputs may take for what has come.
const HOLD: Duration = Duration::from_secs(1);

/// The log of the whole server.
#[derive(Debug)]
pub(crate) struct ServerLog {
    sink: Sink,
    /// The supervisor's own lines.
    own: log::Guard,
}

/// Makes lines for people in front of a terminal: a name before each line, no JSON, everything on stderr. Channels and
/// files of the section are left out.
pub(crate) fn for_people(logs: &mut Logs) {
    let level = std::mem::take(&mut logs.main.level);
    *logs = Logs::default();
    logs.main.mode = "up".into();
    // What each worker does is of interest only to those who ask for it.
    logs.main.level = if level.is_empty() { "info".into() } else { level };
}

impl ServerLog {
    /// Opens the outputs, starts the writing thread, and makes the supervisor's own events lines of the logger
    /// `supervisor`, by the settings of `own`.
    ///
    /// # Errors
    /// A wrong section, or an output that cannot be opened.
    pub(crate) fn start(logs: &Logs, own: &Logs) -> Result<Self, LogError> {
        let sink = Sink::start(log::Outputs::open(logs)?)?;
        let own = log::init_on(own, "supervisor", sink.connect()?)?;
        Ok(Self { sink, own })
    }

    /// A plugin's end of a new socket; its last lines stand in the tail too. It is closed on exec, so it must be passed on explicitly; close it here once the
    /// plugin runs, since the log ends when every such end is closed.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn socket(&self, lines: Tail) -> io::Result<OwnedFd> {
        self.sink.connect_noted(lines)
    }

    /// Plugins' ends that a program before us in this process has read.
    pub(crate) fn take_over(&self, inputs: Vec<Input>) {
        if let Err(error) = self.sink.take_over(inputs) {
            tracing::warn!(target: "supervisor", %error, "log lines are lost");
        }
    }

    /// Writes what has come, and leaves what comes for the next program, until what comes back is dropped.
    ///
    /// # Errors
    /// An output stands still.
    pub(crate) fn hold(&self) -> io::Result<(Vec<Input>, SyncSender<()>)> {
        self.sink.hold(HOLD)
    }

    /// Other outputs, and other settings of our own lines.
    ///
    /// # Errors
    /// A wrong section; the outputs stay then.
    pub(crate) fn reconfigure(&self, outputs: log::Outputs, own: &Logs) -> Result<(), LogError> {
        log::reconfigure(own)?;
        self.sink.replace(outputs);
        Ok(())
    }

    /// Opens the files anew (SIGHUP).
    pub(crate) fn reopen(&self) {
        self.sink.reopen();
    }

    /// Writes what is on its way, the last lines of plugins that have ended included, and returns when all is written,
    /// or after the timeout: a process that still holds a socket may be left.
    pub(crate) fn finish(self, timeout: Duration) {
        drop(self.own);
        self.sink.finish(timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rr_common::config::section::LogChannel;

    #[test]
    fn up_keeps_the_level_and_nothing_else() {
        let mut logs = Logs::default();
        logs.main.mode = "production".into();
        logs.main.level = "warn".into();
        logs.main.output = vec!["/var/log/rr.log".into()];
        logs.channels.insert("http".into(), LogChannel::default());
        for_people(&mut logs);
        assert_eq!((logs.main.mode.as_str(), logs.main.level.as_str()), ("up", "warn"));
        assert!(logs.main.output.is_empty() && logs.channels.is_empty());
    }
}
