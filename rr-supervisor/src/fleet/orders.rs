//! What a plugin's process is told: its configuration, and that it shall stop.

use super::{
    Surroundings,
    plugin::{Plugin, Standing},
};
use crate::{
    control::{self, ConfigStream, Question},
    deadline, metrics,
};
use rr_common::control::v1::WatchConfigResponse;
use std::time::Instant;

impl Plugin {
    /// Gives its process the configuration, by a stream whose end will tell it that we are gone.
    pub(super) fn give_config(&mut self, stream: ConfigStream) {
        let config = self.config.to_vec();
        if let Some(process) = &mut self.process
            && stream.try_send(Ok(WatchConfigResponse { config })).is_ok()
        {
            process.config = Some(stream);
        }
    }

    /// Tells its process of another configuration. One that has not taken the last one yet reads this one at its next start.
    pub(super) fn send_config(&self) {
        let config = self.config.to_vec();
        let stream = self.process.as_ref().and_then(|process| process.config.as_ref());
        if let Some(stream) = stream
            && stream.try_send(Ok(WatchConfigResponse { config })).is_err()
        {
            tracing::warn!(target: "supervisor", plugin = self.entry.name, "the plugin does not take its changed configuration");
        }
    }

    /// Asks its process to stop: over the contract, or by a signal when it is not registered yet or does not hear.
    pub(super) fn ask_stop(&self, around: &Surroundings, now: Instant) {
        let Some(process) = &self.process else { return };
        let pid = process.pid;
        let Some(channel) = process.channel.clone() else {
            return process.terminate();
        };
        let kill_at = self.life.wake().unwrap_or(now);
        let within = deadline::told(now, kill_at);
        let questions = around.questions.clone();
        let ledger = around.ledger.clone();
        let name = self.entry.name.clone();
        let replaced = matches!(self.standing, Standing::Leaving);
        let (past, parting) = (around.past.clone(), self.parting);
        tokio::spawn(async move {
            if let Some(ledger) = ledger {
                metrics::last_words(&ledger, &name, pid, channel.clone()).await;
            }
            if replaced {
                past.gather(&name, parting, channel.clone()).await;
            }
            if !control::ask_stop(channel, within, replaced).await {
                let _ = questions.send(Question::Unheard { pid }).await;
            }
        });
    }
}
