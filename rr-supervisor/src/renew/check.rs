//! Is that program fit to take our place? It is asked: run with [`VERB`] it takes the configuration in force from its stdin, says what it
//! is, and does nothing else.

use super::{Wish, baggage, execute::Origin};
use crate::{adopt::memory, plugins::lifecycle::Exit, plugins::process::kill_group};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::Pid,
};
use rr_common::{COMPATIBLE_VERSION, control::CONTRACT_VERSION};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, PipeReader, Read, Seek, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// The command by which a program says what it is.
pub(crate) const VERB: &str = "check-self";

/// How long it may take: it reads a configuration.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than it has to say.
const LONGEST: u64 = 64 * 1024;

/// What a program says of itself, on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// Its version.
    pub supervisor: String,
    /// The version of the control contract.
    pub contract: u32,
    /// The versions of what is handed over.
    pub baggage: u32,
    pub memory: u32,
}

/// A program that is being checked.
#[derive(Debug)]
pub(crate) struct Check {
    pid: Pid,
    output: PipeReader,
    until: Instant,
    /// What it is for.
    pub(crate) wish: Wish,
    /// The program.
    pub(crate) binary: PathBuf,
}

impl Report {
    /// What this program says.
    pub(crate) fn own() -> Self {
        Self {
            supervisor: COMPATIBLE_VERSION.to_owned(),
            contract: CONTRACT_VERSION,
            baggage: baggage::VERSION,
            memory: memory::VERSION,
        }
    }

    /// Why a program that says this cannot take the place of the one that we are.
    fn objection(&self) -> Option<String> {
        let own = Self::own();
        let pairs = [
            ("the control contract", self.contract, own.contract),
            ("what is handed over", self.baggage, own.baggage),
            ("what is remembered", self.memory, own.memory),
        ];
        let different = pairs.into_iter().find(|(_, theirs, ours)| theirs != ours);
        different.map(|(what, theirs, ours)| {
            format!("it speaks version {theirs} of {what}, this supervisor version {ours}: restart the server instead")
        })
    }
}

impl Check {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be executed; the wish comes back with the reason.
    pub(crate) fn begin(wish: Wish, origin: &Origin, in_force: &[u8], now: Instant) -> Result<Self, (Wish, String)> {
        let binary = wish.binary.clone().unwrap_or_else(|| origin.program.clone());
        let begun = || -> io::Result<(Pid, PipeReader)> {
            let (output, writer) = io::pipe()?;
            fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
            let child = Command::new(&binary)
                .arg(VERB)
                .args(origin.arguments.iter().skip(1))
                .process_group(0)
                .stdin(file_of(in_force)?)
                .stdout(writer.try_clone()?)
                .stderr(writer)
                .spawn()?;
            let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
            Ok((Pid::from_raw(pid), output))
        };
        match begun() {
            Ok((pid, output)) => Ok(Self {
                pid,
                output,
                until: now + PATIENCE,
                wish,
                binary,
            }),
            Err(error) => {
                let text = format!("{}: {error}", binary.display());
                Err((wish, text))
            }
        }
    }

    /// True when that process is the one that is checked.
    pub(crate) fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// When [`Check::elapse`] is due.
    pub(crate) fn wake(&self) -> Instant {
        self.until
    }

    /// One that takes too long is killed, and its end then tells.
    pub(crate) fn elapse(&mut self, now: Instant) {
        if self.until <= now {
            kill_group(self.pid);
            self.until = now + PATIENCE;
        }
    }

    /// It has ended: fit, or why not.
    pub(crate) fn verdict(&mut self, exit: Exit) -> Result<(), String> {
        let mut output = Vec::new();
        // An end without a report is told by what it wrote.
        let _ = (&mut self.output).take(LONGEST).read_to_end(&mut output);
        verdict(exit, &String::from_utf8_lossy(&output))
            .map_err(|reason| format!("{}: {reason}", self.binary.display()))
    }
}

/// A file in memory with these bytes, to be read from its begin.
fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("rr-check", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn verdict(exit: Exit, output: &str) -> Result<(), String> {
    let report = output.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    match (exit, report) {
        (Exit::Code(0), Some(report)) => Report::objection(&report).map_or(Ok(()), Err),
        (Exit::Code(0), None) => Err("it is no supervisor".to_owned()),
        (exit, _) if output.trim().is_empty() => Err(exit.to_string()),
        (_, _) => Err(output.trim().to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_decides() {
        let own = serde_json::to_string(&Report::own()).unwrap();
        assert_eq!(verdict(Exit::Code(0), &format!("a warning\n{own}\n")), Ok(()));
        let other = Report {
            contract: CONTRACT_VERSION + 1,
            ..Report::own()
        };
        let other = serde_json::to_string(&other).unwrap();
        assert!(
            verdict(Exit::Code(0), &other)
                .unwrap_err()
                .contains("version 2 of the control contract")
        );
        for (exit, output, reason) in [
            (Exit::Code(0), "hello", "it is no supervisor"),
            (Exit::Code(0), "{}", "version 0"),
            (Exit::Code(1), "", "exit code 1"),
            (Exit::Code(1), "no such file\n", "no such file"),
            (Exit::Signal(9), &own, "supervisor"),
        ] {
            let text = verdict(exit, output).unwrap_err();
            assert!(text.contains(reason), "{text}");
        }
    }
}
