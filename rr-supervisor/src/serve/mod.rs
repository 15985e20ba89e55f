//! `serve` and `up`: from the configuration to the exit code.
//!
//! - [`check`]: whether there is anything to start; [`settings`]: what follows from the configuration as a whole
//! - [`predecessor`]: what a program before us in this process has left; [`watched`]: the files that are watched in development
//! - [`prepare`]: what comes before the first plugin; [`graph`]: the order of the start as a picture
//! - [`assemble`]: what was prepared becomes the loop and all that it needs
//! - [`error`]: why a server does not start

mod assemble;
mod check;
mod error;
mod graph;
mod predecessor;
mod prepare;
mod settings;
mod watched;

pub(crate) use check::{check, findings, startable, unserved};
pub(crate) use settings::{for_people, own_logs, patience};

use crate::{
    cgroup,
    fleet::Fleet,
    logs::ServerLog,
    notify::{Notify, Systemd},
    reaper::Reaper,
    reload::{Source, Start},
    renew::{Origin, baggage::Baggage},
    run::{Ended, Notice},
    sockets::Sockets,
    watch::Gate,
};
use assemble::Parts;
use error::ServeError;
use predecessor::Predecessor;
use prepare::Preparation;
use rr_common::{
    config::{LoadOptions, Loaded},
    listen::Inherited,
    shutdown::Signals,
};
use std::{path::Path, sync::Arc, time::Duration};
use watched::Watched;

/// How long the log may take to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What the command line adds to the configuration.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// The configuration's file, as it was named.
    pub file: &'a Path,
    /// The debug endpoints (`-d`).
    pub debug: bool,
    /// Log lines for people, and errors shown to clients (`up`).
    pub for_people: bool,
    /// Workers are made anew as the project's files change (`up --watch`).
    pub watch: bool,
    /// What this process inherited.
    pub inherited: Inherited,
    /// What a program before us in this process has left.
    pub baggage: Option<Baggage>,
    /// How this process was started.
    pub origin: Origin,
    /// How the configuration was read.
    pub read: LoadOptions,
}

/// Runs the server to its end.
///
/// # Errors
/// What keeps it from starting.
pub(crate) async fn serve(
    start: Start,
    options: Options<'_>,
    notice: impl FnMut(Notice, &Fleet),
) -> Result<Ended, ServeError> {
    let Start {
        mut loaded,
        place,
        exported,
    } = start;
    let entries = startable(&loaded)?;
    if options.for_people {
        for_people(&mut loaded)?;
    }
    let mut signals = Signals::new()?;
    let mut reaper = Reaper::new()?;
    let log = ServerLog::start(&loaded.config.logs, &own_logs(&loaded.config))?;
    warn(&loaded);
    let mut before = Predecessor::unpack(options.baggage, &log);
    let gate = Gate::unpack(&mut before.baggage).map_or_else(Gate::new, Ok)?;
    let watched = match Watched::prepare(gate, &loaded.config, options.watch, (&place.directory, options.file)) {
        Ok(watched) => watched,
        Err(error) => {
            log.finish(LAST_LINES);
            return Err(error.into());
        }
    };
    let sockets = Sockets::new(options.inherited.sockets);
    sockets.take_over(std::mem::take(&mut before.listeners));
    let notify = Notify::from_env();
    let preparation = Preparation {
        loaded: &loaded,
        file: options.file,
        entries: &entries,
        sockets: &sockets,
        notify: &notify,
        log: &log,
    };
    let prepared = tokio::select! {
        prepared = preparation.run(&mut before, &mut reaper) => prepared.map(Some),
        () = signals.next() => Ok(None),
    };
    let prepared = match prepared {
        Ok(Some(prepared)) => prepared,
        other => {
            sockets.remove_files();
            log.finish(LAST_LINES);
            return other.map(|_| Ended::Stopped);
        }
    };
    Systemd::drop_untaken(&notify, &sockets);
    let source = Source {
        options: options.read,
        base_dir: loaded.base_dir.clone(),
        exported,
        for_people: options.for_people,
        watch: options.watch,
    };
    let parts = Parts {
        loaded: &loaded,
        source,
        entries,
        place: Arc::new(place),
        debug: options.debug,
        origin: options.origin,
        watched,
        sockets,
        notify,
        log,
        prepared,
        before,
        signals,
        reaper,
    };
    let (run, rpc_thread) = parts.assemble()?;
    // What the plugins need of it has been encoded.
    drop(loaded);
    let ended = run.until_the_end(notice).await;
    drop(rpc_thread);
    Ok(ended?)
}

/// Tells what is odd about a configuration and keeps nobody from starting.
fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!(target: "config", "{warning}");
    }
    for warning in check::unserved(loaded) {
        tracing::warn!(target: "config", "{warning}");
    }
    for warning in cgroup::warnings(&loaded.config.supervisor) {
        tracing::warn!(target: "config", "{warning}");
    }
}
