//! One worker's process: started with the pid handshake, kept under orders, ended with its whole process group.
//!
//! Everything here runs on the runtime of the main thread, because workers die with the thread that forked them.

use super::{
    handshake::{self, HandshakeError},
    recipe::Recipe,
    stderr::{self, Tail},
};
use crate::{
    frame::STOP_COMMAND,
    relay::{
        Ends, Kind, Reader,
        frames::{Frames, ReadError},
        hub::Hub,
        outbox::{Item, Outbox},
    },
};
use bytes::BytesMut;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    fs::File,
    io,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep_until, timeout},
};

/// How long a worker that failed to start may take to exit by itself, so that its exit code is known.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Time between SIGTERM and SIGKILL.
pub const KILL_GRACE: Duration = Duration::from_millis(500);

/// What a worker's attendant is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send the stop command; SIGTERM at the given time, SIGKILL soon after.
    Stop(Instant),
    /// SIGTERM at the given time, SIGKILL soon after: it has closed its channel.
    Terminate(Instant),
    /// SIGKILL now.
    Kill,
}

/// All orders so far as one state: a later one never weakens an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    stop: bool,
    terminate: Option<Instant>,
    kill: bool,
}

impl Orders {
    /// Adds an order; true if it changes anything.
    pub fn add(&mut self, order: Order) -> bool {
        let before = *self;
        match order {
            Order::Kill => self.kill = true,
            Order::Stop(at) | Order::Terminate(at) => {
                self.stop |= matches!(order, Order::Stop(_));
                self.terminate = Some(self.terminate.map_or(at, |old| old.min(at)));
            }
        }
        *self != before
    }
}

/// Why a worker did not start: one readable text with PHP's own words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

/// A running worker process.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    child: Child,
    log: JoinHandle<()>,
}

/// Starts a worker and waits for its handshake, at most `limit`.
///
/// # Errors
/// The text says what was run, how it ended and what PHP printed.
pub async fn boot(
    recipe: &Recipe,
    hub: Option<&Hub>,
    mode: &Arc<str>,
    limit: Duration,
) -> Result<(Process, Ends), BootError> {
    let what = recipe.text();
    let cannot = |error: io::Error| BootError(format!("cannot start `{what}`: {error}"));
    let mut child = Command::from(recipe.command())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let pid = child.id().unwrap_or_default();
    let tail = Tail::default();
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe);
    let stderr = stderr
        .map_err(io::Error::from)
        .and_then(|fd| pipe::Receiver::from_owned_fd(fd.into_owned_fd()?));
    let log = tokio::spawn(stderr::pump(
        stderr.map_err(cannot)?,
        pid,
        Arc::clone(mode),
        tail.clone(),
    ));
    let pipes = recipe.pipes().then(|| pipes(&mut child)).transpose().map_err(cannot)?;
    let mut process = Process { pid, child, log };

    let mut frames = None;
    let handshake = async {
        match (pipes, hub) {
            (Some((writer, reader)), _) => {
                let frames = frames.insert(Frames::new(reader, BytesMut::new()));
                handshake::ask_pid(&writer, frames)
                    .await
                    .map(|_pid| Channel::Pipes(writer))
            }
            (None, Some(hub)) => Ok(Channel::Socket(hub.connection_of(pid).await)),
            (None, None) => Ok(Channel::Socket(None)),
        }
    };
    let outcome = tokio::select! {
        biased;
        result = timeout(limit, handshake) => match result {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(Some(error)),
            Err(_) => {
                let error = format!(
                    "`{what}` was started but did not answer within allocate_timeout ({limit:?}); is it a worker that \
                     reads its requests from the relay? \
                     (failed to spawn a worker, possible reasons: https://docs.roadrunner.dev/error-codes/allocate-timeout)"
                );
                let rest = process.end_failed(Duration::ZERO).await;
                return Err(BootError(describe(error, "", &tail, rest)));
            }
        },
        _ = process.child.wait() => Err(None),
    };
    let failed = match outcome {
        Ok(channel) => match channel.ends(frames) {
            Ok(ends) => return Ok((process, ends)),
            Err(error) => return Err(cannot(error)),
        },
        Err(failed) => failed,
    };
    let (mut error, stdout) = match failed {
        Some(HandshakeError::Read(ReadError::Stray(text))) => ("printed text instead of a frame", text),
        Some(HandshakeError::Read(ReadError::End { .. })) => ("closed its channel before it was ready", Vec::new()),
        Some(error) => {
            let rest = process.end_failed(Duration::ZERO).await;
            return Err(BootError(describe(
                format!("`{what}` is no worker: {error}"),
                "",
                &tail,
                rest,
            )));
        }
        None => match frames.as_mut() {
            Some(frames) => ("ended before it was ready", frames.rest().await),
            None => ("ended before it was ready", Vec::new()),
        },
    };
    let rest = process.end_failed(LAST_WORDS).await;
    if rest.is_some() {
        error = "ended before it was ready";
    }
    let stdout = String::from_utf8_lossy(&stdout);
    Err(BootError(describe(
        format!("`{what}` {error}"),
        stdout.trim(),
        &tail,
        rest,
    )))
}

/// The channel that the handshake left us with.
enum Channel {
    Pipes(File),
    Socket(Option<Ends>),
}

impl Channel {
    fn ends(self, frames: Option<Frames>) -> io::Result<Ends> {
        match (self, frames) {
            (Self::Pipes(write), Some(frames)) => {
                let (reader, early) = frames.into_parts();
                let (kind, read) = reader.detach()?;
                Ok(Ends {
                    kind,
                    read,
                    write,
                    early,
                })
            }
            (Self::Socket(Some(ends)), _) => Ok(ends),
            _ => Err(io::Error::other("the relay is closed")),
        }
    }
}

/// Our ends of the child's standard input and output.
fn pipes(child: &mut Child) -> io::Result<(File, Reader)> {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let stdin = child.stdin.take().ok_or_else(closed)?.into_owned_fd()?;
    let stdout = child.stdout.take().ok_or_else(closed)?.into_owned_fd()?;
    set_nonblocking(&stdin)?;
    Ok((File::from(stdin), Reader::attach(Kind::Pipe, stdout)?))
}

/// Sets O_NONBLOCK on a descriptor.
pub(crate) fn set_nonblocking(fd: &impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

fn describe(mut text: String, stdout: &str, tail: &Tail, status: Option<ExitStatus>) -> String {
    if let Some(status) = status {
        text.push_str(&format!(" ({})", status_text(status)));
    }
    if !stdout.is_empty() {
        text.push_str(&format!("\noutput: {stdout}"));
    }
    let stderr = tail.text();
    if !stderr.is_empty() {
        text.push_str(&format!("\nstderr: {stderr}"));
    }
    text
}

/// How a process ended, in words.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|n| Signal::try_from(n).ok())) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Process {
    /// Its process id, which is also its process group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end and carries out orders meanwhile. When it returns no process of the group lives.
    pub async fn attend(mut self, outbox: &Arc<Outbox>, mut orders: watch::Receiver<Orders>) -> Option<ExitStatus> {
        let mut told = false;
        let mut terminated: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let order = *orders.borrow_and_update();
            if order.stop && !told {
                told = true;
                outbox.send(Item::Control(&STOP_COMMAND));
            }
            let alarm = terminated.map(|at| at + KILL_GRACE).or(order.terminate);
            let due = alarm.is_some_and(|at| at <= now);
            if order.kill || (due && terminated.is_some()) {
                if due && told {
                    tracing::warn!(
                        target: "server", pid = self.pid, "worker doesn't respond on stop command, killing process"
                    );
                }
                self.signal(Signal::SIGKILL);
                let status = self.child.wait().await;
                return self.ended(status).await;
            }
            if due {
                self.signal(Signal::SIGTERM);
                terminated = Some(now);
                continue;
            }
            let alarm = async {
                match alarm {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => return self.ended(status).await,
                changed = orders.changed() => if changed.is_err() {
                    // The pool has let go of the worker.
                    self.signal(Signal::SIGKILL);
                    let status = self.child.wait().await;
                    return self.ended(status).await;
                },
                () = alarm => {}
            }
        }
    }

    /// The process has ended: what is left of its group goes too.
    async fn ended(&mut self, status: io::Result<ExitStatus>) -> Option<ExitStatus> {
        self.signal(Signal::SIGKILL);
        self.finish_log().await;
        status.ok()
    }

    /// Ends a process that is no worker: it may exit by itself for a while, then its group is killed.
    async fn end_failed(&mut self, patience: Duration) -> Option<ExitStatus> {
        let by_itself = timeout(patience, self.child.wait()).await.ok().and_then(Result::ok);
        self.signal(Signal::SIGKILL);
        if by_itself.is_none() {
            let _ = self.child.wait().await;
        }
        self.finish_log().await;
        by_itself
    }

    /// Lets the last messages through; a stranger that still holds the pipe is not waited for.
    async fn finish_log(&mut self) {
        if timeout(LAST_WORDS, &mut self.log).await.is_err() {
            self.log.abort();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid)
            && pid > 0
        {
            // An empty group is what we want.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}
