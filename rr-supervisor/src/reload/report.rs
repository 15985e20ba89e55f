//! What a reload has done, or would do, for people and for tools.

use super::{own::ServiceChange, plan::Plan};
use crate::endpoints;
use rr_common::config::{Config, section::Restart};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The answer to a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    /// Nothing was done; this is what would be.
    pub dry_run: bool,
    /// Every plugin of before or after, in the order of the start.
    pub plugins: Vec<PluginReport>,
    /// Services that changed.
    pub services: Vec<ServiceReport>,
    /// Endpoints of the supervisor's own that changed: `status`, `metrics`, `rpc`.
    pub endpoints: Vec<EndpointReport>,
    /// Keys of the supervisor's own that took effect.
    pub settings: Vec<String>,
    /// The working directory, if it is another one now.
    pub directory: Option<PathBuf>,
    /// What deserves a word in the configuration.
    pub warnings: Vec<String>,
}

/// What became of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PluginReport {
    /// Its name.
    pub plugin: String,
    /// `replaced`, `added`, `removed`, `unchanged`, or that an attached one has to be restarted by whoever starts it.
    pub action: String,
    /// Its new process.
    pub pid: Option<u32>,
    /// Sections and keys that are others for it.
    pub changed: Vec<String>,
}

/// What became of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceReport {
    /// Its name.
    pub service: String,
    /// `started`, `restarted` or `stopped`.
    pub action: String,
}

/// What became of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointReport {
    /// Its name.
    pub endpoint: String,
    /// `opened`, `moved`, `changed` or `closed`.
    pub action: String,
    /// Where it listens now.
    pub address: Option<String>,
}

/// Settings that the loop itself goes by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub restart: Restart,
    pub grace: Duration,
    /// In seconds.
    pub watchdog: u64,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            restart: config.supervisor.restart.clone(),
            grace: config.endure.grace_period.get(),
            watchdog: config.endure.watchdog_sec,
        }
    }
}

/// The report of a plan, which has no pids yet.
pub(super) fn planned(
    plan: &Plan,
    services: &[ServiceChange],
    endpoints: &[endpoints::Change],
    settings: Vec<String>,
    directory: Option<PathBuf>,
    warnings: &[String],
) -> Report {
    let with = |action: &str, plugin: &String, changed: &[String]| PluginReport {
        plugin: plugin.clone(),
        action: action.to_owned(),
        pid: None,
        changed: changed.to_vec(),
    };
    let mut plugins: Vec<PluginReport> = Vec::new();
    plugins.extend(plan.changed.iter().map(|(name, why)| with("replaced", name, why)));
    plugins.extend(
        plan.attached
            .iter()
            .map(|(name, why)| with("left to its own unit, which has to be restarted", name, why)),
    );
    plugins.extend(plan.added.iter().map(|name| with("added", name, &[])));
    plugins.extend(plan.removed.iter().map(|name| with("removed", name, &[])));
    plugins.extend(plan.unchanged.iter().map(|name| with("unchanged", name, &[])));
    let service = |change: &ServiceChange| ServiceReport {
        service: change.name.clone(),
        action: change.action().to_owned(),
    };
    let endpoint = |change: &endpoints::Change| EndpointReport {
        endpoint: change.which.name().to_owned(),
        action: change.action.to_owned(),
        address: change.address.clone(),
    };
    Report {
        dry_run: false,
        plugins,
        services: services.iter().map(service).collect(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        settings,
        directory,
        warnings: warnings.to_vec(),
    }
}

impl Report {
    /// With the processes that serve now.
    pub(super) fn with_pids(mut self, pids: &[(String, u32)]) -> Self {
        for report in &mut self.plugins {
            let found = pids.iter().find(|(name, _)| *name == report.plugin);
            report.pid = found.map(|(_, pid)| *pid);
        }
        self
    }

    /// One line for each thing that was done.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(directory) = &self.directory {
            lines.push(format!("working directory: {}", directory.display()));
        }
        for PluginReport {
            plugin,
            action,
            pid,
            changed,
        } in &self.plugins
        {
            let mut line = format!("{plugin}: {action}");
            if let Some(pid) = pid {
                line.push_str(&format!(", its pid is {pid}"));
            }
            if !changed.is_empty() {
                line.push_str(&format!(" ({})", changed.join(", ")));
            }
            lines.push(line);
        }
        let services = self.services.iter();
        lines.extend(services.map(|one| format!("service {}: {}", one.service, one.action)));
        for EndpointReport {
            endpoint,
            action,
            address,
        } in &self.endpoints
        {
            lines.push(match (action.as_str(), address) {
                ("opened", Some(address)) => format!("{endpoint}: opened at {address}"),
                ("moved", Some(address)) => format!("{endpoint}: moved to {address}"),
                _ => format!("{endpoint}: {action}"),
            });
        }
        if !self.settings.is_empty() {
            lines.push(format!("supervisor: {} taken over", self.settings.join(", ")));
        }
        lines
    }

    /// Whether anything has changed, or would.
    pub(crate) fn is_change(&self) -> bool {
        let touched = self.plugins.iter().any(|plugin| plugin.action != "unchanged");
        let own = !(self.services.is_empty() && self.endpoints.is_empty() && self.settings.is_empty());
        touched || own || self.directory.is_some()
    }
}
