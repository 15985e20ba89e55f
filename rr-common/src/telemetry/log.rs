//! The log of this process: what `tracing` events and direct calls become lines by.
//!
//! An event's `target` is the logger's name, its fields become keys of the line. Events whose target is a module path
//! are those of libraries and are left out, those of our own crates go to the process's own logger. Lines that no
//! channel writes cost one comparison: `tracing` remembers by call site that nobody wants them.

use super::channel::{Channel, LogError, Mode, Table};
use super::send::Sender;
use super::{Level, up};
use crate::config::section::Logs;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use super::line::Line;
pub use super::outputs::Outputs;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// A complaint of PHP that is repeated within this time is told once, where people read.
const MOMENT: Duration = Duration::from_millis(500);
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Makes sure, when it is dropped, that the last lines are written.
#[derive(Debug)]
#[must_use = "lines are lost at the end of the process unless this lives until then"]
pub struct Guard(());

/// Sets up the log of a process of this name, straight to the configured outputs.
///
/// # Errors
/// A wrong section, an output that cannot be opened, or a log that is set up already.
pub fn init(logs: &Logs, process: &str) -> Result<Guard, LogError> {
    let sender = Sender::local(Outputs::open(logs)?)?;
    install(Logger::new(logs, process, sender)?)
}

/// As [`init`], over this socket of a [`super::sink::Sink`], which is the supervisor's for a plugin.
///
/// # Errors
/// A wrong section, or a log that is set up already.
pub fn init_on(logs: &Logs, process: &str, socket: OwnedFd) -> Result<Guard, LogError> {
    install(Logger::new(logs, process, Sender::remote(socket))?)
}

fn install(logger: Logger) -> Result<Guard, LogError> {
    let mut logger = Some(logger);
    let installed = LOGGER.get_or_init(|| logger.take().unwrap_or_else(|| unreachable!("the closure runs once")));
    match logger {
        None if tracing::subscriber::set_global_default(super::subscriber::Subscriber(installed)).is_ok() => {}
        _ => return Err(LogError::Twice),
    }
    std::panic::set_hook(Box::new(panicked));
    Ok(Guard(()))
}

/// Takes over a changed section. With the outputs in this process, these change as well.
///
/// # Errors
/// A wrong section or an output that cannot be opened; everything stays as it was then.
pub fn reconfigure(logs: &Logs) -> Result<(), LogError> {
    let Some(logger) = LOGGER.get() else { return Ok(()) };
    let table = Table::resolve(logs)?;
    let mut opened = Ok(None);
    logger.sender.with_sink(|_| opened = Outputs::open(logs).map(Some));
    if let Some(outputs) = opened? {
        logger.sender.with_sink(|sink| sink.replace(outputs));
    }
    *logger.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Sends the lines over this socket from now on: the supervisor that read the other end of the one before is gone, and this is
/// its successor's.
pub fn reconnect(socket: OwnedFd) {
    if let Some(logger) = LOGGER.get() {
        logger.sender.reconnect(socket);
    }
}

/// Opens the files anew if this process writes them itself.
pub fn reopen() {
    if let Some(logger) = LOGGER.get() {
        logger.sender.with_sink(|sink| sink.reopen());
    }
}

/// Whether a line of this logger and level would be written.
pub fn enabled(logger: &str, level: Level) -> bool {
    LOGGER.get().is_some_and(|log| log.wanted(logger, level).is_some())
}

/// Whether this logger's lines are for people (`up`).
pub fn is_for_people(logger: &str) -> bool {
    LOGGER.get().is_some_and(|log| log.is_for_people(logger))
}

/// Begins a line, without the way through `tracing`: for names that are known at run time only, and for the hot path.
/// `None` if it would not be written.
pub fn line(logger: &str, level: Level, message: &str) -> Option<Line<'static>> {
    let mut line = begin(logger, level)?;
    line.encoder.message(message.as_bytes());
    Some(line)
}

/// As [`line()`], for a text that somebody else wrote: it stays one line under its own time and level. JSON escapes what is in
/// it anyway; elsewhere further lines of the text are indented, and control characters are shown as escapes. What is JSON
/// stays JSON by that, also in `raw` mode.
pub fn foreign_line(logger: &str, level: Level, message: &str) -> Option<Line<'static>> {
    let mut line = begin(logger, level)?;
    line.encoder.foreign_message(message);
    Some(line)
}

/// A line up to where its message begins.
pub(super) fn begin(logger: &str, level: Level) -> Option<Line<'static>> {
    LOGGER.get()?.begin(logger, level)
}

/// What a plugin's worker wrote to its stderr: whole in the message, with the names of both. In `raw` mode nothing is
/// added, so that JSON of applications passes as it is.
pub fn worker_output(plugin: &str, pid: u32, output: &[u8]) {
    if let Some(logger) = LOGGER.get() {
        logger.worker_output(plugin, pid, output);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(logger) = LOGGER.get() {
            logger.sender.finish(LAST_LINES);
        }
    }
}

/// Everything that makes lines.
#[derive(Debug)]
pub(super) struct Logger {
    process: Box<str>,
    table: RwLock<Arc<Table>>,
    sender: Arc<Sender>,
    /// PHP's last complaint, in `up` mode.
    said: Mutex<Option<(Box<[u8]>, Instant)>>,
}

impl Logger {
    pub(super) fn new(logs: &Logs, process: &str, sender: Arc<Sender>) -> Result<Self, LogError> {
        let table = RwLock::new(Arc::new(Table::resolve(logs)?));
        Ok(Self {
            process: process.into(),
            table,
            sender,
            said: Mutex::new(None),
        })
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    pub(super) fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    /// The lowest level that any channel writes.
    pub(super) fn lowest(&self) -> Option<Level> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).lowest()
    }

    /// The channel of a logger, if it writes this level.
    pub(super) fn wanted(&self, logger: &str, level: Level) -> Option<Arc<Channel>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let channel = table.channel(logger);
        channel.writes(level).then(|| Arc::clone(channel))
    }

    /// A line up to where its message begins.
    pub(super) fn begin(&self, logger: &str, level: Level) -> Option<Line<'_>> {
        let channel = self.wanted(logger, level)?;
        Some(Line::begin(self, channel, logger, level))
    }

    fn is_for_people(&self, logger: &str) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let style = table.channel(logger).style;
        style.mode == Mode::Up && !style.json
    }

    /// Whether a complaint of PHP is the last one again, within a moment. Remembers it.
    fn has_just_said(&self, output: &[u8]) -> bool {
        if up::complaint(output).is_none() {
            return false;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = said
            .as_ref()
            .is_some_and(|(text, when)| **text == *output && when.elapsed() < MOMENT);
        if !repeated {
            *said = Some((output.into(), Instant::now()));
        }
        repeated
    }

    fn worker_output(&self, plugin: &str, pid: u32, output: &[u8]) {
        // Where people read, a complaint of PHP has its own level and is told once, however many workers make it.
        let output = output.trim_ascii_end();
        let for_people = self.is_for_people("server");
        let level = match for_people {
            true if self.has_just_said(output) => return,
            true => up::complaint(output).unwrap_or(Level::Info),
            false => Level::Info,
        };
        let Some(mut line) = self.begin("server", level) else {
            return;
        };
        line.encoder.message(output);
        if !line.encoder.is_bare() && !for_people {
            line.uint("pid", pid.into()).str("plugin", plugin);
        }
        line.send();
    }

    /// The count goes into the log whatever its level: a gap must be seen.
    pub(super) fn tell_dropped(&self, count: u64) {
        let channel = Arc::clone(
            self.table
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .channel(&self.process),
        );
        let mut line = Line::begin(self, channel, &self.process, Level::Warn);
        line.encoder
            .message(b"log lines were dropped: the outputs did not keep up");
        line.encoder.int("dropped", count);
        line.hand_over(Sender::send);
    }
}

fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let text = panic.payload_as_str().unwrap_or("no text");
    let Some(logger) = LOGGER.get() else { return };
    let Some(mut line) = logger.begin(&logger.process, Level::Error) else {
        return;
    };
    line.encoder.message(b"panic");
    line.str("error", text)
        .str("thread", thread.name().unwrap_or("unnamed"));
    if let Some(location) = panic.location() {
        line.display("at", location);
    }
    line.send();
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
