//! The start of a worker: process, handshake, and if it fails the reason in PHP's own words.

use super::{
    handshake::{self, HandshakeError},
    process::{Process, status_text},
    recipe::Recipe,
    stderr,
};
use crate::{
    relay::{
        Ends, Kind, Reader,
        frames::{Frames, ReadError},
        hub::Hub,
    },
    telemetry::Tail,
};
use bytes::BytesMut;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{fs::File, io, process::ExitStatus, sync::Arc, time::Duration};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    time::timeout,
};

/// How long a worker that failed to start may take to exit by itself, so that its exit code is known.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a worker did not start: one readable text with PHP's own words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

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
    let mut process = Process {
        pid,
        child,
        log,
        tail: tail.clone(),
    };

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
