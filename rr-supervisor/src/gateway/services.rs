//! All services that the supervisor answers itself, one line each.

use super::{Locals, missing::Missing, rpc::Rpc};
use crate::{
    app_log::AppLog,
    control::Question,
    fleet::RosterWatch,
    notify::Notify,
    operate::{Informer, Overview, Resetter, Residents},
    plugins::catalog,
};
use bytes::Bytes;
use rr_common::config::Config;
use std::path::PathBuf;
use tokio::sync::{mpsc, watch};

/// What services are made of.
#[derive(Debug)]
pub(crate) struct Means {
    /// The resolved configuration as JSON, keys sorted.
    pub json: watch::Receiver<Bytes>,
    /// The plugins, now and after each change.
    pub roster: RosterWatch,
    /// Plugins that live in this process and have processes of their own.
    pub residents: Residents,
    /// Questions to the supervisor's loop.
    pub questions: mpsc::Sender<Question>,
    /// The configuration's directory as it is written, links and all.
    pub base_dir: PathBuf,
}

/// The services that there are in any configuration.
pub(crate) fn locals(means: &Means) -> Locals {
    let mut all = Locals::default();
    let (roster, residents) = (&means.roster, &means.residents);
    all.add(Rpc::new(means.json.clone()));
    all.add(AppLog::default());
    all.add(Informer::new(roster.clone(), residents.clone()));
    all.add(Resetter::new(
        roster.clone(),
        residents.clone(),
        Notify::from_env(),
        means.base_dir.clone(),
    ));
    all.add(Overview::new(
        roster.clone(),
        residents.clone(),
        means.questions.clone(),
    ));
    all
}

/// In place of plugins that nobody configured and whose program is not installed.
pub(crate) fn missing(config: &Config, all: &mut Locals) {
    for (prefix, program) in catalog::on_demand(config) {
        if let Err(missing) = program {
            all.add(Missing::new(prefix, missing.to_string()));
        }
    }
}
