//! `serve`: starts the server and stays until it ends.

use super::{Failure, Global, version};
use crate::{
    fleet::Fleet,
    pid_file::PidFile,
    reload::Start,
    renew::{
        Origin,
        baggage::{self, Baggage},
        check::Report,
    },
    run::{Ended, Notice},
    serve::{self, Options},
};
use rr_common::{COMPATIBLE_VERSION, config, descriptors, listen::Inherited};
use std::{io, os::fd::OwnedFd, path::PathBuf, process::ExitCode};

/// Runs the server.
pub(super) fn run(global: &Global, inherited: Inherited) -> Result<ExitCode, Failure> {
    let silent = global.silent;
    start(global, inherited, false, false, move |notice, grace, _| match notice {
        Notice::Ready => say(
            silent,
            &format!(
                "[INFO] RoadRunner server started; version: {COMPATIBLE_VERSION}, buildtime: {}",
                version::build_time()
            ),
        ),
        Notice::Stopping => say(silent, &stopping(grace)),
        Notice::Moved => {}
    })
}

/// The reference's line about the begin of the stop.
pub(super) fn stopping(grace_seconds: u64) -> String {
    format!("stop signal received, grace timeout is: {grace_seconds} seconds")
}

/// Loads the configuration and runs the server; `tell` is told of its life, with the grace period in seconds.
pub(super) fn start(
    global: &Global,
    mut inherited: Inherited,
    for_people: bool,
    watch: bool,
    mut tell: impl FnMut(Notice, u64, &Fleet),
) -> Result<ExitCode, Failure> {
    descriptors::raise();
    let origin = Origin::of_this_process();
    let read = global.load_options();
    let mut baggage = inherited.predecessor.take().and_then(unpack);
    let start = match baggage.as_mut().and_then(Start::from_baggage) {
        Some(in_force) => in_force,
        None => Start::from_files(&read)?,
    };
    let mut pid_file = global.pid.then(PidFile::write).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = Options {
        file: &global.config,
        debug: global.debug,
        for_people,
        watch,
        inherited,
        baggage,
        origin,
        read,
    };
    let ended = runtime.block_on(serve::serve(start, options, |notice, fleet| {
        if notice == Notice::Moved && pid_file.is_some() {
            match PidFile::write() {
                Ok(moved) => pid_file = Some(moved),
                Err(error) => tracing::warn!(target: "supervisor", %error, "no .pid file in the new working directory"),
            }
        }
        tell(notice, fleet.grace().as_secs(), fleet)
    }));
    runtime.shutdown_background();
    match ended? {
        Ended::Stopped => Ok(ExitCode::SUCCESS),
        Ended::Forced => {
            say(global.silent, "exit forced");
            Ok(ExitCode::FAILURE)
        }
        Ended::Failed(reason) => Err(Failure(reason)),
    }
}

/// What a program before this one in the same process has left. Without it we are a supervisor that adopts.
#[allow(clippy::print_stderr)] // There is no log yet.
fn unpack(socket: OwnedFd) -> Option<Baggage> {
    baggage::receive(&socket.into())
        .inspect_err(|error| eprintln!("connections are lost: {error}"))
        .ok()
}

/// Says on one line what this program is, if it could serve the configuration that comes on stdin.
#[allow(clippy::print_stdout)]
pub(super) fn check_self() -> Result<ExitCode, Failure> {
    let tree = serde_json::from_reader(io::stdin().lock())?;
    let loaded = config::restore(tree, PathBuf::new())?;
    serve::check(&loaded)?;
    println!("{}", serde_json::to_string(&Report::own())?);
    Ok(ExitCode::SUCCESS)
}

/// A line on stdout, unless the user wants silence. A closed stdout is no reason to end a server.
pub(super) fn say(silent: bool, line: &str) {
    use std::io::Write;
    if !silent {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
