//! What a changed configuration means for what this process does itself: its services, its settings, and what cannot change while it
//! runs. Pure. For its endpoints that is [`crate::endpoints`]' matter.

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

/// What has changed and cannot while the server runs, each with the reason and what to do instead.
pub(super) fn impossible(before: &Config, after: &Config) -> Vec<String> {
    let mut all = Vec::new();
    let (old, new) = (&before.supervisor, &after.supervisor);
    if old.control.dir != new.control.dir {
        all.push(
            "supervisor.control.dir has changed, and needs a restart of the server: the sockets of all processes are in that directory"
                .to_owned(),
        );
    }
    let is_attached = |config: &Config, name: &str| {
        let named = config.plugins().iter().any(|plugin| plugin == name);
        named.then(|| {
            config
                .supervisor
                .plugins
                .get(name)
                .is_some_and(|process| process.attached)
        })
    };
    for name in before.plugins() {
        if let (Some(was), Some(is)) = (is_attached(before, &name), is_attached(after, &name))
            && was != is
        {
            let (holds, starts) = match was {
                true => ("its service manager", "the server"),
                false => ("the server", "its service manager"),
            };
            all.push(format!(
                "supervisor.plugins.{name}.attached has changed: {holds} runs the plugin, and two processes cannot have its addresses. \
                 Take the plugin out of the configuration and reload, then put it back and reload, and {starts} runs it"
            ));
        }
    }
    all
}

/// Keys of ours with other values that take effect in this process.
pub(super) fn settings(before: &Value, after: &Value) -> Vec<String> {
    const TAKEN: [&str; 9] = [
        "/logs",
        "/endure/grace_period",
        "/endure/log_level",
        "/endure/watchdog_sec",
        "/supervisor/restart",
        "/supervisor/control/group",
        "/supervisor/control/allow_users",
        "/metrics/collect",
        "/reload",
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
    fn what_cannot_change_is_named() {
        let base = json!({
            "http": {"address": ":1"}, "kv": {}, "rpc": {"listen": "tcp://:2"},
            "supervisor": {"control": {"dir": "/x"}, "plugins": {"kv": {"attached": true}}},
        });
        let seen = |changes: Value| {
            let mut after = base.clone();
            for (pointer, value) in changes.as_object().unwrap() {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                let parent = after.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                match value.is_null() {
                    true => drop(parent.remove(key)),
                    false => drop(parent.insert(key.to_owned(), value.clone())),
                }
            }
            let all = impossible(&config(&base), &config(&after));
            let keys = all.iter().filter_map(|text| text.split(' ').next().map(str::to_owned));
            keys.collect::<Vec<_>>()
        };
        assert_eq!(seen(json!({})), [""; 0]);
        let free = json!({
            "/rpc/listen": "tcp://:3", "/status": {}, "/metrics": {}, "/reload": {},
            "/supervisor/plugins/http": {"user": "www"}, "/supervisor/control/group": "www",
        });
        assert_eq!(seen(free), [""; 0]);
        assert_eq!(
            seen(json!({"/supervisor/control/dir": "/y"})),
            ["supervisor.control.dir"]
        );
        let (kv, http) = ("supervisor.plugins.kv.attached", "supervisor.plugins.http.attached");
        assert_eq!(seen(json!({"/supervisor/plugins/kv": {}})), [kv]);
        assert_eq!(seen(json!({"/supervisor/plugins": null})), [kv]);
        assert_eq!(seen(json!({"/supervisor/plugins/http": {"attached": true}})), [http]);
        assert_eq!(
            seen(json!({"/kv": null, "/supervisor/plugins": null})),
            [""; 0],
            "it goes"
        );
    }

    /// Those that an endpoint is opened or closed for have words of their own.
    #[test]
    fn settings_are_told() {
        let after = json!({
            "logs": {"level": "debug"}, "reload": {}, "metrics": {"address": ":1"}, "supervisor": {"control": {"group": "www"}},
        });
        assert_eq!(
            settings(&json!({}), &after),
            ["logs", "supervisor.control.group", "reload"]
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
