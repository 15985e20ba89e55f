//! A plugin without a supervisor: its own small command line, its own configuration, stopped by a signal.

use super::{
    Plugin, StartError,
    doors::Entrance,
    life::{Begun, Left, Life},
    manager::Manager,
    page,
    slot::Slot,
};
use crate::{
    config::{self, LoadOptions, Loaded},
    listen::{self, Inherited, Listeners},
    rpc::Port,
    shutdown::{Signals, Stopper},
    telemetry,
};
use std::{env, ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::runtime::Runtime;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Serve(Arguments),
    Help,
    Version,
}

/// The options, named as the supervisor's.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    file: Option<PathBuf>,
    work_dir: Option<PathBuf>,
    overrides: Vec<String>,
    dotenv: Option<PathBuf>,
    experimental: bool,
}

/// Serves until a signal.
#[allow(clippy::print_stdout)]
pub(super) fn run<P: Plugin>(runtime: &Runtime, inherited: Inherited) -> Result<ExitCode, StartError> {
    match parse(env::args_os().skip(1)).map_err(StartError)? {
        Asked::Serve(arguments) => serve::<P>(runtime, inherited, arguments),
        Asked::Help => {
            let name = P::NAME;
            println!(
                "Runs the {name} plugin alone, without a supervisor.\n\n\
                 Usage: rr-{name} [-c FILE] [-w DIR] [-o KEY=VALUE]... [--dotenv FILE] [-e]\n\n  \
                 -c, --config FILE          configuration file [default: .rr.yaml]\n  \
                 -w, --WorkDir DIR          working directory [default: the file's]\n  \
                 -o, --override KEY=VALUE   override a value, may be repeated\n      \
                 --dotenv FILE          read variables from a file\n  \
                 -e, --enable-experimental  enable experimental features\n  \
                 -v, --version              print the version"
            );
            Ok(ExitCode::SUCCESS)
        }
        Asked::Version => {
            println!("rr-{} version {}", P::NAME, P::VERSION);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn serve<P: Plugin>(runtime: &Runtime, inherited: Inherited, arguments: Arguments) -> Result<ExitCode, StartError> {
    let readable = |error: &dyn std::error::Error| StartError(error.to_string());
    let loaded = config::load(&LoadOptions {
        file: arguments.file.unwrap_or_else(|| ".rr.yaml".into()),
        work_dir: arguments.work_dir,
        overrides: arguments.overrides,
        dotenv: arguments.dotenv,
        experimental: arguments.experimental,
        ..LoadOptions::default()
    })
    .map_err(|diagnostics| StartError(format!("the configuration cannot be used:\n{diagnostics}")))?;
    env::set_current_dir(&loaded.base_dir).map_err(|error| readable(&error))?;
    listen::export(&loaded.env);
    let _log = telemetry::log::init(&loaded.config.logs, P::NAME).map_err(|error| readable(&error))?;
    for warning in &loaded.warnings {
        tracing::warn!(target: "config", "{warning}");
    }
    let listeners = Listeners::new(inherited.sockets);
    let result = runtime.block_on(live::<P>(loaded, listeners.clone()));
    listeners.remove_files();
    result
}

async fn live<P: Plugin>(loaded: Loaded, listeners: Listeners) -> Result<ExitCode, StartError> {
    let section = loaded.tree.get(P::NAME).cloned().unwrap_or_default();
    let config = Arc::new(loaded.config);
    let stopper = Arc::new(Stopper::default());
    let mut stop = stopper.listener();
    let signals = Signals::new().map_err(|error| StartError(error.to_string()))?;
    tokio::spawn(signals.stop(Arc::clone(&stopper), config.endure.grace_period.get()));
    let slot = Slot::<P>::new(stopper.listener());
    if let Some(metrics) = &config.metrics {
        page::serve(&metrics.address, &listeners, slot.clone())?;
    }
    let entrance = match &config.rpc {
        Some(rpc) => {
            let listener = listeners.take(&rpc.listen);
            let listener = listener.map_err(|error| StartError(error.to_string()))?;
            let access = Port::access(rpc).map_err(|error| StartError(error.to_string()))?;
            Entrance::Own(Port::new(listener, access.into()))
        }
        None => Entrance::None,
    };
    if let Begun::Ready(life) = Life::<P>::begin(
        (config, section),
        listeners,
        Left::default(),
        slot,
        stop.clone(),
        entrance,
    )
    .await?
    {
        let manager = Manager::ready(life.threads());
        let deadline = stop.begun().await;
        manager.stopping(deadline);
        life.end(deadline, async |_| {}).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the command line; an error is a text for the user.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut asked = Arguments::default();
    let mut rest = arguments;
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy().into_owned();
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
            _ => (text.as_str(), None),
        };
        let mut value = || match attached.clone().or_else(|| rest.next()) {
            Some(value) => Ok(value),
            None => Err(format!("{name} needs a value")),
        };
        match name {
            "-c" | "--config" => asked.file = Some(value()?.into()),
            "-w" | "--WorkDir" => asked.work_dir = Some(value()?.into()),
            "-o" | "--override" => asked.overrides.push(value()?.to_string_lossy().into_owned()),
            "--dotenv" => asked.dotenv = Some(value()?.into()),
            "-e" | "--enable-experimental" => asked.experimental = true,
            "-h" | "--help" => return Ok(Asked::Help),
            "-v" | "--version" => return Ok(Asked::Version),
            _ => return Err(format!("unknown argument {text:?}; --help lists them")),
        }
    }
    Ok(Asked::Serve(asked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read() {
        let asked = parsed("-c a.yaml -w /srv --override http.address=:1 -o b=c=d --dotenv=.env -e").unwrap();
        assert_eq!(
            asked,
            Asked::Serve(Arguments {
                file: Some("a.yaml".into()),
                work_dir: Some("/srv".into()),
                overrides: vec!["http.address=:1".into(), "b=c=d".into()],
                dotenv: Some(".env".into()),
                experimental: true,
            })
        );
        assert_eq!(parsed("--version"), Ok(Asked::Version));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(parsed("--what").is_err());
        assert!(parsed("-c").is_err());
        assert!(parsed("serve").is_err());
    }
}
