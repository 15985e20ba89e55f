//! What a custom plugin writes to stdout and stderr: each line becomes a line of the log, under the plugin's name.
//!
//! The writing end is open for reading too, so that the plugin is a reader of its own pipe: when we die, its next `print` is no
//! broken pipe.

use crate::service::Output;
use rr_common::telemetry::Tail;
use std::{
    fs::OpenOptions,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};
use tokio::net::unix::pipe;

/// The end for the plugin, and what makes lines of all that comes until the plugin, and whatever it started, has ended.
///
/// # Errors
/// No descriptors left.
pub(crate) fn open(plugin: &str, tail: Tail) -> io::Result<(OwnedFd, impl Future<Output = ()> + use<>)> {
    let (reader, writer) = io::pipe()?;
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let both = OpenOptions::new().read(true).write(true).open(path).map(OwnedFd::from);
    Ok((
        both.unwrap_or(writer.into()),
        Arc::new(Output::new(reader, plugin.to_owned(), Some(tail))).log_lines(),
    ))
}
