//! Whether a configuration names something that this program could start.

use super::ServeError;
use crate::{
    plugins::catalog::{self, Entry},
    service::Spec,
};
use rr_common::config::{self, Config, Diagnostic, Diagnostics, Findings, Loaded, is_custom};

/// The plugins of a configuration, in the order of their start.
///
/// # Errors
/// Programs that are missing, and what our plugins would refuse, each with its place.
fn entries(loaded: &Loaded) -> Result<Vec<Entry>, ServeError> {
    let (entries, mut found) = match catalog::entries(&loaded.config) {
        Ok(entries) => (entries, Vec::new()),
        Err(missing) => {
            let all = missing
                .iter()
                .map(|missing| at(loaded, &missing.key(), missing.to_string()));
            (Vec::new(), all.collect())
        }
    };
    let config = &loaded.config;
    let theirs = config
        .supervisor
        .plugins
        .get("http")
        .is_some_and(|http| is_custom("http", http));
    if let Some(http) = config.http.as_ref().filter(|_| !theirs) {
        let unfit = config::unfit_http(http).into_iter();
        found.extend(unfit.map(|(key, message)| at(loaded, key, message)));
    }
    found.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    match found.is_empty() {
        true => Ok(entries),
        false => Err(ServeError::Unfit(Diagnostics(found))),
    }
}

/// A finding about that key, or about the one above it that is written out.
fn at(loaded: &Loaded, key: &str, message: String) -> Diagnostic {
    Diagnostic::at(&loaded.origin(key), key, message)
}

/// A warning for each section that nothing in this build serves.
pub(crate) fn unserved(loaded: &Loaded) -> Vec<Diagnostic> {
    let sections = loaded.config.unserved_sections().into_iter();
    let warning = |section| {
        at(
            loaded,
            section,
            "configured, but this build does not serve it".to_owned(),
        )
    };
    sections.map(warning).collect()
}

/// Whether there is something to serve without any plugin.
fn serves_by_itself(config: &Config) -> bool {
    config.rpc.is_some() || config.service.is_some() || config.metrics.is_some() || config.status.is_some()
}

/// The plugins of a configuration, in the order of their start.
///
/// # Errors
/// Programs that are missing, and what our plugins would refuse, each with its place; or nothing is configured.
pub(crate) fn startable(loaded: &Loaded) -> Result<Vec<Entry>, ServeError> {
    let entries = entries(loaded)?;
    match entries.is_empty() && !serves_by_itself(&loaded.config) {
        true => Err(ServeError::Nothing),
        false => Ok(entries),
    }
}

/// Whether this configuration names something that this program could start.
///
/// # Errors
/// Programs of configured plugins that are missing, what our plugins would refuse, and services that make no sense.
pub(crate) fn check(loaded: &Loaded) -> Result<(), ServeError> {
    for (name, section) in loaded.config.service.iter().flatten() {
        Spec::configured(name, section)?;
    }
    entries(loaded).map(drop)
}

/// What only this program knows of a configuration: all that keeps it from starting, and what it does not serve.
pub(crate) fn findings(loaded: &Loaded) -> Findings {
    let mut errors = Vec::new();
    for (name, section) in loaded.config.service.iter().flatten() {
        if let Err(error) = Spec::configured(name, section) {
            errors.push(at(loaded, &format!("service.{name}"), error.to_string()));
        }
    }
    match startable(loaded) {
        Ok(_) => {}
        Err(ServeError::Unfit(unfit)) => errors.extend(unfit.0),
        Err(error) => errors.push(Diagnostic::file("", 0, error.to_string())),
    }
    Findings {
        errors,
        warnings: unserved(loaded),
    }
}
