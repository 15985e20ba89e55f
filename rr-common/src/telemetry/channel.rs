//! The `logs` section, resolved: for each logger its level and the style of its lines.

use super::{Level, stderr};
use crate::config::section::{LogChannel, Logs};
use std::io::IsTerminal;
use std::sync::Arc;

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An encoding that does not exist.
    #[error("logs: no encoder registered for name {0:?} (known: console, json)")]
    Encoding(String),
    /// An output that cannot be opened.
    #[error("logs: cannot open the output {path:?}: {source}")]
    Open {
        /// The output as configured.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A second log in one process.
    #[error("logs: the log is set up already")]
    Twice,
    /// The sink's thread or socket cannot be made.
    #[error("logs: {0}")]
    Io(#[from] std::io::Error),
}

/// What decides on keys, names and times of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lower-case levels, times in nanoseconds.
    Production,
    /// Upper-case levels, times as text, padded names.
    Development,
    /// The message and its fields alone.
    Raw,
    /// Any other name: as development, in JSON with one-letter keys.
    Other,
    /// For people in front of a terminal; set by the `up` command, not by configuration files.
    Up,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) mode: Mode,
    pub(crate) json: bool,
    pub(crate) colour: bool,
}

/// One logger's settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    /// The lowest level that is written; `None` when the channel is off.
    pub(crate) level: Option<Level>,
    pub(crate) style: Style,
    pub(crate) line_ending: String,
}

/// The settings of all loggers.
#[derive(Debug)]
pub(crate) struct Table {
    main: Arc<Channel>,
    channels: Vec<(String, Arc<Channel>)>,
}

impl Table {
    pub(crate) fn resolve(logs: &Logs) -> Result<Self, LogError> {
        let mut main = logs.main.clone();
        // The reference writes these two before it looks at the mode, so that even `production` logs debug lines.
        if main.mode.is_empty() {
            main.mode = "development".into();
        }
        if main.level.is_empty() {
            main.level = "debug".into();
        }
        let named = |(name, channel): (&String, &LogChannel)| Ok((name.clone(), Arc::new(Channel::resolve(channel)?)));
        Ok(Self {
            main: Arc::new(Channel::resolve(&main)?),
            channels: logs.channels.iter().map(named).collect::<Result<_, LogError>>()?,
        })
    }

    /// The settings of a logger: its own channel's or the main ones.
    pub(crate) fn channel(&self, logger: &str) -> &Arc<Channel> {
        let logger = family(logger.as_bytes());
        let own = self.channels.iter().find(|(name, _)| name.as_bytes() == logger);
        own.map_or(&self.main, |(_, channel)| channel)
    }

    /// The lowest level that any channel writes.
    pub(crate) fn lowest(&self) -> Option<Level> {
        let all = self.channels.iter().map(|(_, channel)| channel).chain([&self.main]);
        all.filter_map(|channel| channel.level).min()
    }
}

impl Channel {
    fn resolve(section: &LogChannel) -> Result<Self, LogError> {
        let (mode, default, json) = match section.mode.to_ascii_lowercase().as_str() {
            "off" | "none" => (Mode::Other, None, false),
            "production" => (Mode::Production, Some(Level::Info), true),
            "development" => (Mode::Development, Some(Level::Debug), false),
            "raw" => (Mode::Raw, Some(Level::Info), false),
            "up" => (Mode::Up, Some(Level::Debug), false),
            _ => (Mode::Other, Some(Level::Debug), false),
        };
        let json = match section.encoding.as_str() {
            "" => json,
            "json" => true,
            "console" => false,
            other => return Err(LogError::Encoding(other.into())),
        } || section.file_logger_options.is_some();
        // An unknown level leaves the mode's own, as in the reference; the check of the configuration reports it.
        let level = default.map(|default| Level::parse(&section.level).unwrap_or(default));
        let line_ending = match section.line_ending.as_str() {
            "" => "\n".into(),
            other => other.into(),
        };
        let colour = !json && section.file_logger_options.is_none() && on_terminal(&section.output);
        Ok(Self {
            level,
            style: Style { mode, json, colour },
            line_ending,
        })
    }

    pub(crate) fn writes(&self, level: Level) -> bool {
        self.level.is_some_and(|lowest| lowest <= level)
    }
}

/// The part of a logger's name that channels go by: `service` for `service.import`.
pub(super) fn family(logger: &[u8]) -> &[u8] {
    logger.split(|byte| *byte == b'.').next().unwrap_or(logger)
}

/// Colours only where a person looks: every output is a terminal, and neither `NO_COLOR` nor a dumb terminal forbids it.
fn on_terminal(outputs: &[String]) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return false;
    }
    let terminal = |output: &String| match output.as_str() {
        "stderr" => stderr::is_terminal(),
        "stdout" => std::io::stdout().is_terminal(),
        _ => false,
    };
    match outputs {
        [] => stderr::is_terminal(),
        outputs => outputs.iter().all(terminal),
    }
}
