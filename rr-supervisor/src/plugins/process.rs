//! Starting a plugin's process: its program, environment, user and descriptors.

use super::catalog;
use crate::{cgroup::CgroupError, place::Place};
use command_fds::{CommandFdExt, FdMapping};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, User},
};
use rr_common::{
    config::{CommandLine, section::PluginProcess},
    worker::unsafe_exec,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The first descriptor that a plugin inherits.
const FIRST_FD: i32 = 3;

/// What is executed for a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    command: Vec<String>,
}

/// What a plugin's process is given.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is executed.
    pub program: &'a Program,
    /// Its own settings.
    pub process: &'a PluginProcess,
    /// Where it is started.
    pub place: &'a Place,
    /// Our control socket.
    pub control: &'a Path,
    /// The directory for its own control socket.
    pub control_dir: PathBuf,
    /// Its listening sockets.
    pub sockets: Vec<OwnedFd>,
    /// Its socket for log lines.
    pub log: OwnedFd,
    /// Its memory file, if it keeps one.
    pub state: Option<OwnedFd>,
    /// What its requests wait for while changed files are dealt with.
    pub watch: Option<OwnedFd>,
    /// Code that does not start is waited for.
    pub repair: bool,
    /// The file in which it hands over to the process after it, and finds what the one before has.
    pub handover: Option<OwnedFd>,
    /// What reads its stderr.
    pub output: OwnedFd,
    /// It has no log of its own: its stdout is read too.
    pub is_custom: bool,
    /// `cgroup.procs` of the control group that limits it.
    pub group: Option<OwnedFd>,
}

/// Why a process cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The configured user does not exist.
    #[error("supervisor.plugins.{plugin}.user: no such user: {user}")]
    User {
        /// Whose it was to be.
        plugin: String,
        /// Its name.
        user: String,
    },
    /// We may not start a process under that user.
    #[error(
        "supervisor.plugins.{plugin}.user: no process can be started as {user} without the rights of root: {error}"
    )]
    As {
        /// Whose it was to be.
        plugin: String,
        /// The user's name.
        user: String,
        /// What the kernel says.
        error: io::Error,
    },
    /// A taken port, no descriptor for the log, and the like.
    #[error("{0}")]
    Prepare(io::Error),
    /// Its limits cannot be set.
    #[error("supervisor.plugins.{0}.limits: {1}")]
    Limits(String, CgroupError),
    /// The kernel refuses.
    #[error("{program}: {error}")]
    Exec {
        /// What was to be executed.
        program: String,
        /// The kernel's reason.
        error: io::Error,
    },
}

impl Program {
    /// A bundled plugin's binary, which needs no arguments.
    pub(crate) fn binary(path: &Path) -> Self {
        Self {
            command: vec![path.display().to_string()],
        }
    }

    /// Whether it is a path where a program is.
    pub(crate) fn is_there(&self) -> bool {
        let file = self.command.first().map(Path::new);
        file.is_some_and(|file| file.is_absolute() && catalog::is_executable(file))
    }

    /// A configured command.
    pub(crate) fn command(line: &CommandLine) -> Self {
        Self {
            command: line.0.clone(),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command.join(" "))
    }
}

impl Spawn<'_> {
    /// Starts the process, in a process group of its own.
    ///
    /// Nothing kills it when we die: it notices the end of its configuration stream, serves on for
    /// `supervisor.adopt_timeout`, and then goes in order.
    ///
    /// # Errors
    /// An unknown user, or a program that cannot be executed.
    pub(crate) fn run(self) -> Result<Pid, SpawnError> {
        let (program, arguments) = self.program.command.split_first().ok_or_else(|| SpawnError::Exec {
            program: self.name.to_owned(),
            error: io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"),
        })?;
        let failed = |error: io::Error| SpawnError::Exec {
            program: program.clone(),
            error,
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        if let Some(group) = self.group {
            unsafe_exec::enter_group(&mut command, group);
        }
        self.place.apply(&mut command);
        let user = user(self.name, self.process)?;
        if let Some(user) = &user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        if !self.process.dir.is_empty() {
            command.current_dir(&self.process.dir);
        }
        if self.is_custom {
            command.stdout(self.output.try_clone().map_err(failed)?);
        }
        command.stderr(self.output);
        for (name, value) in &self.process.env {
            command.env(name.to_uppercase(), value);
        }
        // Ours come last: no setting may make a plugin another one.
        command
            .env("RR_CONTROL", self.control)
            .env("RR_CONTROL_DIR", &self.control_dir)
            .env("RR_PLUGIN", self.name)
            .env("RR_LISTEN_FDS", self.sockets.len().to_string())
            .env_remove("RR_STATE_FD")
            .env_remove("RR_WATCH_FD")
            .env_remove("RR_HANDOVER_FD")
            .env_remove("RR_STDERR_FD")
            .env_remove("RR_REPAIR")
            // A server that is itself a service must not find its plugins among what its own services leave behind.
            .env_remove(crate::service::MARK)
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .env_remove("FDSTORE");
        if self.repair {
            command.env("RR_REPAIR", "1");
        }
        let mut passed = self.sockets;
        let mut number = |name: &str, fd: OwnedFd| {
            command.env(name, (FIRST_FD as usize + passed.len()).to_string());
            passed.push(fd);
        };
        number("RR_LOG_FD", self.log);
        if !self.is_custom {
            number(
                "RR_STDERR_FD",
                io::stderr().as_fd().try_clone_to_owned().map_err(failed)?,
            );
        }
        if let Some(state) = self.state {
            number("RR_STATE_FD", state);
        }
        if let Some(watch) = self.watch {
            number("RR_WATCH_FD", watch);
        }
        if let Some(handover) = self.handover {
            number("RR_HANDOVER_FD", handover);
        }
        let numbered = (FIRST_FD..).zip(passed);
        let mappings = numbered
            .map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd })
            .collect();
        command
            .fd_mappings(mappings)
            .map_err(|error| failed(io::Error::other(error)))?;
        // The handle is dropped: the reaper waits for all children, by their pid.
        let child = command.spawn().map_err(|error| match &user {
            // A program that may not be executed is denied with another code.
            Some(user) if error.raw_os_error() == Some(Errno::EPERM as i32) => {
                SpawnError::denied(self.name, user, error)
            }
            _ => failed(error),
        })?;
        let pid = i32::try_from(child.id()).map_err(|error| failed(io::Error::other(error)))?;
        Ok(Pid::from_raw(pid))
    }
}

/// The user under which a plugin's process runs, if it is not ours.
///
/// # Errors
/// There is no such user.
pub(crate) fn user(plugin: &str, process: &PluginProcess) -> Result<Option<User>, SpawnError> {
    let name = process.user.as_str();
    if name.is_empty() {
        return Ok(None);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some(user)),
        _ => Err(SpawnError::User {
            plugin: plugin.to_owned(),
            user: name.to_owned(),
        }),
    }
}

impl SpawnError {
    /// We may not do for that user what its process needs.
    pub(crate) fn denied(plugin: &str, user: &User, error: io::Error) -> Self {
        Self::As {
            plugin: plugin.to_owned(),
            user: user.name.clone(),
            error,
        }
    }
}

/// Sends a signal to a process of ours; one that is gone already is no error.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    let _ = kill(pid, signal);
}

/// Sends a signal to a process group; one that is gone already is no error.
pub(crate) fn signal_group(leader: Pid, signal: Signal) {
    let _ = killpg(leader, signal);
}

/// Kills a process and what is left of its group.
pub(crate) fn kill_group(pid: Pid) {
    let _ = killpg(pid, Signal::SIGKILL);
    let _ = kill(pid, Signal::SIGKILL);
}
