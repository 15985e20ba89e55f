//! `upgrade`: a new process takes a plugin's place, of the same program (whose file may have changed) or of another.

use super::{Failure, Global, Output, find, serve::say};
use crate::operate::Upgrade;
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// Longer than the server waits for the new process: it knows the plugin's own limits.
const PATIENCE: Duration = Duration::from_secs(660);

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plugin
    plugin: String,
    /// Its program from now on, until the server ends [default: the one that it has]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; returns when the new process serves, or when it is clear that it will not.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let binary = arguments.binary.as_ref().map(std::path::absolute).transpose()?;
    let mut client = find::server(global)?;
    let upgrade = Upgrade {
        plugin: arguments.plugin.clone(),
        binary,
    };
    let pid: u32 = client.call("supervisor.Upgrade", &upgrade, PATIENCE)?;
    if arguments.output.json {
        writeln!(io::stdout(), "{}", json!({ "plugin": upgrade.plugin, "pid": pid }))?;
    } else {
        say(
            global.silent,
            &format!("plugin upgraded: [{}], its pid is {pid}", upgrade.plugin),
        );
    }
    Ok(ExitCode::SUCCESS)
}
