//! What a plugin writes to its stderr, and a custom plugin to its stdout: each line becomes a line of the log, under the plugin's name.
//!
//! A plugin of ours logs over a socket of its own. On its stderr are then the words that it could not log: those of the dynamic linker,
//! or the last ones of a process that has no memory. When we become another program that reads on.

use crate::service;
use rr_common::telemetry::{Level, Tail};
use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, OwnedFd},
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
        Ok((if is_custom { for_a_stranger(writer) } else { writer }, output))
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

/// The same end, open for reading too, so that the plugin is a reader of its own pipe: when we die, its next `print` is no
/// broken pipe.
fn for_a_stranger(writer: OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let both = OpenOptions::new().read(true).write(true).open(path);
    both.map_or(writer, OwnedFd::from)
}
