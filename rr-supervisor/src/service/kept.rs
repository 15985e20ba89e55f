//! What the next program of this process is told of the services, so that they live through `upgrade self`: their processes are its
//! children as they are ours, each with the time that it has left; the pipes that they write into go along with what was read of a
//! line; and so does the guard.
//!
//! What comes in is checked before anything is done with it: a process must be a child of ours, and what is said of a service must
//! fit together. One that does not is killed, and begins as at any start.

use super::{
    Services,
    around::Around,
    group::{Group, Member, Process, in_words},
    guard::Guard,
    life::{Event, Life, Packed},
    output::Output,
    spec::Spec,
};
use crate::{
    plugins::{lifecycle::Exit, process::kill_group},
    reaper,
    renew::baggage::{Baggage, Descriptor, Span},
};
use nix::unistd::Pid;
use rr_common::telemetry::Level;
use serde::{Deserialize, Serialize};
use std::{
    io,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// The name under which it is packed.
const ROOM: &str = "services";

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    services: Vec<KeptService>,
    outputs: Vec<KeptOutput>,
    guard: Option<KeptGuard>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptService {
    spec: Spec,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    leaving: bool,
    members: Vec<KeptMember>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptMember {
    life: Packed,
    process: Option<KeptProcess>,
    /// The last one that was started; 0 if none ever was.
    pid: i32,
    ended: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptProcess {
    pid: i32,
    /// When it was started, after 1970 began.
    since: Duration,
    exit: Option<Exit>,
    killed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptOutput {
    pipe: Descriptor,
    begun: Span,
    logger: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptGuard {
    pid: i32,
    pipe: Descriptor,
}

impl Services {
    /// Packs them. Nothing of them changes by it: they go on here if the next program never runs.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn pack(&self, baggage: &mut Baggage, now: Instant) -> io::Result<()> {
        let mut kept = Kept {
            services: self.groups.iter().map(|group| KeptService::of(group, now)).collect(),
            ..Kept::default()
        };
        for output in self.around.outputs.open() {
            let (pipe, begun) = output.to_resume()?;
            kept.outputs.push(KeptOutput {
                pipe: baggage.add(pipe),
                begun: baggage.add_bytes(&begun),
                logger: output.logger.clone(),
            });
        }
        if let Some(guard) = &self.around.guard {
            let (pid, pipe) = guard.to_keep()?;
            kept.guard = Some(KeptGuard {
                pid: pid.as_raw(),
                pipe: baggage.add(pipe),
            });
        }
        baggage.put(ROOM, &kept)
    }

    /// Goes on where the program before has left them. False if it has left nothing.
    pub(crate) fn unpack(&mut self, baggage: &mut Baggage, now: Instant) -> bool {
        let Some(kept) = baggage.take::<Option<Kept>>(ROOM) else {
            return false;
        };
        for output in kept.outputs {
            match output.resume(baggage) {
                Ok(output) => self.around.outputs.read(output),
                Err(error) => tracing::error!(target: "service", %error, "what a process writes is lost"),
            }
        }
        self.around.guard = kept.guard.and_then(|guard| guard.go_on(baggage));
        // What of the configuration is not among them was stopped by a call, and what is and does not fit is started anew.
        let mut configured = std::mem::take(&mut self.groups);
        for service in kept.services {
            let name = service.spec.name.clone();
            let is_first = !self.groups.iter().any(|group| group.spec.name == name);
            let anew = configured.extract_if(.., |group| group.spec.name == name);
            let anew = anew.collect::<Vec<_>>();
            match service.go_on(is_first, &mut self.around, now) {
                Some(group) => self.groups.push(group),
                None => self.groups.extend(anew),
            }
        }
        if self.around.guard.is_none() {
            self.around.post_guard();
        }
        // What serves is not ended because one of them does not start again.
        self.fail_fast = false;
        true
    }
}

impl KeptService {
    fn of(group: &Group, now: Instant) -> Self {
        let process = |process: &Process| KeptProcess {
            pid: process.pid.as_raw(),
            since: process.since.duration_since(UNIX_EPOCH).unwrap_or_default(),
            exit: process.exit,
            killed: process.killed,
        };
        let member = |member: &Member| KeptMember {
            life: member.life.pack(now),
            process: member.process.as_ref().map(process),
            pid: member.pid.map_or(0, Pid::as_raw),
            ended: member.ended.clone(),
        };
        Self {
            spec: group.spec.clone(),
            created: group.created,
            leaving: group.leaving,
            members: group.members.iter().map(member).collect(),
        }
    }

    /// The service as it was, if it is the first of its name.
    fn go_on(self, is_first: bool, around: &mut Around, now: Instant) -> Option<Group> {
        let fits = is_first && self.fits() && self.pids().all(|pid| around.goes_on(pid));
        if !fits {
            let name = &self.spec.name;
            tracing::error!(target: "service", name, "what the program before has kept of this service does not fit together");
            for pid in self.pids() {
                if reaper::is_child(pid) {
                    kill_group(pid);
                }
                around.over(pid);
            }
            return None;
        }
        let mut group = Group::new(self.spec);
        group.begun = true;
        group.created = self.created;
        group.leaving = self.leaving;
        for (member, kept) in group.members.iter_mut().zip(self.members) {
            kept.go_on(member, &group.spec, around, now);
        }
        Some(group)
    }

    fn fits(&self) -> bool {
        let fits = |member: &KeptMember| member.life.has_process() == member.process.is_some();
        self.spec.is_sound() && self.members.len() == self.spec.processes && self.members.iter().all(fits)
    }

    fn pids(&self) -> impl Iterator<Item = Pid> {
        let processes = self.members.iter().filter_map(|member| member.process.as_ref());
        processes.map(|process| Pid::from_raw(process.pid))
    }
}

impl KeptMember {
    fn go_on(self, member: &mut Member, spec: &Spec, around: &mut Around, now: Instant) {
        member.life = Life::unpack(self.life, spec.rules, now);
        member.pid = (self.pid > 0).then(|| Pid::from_raw(self.pid));
        member.ended = self.ended;
        let Some(process) = self.process else { return };
        let pid = Pid::from_raw(process.pid);
        // The number of one whose end was seen belongs to its group, if that is there.
        let is_ours = match process.exit {
            None => reaper::is_child(pid),
            Some(_) => reaper::has_child_in(pid),
        };
        if is_ours {
            member.process = Some(Process {
                pid,
                since: UNIX_EPOCH.checked_add(process.since).unwrap_or(UNIX_EPOCH),
                exit: process.exit,
                killed: process.killed,
            });
            return;
        }
        tracing::error!(target: "service", name = spec.name, pid = process.pid, "the program before has kept a process that is not ours");
        around.over(pid);
        let exit = process.exit.unwrap_or(Exit::Unseen);
        member.ended = in_words(exit);
        // A start that failed has been logged.
        let _ = member.tell(spec, Event::Died(exit), around, now);
    }
}

impl KeptOutput {
    fn resume(self, baggage: &mut Baggage) -> io::Result<Output> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let pipe = baggage.descriptor(self.pipe).ok_or_else(missing)?;
        let begun = baggage.bytes(self.begun).ok_or_else(missing)?;
        Output::resume(pipe, begun, self.logger, Level::Info, None)
    }
}

impl KeptGuard {
    fn go_on(self, baggage: &mut Baggage) -> Option<Guard> {
        let pid = Pid::from_raw(self.pid);
        let pipe = baggage.descriptor(self.pipe)?;
        reaper::is_child(pid).then(|| Guard::of_before(pid, pipe))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "kept_tests.rs"]
mod tests;
