//! What follows from a configuration as a whole: what `up` makes of it, the log of this process, how long a plugin may take to be ready.

use crate::{logs, plugins::catalog::Entry};
use rr_common::config::{Config, Dur, Loaded, section::Logs};
use std::{io, time::Duration};

/// How long a plugin may take to be ready, besides the time that its pool allows for the start of its workers.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(60);

/// What `up` makes of a configuration.
pub(crate) fn for_people(loaded: &mut Loaded) -> io::Result<()> {
    logs::for_people(&mut loaded.config.logs);
    loaded.tree["logs"] = serde_json::to_value(&loaded.config.logs).map_err(io::Error::other)?;
    for (name, service) in loaded.config.service.iter_mut().flatten() {
        service.service_name_in_log = true;
        loaded.tree["service"][name]["service_name_in_log"] = true.into();
    }
    if let Some(http) = &mut loaded.config.http {
        http.show_errors = true;
        loaded.tree["http"]["show_errors"] = true.into();
    }
    Ok(())
}

/// The log settings of this process: the logger `supervisor` follows `endure.log_level` where that is stricter than
/// `logs.level`, unless it has a channel of its own.
pub(crate) fn own_logs(config: &Config) -> Logs {
    const LEVELS: [&str; 6] = ["debug", "info", "warn", "error", "panic", "fatal"];
    let rank = |level: &str| LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level));
    let mut logs = config.logs.clone();
    let mut channel = logs.main.clone();
    if rank(&config.endure.log_level) > rank(&channel.level) {
        channel.level.clone_from(&config.endure.log_level);
    }
    logs.channels.entry("supervisor".into()).or_insert(channel);
    logs
}

/// How long a plugin may take to be ready: what is said about it, or what its pool allows for the start of a worker, and a while.
pub(crate) fn patience(tree: &serde_json::Value, entry: &Entry) -> Duration {
    let said = entry.process.start_timeout.get();
    if !said.is_zero() {
        return said;
    }
    let written = tree.pointer(&format!("/{}/pool/allocate_timeout", entry.name));
    let written = written.and_then(|value| serde_json::from_value::<Dur>(value.clone()).ok());
    START_PATIENCE + written.unwrap_or(Dur::secs(60)).get()
}
