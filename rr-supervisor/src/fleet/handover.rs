//! A *paused* replacement: the plugin's next process takes over what the present one keeps for others.
//!
//! ```text
//! next one      started, registered, asks for its configuration ──┐            takes over, ready: promoted
//! present one   serves ───────────────────────────────────────── paused ─────── stopped
//! calls         go to the present one                             wait ──────── go to the next one
//! ```
//!
//! The configuration is held back until the present process has paused, so a program that is no plugin, or speaks another contract, is
//! found out before anybody has waited. A pause lasts `endure.grace_period` at most. Whatever goes wrong before the next one is ready, that
//! one is killed first, and then the present one goes on with what it has kept: never do both have it.

use super::{
    Fleet,
    plugin::{Plugin, Standing},
    replace::Told,
};
use crate::{
    control::{ConfigStream, Question},
    plugins::lifecycle::{Actual, Event},
};
use nix::unistd::Pid;
use rr_common::control::v1::{self, plugin_client::PluginClient};
use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use tonic::{Code, Request, Status, transport::Channel};

/// What a plugin may take for its answer, beyond the time that it was given.
const SLACK: Duration = Duration::from_secs(1);

/// How far a coming generation is.
#[derive(Debug)]
pub(super) enum Takeover {
    /// It takes over nothing: two processes serve for a while.
    None,
    /// It has not asked for its configuration yet.
    Awaited,
    /// It waits for its configuration, while the present one hands over.
    Waiting(ConfigStream),
    /// It has been given everything, and the present one changes nothing any more.
    Begun,
}

/// A serving generation that is paused, or about to be.
#[derive(Debug)]
pub(super) struct Held {
    /// By then the pause is over.
    until: Instant,
    /// It is asked to go on, and then these are told why nothing came of its replacement.
    refused: Option<(Told, String)>,
}

/// A memory file that outlives a plugin's processes, and the one in which they hand over.
pub(super) type Files = (Option<OwnedFd>, Option<OwnedFd>);

/// What became of a request to a plugin.
#[derive(Debug)]
pub(crate) enum Handover {
    /// The present process has answered, or not.
    Paused {
        /// The process that is to take over.
        next: Pid,
        /// Done, or why not.
        outcome: Result<(), Refusal>,
    },
    /// The present process goes on, or does not.
    Resumed {
        /// The present process.
        present: Pid,
        /// Done, or why not.
        outcome: Result<(), String>,
    },
}

/// Why a plugin does not hand over.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It does not know how.
    Unable,
    /// It could not; the text is for people.
    Failed(String),
}

impl Fleet {
    /// A coming generation asks for its configuration, and would then take over.
    pub(super) fn take_over(&mut self, index: usize, stream: ConfigStream, now: Instant) {
        let name = self.plugins[index].entry.name.clone();
        let (Some(next), Some(present)) = (self.plugins[index].pid(), self.serving(&name)) else {
            return;
        };
        let plugin = &mut self.plugins[present];
        let channel = plugin.process.as_ref().and_then(|process| process.channel.clone());
        match (plugin.life.actual(), channel) {
            // Nobody has anything to hand over.
            (Actual::Down | Actual::Failed, _) => self.give_all(index, stream),
            (Actual::Up { .. }, _) if plugin.handover.is_none() => {
                self.refuse(index, "the present process was started by an earlier supervisor, and there is no file in which it could hand over; restart the server");
            }
            (Actual::Up { .. }, Some(channel)) if plugin.life.is_ready() => {
                let until = now + self.grace;
                plugin.held = Some(Held { until, refused: None });
                self.plugins[index].life.hurry(until);
                if let Standing::Coming { takeover, .. } = &mut self.plugins[index].standing {
                    *takeover = Takeover::Waiting(stream);
                }
                // Calls wait from now on, before the plugin gives back the first.
                self.changed = true;
                self.publish();
                tracing::info!(target: "supervisor", plugin = name, "paused: it hands over to its next process");
                // The other half is for the next process.
                let (questions, within) = (self.around.questions.clone(), self.grace / 2);
                tokio::spawn(async move {
                    let outcome = pause(channel, within).await;
                    let _ = questions
                        .send(Question::Handover(Handover::Paused { next, outcome }))
                        .await;
                });
            }
            _ => self.refuse(index, "the present process is not ready: it starts, restarts or stops"),
        }
    }

    /// What became of a request to a plugin.
    pub(super) fn handed_over(&mut self, news: Handover) {
        match news {
            Handover::Paused { next, outcome } => self.paused(next, outcome),
            Handover::Resumed { present, outcome } => self.resumed(present, outcome),
        }
    }

    fn paused(&mut self, next: Pid, outcome: Result<(), Refusal>) {
        let Some(index) = self.find(next) else { return };
        // The time may be over, or the present one dead.
        let Standing::Coming { takeover, .. } = &mut self.plugins[index].standing else {
            return;
        };
        let stream = match std::mem::replace(takeover, Takeover::Awaited) {
            Takeover::Waiting(stream) => stream,
            other => {
                *takeover = other;
                return;
            }
        };
        match outcome {
            Ok(()) => {
                let name = &self.plugins[index].entry.name;
                tracing::debug!(target: "supervisor", plugin = name, "the present process has handed over");
                self.give_all(index, stream);
            }
            Err(Refusal::Unable) => {
                let name = self.plugins[index].entry.name.clone();
                if let Some(present) = self.serving(&name) {
                    self.plugins[present].held = None;
                    self.changed = true;
                }
                self.refuse(index, "the plugin cannot hand over what it keeps (it does not know `Pause`), and so cannot be replaced while it serves; restart the server");
            }
            Err(Refusal::Failed(reason)) => {
                self.refuse(index, &format!("the present process did not hand over: {reason}"));
            }
        }
    }

    /// Gives a coming generation everything.
    fn give_all(&mut self, index: usize, stream: ConfigStream) {
        let plugin = &mut self.plugins[index];
        if let Standing::Coming { takeover, .. } = &mut plugin.standing {
            *takeover = Takeover::Begun;
        }
        plugin.give_config(stream);
    }

    /// True for a generation that says it is ready before it was given what it should take over.
    pub(super) fn is_premature(&self, index: usize) -> bool {
        let standing = &self.plugins[index].standing;
        matches!(
            standing,
            Standing::Coming {
                takeover: Takeover::Awaited | Takeover::Waiting(_),
                ..
            }
        )
    }

    /// A coming generation is not wanted any more; its death is the event.
    pub(super) fn refuse(&mut self, index: usize, reason: &str) {
        let reason = reason.to_owned();
        if let Some(process) = &mut self.plugins[index].process {
            process.refusal.get_or_insert(reason);
            process.kill();
        }
    }

    /// The serving generation has died. Returns true if its next one is about to take its place, so that it is not restarted.
    pub(super) fn died_over_it(&mut self, index: usize, now: Instant) -> bool {
        if self.plugins[index].held.is_none() {
            return false;
        }
        let name = self.plugins[index].entry.name.clone();
        match self.coming(&name).map(|next| (next, &self.plugins[next].standing)) {
            Some((
                _,
                Standing::Coming {
                    takeover: Takeover::Begun,
                    ..
                },
            )) => {
                tracing::warn!(target: "supervisor", plugin = name, "the plugin has died after it had handed over: nothing is lost, its next process goes on");
                self.plugins[index].life.on(Event::Stop(now), now);
                return true;
            }
            Some((next, _)) => self.refuse(next, "the present process has died before it had handed over"),
            None => {}
        }
        self.release(index);
        false
    }

    /// A coming generation has come to nothing: the present one goes on, and then whoever asked is told why.
    pub(super) fn go_on(&mut self, name: &str, told: Told, reason: String, now: Instant) {
        let present = self.serving(name);
        let held = present.and_then(|present| Some((present, self.plugins[present].held.as_ref()?.until)));
        let Some((present, until)) = held else {
            let _ = told.send(Err(reason));
            return;
        };
        let plugin = &mut self.plugins[present];
        let process = plugin.process.as_ref();
        let Some((pid, channel)) = process.and_then(|process| Some((process.pid, process.channel.clone()?))) else {
            tracing::error!(target: "supervisor", plugin = name, "both processes of the plugin have died: what it kept in its memory only is lost");
            self.release(present);
            let _ = told.send(Err(reason));
            return self.tell(present, Event::Start, now);
        };
        plugin.held = Some(Held {
            until,
            refused: Some((told, reason)),
        });
        // Calls have waited for long enough, but for the moment that an answer takes.
        let within = until.saturating_duration_since(now);
        let questions = self.around.questions.clone();
        tokio::spawn(async move {
            let outcome = resume(channel, within).await;
            let news = Handover::Resumed { present: pid, outcome };
            let _ = questions.send(Question::Handover(news)).await;
        });
    }

    fn resumed(&mut self, present: Pid, outcome: Result<(), String>) {
        let Some(index) = self.find(present) else { return };
        if let Err(error) = outcome
            && let Some(process) = &self.plugins[index].process
        {
            let name = &self.plugins[index].entry.name;
            tracing::error!(target: "supervisor", plugin = name, "the plugin cannot go on after its pause and is restarted, what it kept in its memory only is lost: {error}");
            process.kill();
        }
        self.release(index);
    }

    /// A pause is over, however it went: nothing that was handed over may be found by a later process.
    pub(super) fn release(&mut self, index: usize) {
        let plugin = &mut self.plugins[index];
        if let Some(Held { refused, .. }) = plugin.held.take() {
            self.changed = true;
            if let Some((told, reason)) = refused {
                let _ = told.send(Err(reason));
            }
        }
        if let Some(error) = plugin.empty_handover().err() {
            tracing::error!(target: "supervisor", plugin = plugin.entry.name, %error, "what was handed over cannot be removed");
        }
    }

    /// True for a plugin whose present generation is paused.
    pub(super) fn is_held(&self, index: usize) -> bool {
        self.plugins[index].held.is_some()
    }
}

impl Plugin {
    /// Why it is killed, if it should have taken over by now.
    pub(super) fn too_late_for_takeover(&self, within: Duration) -> Option<String> {
        match &self.standing {
            Standing::Coming {
                takeover: Takeover::Waiting(_) | Takeover::Begun,
                ..
            } => Some(format!("it did not take over within {within:?}")),
            _ => None,
        }
    }

    /// The file for what it hands over, emptied.
    pub(super) fn empty_handover(&self) -> io::Result<()> {
        match &self.handover {
            Some(file) => File::from(file.try_clone()?).set_len(0),
            None => Ok(()),
        }
    }

    /// Gives the next generation the files of this one.
    pub(super) fn files(&self) -> io::Result<Files> {
        let copy = |file: &Option<OwnedFd>| file.as_ref().map(OwnedFd::try_clone).transpose();
        Ok((copy(&self.state)?, copy(&self.handover)?))
    }
}

async fn pause(channel: Channel, within: Duration) -> Result<(), Refusal> {
    let mut request = Request::new(v1::PauseRequest {
        deadline_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    });
    request.set_timeout(within + SLACK);
    match PluginClient::new(channel).pause(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::Unimplemented => Err(Refusal::Unable),
        Err(status) => Err(Refusal::Failed(said(&status))),
    }
}

async fn resume(channel: Channel, within: Duration) -> Result<(), String> {
    let mut request = Request::new(v1::ResumeRequest {});
    request.set_timeout(within + SLACK);
    let resumed = PluginClient::new(channel).resume(request).await;
    resumed.map(drop).map_err(|status| said(&status))
}

fn said(status: &Status) -> String {
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => "it did not answer in time".into(),
        Code::FailedPrecondition => status.message().to_owned(),
        _ => status.to_string(),
    }
}
