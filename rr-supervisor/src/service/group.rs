//! The processes of one service: carries out what each [`Life`] decides.

use super::{
    around::Around,
    life::{Action, Event, Life},
    spawn,
    spec::Spec,
};
use crate::{plugins::lifecycle::Exit, plugins::process::kill_group, reaper};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rr_common::telemetry::{Level, log};
use std::time::{Instant, SystemTime};
use tokio::sync::oneshot;

/// Who waits for a group, and what he is told when it has come to rest.
pub(super) type Waiter = (oneshot::Sender<Result<(), String>>, Result<(), String>);

/// One service.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) spec: Spec,
    pub(super) members: Vec<Member>,
    /// It goes when its last process has gone.
    pub(super) leaving: bool,
    /// It was started, perhaps by the program before us: the start of the server leaves it alone.
    pub(super) begun: bool,
    /// By a call; others are of the configuration.
    pub(super) created: bool,
    pub(super) waiters: Vec<Waiter>,
}

/// One process, or the place for it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) life: Life,
    pub(super) process: Option<Process>,
    /// The last one that was started.
    pub(super) pid: Option<Pid>,
    /// How it ended, or why it could not be started.
    pub(super) ended: String,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) since: SystemTime,
    /// Its own end; others of its group may still be at work.
    pub(super) exit: Option<Exit>,
    /// It and its group were killed.
    pub(super) killed: bool,
}

/// One process as others see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// The last one that was started; 0 if none ever was.
    pub pid: u32,
    /// Its command.
    pub command: String,
    /// When it was started; none of a process that has ended.
    pub since: Option<SystemTime>,
    /// How it ended.
    pub ended: String,
}

impl Group {
    /// Nothing of it runs yet.
    pub(super) fn new(spec: Spec) -> Self {
        let member = |number| Member {
            number,
            life: Life::new(spec.rules),
            process: None,
            pid: None,
            ended: "it has not been started".to_owned(),
        };
        Self {
            members: (0..spec.processes).map(member).collect(),
            spec,
            leaving: false,
            begun: false,
            created: false,
            waiters: Vec::new(),
        }
    }

    /// Tells every process of an event. The error is that of the first one that cannot be started.
    pub(super) fn tell(&mut self, event: Event, around: &mut Around, now: Instant) -> Result<(), String> {
        let mut result = Ok(());
        for member in &mut self.members {
            result = result.and(member.tell(&self.spec, event, around, now));
        }
        result
    }

    /// A child has ended. Whether it was of this service or not, others of a group that is waited for may have gone with it.
    pub(super) fn ended(&mut self, pid: Pid, exit: Exit, around: &mut Around, now: Instant) {
        for member in &mut self.members {
            if let Some(process) = member.process.as_mut().filter(|process| process.pid == pid) {
                process.exit = Some(exit);
            }
            if let Err(error) = member.bury(&self.spec, around, now) {
                let waiting = self.waiters.iter_mut().filter(|(_, result)| result.is_ok());
                waiting.for_each(|(_, result)| *result = Err(error.clone()));
            }
        }
    }

    /// Acts on the time limits that have come.
    pub(super) fn elapse(&mut self, around: &mut Around, now: Instant) {
        for member in &mut self.members {
            if member.life.wake().is_some_and(|wake| wake <= now) {
                // A failed start has been logged; it is tried again.
                let _ = member.tell(&self.spec, Event::Elapsed, around, now);
                let _ = member.bury(&self.spec, around, now);
            }
        }
    }

    /// When the next time limit comes.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.members.iter().filter_map(|member| member.life.wake()).min()
    }

    /// True when no process is left, nor one to come.
    pub(super) fn is_down(&self) -> bool {
        self.members.iter().all(|member| member.life.is_down())
    }

    /// True while a process is there.
    pub(super) fn has_process(&self) -> bool {
        self.members.iter().any(|member| member.process.is_some())
    }

    /// True when no process is on its way out.
    pub(super) fn is_settled(&self) -> bool {
        !self.members.iter().any(|member| member.life.is_stopping())
    }

    /// Tells those who wait for it that it has come to rest.
    pub(super) fn answer_waiters(&mut self) {
        for (answer, result) in self.waiters.drain(..) {
            let _ = answer.send(result);
        }
    }

    /// Kills everything at once.
    pub(super) fn kill(&self) {
        let processes = self.members.iter().filter_map(|member| member.process.as_ref());
        processes.for_each(|process| kill_group(process.pid));
    }

    /// Its processes, as others see them.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let command = spawn::full_command(&self.spec);
        let seen = |member: &Member| {
            let running = member.process.as_ref().filter(|process| process.exit.is_none());
            let pid = running.map(|process| process.pid).or(member.pid);
            Seen {
                pid: pid.map_or(0, |pid| pid.as_raw().unsigned_abs()),
                command: command.clone(),
                since: running.map(|process| process.since),
                ended: member.ended.clone(),
            }
        };
        self.members.iter().map(seen).collect()
    }
}

impl Member {
    pub(super) fn tell(&mut self, spec: &Spec, event: Event, around: &mut Around, now: Instant) -> Result<(), String> {
        match self.life.on(event, now) {
            Some(action) => self.act(spec, action, around, now),
            None => Ok(()),
        }
    }

    fn act(&mut self, spec: &Spec, action: Action, around: &mut Around, now: Instant) -> Result<(), String> {
        let name = spec.name.as_str();
        let why = match action {
            Action::Spawn => return self.spawn(spec, around, now),
            Action::Interrupt => {
                // The whole group, as a terminal does it: a wrapper such as `sh -c` would keep it to itself.
                let _ = self.process.as_ref().map(|process| killpg(process.pid, Signal::SIGINT));
                return Ok(());
            }
            Action::Kill => "it did not stop in time",
            Action::TimeOut => "it ran longer than exec_timeout",
        };
        if let Some(process) = &mut self.process {
            tracing::warn!(target: "service", name, pid = process.pid.as_raw(), "killed: {why}");
            process.killed = true;
            kill_group(process.pid);
        }
        Ok(())
    }

    fn spawn(&mut self, spec: &Spec, around: &mut Around, now: Instant) -> Result<(), String> {
        match spawn::spawn(spec, self.number, &around.place) {
            Ok((pid, pipe)) => {
                let command = spec.text();
                tracing::info!(target: "service", name = spec.name, command, pid = pid.as_raw(), "service was started");
                around.begun(pid, pipe, spec.logger.clone());
                self.pid = Some(pid);
                self.process = Some(Process {
                    pid,
                    since: SystemTime::now(),
                    exit: None,
                    killed: false,
                });
                Ok(())
            }
            Err(error) => {
                tracing::error!(target: "service", name = spec.name, error, "process start error");
                self.ended.clone_from(&error);
                // A start that failed is followed by a wait or by nothing, never by another start.
                self.life.on(Event::Died(Exit::NotStarted), now);
                Err(error)
            }
        }
    }

    /// Sees to a process that has ended. One that was asked to stop has ended when all of its group have: what a wrapper started may
    /// need its time.
    fn bury(&mut self, spec: &Spec, around: &mut Around, now: Instant) -> Result<(), String> {
        let Some(process) = self.process.as_ref() else {
            return Ok(());
        };
        let (pid, Some(exit)) = (process.pid, process.exit) else {
            return Ok(());
        };
        let asked = self.life.is_stopping();
        if asked && !process.killed && killpg(pid, None).is_ok() {
            return Ok(());
        }
        reaper::kill_rest_of_group(pid);
        let orphans = reaper::kill_orphans(&[], spawn::MARK, Some(&spawn::mark(spec, self.number)));
        if orphans > 0 {
            tracing::warn!(target: "service", name = spec.name, count = orphans, "killed the processes that it left behind");
        }
        around.over(pid);
        self.process = None;
        self.ended = in_words(exit);
        self.tell_end(spec, pid, exit, asked);
        self.tell(spec, Event::Died(exit), around, now)
    }

    fn tell_end(&self, spec: &Spec, pid: Pid, exit: Exit, asked: bool) {
        let (level, message) = match exit {
            _ if asked => (Level::Info, "service was stopped"),
            Exit::Code(0) => (Level::Debug, "service has ended"),
            _ => (Level::Error, "wait"),
        };
        if let Some(mut line) = log::line(&spec.logger, level, message) {
            line.str("name", &spec.name).int("pid", pid.as_raw().into());
            if level == Level::Error {
                line.str("error", &self.ended);
            }
            line.send();
        }
    }
}

/// How a process ended, as the reference says it.
pub(super) fn in_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(Signal::SIGKILL) => "signal: killed".to_owned(),
            Ok(Signal::SIGINT) => "signal: interrupt".to_owned(),
            Ok(Signal::SIGTERM) => "signal: terminated".to_owned(),
            Ok(signal) => format!("signal: {signal}"),
            Err(_) => format!("signal: {number}"),
        },
        Exit::NotStarted => "not started".to_owned(),
        Exit::Unseen => "ended".to_owned(),
    }
}
