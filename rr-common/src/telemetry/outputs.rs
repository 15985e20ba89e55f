//! The places that lines are written to: stderr, stdout, plain files, rotated files; and which logger's lines go where.

use super::channel::{LogError, family};
use super::rotate::{Rotated, Rules};
use super::stderr;
use crate::config::section::{LogChannel, Logs};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that gather before an output is written to without being asked.
const BATCH: usize = 64 * 1024;

/// All outputs of a configuration.
#[derive(Debug)]
pub struct Outputs {
    outputs: Vec<Output>,
    main: Route,
    channels: Vec<(String, Route)>,
}

/// Where one channel's lines go, and where it is told when they cannot be written; indexes of outputs.
#[derive(Debug, Default)]
struct Route {
    lines: Vec<usize>,
    errors: Vec<usize>,
}

#[derive(Debug)]
struct Output {
    target: Target,
    /// Lines that are not written yet, and how many there are.
    batch: Vec<u8>,
    lines: u64,
    /// Lines lost since it last worked.
    lost: u64,
}

#[derive(Debug)]
enum Target {
    Stderr,
    Stdout,
    /// A file that is only appended to. `None` while it cannot be opened.
    Plain(PathBuf, Option<File>),
    Rotated(Rotated),
}

impl Outputs {
    /// Opens everything that the section names.
    ///
    /// # Errors
    /// The first output that cannot be opened.
    pub fn open(logs: &Logs) -> Result<Self, LogError> {
        let mut all = Self {
            outputs: Vec::new(),
            main: Route::default(),
            channels: Vec::new(),
        };
        all.main = all.route(&logs.main)?;
        for (name, channel) in &logs.channels {
            let route = all.route(channel)?;
            all.channels.push((name.clone(), route));
        }
        Ok(all)
    }

    /// Everything to stderr.
    pub(crate) fn stderr() -> Self {
        let outputs = vec![Output::new(Target::Stderr)];
        Self {
            outputs,
            main: Route {
                lines: vec![0],
                errors: Vec::new(),
            },
            channels: Vec::new(),
        }
    }

    /// Takes a line of a logger; it is written with the next [`Outputs::flush`] at the latest.
    pub(crate) fn write(&mut self, logger: &[u8], line: &[u8]) {
        let logger = family(logger);
        let own = self.channels.iter().find(|(name, _)| name.as_bytes() == logger);
        let route = own.map_or(&self.main, |(_, route)| route);
        for &index in &route.lines {
            let output = &mut self.outputs[index];
            let full = match &output.target {
                Target::Rotated(file) => !file.has_room(output.batch.len() + line.len()),
                _ => false,
            };
            if full || output.batch.len() > BATCH {
                Self::flush_one(&mut self.outputs, &route.errors, index);
            }
            let output = &mut self.outputs[index];
            output.batch.extend_from_slice(line);
            output.lines += memchr::memchr_iter(b'\n', line).count().max(1) as u64;
        }
    }

    /// Writes what has gathered.
    pub(crate) fn flush(&mut self) {
        for route in [&self.main]
            .into_iter()
            .chain(self.channels.iter().map(|(_, route)| route))
        {
            for &index in &route.lines {
                Self::flush_one(&mut self.outputs, &route.errors, index);
            }
        }
    }

    /// Opens the files anew, whether they have been moved away or not.
    pub(crate) fn reopen(&mut self) {
        self.flush();
        for output in &mut self.outputs {
            match &mut output.target {
                Target::Plain(_, file) => *file = None,
                Target::Rotated(file) => file.close(),
                Target::Stderr | Target::Stdout => {}
            }
            // What cannot be opened now is tried again, and told, with the next line.
            let _ = output.target.write(b"");
        }
    }

    fn route(&mut self, channel: &LogChannel) -> Result<Route, LogError> {
        let lines = match &channel.file_logger_options {
            Some(options) => vec![self.add(Target::Rotated(Rotated::new(Rules::from(options))))?],
            None => self.named(&channel.output)?,
        };
        Ok(Route {
            lines,
            errors: self.named(&channel.err_output)?,
        })
    }

    /// The outputs of these names; none at all means stderr.
    fn named(&mut self, names: &[String]) -> Result<Vec<usize>, LogError> {
        let target = |name: &str| match name {
            "stderr" => Target::Stderr,
            "stdout" => Target::Stdout,
            path => Target::Plain(path.strip_prefix("file://").unwrap_or(path).into(), None),
        };
        match names {
            [] => Ok(vec![self.add(Target::Stderr)?]),
            names => names.iter().map(|name| self.add(target(name))).collect(),
        }
    }

    /// Adds an output, or finds the one that has the same target.
    fn add(&mut self, target: Target) -> Result<usize, LogError> {
        let same = |output: &Output| match (&output.target, &target) {
            (Target::Stderr, Target::Stderr) | (Target::Stdout, Target::Stdout) => true,
            (one, other) => one.path().is_some() && one.path() == other.path(),
        };
        if let Some(index) = self.outputs.iter().position(same) {
            return Ok(index);
        }
        let mut output = Output::new(target);
        if let Err(source) = output.target.write(b"") {
            let path = output.target.name();
            return Err(LogError::Open { path, source });
        }
        self.outputs.push(output);
        Ok(self.outputs.len() - 1)
    }

    fn flush_one(outputs: &mut [Output], errors: &[usize], index: usize) {
        let output = &mut outputs[index];
        if output.batch.is_empty() {
            return;
        }
        let result = output.target.write(&output.batch);
        let lines = std::mem::take(&mut output.lines);
        output.batch.clear();
        if output.batch.capacity() > 4 * BATCH {
            output.batch.shrink_to(BATCH);
        }
        let name = output.target.name();
        let told = match result {
            Ok(()) if output.lost == 0 => return,
            Ok(()) => {
                let lost = std::mem::take(&mut output.lost);
                format!("log output {name}: writing works again, {lost} lines were lost\n")
            }
            Err(error) => {
                output.lost += lines;
                if output.lost > lines {
                    return;
                }
                format!("log output {name}: cannot write: {error}; lines are lost\n")
            }
        };
        // An output that is itself broken is not told about others; nothing is to be said about that.
        for &index in errors {
            let _ = outputs[index].target.write(told.as_bytes());
        }
    }
}

impl Output {
    fn new(target: Target) -> Self {
        Self {
            target,
            batch: Vec::new(),
            lines: 0,
            lost: 0,
        }
    }
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => stderr::write(bytes),
            Self::Stdout => write_shared(io::stdout().as_fd(), bytes),
            Self::Plain(path, file) => {
                if file.as_ref().is_some_and(|file| !is_at(file, path)) {
                    *file = None;
                }
                match file {
                    Some(file) => file.write_all(bytes),
                    None => file.insert(append(path)?).write_all(bytes),
                }
            }
            Self::Rotated(file) => file.write(bytes),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Plain(path, _) => Some(path),
            Self::Rotated(file) => Some(file.path()),
            Self::Stderr | Self::Stdout => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Stderr => "stderr".into(),
            Self::Stdout => "stdout".into(),
            Self::Plain(path, _) => path.display().to_string(),
            Self::Rotated(file) => file.path().display().to_string(),
        }
    }
}

/// Writes to a descriptor that others share, any of whom may have made it non-blocking. Past the standard library's
/// buffer, since a batch is whole lines.
pub(super) fn write_shared(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let _ = poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Whether a path still leads to this file: logrotate moves files away.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: io::Result<std::fs::Metadata>| metadata.map(|of| (of.dev(), of.ino()));
    matches!((identity(file.metadata()), identity(std::fs::metadata(path))), (Ok(one), Ok(other)) if one == other)
}
