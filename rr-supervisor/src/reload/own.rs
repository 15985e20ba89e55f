//! What a changed configuration means for what this process does itself: its services, its settings, and what cannot change while it
//! runs. Pure.

use rr_common::config::section::Service;
use rr_common::config::{Config, section};
use serde_json::Value;
use std::collections::BTreeMap;

/// What becomes of one service.
#[derive(Clone, Debug)]
pub(super) struct ServiceChange {
    /// Its name.
    pub name: String,
    /// What it was, if it was.
    pub before: Option<Service>,
    /// What it shall be, if it shall.
    pub after: Option<Service>,
}

impl ServiceChange {
    /// The way back.
    pub(super) fn reversed(self) -> Self {
        Self {
            name: self.name,
            before: self.after,
            after: self.before,
        }
    }

    /// In a word.
    pub(super) fn action(&self) -> &'static str {
        match (&self.before, &self.after) {
            (Some(_), Some(_)) => "restarted",
            (None, _) => "started",
            (_, None) => "stopped",
        }
    }
}

/// The services that change. Where the working directory has moved all of them do: their programs are others now.
pub(super) fn services(before: &Config, after: &Config, moved: bool) -> Vec<ServiceChange> {
    let none = BTreeMap::new();
    let (before, after) = (
        before.service.as_ref().unwrap_or(&none),
        after.service.as_ref().unwrap_or(&none),
    );
    let stay = |name: &String| !moved && is_same(before.get(name), after.get(name));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).filter(|name| !stay(name)).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| ServiceChange {
        name: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    };
    names.into_iter().map(change).collect()
}

fn is_same(one: Option<&Service>, other: Option<&Service>) -> bool {
    // Their written form: the types have no other comparison.
    serde_json::to_value(one).ok() == serde_json::to_value(other).ok()
}

/// What has changed and needs a restart of the whole server, each with a reason.
pub(super) fn needs_restart(before: &Value, after: &Value) -> Vec<String> {
    let differ = |pointer: &&str| before.pointer(pointer) != after.pointer(pointer);
    const FIXED: [(&str, &str); 5] = [
        ("/rpc", "every PHP process has its address"),
        ("/status", "its endpoint is opened at the start"),
        ("/metrics/address", "its endpoint is opened at the start"),
        ("/reload", "files are watched from the start on"),
        ("/supervisor/control", "every plugin has its directory"),
    ];
    let mut all: Vec<String> = FIXED
        .iter()
        .filter(|(pointer, _)| differ(pointer))
        .map(|(pointer, why)| {
            format!(
                "{} has changed, and needs a restart of the server: {why}",
                &pointer[1..].replace('/', ".")
            )
        })
        .collect();
    let plugin =
        |tree: &Value, name: &str, key: &str| tree.pointer(&format!("/supervisor/plugins/{name}/{key}")).cloned();
    let plugins = after.pointer("/supervisor/plugins").and_then(Value::as_object);
    for name in plugins.into_iter().flat_map(|plugins| plugins.keys()) {
        for (key, why) in [
            ("user", "the control sockets know their users from the start on"),
            ("attached", "another one starts the plugin then"),
        ] {
            if plugin(before, name, key) != plugin(after, name, key) {
                all.push(format!(
                    "supervisor.plugins.{name}.{key} has changed, and needs a restart of the server: {why}"
                ));
            }
        }
    }
    if before.get("metrics").is_some() != after.get("metrics").is_some() && !differ(&"/metrics/address") {
        all.push("metrics has changed, and needs a restart of the server: its endpoint is opened at the start".into());
    }
    all
}

/// Keys of ours with other values that take effect in this process.
pub(super) fn settings(before: &Value, after: &Value) -> Vec<String> {
    const TAKEN: [&str; 6] = [
        "/logs",
        "/endure/grace_period",
        "/endure/log_level",
        "/endure/watchdog_sec",
        "/supervisor/restart",
        "/metrics/collect",
    ];
    let differ = TAKEN
        .iter()
        .filter(|pointer| before.pointer(pointer) != after.pointer(pointer));
    differ.map(|pointer| pointer[1..].replace('/', ".")).collect()
}

/// The collectors that are new or others, and the names of those that are not wanted any more.
pub(super) fn collectors(before: &Config, after: &Config) -> (BTreeMap<String, section::Collector>, Vec<String>) {
    let of = |config: &Config| {
        config
            .metrics
            .as_ref()
            .map(|metrics| metrics.collect.clone())
            .unwrap_or_default()
    };
    let (before, mut after) = (of(before), of(after));
    let written = |collector: &section::Collector| serde_json::to_value(collector).ok();
    let same = |name: &String, collector: &section::Collector| after.get(name).map(written) == Some(written(collector));
    let gone: Vec<String> = before
        .iter()
        .filter(|(name, old)| !same(name, old))
        .map(|(name, _)| name.clone())
        .collect();
    after.retain(|name, _| gone.contains(name) || !before.contains_key(name));
    (after, gone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(tree: &Value) -> Config {
        serde_json::from_value(tree.clone()).unwrap()
    }

    #[test]
    fn services_come_change_and_go() {
        let before =
            config(&json!({"service": {"a": {"command": ["x"]}, "b": {"command": ["x"]}, "c": {"command": ["x"]}}}));
        let after =
            config(&json!({"service": {"a": {"command": ["x"]}, "b": {"command": ["y"]}, "d": {"command": ["x"]}}}));
        let seen = |moved| {
            let all = services(&before, &after, moved);
            let pairs = all.iter().map(|change| format!("{} {}", change.name, change.action()));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(seen(false), ["b restarted", "c stopped", "d started"]);
        assert_eq!(seen(true), ["a restarted", "b restarted", "c stopped", "d started"]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let before =
            json!({"rpc": {"listen": "a"}, "supervisor": {"control": {"dir": "/x"}}, "metrics": {"collect": {}}});
        assert!(needs_restart(&before, &before).is_empty());
        let after = json!({
            "rpc": {"listen": "b"}, "status": {"address": ":1"},
            "supervisor": {"adopt_timeout": "3s", "plugins": {"kv": {"user": "www"}}},
        });
        let all = needs_restart(&before, &after);
        let starts: Vec<&str> = all.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(
            starts,
            [
                "rpc",
                "status",
                "supervisor.control",
                "supervisor.plugins.kv.user",
                "metrics"
            ]
        );
    }

    #[test]
    fn changed_collectors_are_made_anew() {
        let before =
            config(&json!({"metrics": {"collect": {"a": {"type": "counter"}, "b": {"type": "counter"}, "c": {}}}}));
        let after =
            config(&json!({"metrics": {"collect": {"a": {"type": "counter"}, "b": {"type": "gauge"}, "d": {}}}}));
        let (new, gone) = collectors(&before, &after);
        assert_eq!(new.keys().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(gone, ["b", "c"]);
    }
}
