//! The levels of log lines, with RoadRunner's names.

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for those who look for a fault.
    Debug,
    /// What happens in the ordinary course.
    Info,
    /// Something to look at, nothing is lost yet.
    Warn,
    /// Something failed.
    Error,
    /// As a level in the configuration: only what ends a part of the server.
    Panic,
    /// As a level in the configuration: only what ends the server.
    Fatal,
}

impl Level {
    /// The level of a configured name, in lower or upper case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            "dpanic" | "panic" => Self::Panic,
            "fatal" => Self::Fatal,
            _ => return None,
        })
    }

    /// The name as JSON lines show it.
    pub(crate) fn lower(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Fatal => "fatal",
        }
    }

    /// The name as console lines show it.
    pub(crate) fn upper(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Panic => "PANIC",
            Self::Fatal => "FATAL",
        }
    }

    /// The level of a `tracing` event. Traces have no counterpart and are never written.
    pub(crate) fn of(level: &tracing::Level) -> Option<Self> {
        Some(match *level {
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
            _ => return None,
        })
    }
}
