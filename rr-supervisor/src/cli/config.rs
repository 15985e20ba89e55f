//! `config check`, `config show` and `config schema`: what the server makes of its configuration.

use super::{Failure, Global};
use crate::serve;
use clap::Subcommand;
use rr_common::config::{self, ShowOptions};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Say everything that is wrong with the configuration
    Check {
        /// Warnings, such as unknown keys, are errors
        #[arg(long)]
        strict: bool,
    },
    /// Print every value as the server sees it, defaults included
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// Print passwords, keys and tokens as they are, not masked
        #[arg(long)]
        secrets: bool,
    },
    /// Print the JSON Schema of the configuration file
    Schema,
}

pub(super) fn run(global: &Global, what: &What) -> Result<ExitCode, Failure> {
    match what {
        What::Check { strict } => check(global, *strict),
        What::Show { origin, secrets } => {
            let loaded = config::load(&global.load_options())?;
            let options = ShowOptions {
                origin: *origin,
                secrets: *secrets,
            };
            print(&config::show(&loaded, options))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Schema => {
            print(&config::schema_text())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(global: &Global, strict: bool) -> Result<ExitCode, Failure> {
    let findings = config::check(&global.load_options(), strict, serve::findings);
    let mut out = io::stderr().lock();
    for warning in &findings.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for error in &findings.errors {
        writeln!(out, "error: {error}")?;
    }
    if findings.errors.is_empty() {
        print("the configuration is valid")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{}", line.trim_end())
}
