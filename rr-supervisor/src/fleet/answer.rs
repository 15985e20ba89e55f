//! The plugins' questions, and those about plugins that operators ask.

use super::{Fleet, plugin::Plugin};
use crate::{
    control::Question,
    plugins::lifecycle::{Event, Exit},
};
use std::time::Instant;

impl Fleet {
    /// Answers a plugin's question.
    pub(crate) fn answer(&mut self, question: Question, now: Instant) {
        match question {
            Question::Register {
                group,
                registration,
                answer,
            } => {
                let registered = self.register(group, registration, now);
                self.changed = true;
                let _ = answer.send(registered);
            }
            Question::WatchConfig { group, stream } => {
                let Some(index) = self.find(group) else { return };
                if self.is_premature(index) {
                    return self.take_over(index, stream, now);
                }
                let plugin = &mut self.plugins[index];
                plugin.give_config(stream);
                // One that comes back has started long ago.
                if plugin.process.as_ref().is_some_and(|process| process.returns) {
                    self.started(index, now);
                }
            }
            Question::Started { group, error } => {
                let Some(index) = self.find(group) else { return };
                if !error.is_empty() {
                    // It ends by itself now; its death is the event.
                    self.plugins[index].refuse(error);
                } else if !self.plugins[index].is_registered() {
                    self.plugins[index].refuse("it says Started, but has not registered".into());
                } else if self.is_premature(index) {
                    self.refuse(index, "it says Started before it was given its configuration");
                } else {
                    self.started(index, now);
                }
            }
            Question::Farewell { group, metrics, noted } => {
                let Some(index) = self.find(group) else { return };
                if let Some(ledger) = &self.around.ledger {
                    ledger.note(&self.plugins[index].entry.name, group, metrics);
                }
                let _ = noted.send(());
            }
            Question::Wake { plugin } => {
                let asleep = |known: &Plugin| known.entry.name == plugin && known.is_asleep();
                if let Some(index) = self.plugins.iter().position(asleep)
                    && !self.stopping
                {
                    self.tell(index, Event::Start, now);
                }
            }
            // The loop has it: more than the plugins are concerned.
            Question::Reload { .. } => {}
            Question::Upgrade { plugin, binary, told } => self.upgrade(&plugin, binary, told, now),
            // The loop's own.
            Question::Renew(_) => {}
            Question::Left { pid } => self.ended(pid, Exit::Unseen, now),
            Question::Handover(news) => self.handed_over(news),
            Question::Unheard { pid } => {
                if let Some(process) = self.find(pid).and_then(|index| self.plugins[index].process.as_ref()) {
                    process.terminate();
                }
            }
        }
    }
}
