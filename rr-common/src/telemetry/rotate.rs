//! A log file that is put aside when it is full. Names, limits and their order are those of lumberjack, the reference's
//! library: `rr.log` is renamed to `rr-2026-11-22T21-05-09.123.log` (UTC), and old files are then compressed and
//! removed by a thread that lives as long as that takes.

use super::outputs::is_at;
use crate::config::section::FileLogger;
use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const COMPRESSED: &str = ".gz";

/// When to rotate, and what to keep.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) max_size: u64,
    /// Days.
    pub(crate) max_age: i64,
    pub(crate) max_backups: usize,
    pub(crate) compress: bool,
}

/// A file with its rules.
#[derive(Debug)]
pub(crate) struct Rotated {
    rules: Rules,
    open: Option<(File, u64)>,
    /// Milliseconds since 1970 of the last rotation.
    last: i64,
    /// Held while old files are tidied, so that two threads do not do it at once.
    tidying: Arc<Mutex<()>>,
}

impl From<&FileLogger> for Rules {
    fn from(section: &FileLogger) -> Self {
        let or = |value: u64, default: u64| if value == 0 { default } else { value };
        Self {
            path: match section.log_output.as_str() {
                "" => std::env::temp_dir().join("rr-lumberjack.log"),
                path => path.into(),
            },
            max_size: or(section.max_size, 100).saturating_mul(1024 * 1024),
            max_age: or(section.max_age, 24).min(36_500) as i64,
            max_backups: or(section.max_backups, 10) as usize,
            compress: section.compress,
        }
    }
}

impl Rotated {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            open: None,
            last: 0,
            tidying: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.rules.path
    }

    /// Whether so many bytes still go into the file as it is. True for an empty file: a line that is larger than the
    /// limit gets a file of its own.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let size = self.open.as_ref().map_or(0, |(_, size)| *size);
        size == 0 || size + bytes as u64 <= self.rules.max_size
    }

    /// Appends whole lines, in a new file if they do not fit.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self
            .open
            .as_ref()
            .is_some_and(|(file, _)| !is_at(file, &self.rules.path))
        {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.rules.append()?);
            self.tidy();
        }
        if !self.has_room(bytes.len()) {
            self.rotate()?;
        }
        let (file, size) = match &mut self.open {
            Some(open) => open,
            none => none.insert(self.rules.append()?),
        };
        file.write_all(bytes)?;
        *size += bytes.len() as u64;
        Ok(())
    }

    /// Forgets the open file; the next line opens what is at the path then.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mode = fs::metadata(&self.rules.path).map_or(0o600, |metadata| metadata.permissions().mode());
        // Two rotations within one millisecond get names in their order.
        self.last = Timestamp::now().as_millisecond().max(self.last + 1);
        let backup = self
            .rules
            .backup(Timestamp::from_millisecond(self.last).map_err(io::Error::other)?);
        fs::rename(&self.rules.path, backup)?;
        self.open = None;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(mode)
            .open(&self.rules.path)?;
        let size = file.metadata()?.len();
        self.open = Some((file, size));
        self.tidy();
        Ok(())
    }

    fn tidy(&self) {
        let rules = self.rules.clone();
        let tidying = Arc::clone(&self.tidying);
        let work = move || {
            let _one_at_a_time = tidying.lock().unwrap_or_else(PoisonError::into_inner);
            // A file that cannot be compressed or removed now is met again at the next rotation.
            let _ = rules.tidy(Timestamp::now());
        };
        let _ = std::thread::Builder::new().name("log rotation".into()).spawn(work);
    }
}

impl Rules {
    fn append(&self) -> io::Result<(File, u64)> {
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// What stands before and after the time in the names of old files.
    fn parts(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let extension = part(self.path.extension()).map_or(String::new(), |extension| format!(".{extension}"));
        (
            format!("{}-", part(self.path.file_stem()).unwrap_or_default()),
            extension,
        )
    }

    fn backup(&self, moment: Timestamp) -> PathBuf {
        let (before, after) = self.parts();
        let stamp = TimeZone::UTC.to_datetime(moment).strftime(STAMP).to_string();
        self.path.with_file_name(format!("{before}{stamp}{after}"))
    }

    /// The time in an old file's name.
    fn time_of(&self, name: &str) -> Option<DateTime> {
        let (before, after) = self.parts();
        let name = name.strip_suffix(COMPRESSED).unwrap_or(name);
        let stamp = name.strip_prefix(&before)?.strip_suffix(&after)?;
        DateTime::strptime(STAMP, stamp).ok()
    }

    /// Removes old files beyond the number and the age that are kept, compresses the others.
    fn tidy(&self, now: Timestamp) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut old = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if let Some(time) = entry.file_name().to_str().and_then(|name| self.time_of(name)) {
                old.push((time, entry.path()));
            }
        }
        old.sort();
        old.reverse();
        let oldest = TimeZone::UTC.to_datetime(now).saturating_sub(self.max_age.days());
        for (index, (time, path)) in old.iter().enumerate() {
            if index >= self.max_backups || *time < oldest {
                fs::remove_file(path)?;
            } else if self.compress && path.extension().is_none_or(|extension| extension != "gz") {
                compress(path)?;
            }
        }
        Ok(())
    }
}

/// Replaces a file by its compressed form, which has its final name only when it is complete.
fn compress(path: &Path) -> io::Result<()> {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let (partial, complete) = (with(".gz.partial"), with(COMPRESSED));
    let mut from = File::open(path)?;
    let mode = from.metadata()?.permissions().mode();
    let to = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)?;
    let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?;
    fs::rename(partial, complete)?;
    fs::remove_file(path)
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
