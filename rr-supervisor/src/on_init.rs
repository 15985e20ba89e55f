//! `server.on_init`: one command that runs to its end before any plugin starts.

use crate::{place::Place, plugins::lifecycle::Exit, plugins::process::kill_group, reaper::Reaper};
use nix::unistd::{Pid, User};
use rr_common::config::section::OnInit;
use std::{
    env,
    os::{fd::OwnedFd, unix::process::CommandExt},
    pin::pin,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::unix::pipe,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Longest line of its output that is logged as one.
const LONGEST_LINE: u64 = 64 * 1024;

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnInitError {
    /// It cannot be started.
    #[error("server.on_init: {0}")]
    Start(String),
    /// It ended badly.
    #[error("server.on_init: {command}: {exit}")]
    Exit {
        /// The command.
        command: String,
        /// How it ended.
        exit: Exit,
    },
    /// It took longer than `exec_timeout`.
    #[error("server.on_init: {command}: killed after exec_timeout ({after:?})")]
    Timeout {
        /// The command.
        command: String,
        /// The limit.
        after: Duration,
    },
}

/// Runs the command; its output is logged line by line. `exit_of` waits for the end of a child.
///
/// # Errors
/// It cannot be started, ends with another code than 0, or takes too long. `exit_on_error` is the caller's matter.
pub(crate) async fn run(
    section: &OnInit,
    place: &Place,
    exit_of: impl AsyncFnOnce(Pid) -> Exit,
) -> Result<(), OnInitError> {
    let command = section.command.0.join(" ");
    let (pid, readers) = start(section, place)?;
    let mut guard = KillOnDrop(Some(pid));
    let mut exit = pin!(exit_of(pid));
    let ended = tokio::select! {
        exit = &mut exit => Some(exit),
        () = sleep(section.exec_timeout.get()) => None,
    };
    if ended.is_none() {
        kill_group(pid);
        exit.await;
    }
    guard.0 = None;
    for reader in readers {
        // A background process of the command may hold the pipe open for ever.
        let _ = timeout(Duration::from_secs(1), reader).await;
    }
    match ended {
        Some(Exit::Code(0)) => Ok(()),
        Some(exit) => Err(OnInitError::Exit { command, exit }),
        None => Err(OnInitError::Timeout {
            command,
            after: section.exec_timeout.get(),
        }),
    }
}

/// Kills the command when its run is abandoned, because a signal stops the server.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            kill_group(pid);
        }
    }
}

fn start(section: &OnInit, place: &Place) -> Result<(Pid, [JoinHandle<()>; 2]), OnInitError> {
    let error = |text: String| OnInitError::Start(text);
    let (program, arguments) = section
        .command
        .0
        .split_first()
        .ok_or_else(|| error("command is empty".into()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    place.apply(&mut command);
    for (name, value) in &section.env {
        // As the reference has it, a variable of our own environment wins over the configured one.
        let name = name.to_uppercase();
        let has_one = env::var_os(&name).is_some() && !place.unset.contains(&name);
        if !has_one && !place.set.contains_key(&name) {
            command.env(name, value);
        }
    }
    if !section.user.is_empty() {
        let user = User::from_name(&section.user)
            .ok()
            .flatten()
            .ok_or_else(|| error(format!("no such user: {}", section.user)))?;
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let mut child = command.spawn().map_err(|e| error(format!("{program}: {e}")))?;
    let pid = i32::try_from(child.id()).map_err(|e| error(e.to_string()))?;
    let stdout = child.stdout.take().map(OwnedFd::from);
    let stderr = child.stderr.take().map(OwnedFd::from);
    Ok((Pid::from_raw(pid), [log_lines(stdout), log_lines(stderr)]))
}

/// Logs what comes out of a pipe, line by line.
fn log_lines(pipe: Option<OwnedFd>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(Ok(pipe)) = pipe.map(pipe::Receiver::from_owned_fd) else {
            return;
        };
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line);
            tracing::info!(target: "server", "{}", text.trim_end());
            line.clear();
        }
    })
}

/// Waits for the end of a child while nobody else does.
pub(crate) async fn exit_of(pid: Pid, reaper: &mut Reaper) -> Exit {
    loop {
        if let Some((_, exit)) = reaper.reap().into_iter().find(|(ended, _)| *ended == pid) {
            return exit;
        }
        reaper.wait().await;
    }
}
