//! The `logs` section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Log format and destinations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Logs {
    /// The default channel's settings.
    #[serde(flatten)]
    pub main: LogChannel,
    /// Settings for single plugins, by logger name.
    pub channels: BTreeMap<String, LogChannel>,
}

/// Format and destination of one channel. An empty text means the mode's own default.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LogChannel {
    /// development, production, raw, none or off.
    pub mode: String,
    /// debug, info, warn, error, panic or fatal.
    pub level: String,
    /// console or json.
    pub encoding: String,
    /// What ends each line.
    pub line_ending: String,
    /// stderr, stdout or file paths.
    pub output: Vec<String>,
    /// Where the logger's own errors go.
    pub err_output: Vec<String>,
    /// A rotated file; replaces `output`, always JSON.
    pub file_logger_options: Option<FileLogger>,
}

/// A rotated log file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct FileLogger {
    /// Path of the file; empty means a file in the temporary directory.
    pub log_output: String,
    /// Size in MB at which the file is rotated.
    pub max_size: u64,
    /// Days that old files are kept.
    pub max_age: u64,
    /// Number of old files that are kept.
    pub max_backups: u64,
    /// Compress old files with gzip.
    pub compress: bool,
}

impl Default for LogChannel {
    fn default() -> Self {
        Self {
            mode: String::new(),
            level: String::new(),
            encoding: String::new(),
            line_ending: "\n".into(),
            output: Vec::new(),
            err_output: Vec::new(),
            file_logger_options: None,
        }
    }
}

impl Default for FileLogger {
    fn default() -> Self {
        Self {
            log_output: String::new(),
            max_size: 100,
            max_age: 24,
            max_backups: 10,
            compress: false,
        }
    }
}
