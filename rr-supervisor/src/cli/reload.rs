//! `reload`: what has changed in the configuration, and a working directory that has moved, take effect; all of it or nothing.

use super::{Failure, Global, Output, find, rpc::Client, serve::say};
use crate::{operate::Reload, reload::Report};
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// Longer than all that has a limit of its own in the server: `on_init`, the start of each plugin, the stop of each service.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; returns when everything has taken effect, or when it is clear that nothing will.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut client = find::server_of_file(global)?;
    let outcome = ask(&mut client, arguments.dry_run);
    if arguments.output.json {
        let text = match &outcome {
            Ok(report) => serde_json::to_value(report)?,
            Err(Failure(reason)) => json!({ "error": reason }),
        };
        writeln!(io::stdout(), "{text}")?;
    }
    let report = outcome.map_err(|Failure(reason)| Failure(format!("nothing has changed: {reason}")))?;
    for warning in &report.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    if !arguments.output.json {
        report.lines().iter().for_each(|line| say(global.silent, line));
        if let Some(advice) = advice(&report) {
            say(global.silent, advice);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(client: &mut Client, dry_run: bool) -> Result<Report, Failure> {
    Ok(client.call("supervisor.Reload", &Reload { dry_run }, PATIENCE)?)
}

fn advice(report: &Report) -> Option<&'static str> {
    match (report.dry_run, report.is_change()) {
        (true, true) => Some("this is what `rr reload` would do; nothing was done"),
        (_, false) => Some("nothing has changed in the configuration; new code in the same directory: `rr reset`"),
        (false, true) => None,
    }
}
