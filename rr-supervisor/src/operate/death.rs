//! An end of a plugin's process or of a worker, as it is told to operators.

use crate::fleet::{Cause, End, Orphan};
use rr_common::control::v1;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines of the log that are told.
const LINES: usize = 8;
/// Longest text of such lines, in bytes.
const LONGEST: usize = 2048;

/// One end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Death {
    /// Whose it was.
    pub plugin: String,
    /// The process; 0 if it did not come to one.
    pub pid: u32,
    /// A worker; else the plugin's own process.
    pub worker: bool,
    /// The worker's pool.
    pub pool: String,
    /// How long ago.
    pub seconds_ago: u64,
    /// How long it had run.
    pub lasted_seconds: u64,
    /// Why, in one word.
    pub cause: String,
    /// Exit code or signal.
    pub exit: String,
    /// Before it was ready, or right after.
    pub early: bool,
    /// It was the next process of an upgrade or a reload; the one in place served on.
    pub next: bool,
    /// What it said about it, or the exit again.
    pub reason: String,
    /// The last lines that it wrote.
    pub lines: String,
    /// What the worker was working on.
    pub request: String,
    /// Requests that the worker had been given.
    pub execs: u64,
}

impl Death {
    /// The end of a plugin's process.
    pub(super) fn of_plugin(plugin: &str, end: &End) -> Self {
        let exit = end.exit_text();
        let trouble = matches!(end.cause, Cause::Crash | Cause::Start);
        Self {
            plugin: plugin.to_owned(),
            pid: end.pid.map_or(0, |pid| pid.as_raw().unsigned_abs()),
            seconds_ago: ago(end.at),
            lasted_seconds: end.lasted().as_secs(),
            cause: end.cause.text().to_owned(),
            reason: if end.words.is_empty() {
                exit.clone()
            } else {
                end.words.clone()
            },
            exit,
            early: end.early,
            next: end.next,
            lines: if trouble {
                last_lines(&end.lines.text())
            } else {
                String::new()
            },
            ..Self::default()
        }
    }

    /// The end of a worker. What a plugin says is cut to a sensible length.
    pub(super) fn of_worker(plugin: &str, death: v1::WorkerDeath) -> Self {
        let at = UNIX_EPOCH + Duration::from_nanos(death.died_ns);
        let lasted = Duration::from_nanos(death.died_ns.saturating_sub(death.created_ns));
        let bounded = |mut text: String| {
            text.truncate(text.floor_char_boundary(LONGEST));
            text
        };
        Self {
            plugin: plugin.to_owned(),
            pid: death.pid,
            worker: true,
            pool: bounded(death.pool),
            seconds_ago: ago(at),
            lasted_seconds: lasted.as_secs(),
            cause: bounded(death.cause),
            reason: bounded(death.exit.clone()),
            exit: bounded(death.exit),
            early: false,
            next: false,
            lines: last_lines(&death.words),
            request: bounded(death.request),
            execs: death.execs,
        }
    }

    /// The end of a process that its plugin, which died before, had left behind.
    pub(super) fn of_orphan(plugin: &str, orphan: &Orphan) -> Self {
        let exit = orphan.exit.to_string();
        Self {
            plugin: plugin.to_owned(),
            pid: orphan.pid.as_raw().unsigned_abs(),
            worker: true,
            seconds_ago: ago(orphan.at),
            cause: "orphan".to_owned(),
            reason: exit.clone(),
            exit,
            ..Self::default()
        }
    }

    /// Whether something went wrong.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self.cause.as_str(), "crash" | "start" | "exec_ttl" | "orphan")
    }
}

fn ago(at: SystemTime) -> u64 {
    at.elapsed().unwrap_or_default().as_secs()
}

/// The last lines of a text, without the colours of a terminal.
fn last_lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = sequence.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest);
    }
    plain.push_str(rest);
    let lines: Vec<&str> = plain.trim().lines().collect();
    let lines = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let cut = lines.len().saturating_sub(LONGEST);
    lines[lines.ceil_char_boundary(cut)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_plain_and_bounded() {
        assert_eq!(last_lines("\x1b[31mred\x1b[0m text\nnext\n"), "red text\nnext");
        let many: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let kept = last_lines(&many.join("\n"));
        assert!(kept.starts_with("line 92\n") && kept.ends_with("line 99"));
        assert!(last_lines(&"é".repeat(5000)).len() <= LONGEST);
    }

    #[test]
    fn a_worker_s_end_is_cut_to_a_sensible_length() {
        let death = v1::WorkerDeath {
            cause: "x".repeat(10_000),
            died_ns: u64::MAX,
            request: "é".repeat(5000),
            ..v1::WorkerDeath::default()
        };
        let told = Death::of_worker("mine", death);
        assert!(told.cause.len() <= LONGEST && told.request.len() <= LONGEST);
        assert_eq!(told.seconds_ago, 0);
    }
}
