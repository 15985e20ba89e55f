//! `rr completion SHELL`: the script that lets a shell complete our commands and flags, made from their definition.

use super::{Cli, Failure};
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use std::{env, io, path::Path, process::ExitCode};

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell: bash, elvish, fish, powershell, zsh
    shell: Shell,
}

/// Prints the script, for the name under which we were called.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let called = env::args().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str());
    let mut script = Vec::new();
    generate(arguments.shell, &mut Cli::command(), name.unwrap_or("rr"), &mut script);
    match io::Write::write_all(&mut io::stdout(), &script) {
        // A pager that was closed early.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
