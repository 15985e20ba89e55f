//! Health and readiness: `status.address` for load balancers and Kubernetes, `status.*` for PHP.
//!
//! A check asks the plugins themselves, all at once and within a bound; what has no running process fails it without being asked.
//! As long as it is configured the endpoint lives to the end of the process, so that a stop is seen from its first moment to its last.
//!
//! - [`check`]: one plugin
//! - [`report`]: the answers' form
//! - [`http`]: the endpoint
//! - [`rpc`]: the methods

mod check;
mod http;
mod report;
mod rpc;

pub(crate) use http::prepare;
pub(crate) use rpc::StatusRpc;

use crate::fleet::{Member, Roster, RosterWatch};
use check::{Check, Failure};
use report::Entry;
use rr_common::config::section;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// The longest wait for a plugin's answer, whatever `check_timeout` says: probes do not wait longer themselves.
const LONGEST_CHECK: Duration = Duration::from_secs(5);

/// The plugins that a check without names always lists, as the reference does. Others are listed while they fail.
const LISTED: [&str; 5] = ["http", "jobs", "grpc", "centrifuge", "temporal"];

/// Answers the checks.
#[derive(Debug)]
pub(crate) struct Status {
    roster: RosterWatch,
    unavailable: u16,
    within: Duration,
    /// The failures that the log was told of, by check and plugin.
    told: Mutex<HashMap<(Check, String), String>>,
}

impl Status {
    /// Over the plugins of the roster.
    pub(crate) fn new(section: &section::Status, roster: RosterWatch) -> Self {
        Self {
            roster,
            unavailable: section.unavailable_status_code,
            within: Duration::from_secs(section.check_timeout).min(LONGEST_CHECK),
            told: Mutex::default(),
        }
    }

    fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    /// Checks the named plugins, or all; those that are unknown are left out.
    async fn check(&self, roster: &Roster, check: Check, names: &[String]) -> Vec<Entry> {
        let asked: Vec<Member> = match names {
            [] => roster.members.clone(),
            names => {
                let members = roster.members.iter();
                members.filter(|member| names.contains(&member.name)).cloned().collect()
            }
        };
        let mut running = JoinSet::new();
        for (index, member) in asked.iter().cloned().enumerate() {
            let within = self.within;
            running.spawn(async move { (index, check.of(&member, within).await) });
        }
        let mut results = vec![Ok(()); asked.len()];
        while let Some(done) = running.join_next().await {
            if let Ok((index, result)) = done {
                results[index] = result;
            }
        }
        let mut entries = Vec::new();
        for (member, result) in asked.iter().zip(results) {
            self.tell(check, &member.name, result.as_ref().err());
            if !names.is_empty() || is_listed(&member.name) || result.is_err() {
                entries.push(Entry::new(&member.name, result, self.unavailable));
            }
        }
        entries
    }

    /// Checks one plugin; `None` when there is no such.
    async fn check_one(&self, check: Check, name: &str) -> Option<Result<(), Failure>> {
        let member = self.roster().get(name).cloned()?;
        let result = check.of(&member, self.within).await;
        self.tell(check, name, result.as_ref().err());
        Some(result)
    }

    /// Logs what has changed since the last check: the answer itself says no more than "see logs".
    fn tell(&self, check: Check, plugin: &str, failure: Option<&Failure>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (check, plugin.to_owned());
        match failure {
            Some(Failure(reason)) if told.get(&key) != Some(reason) => {
                tracing::warn!(target: "status", plugin, reason, "the plugin is not {check}");
                told.insert(key, reason.clone());
            }
            Some(_) => {}
            None => {
                if told.remove(&key).is_some() {
                    tracing::info!(target: "status", plugin, "the plugin is {check} again");
                }
            }
        }
    }
}

fn is_listed(name: &str) -> bool {
    LISTED.contains(&name)
}
