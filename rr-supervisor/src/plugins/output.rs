//! What a plugin writes to its stderr, and a custom plugin to its stdout: each line becomes a line of the log, under the plugin's name.
//!
//! A plugin of ours logs over a socket of its own. On its stderr are then the words that it could not log: those of the dynamic linker,
//! or the last ones of a process that has no memory.
//!
//! When we become another program that reads on. When we die, a plugin of ours writes to the user's stderr from then on. A custom one
//! has its pipe open for reading too, so that nothing it prints meanwhile is a broken pipe; the next supervisor finds the same pipe at the
//! process, and what is in it.

use crate::service;
use nix::{fcntl::OFlag, unistd::Pid};
use rr_common::telemetry::{Level, Tail};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    sync::Arc,
};
use tokio::task::JoinHandle;

/// Makes lines of all that comes until the plugin, and whatever it started, has ended.
#[derive(Debug)]
pub(crate) struct Output {
    output: Arc<service::Output>,
    lines: JoinHandle<()>,
}

impl Output {
    /// A new one, and the end for the plugin.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn open(plugin: &str, is_custom: bool, tail: Tail) -> io::Result<(OwnedFd, Self)> {
        let (reader, writer) = io::pipe()?;
        let output = Self::resume(plugin, is_custom, (reader.into(), b""), tail)?;
        let writer = OwnedFd::from(writer);
        Ok((if is_custom { for_both(writer) } else { writer }, output))
    }

    /// That of a custom plugin's process that a dead supervisor has started; none if it writes elsewhere by now, or the kernel does not let
    /// us see it.
    pub(crate) fn adopt(plugin: &str, pid: Pid, tail: Tail) -> Option<Self> {
        let pipe = [1, 2].into_iter().find_map(|descriptor| find(pid, descriptor))?;
        Self::resume(plugin, true, (pipe, b""), tail).ok()
    }

    /// The one of a program before us in this process, which has read the begin of a line.
    ///
    /// # Errors
    /// It is no pipe that can be read.
    pub(crate) fn resume(
        plugin: &str,
        is_custom: bool,
        (pipe, begun): (OwnedFd, &[u8]),
        tail: Tail,
    ) -> io::Result<Self> {
        let level = if is_custom { Level::Info } else { Level::Error };
        let output = service::Output::resume(pipe, begun, plugin.to_owned(), level, Some(tail))?;
        let output = Arc::new(output);
        let lines = tokio::spawn(Arc::clone(&output).log_lines());
        Ok(Self { output, lines })
    }

    /// What the next program needs to go on: our end of it, and the begin of a line.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn to_resume(&self) -> io::Result<(OwnedFd, Vec<u8>)> {
        self.output.to_resume()
    }

    /// Waits for the last lines.
    pub(crate) async fn last_words(self) {
        let _ = self.lines.await;
    }
}

/// The same end, open for reading too.
fn for_both(writer: OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let both = OpenOptions::new().read(true).write(true).open(path);
    both.map_or(writer, OwnedFd::from)
}

/// The pipe that a supervisor has given a process as this descriptor: no other is open for both. To read from one that the process shares
/// with somebody else would take away what is theirs.
fn find(pid: Pid, descriptor: u8) -> Option<OwnedFd> {
    let path = format!("/proc/{pid}/fd/{descriptor}");
    let is_pipe =
        || fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"pipe:"));
    let status = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).ok()?;
    if !is_for_both(&status) || !is_pipe() {
        return None;
    }
    let pipe = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .ok()?;
    pipe.metadata().ok()?.file_type().is_fifo().then(|| pipe.into())
}

/// Whether the kernel says of a descriptor that it is open for reading and writing: `flags:` and an octal number.
fn is_for_both(status: &str) -> bool {
    let flags = status.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE == OFlag::O_RDWR)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        process::{Child, Command, Stdio},
    };

    /// A process with this as its stdout, which waits for its stdin's end.
    fn process(stdout: OwnedFd) -> Child {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo printed; cat"])
            .stdin(Stdio::piped())
            .stdout(stdout);
        command.spawn().unwrap()
    }

    #[test]
    fn the_pipe_that_a_process_was_given_is_found_and_no_other() {
        let (reader, writer) = io::pipe().unwrap();
        let mut child = process(for_both(writer.into()));
        let pid = Pid::from_raw(child.id().cast_signed());
        // Its first reader has gone.
        drop(reader);
        let mut found = File::from(find(pid, 1).unwrap());
        assert!(find(pid, 0).is_none(), "a pipe, for reading only");
        assert!(find(pid, 99).is_none());
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "no broken pipe");
        let mut text = String::new();
        found.read_to_string(&mut text).unwrap();
        assert_eq!(text, "printed\n");
        assert!(find(pid, 1).is_none(), "it has gone");

        let (_reader, writer) = io::pipe().unwrap();
        let mut child = process(writer.into());
        assert!(
            find(Pid::from_raw(child.id().cast_signed()), 1).is_none(),
            "a pipe of its own"
        );
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn whatever_the_kernel_says_of_a_descriptor() {
        assert!(is_for_both("pos:\t0\nflags:\t0100002\nmnt_id:\t15\n"));
        for other in [
            "",
            "flags:\t0100001\n",
            "flags:\t00\n",
            "flags:\t9\n",
            "flags:",
            "pos:\t2\n",
        ] {
            assert!(!is_for_both(other), "{other}");
        }
    }
}
