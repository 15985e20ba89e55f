//! What a supervisor before us has left behind: plugins that serve on, and what they hold.
//!
//! A supervisor that was killed leaves its plugins and its control directory. They serve on for `supervisor.adopt_timeout`. Whoever
//! has the directory's lock next is their supervisor: it fetches from each plugin, at the socket `PLUGIN.PID.held.sock`, the listening
//! sockets and the memory file, before it binds anything itself, and gives it a new socket for log lines. The plugins then register
//! anew, and are watched and stopped like all others. What no plugin knows is in a file ([`memory`]).
//!
//! A plugin that cannot be adopted (another version of the contract, configured no more, on its way out already) is asked to stop and
//! is replaced; one that holds state is waited for before.

pub(crate) mod memory;

use crate::{
    control,
    control_dir::{self, ControlDir},
    logs::ServerLog,
    plugins::{
        catalog::{Entry, Role},
        foreign::Foreign,
    },
    renew::Lines,
};
use nix::{
    sys::{
        signal::Signal,
        socket::{getsockopt, sockopt::PeerCredentials},
    },
    unistd::Pid,
};
use prost::Message;
use rr_common::{
    control::{CONTRACT_VERSION, connect, handover, v1::Held},
    telemetry::Tail,
};
use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long a plugin may take to say what it holds, when the supervisor before has died: it has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same when that one has just become another program: the plugin was well then, and what it keeps should not be lost for a moment
/// in which it does not run.
const PLANNED_PATIENCE: Duration = Duration::from_secs(10);

/// How long one that hands nothing over may take to free its addresses.
const LEAVING: Duration = Duration::from_secs(5);

/// How long one that was relieved may take for what it has begun.
const RELIEVED: Duration = Duration::from_secs(30);

/// Between two looks whether a process has gone.
const LOOK: Duration = Duration::from_millis(20);

/// A plugin that can be adopted.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Its process.
    pub pid: Pid,
    /// The memory file of its state.
    pub state: Option<OwnedFd>,
    /// The one through which it hands over what it keeps when it is replaced.
    pub handover: Option<OwnedFd>,
    /// As long as this is open it waits for us.
    pub connection: UnixStream,
    /// The last of what it logs, and has logged for a program before us in this process.
    pub lines: Tail,
}

/// All that was left behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// What can be adopted.
    pub plugins: Vec<Found>,
    /// Listening sockets.
    pub sockets: Vec<OwnedFd>,
    /// Memory files of those that cannot be adopted, by plugin.
    pub states: Vec<(String, OwnedFd)>,
    /// All that were asked to stop.
    pub asked: Vec<Pid>,
    /// Those among them that must have gone before their successors start.
    leaving: Vec<Foreign>,
}

/// What a plugin says and hands over.
struct Answer {
    held: Held,
    pid: Pid,
    descriptors: Vec<OwnedFd>,
    connection: UnixStream,
    lines: Tail,
}

/// Looks for plugins of a predecessor in the directory, and takes what they hold. It was this process itself, if `renewed`.
pub(crate) fn search(dir: &ControlDir, entries: &[Entry], log: &ServerLog, lines: &Lines, renewed: bool) -> Left {
    let patience = if renewed { PLANNED_PATIENCE } else { PATIENCE };
    let mut left = Left::default();
    let mut answers: Vec<Answer> = Vec::new();
    for path in dir.sockets("held") {
        match ask(&path, log, lines, patience) {
            Ok(answer) => answers.push(answer),
            // Frozen, most likely. It keeps the addresses that we have to bind, and nobody could stop it in order.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => kill(&path),
            // It has gone, or is about to.
            Err(error) => tracing::debug!(target: "supervisor", %error, path = %path.display(), "no plugin to adopt"),
        }
    }
    // Of two generations of a plugin the one that serves is taken.
    answers.sort_by_key(|answer| !answer.held.started);
    for answer in answers {
        let Answer {
            held,
            pid,
            mut descriptors,
            connection,
            lines,
        } = answer;
        let sockets = (held.sockets as usize).min(descriptors.len());
        let mut files = descriptors.split_off(sockets);
        let handover = if held.handover { files.pop() } else { None };
        let state = files.pop();
        left.sockets.append(&mut descriptors);
        let entry = entries.iter().find(|entry| entry.name == held.plugin);
        let is_second = left.plugins.iter().any(|found| found.name == held.plugin);
        let reason = match entry {
            None => Some("it is not configured any more".to_owned()),
            Some(_) if held.contract_version != CONTRACT_VERSION => Some(format!(
                "it speaks version {} of the control contract, this supervisor version {CONTRACT_VERSION}",
                held.contract_version
            )),
            Some(_) if is_second => Some("another process of it serves".to_owned()),
            Some(_) => None,
        };
        match reason {
            Some(reason) => {
                tracing::warn!(target: "supervisor", plugin = held.plugin, pid = pid.as_raw(), "asked to stop and not adopted: {reason}");
                left.states.extend(state.map(|state| (held.plugin.clone(), state)));
                match entry.filter(|entry| is_second && entry.role == Role::Ingress) {
                    Some(_) => left.relieve(dir, &held.plugin, pid),
                    None => left.dismiss(pid, entry),
                }
            }
            None => left.plugins.push(Found {
                name: held.plugin,
                version: held.plugin_version,
                pid,
                state,
                handover,
                connection,
                lines,
            }),
        }
    }
    // Those that serve a socket of their own and hand nothing over: too late to be adopted, or not made for it.
    for path in dir.sockets("") {
        if let Some((name, pid)) = living(&path)
            && !left.plugins.iter().any(|found| found.pid == pid)
            && !left.asked.contains(&pid)
        {
            tracing::info!(target: "supervisor", plugin = name, pid = pid.as_raw(), "a plugin of the supervisor before is leaving");
            left.dismiss(pid, entries.iter().find(|entry| entry.name == name));
        }
    }
    left
}

impl Left {
    /// Asks a process to stop beside another one that serves in its place: no connection of a client is cut for that.
    fn relieve(&mut self, dir: &ControlDir, plugin: &str, pid: Pid) {
        let Ok(process) = Foreign::open(pid) else { return };
        self.asked.push(pid);
        let (socket, dir) = (dir.socket_of(plugin, pid), dir.path().to_owned());
        tokio::spawn(async move {
            let told = match connect(&socket).await {
                Ok(channel) => control::ask_stop(channel, RELIEVED, true).await,
                Err(_) => false,
            };
            if !told {
                process.signal(Signal::SIGTERM);
            }
            // It removes its sockets itself, unless it is killed; and nobody else knows of it.
            if process.has_ended_by(Instant::now() + RELIEVED * 2).await {
                control_dir::sweep(&dir, Some(pid));
            }
        });
    }

    /// Asks a process to stop.
    fn dismiss(&mut self, pid: Pid, entry: Option<&Entry>) {
        let Ok(process) = Foreign::open(pid) else { return };
        // An attached one is asked by whoever registers it again, or by its manager.
        if entry.is_some_and(|entry| entry.attached) {
            return;
        }
        process.signal(Signal::SIGTERM);
        self.asked.push(pid);
        // A plugin of the user's own hands no socket over: its addresses are free when it has gone.
        let listens = |entry: &Entry| entry.is_custom() && !entry.addresses.is_empty();
        if entry.is_some_and(listens) && !process.ends_within(LEAVING) {
            process.signal(Signal::SIGKILL);
            process.ends_within(PATIENCE);
        }
        // Two of those that take work from clients may serve side by side.
        if entry.is_some_and(|entry| entry.role != Role::Ingress) {
            self.leaving.push(process);
        }
    }

    /// Waits until those have gone whose successors could not start beside them; after the time limit they are killed.
    pub(crate) async fn wait(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.leaving.iter().all(Foreign::has_ended) {
            if Instant::now() >= deadline {
                self.leaving.iter().for_each(|process| process.signal(Signal::SIGKILL));
            }
            sleep(LOOK).await;
        }
    }
}

/// Asks at a plugin's socket; from then on its log lines are ours.
fn ask(path: &Path, log: &ServerLog, lines: &Lines, patience: Duration) -> io::Result<Answer> {
    let connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(patience))?;
    let (message, descriptors) = handover::receive(&connection)?;
    let held = Held::decode(&*message)?;
    let pid = peer(&connection)?;
    let lines = lines.of(pid);
    handover::send(&connection, b"", &[log.socket(lines.clone())?.as_fd()])?;
    Ok(Answer {
        held,
        pid,
        descriptors,
        connection,
        lines,
    })
}

/// Kills the process that listens at this socket and does not answer.
fn kill(path: &Path) {
    let Some((name, pid)) = living(path) else { return };
    let Ok(process) = Foreign::open(pid) else { return };
    tracing::warn!(target: "supervisor", plugin = name, pid = pid.as_raw(), "killed and not adopted: it does not answer");
    process.signal(Signal::SIGKILL);
    process.ends_within(PATIENCE);
}

/// The process that listens at a socket of a plugin, and the plugin's name, which the socket's begins with.
fn living(path: &Path) -> Option<(String, Pid)> {
    let connection = UnixStream::connect(path).ok()?;
    let name = path.file_name()?.to_str()?.split('.').next()?;
    Some((name.to_owned(), peer(&connection).ok()?))
}

/// Who listens at the other end, as the kernel knows it.
fn peer(connection: &UnixStream) -> io::Result<Pid> {
    Ok(Pid::from_raw(getsockopt(connection, PeerCredentials)?.pid()))
}
