//! The command line, RoadRunner's as it is: flags may stand before or after the verb.

mod completion;
mod config;
mod ends;
mod find;
mod human;
mod jobs;
mod plugins;
mod reload;
mod reset;
mod rpc;
mod serve;
mod stop;
mod table;
mod top;
mod up;
mod upgrade;
mod version;
mod why;
mod workers;

use crate::{place, renew::check, service::guard};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use rr_common::{
    config::LoadOptions,
    listen::{self, Inherited},
};
use std::{ffi::OsString, fmt, path::PathBuf, process::ExitCode};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "rr",
    about = "PHP application server: supervisor and command line",
    disable_version_flag = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Flags of every command.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file
    #[arg(short, long, global = true, value_name = "FILE", default_value = ".rr.yaml")]
    config: PathBuf,
    /// Working directory [default: the configuration file's]
    #[arg(short, long = "WorkDir", global = true, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Override a value of the configuration, may be repeated
    #[arg(short = 'o', long = "override", global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    overrides: Vec<String>,
    /// Read variables from a dotenv file [environment: DOTENV_PATH]
    #[arg(long, global = true, value_name = "FILE")]
    dotenv: Option<PathBuf>,
    /// Debug mode
    #[arg(short, long, global = true)]
    debug: bool,
    /// Do not print startup messages
    #[arg(short, long, global = true)]
    silent: bool,
    /// Create a .pid file in the working directory
    #[arg(short, long, global = true)]
    pid: bool,
    /// Enable experimental features
    #[arg(short, long = "enable-experimental", global = true)]
    experimental: bool,
    /// Force the stop
    #[arg(short, long, global = true)]
    force: bool,
    /// Print the version
    #[arg(short, long)]
    version: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the server
    Serve,
    /// Start the server for development: log lines for people, a banner with addresses and pids
    Up(up::Arguments),
    /// Stop the server whose .pid file is in the working directory
    Stop(Output),
    /// Show the workers of the running server
    Workers(workers::Arguments),
    /// Replace the workers of the running server, behind the pool
    Reset(reset::Arguments),
    /// List, pause, resume and destroy pipelines of the running server
    Jobs(jobs::Arguments),
    /// Show the processes of the running server: version, age, restarts, memory, health
    Plugins(Output),
    /// Watch the running server on a terminal: plugins, workers, what waits, what died
    Top,
    /// Why a worker or a plugin died or was replaced
    Why(why::Arguments),
    /// Make what has changed in the configuration take effect, with no request lost
    Reload(reload::Arguments),
    /// Replace a plugin's process by a new one, with no request lost
    Upgrade(upgrade::Arguments),
    /// Print a shell's script that completes this command line
    Completion(completion::Arguments),
    /// What a program is that shall take a running server's place
    #[command(name = check::VERB, hide = true, disable_help_flag = true)]
    CheckSelf {
        /// The arguments with which it would run
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// What a server starts for itself
    #[command(name = guard::VERB, hide = true)]
    GuardServices,
    /// Look into the configuration
    Config {
        #[command(subcommand)]
        what: config::What,
    },
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// A failed command: what the user reads on stderr.
#[derive(Debug)]
struct Failure(String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command that the command line names.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn main() -> ExitCode {
    // First of all, while there is one thread.
    let inherited = listen::inherit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    match run(cli, inherited) {
        Ok(code) => code,
        Err(Failure(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, inherited: Inherited) -> Result<ExitCode, Failure> {
    if cli.global.version {
        return version::print();
    }
    match cli.verb {
        Some(Verb::Serve) => serve::run(&cli.global, inherited),
        Some(Verb::Up(arguments)) => up::run(&cli.global, &arguments, inherited),
        Some(Verb::Stop(output)) => stop::run(&cli.global, output),
        Some(Verb::Workers(arguments)) => workers::run(&cli.global, &arguments),
        Some(Verb::Reset(arguments)) => reset::run(&cli.global, &arguments),
        Some(Verb::Jobs(arguments)) => jobs::run(&cli.global, &arguments),
        Some(Verb::Plugins(output)) => plugins::run(&cli.global, output),
        Some(Verb::Top) => top::run(&cli.global),
        Some(Verb::Why(arguments)) => why::run(&cli.global, &arguments),
        Some(Verb::Reload(arguments)) => reload::run(&cli.global, &arguments),
        Some(Verb::Upgrade(arguments)) => upgrade::run(&cli.global, &arguments),
        Some(Verb::Completion(arguments)) => completion::run(&arguments),
        Some(Verb::CheckSelf { arguments }) => {
            // A program that does not know one of them could not serve with them.
            Cli::try_parse_from(std::iter::once("rr".into()).chain(arguments))?;
            serve::check_self()
        }
        Some(Verb::GuardServices) => {
            guard::stand(std::io::stdin().lock());
            Ok(ExitCode::SUCCESS)
        }
        Some(Verb::Config { what }) => config::run(&cli.global, &what),
        None => {
            Cli::command().print_help()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Global {
    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            file: self.config.clone(),
            work_dir: self.work_dir.clone(),
            from: place::as_written(),
            overrides: self.overrides.clone(),
            dotenv: self.dotenv.clone(),
            experimental: self.experimental,
            ..LoadOptions::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// CLI-07 to CLI-15; Laravel Octane puts its flags before the verb.
    #[test]
    fn flags_stand_before_or_after_the_verb() {
        let before = "rr -c a.yaml -w /srv -o a.b=c -o d=e=f --dotenv .env -d -s -p -e serve";
        let after = "rr serve -c a.yaml -w /srv -o a.b=c -o d=e=f --dotenv .env -d -s -p -e";
        for line in [before, after] {
            let cli = parse(line).unwrap();
            assert!(matches!(cli.verb, Some(Verb::Serve)), "{line}");
            let global = cli.global;
            assert_eq!(global.overrides, ["a.b=c", "d=e=f"]);
            assert_eq!(global.config, PathBuf::from("a.yaml"));
            assert!(global.debug && global.silent && global.pid && global.experimental);
        }
        assert!(parse("rr stop -f").unwrap().global.force);
        assert!(parse("rr -v").unwrap().global.version);
        assert!(parse("rr --version").unwrap().global.version);
        assert!(parse("rr serve --nonsense").is_err());
        // Laravel Octane's `octane:reload`.
        let octane = parse("rr reset -o rpc.listen=tcp://127.0.0.1:6001 -s").unwrap();
        assert!(matches!(octane.verb, Some(Verb::Reset(_))) && octane.global.silent);
        for line in [
            "rr workers http jobs -i --json",
            "rr workers add http",
            "rr workers remove http --json",
            "rr jobs --pause a,b",
            "rr plugins --json",
            "rr up --watch",
            "rr why 4711 --json",
            "rr reload --dry-run --json",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }
}
