//! What a changed configuration means: which plugins get a new process, which come and which go. Pure: two trees in, a plan out.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Sections that this process serves itself or that only describe the file: no plugin reads them.
const OURS: [&str; 12] = [
    "version", "include", "envfile", "endure", "supervisor", "metrics", "status", "service", "reload", "app", "informer",
    "resetter",
];

/// Connections, and the plugins that read them.
const CONNECTIONS: [(&str, &[&str]); 7] = [
    ("amqp", &["jobs"]),
    ("kafka", &["jobs"]),
    ("nats", &["jobs"]),
    ("sqs", &["jobs"]),
    ("beanstalk", &["jobs"]),
    ("google_pub_sub", &["jobs"]),
    ("redis", &["kv", "lock", "jobs"]),
];

/// What is to be done, by plugin name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Those that are there before and after, and see something else now.
    pub changed: Vec<String>,
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that are not wanted any more.
    pub removed: Vec<String>,
}

/// Compares two configurations (trees as they are sent to plugins, and the plugins that each asks for).
pub(crate) fn plan(before: (&Value, &[String]), after: (&Value, &[String])) -> Plan {
    let all: BTreeSet<&str> = before.1.iter().chain(after.1).map(String::as_str).collect();
    let mut plan = Plan::default();
    for name in after.1 {
        if !before.1.contains(name) {
            plan.added.push(name.clone());
        } else if view(before.0, name, &all) != view(after.0, name, &all) {
            plan.changed.push(name.clone());
        }
    }
    plan.removed = before.1.iter().filter(|name| !after.1.contains(name)).cloned().collect();
    plan
}

/// What of a configuration concerns a plugin: all but other plugins' sections, their connections, and ours; of the section
/// `supervisor` what is said about its process, and of `endure` the time that a stop may take.
fn view(tree: &Value, name: &str, plugins: &BTreeSet<&str>) -> Map<String, Value> {
    let concerns = |section: &str| {
        let connection = CONNECTIONS.iter().find(|(connection, _)| *connection == section);
        match connection {
            Some((_, readers)) => readers.contains(&name),
            None => section == name || !(plugins.contains(section) || OURS.contains(&section)),
        }
    };
    let Value::Object(sections) = tree else { return Map::new() };
    let mut seen: Map<String, Value> = sections
        .iter()
        .filter(|(section, _)| concerns(section))
        .map(|(section, value)| (section.clone(), value.clone()))
        .collect();
    let pointers = [
        ("adopt_timeout", "/supervisor/adopt_timeout".to_owned()),
        ("process", format!("/supervisor/plugins/{}", name.replace('~', "~0").replace('/', "~1"))),
        ("grace_period", "/endure/grace_period".to_owned()),
    ];
    for (key, pointer) in pointers {
        if let Some(value) = tree.pointer(&pointer) {
            // No section's name has a dot.
            seen.insert(format!("supervisor.{key}"), value.clone());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn planned(before: &Value, after: &Value) -> Plan {
        let plugins = |tree: &Value| {
            let known = ["http", "jobs", "kv", "mine"];
            let asked: Vec<_> = known.into_iter().filter(|name| tree.get(name).is_some()).collect();
            names(&asked)
        };
        plan((before, &plugins(before)), (after, &plugins(after)))
    }

    #[test]
    fn only_what_sees_a_change_is_replaced() {
        let base = json!({
            "version": "3", "server": {"command": "php a.php"}, "logs": {"level": "error"}, "endure": {"grace_period": "30s"},
            "http": {"address": ":1"}, "jobs": {"pool": {}}, "kv": {"mem": {}}, "amqp": {"addr": "x"},
            "supervisor": {"adopt_timeout": "2s", "plugins": {"kv": {"env": {"A": "1"}}}},
        });
        assert_eq!(planned(&base, &base), Plan::default());
        let cases: [(&str, Value, &[&str]); 8] = [
            ("/http/address", json!(":2"), &["http"]),
            ("/amqp/addr", json!("y"), &["jobs"]),
            ("/server/command", json!("php b.php"), &["http", "jobs", "kv"]),
            ("/logs/level", json!("debug"), &["http", "jobs", "kv"]),
            ("/version", json!("2.7"), &[]),
            ("/supervisor/plugins/kv/env", json!({"A": "2"}), &["kv"]),
            ("/supervisor/adopt_timeout", json!("3s"), &["http", "jobs", "kv"]),
            ("/endure/grace_period", json!("3s"), &["http", "jobs", "kv"]),
        ];
        for (pointer, value, changed) in cases {
            let mut after = base.clone();
            if let Some(place) = after.pointer_mut(pointer) {
                *place = value;
            }
            let expected = Plan { changed: names(changed), ..Plan::default() };
            assert_eq!(planned(&base, &after), expected, "{pointer}");
        }
    }

    #[test]
    fn sections_come_and_go() {
        let before = json!({"http": {"a": 1}, "kv": {}, "metrics": {}});
        let after = json!({"http": {"a": 1}, "mine": {}, "status": {}});
        let expected = Plan { added: names(&["mine"]), removed: names(&["kv"]), ..Plan::default() };
        assert_eq!(planned(&before, &after), expected);
    }
}
