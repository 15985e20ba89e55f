//! Whether a configuration names something that this program could start.

use super::ServeError;
use crate::{
    plugins::catalog::{self, Entry},
    service::Spec,
};
use rr_common::config::{Config, Loaded};

/// The plugins of a configuration, in the order of their start.
///
/// # Errors
/// Programs that are missing, a line for each.
pub(crate) fn entries(config: &Config) -> Result<Vec<Entry>, ServeError> {
    catalog::entries(config).map_err(|missing| {
        let texts: Vec<_> = missing.iter().map(ToString::to_string).collect();
        ServeError::Plugins(texts.join("\n"))
    })
}

/// Whether there is something to serve without any plugin.
pub(crate) fn serves_by_itself(config: &Config) -> bool {
    config.rpc.is_some() || config.service.is_some() || config.metrics.is_some() || config.status.is_some()
}

/// Whether this configuration names something that this program could start.
///
/// # Errors
/// Programs of configured plugins that are missing, and services that make no sense.
pub(crate) fn check(loaded: &Loaded) -> Result<(), ServeError> {
    for (name, section) in loaded.config.service.iter().flatten() {
        Spec::configured(name, section)?;
    }
    entries(&loaded.config).map(drop)
}
