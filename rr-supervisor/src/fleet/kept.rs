//! What the fleet knows lives through an upgrade of the supervisor: how each plugin stands, since when, what its restarts are judged by,
//! what it keeps in memory files, and which program an operator has put in its place.
//!
//! The processes themselves come back by an adoption, before all this is unpacked. One that has died in between, or is about to, is still
//! a child of ours that nobody has buried: it is taken for alive, and its death is seen by the loop like any other. If it has ended in
//! order it has gone with the program before us: that is what a plugin does that cannot be adopted.

use super::{Calls, Cause, Fleet, arrive::RETURN, kept_history::KeptHistory, plugin::Plugin, running::Process};
use crate::{
    plugins::{
        lifecycle::{self, Action, Event, Exit},
        output::Output,
        process::Program,
    },
    reaper,
    renew::{
        Lines,
        baggage::{Baggage, Descriptor, Span},
    },
};
use nix::{sys::signal::Signal, unistd::Pid};
use rr_common::config::section::PluginProcess;
use serde::{Deserialize, Serialize};
use std::{
    io,
    time::{Instant, SystemTime},
};

/// By this one ends that was asked to stop before it could listen.
const SIGTERM: i32 = Signal::SIGTERM as i32;

/// The name under which it is packed.
const ROOM: &str = "fleet";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    plugins: Vec<KeptPlugin>,
    history: KeptHistory,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptPlugin {
    name: String,
    /// What it was started with.
    config: Span,
    life: lifecycle::kept::Kept,
    process: Option<KeptProcess>,
    chosen: Option<Chosen>,
    /// Its memory files.
    state: Option<Descriptor>,
    handover: Option<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptProcess {
    pid: i32,
    since: SystemTime,
    version: String,
    /// Where its control socket is; empty before its registration.
    #[serde(default)]
    socket: String,
    #[serde(default)]
    calls: Option<Calls>,
    #[serde(default)]
    prefixes: Vec<String>,
    /// Its requests wait while changed files are dealt with.
    #[serde(default)]
    waits: bool,
    /// What it writes comes there.
    #[serde(default)]
    output: Option<(Descriptor, Span)>,
}

/// A program that an operator has put in place of the configured one.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    program: Program,
    /// What the configuration said then.
    binary: String,
    command: Vec<String>,
}

impl Fleet {
    /// Packs what is known of the plugins.
    ///
    /// # Errors
    /// It cannot be put into words.
    pub(super) fn pack_plugins(&self, baggage: &mut Baggage, now: Instant) -> io::Result<()> {
        let serving = self.plugins.iter().filter(|plugin| plugin.is_serving());
        let plugins: io::Result<Vec<KeptPlugin>> = serving.map(|plugin| plugin.pack(baggage, now)).collect();
        let kept = Kept {
            plugins: plugins?,
            history: KeptHistory::pack(&self.history, &self.around.past, baggage),
        };
        baggage.put(ROOM, &kept)
    }

    /// Knows again what the program before us knew, after its processes were adopted, but for those that were asked to stop.
    pub(crate) fn recall(&mut self, baggage: &mut Baggage, lines: &Lines, asked: &[Pid], now: Instant) {
        let kept: Kept = baggage.take(ROOM);
        kept.history.unpack(&mut self.history, &self.around.past, baggage);
        for kept in kept.plugins {
            let Some(index) = self.serving(&kept.name) else {
                continue;
            };
            let plugin = &mut self.plugins[index];
            plugin.choose(&kept);
            // An adopted one has shown them itself; without it nobody else has them.
            let mut file = |which: Option<Descriptor>| which.and_then(|which| baggage.descriptor(which));
            let (state, handover) = (file(kept.state), file(kept.handover));
            plugin.state = plugin.state.take().or(state);
            plugin.handover = plugin.handover.take().or(handover);
            if let Some(process) = &kept.process {
                plugin.bury_later(process, lines, asked, now);
                plugin.know(process, baggage);
            }
            // With another configuration it is worth a try.
            let same = plugin.process.is_some() || baggage.bytes(kept.config) == Some(&*plugin.config);
            if same && plugin.life.recall(&kept.life, now) {
                tracing::warn!(target: "supervisor", plugin = kept.name, "it was given up before, and stays so until an upgrade or a reload");
                self.act(index, Action::GiveUp, now);
            }
            // It serves, and whoever asks about it hears so.
            let plugin = &mut self.plugins[index];
            if plugin.life.has_served() && plugin.is_registered() {
                plugin.life.on(Event::Ready, now);
            }
        }
        // Who looks at it before the loop begins sees what there is.
        self.changed = true;
        self.publish();
    }
}

impl Plugin {
    fn pack(&self, baggage: &mut Baggage, now: Instant) -> io::Result<KeptPlugin> {
        let process = self.process.as_ref();
        let output = self.output.as_ref().map(Output::to_resume).transpose()?;
        let (state, handover) = self.files()?;
        Ok(KeptPlugin {
            state: state.map(|state| baggage.add(state)),
            handover: handover.map(|handover| baggage.add(handover)),
            name: self.entry.name.clone(),
            config: baggage.add_bytes(&self.config),
            life: self.life.pack(now),
            process: process.map(|process| KeptProcess {
                pid: process.pid.as_raw(),
                since: process.since,
                version: process.version.clone(),
                socket: process.socket.clone(),
                calls: process.calls.clone(),
                prefixes: process.prefixes.clone(),
                waits: process.waits,
                output: output.map(|(pipe, begun)| (baggage.add(pipe), baggage.add_bytes(&begun))),
            }),
            chosen: self.entry.chosen.then(|| Chosen {
                program: self.entry.program.clone(),
                binary: self.entry.process.binary.clone(),
                command: self.entry.process.command.0.clone(),
            }),
        })
    }

    /// Takes over the program that an operator has put in its place.
    fn choose(&mut self, kept: &KeptPlugin) {
        if let Some(chosen) = &kept.chosen
            && chosen.is_instead_of(&self.entry.process)
        {
            self.entry.program = chosen.program.clone();
            self.entry.chosen = true;
        }
    }

    /// A process that did not come back, and whose end nobody has seen, is its process until the loop sees that. Those that were asked to
    /// stop may live on beside the next one.
    fn bury_later(&mut self, known: &KeptProcess, lines: &Lines, asked: &[Pid], now: Instant) {
        let pid = Pid::from_raw(known.pid);
        let exit = reaper::unburied(pid);
        let is_ours = reaper::is_child(pid) && (exit.is_some() || !asked.contains(&pid));
        if self.process.is_some() || !is_ours {
            return;
        }
        let mut process = Process::new(pid);
        process.lines = lines.of(pid);
        self.process = Some(process);
        self.life.on(Event::Arrived(now + RETURN), now);
        // One that nobody had to ask ends by itself, without a supervisor, and may not be through with it.
        if let Some(Exit::Code(0) | Exit::Signal(SIGTERM)) | None = exit {
            self.parting = Cause::Upgrade;
            self.life.on(Event::Stop(now + RETURN), now);
        }
        // Another one comes after it.
        self.life.on(Event::Start, now);
    }

    /// What adoption cannot tell of its process.
    fn know(&mut self, known: &KeptProcess, baggage: &mut Baggage) {
        let Some(process) = self
            .process
            .as_mut()
            .filter(|process| process.pid.as_raw() == known.pid)
        else {
            return;
        };
        process.since = known.since;
        process.version.clone_from(&known.version);
        process.waits = known.waits;
        // It is asked as before, also before it has registered with us.
        if !known.socket.is_empty() && process.listens_at(known.socket.clone()).is_ok() {
            process.calls.clone_from(&known.calls);
            process.prefixes.clone_from(&known.prefixes);
        }
        let output = known
            .output
            .and_then(|(pipe, begun)| Some((baggage.descriptor(pipe)?, baggage.bytes(begun)?)));
        let (name, is_custom) = (&self.entry.name, self.entry.is_custom());
        let resume = |output| Output::resume(name, is_custom, output, process.lines.clone()).ok();
        self.output = output.and_then(resume);
    }
}

impl Chosen {
    /// Whether the configuration still says what it said, and the program is there.
    fn is_instead_of(&self, process: &PluginProcess) -> bool {
        let same = self.binary == process.binary && self.command == process.command.0;
        same && self.program.is_there()
    }
}
