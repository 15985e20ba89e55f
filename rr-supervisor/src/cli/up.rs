//! `up`: the server for development. The same as `serve`, with log lines for people and a banner.

use super::{
    Failure, Global,
    serve::{say, start, stopping},
};
use crate::{fleet::Fleet, run::Notice};
use clap::Args;
use rr_common::{COMPATIBLE_VERSION, listen::Inherited};
use std::{fmt::Write, process::ExitCode, time::Instant};

/// What `up` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Renew the workers when PHP files of the project change
    #[arg(long)]
    watch: bool,
}

/// Runs the server.
pub(super) fn run(global: &Global, arguments: &Arguments, inherited: Inherited) -> Result<ExitCode, Failure> {
    let silent = global.silent;
    let begin = Instant::now();
    start(
        global,
        inherited,
        true,
        arguments.watch,
        move |notice, grace, fleet| match notice {
            Notice::Ready => say(silent, &banner(fleet, begin)),
            Notice::Stopping => say(silent, &format!("\n{}; Ctrl-C again ends it at once", stopping(grace))),
            Notice::Moved => {}
        },
    )
}

/// Who listens where, and under which pid.
fn banner(fleet: &Fleet, begin: Instant) -> String {
    let millis = begin.elapsed().as_millis();
    let pid = std::process::id();
    // Writing to a String cannot fail.
    let mut text = format!("\n  server {COMPATIBLE_VERSION} is up after {millis} ms (pid {pid}); Ctrl-C stops it\n");
    for (name, what, addresses) in fleet.shown() {
        let _ = writeln!(text, "  {name:<12} {what:<14} {}", addresses.join("  "));
    }
    text
}
