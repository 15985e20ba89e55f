//! What a custom plugin writes to stdout and stderr: each line becomes a line of the log, under the plugin's name.
//!
//! The writing end is open for reading too, so that the plugin is a reader of its own pipe: when we die, its next `print` is no
//! broken pipe. When we become another program that reads on.

use crate::service;
use rr_common::telemetry::Tail;
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
    pub(crate) fn open(plugin: &str, tail: Tail) -> io::Result<(OwnedFd, Self)> {
        let (reader, writer) = io::pipe()?;
        let output = Self::resume(plugin, reader.into(), b"", tail)?;
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let both = OpenOptions::new().read(true).write(true).open(path).map(OwnedFd::from);
        Ok((both.unwrap_or(writer.into()), output))
    }

    /// The one of a program before us in this process, which has read the begin of a line.
    ///
    /// # Errors
    /// It is no pipe that can be read.
    pub(crate) fn resume(plugin: &str, pipe: OwnedFd, begun: &[u8], tail: Tail) -> io::Result<Self> {
        let output = Arc::new(service::Output::resume(pipe, begun, plugin.to_owned(), Some(tail))?);
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
