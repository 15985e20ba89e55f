//! A process of a plugin that is no more, and what is to be remembered of it.

use super::{Cause, End, plugin::Plugin, running::Process};
use crate::plugins::lifecycle::{Actual, Exit};
use nix::sys::signal::Signal;
use rr_common::oom;
use std::time::{Instant, SystemTime};

/// A process that is no more.
#[derive(Debug)]
pub(super) struct Gone {
    process: Option<Process>,
    exit: Exit,
    words: String,
}

impl Gone {
    /// One that has ended.
    pub(super) fn of(mut process: Option<Process>, exit: Exit) -> Self {
        let refusal = process.as_mut().and_then(|process| process.refusal.take());
        Self {
            process,
            exit,
            words: refusal.unwrap_or_default(),
        }
    }

    /// One that could not be started.
    pub(super) fn unborn(words: String) -> Self {
        Self {
            process: None,
            exit: Exit::NotStarted,
            words,
        }
    }

    /// Why, for people: its own words, or how it ended and what that means.
    pub(super) fn reason(&self, end: &End) -> String {
        match (self.words.as_str(), end.words.as_str()) {
            ("", "") => end.exit_text(),
            ("", ours) => format!("{}: {ours}", end.exit_text()),
            (theirs, _) => theirs.to_owned(),
        }
    }

    /// What is to be said of a process that ended without a word and had not even registered.
    fn stranger(&self, plugin: &Plugin) -> Option<String> {
        let process = self.process.as_ref()?;
        let is_ours = process.adopted.is_none() && process.foreign.is_none();
        (is_ours && process.channel.is_none()).then(|| {
            let program = &plugin.entry.program;
            format!("{program} ended before it registered with the server, as a program does that is no plugin of it")
        })
    }

    /// What is to be remembered of it; before its lifecycle hears.
    pub(super) fn end(&mut self, plugin: &Plugin, now: Instant) -> End {
        let at = SystemTime::now();
        let life = &plugin.life;
        let cause = match life.actual() {
            Actual::Stopping { .. } => plugin.parting,
            _ if life.has_served() => Cause::Crash,
            _ => Cause::Start,
        };
        let unasked = matches!(cause, Cause::Crash | Cause::Start) && self.words.is_empty();
        let words = match unasked && cause == Cause::Start {
            true => self.stranger(plugin).unwrap_or_default(),
            false => self.words.clone(),
        };
        let process = &mut self.process;
        let oom = process.as_mut().and_then(|process| process.oom.as_mut());
        let verdict = (unasked && self.exit == Exit::Signal(Signal::SIGKILL as i32))
            .then(|| oom.map_or(oom::Verdict::Unknown, oom::Watch::look));
        End {
            pid: process.as_ref().map(|process| process.pid),
            since: process.as_ref().map_or(at, |process| process.since),
            at,
            cause,
            exit: self.exit,
            verdict,
            early: life.is_early(now),
            words,
            next: plugin.is_coming(),
            lines: process
                .as_ref()
                .map(|process| process.lines.clone())
                .unwrap_or_default(),
        }
    }
}
