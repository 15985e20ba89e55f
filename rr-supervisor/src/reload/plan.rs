//! What a changed configuration means for the plugins: which get a new process, which come and which go. Pure: two sides in, a
//! plan out.

use crate::{place::Place, plugins::catalog::Entry};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Sections that no plugin reads from its configuration at the start of its process: those that this process serves itself, those that
/// only describe the file, and `logs`, which every plugin takes over while it runs.
const OURS: [&str; 13] = [
    "version",
    "include",
    "envfile",
    "endure",
    "supervisor",
    "metrics",
    "status",
    "service",
    "reload",
    "app",
    "informer",
    "resetter",
    "logs",
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

/// Bundled plugins without PHP: the workers' command, their variables and the RPC port are nothing to them.
const WITHOUT_PHP: [&str; 2] = ["kv", "lock"];

/// What only those with PHP read.
const FOR_PHP: [&str; 2] = ["server", "rpc"];

/// One state of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    /// The configuration as it is sent to plugins.
    pub tree: &'a Value,
    /// The plugins that it asks for, in the order of their start.
    pub entries: &'a [Entry],
    /// Where they are started.
    pub place: &'a Place,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those that are there before and after, and see something else now; with what that is.
    pub changed: Vec<(String, Vec<String>)>,
    /// The same, of those that somebody else starts.
    pub attached: Vec<(String, Vec<String>)>,
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that are not wanted any more.
    pub removed: Vec<String>,
    /// Those that stay as they are.
    pub unchanged: Vec<String>,
}

/// Compares two states. Plugins that have `failed` are tried again, and `hasty` ones get processes whose requests wait while changed
/// files are dealt with.
pub(super) fn plan(before: Side<'_>, after: Side<'_>, failed: &[String], hasty: &[&str]) -> Plan {
    let all: BTreeSet<&str> = names(before).chain(names(after)).collect();
    let mut plan = Plan::default();
    for entry in after.entries {
        let name = entry.name.clone();
        let Some(old) = before.entries.iter().find(|old| old.name == name) else {
            plan.added.push(name);
            continue;
        };
        let mut why = differences(&view(before.tree, old, &all), &view(after.tree, entry, &all));
        if has_code(entry, after.place) || has_code(old, before.place) {
            if before.place.directory != after.place.directory {
                why.push("the working directory".into());
            }
            if before.place.set != after.place.set {
                why.push("variables of the dotenv file".into());
            }
        }
        if failed.contains(&name) {
            why.push("it had failed".into());
        }
        if hasty.contains(&entry.name.as_str()) && !entry.attached {
            why.push("files are watched".into());
        }
        match why.is_empty() {
            true => plan.unchanged.push(name),
            false if entry.attached => plan.attached.push((name, why)),
            false => plan.changed.push((name, why)),
        }
    }
    let stays = |name: &&str| after.entries.iter().any(|entry| entry.name == *name);
    plan.removed = names(before).filter(|name| !stays(name)).map(str::to_owned).collect();
    plan
}

fn names(side: Side<'_>) -> impl Iterator<Item = &str> {
    side.entries.iter().map(|entry| entry.name.as_str())
}

/// Whether other files in the working directory make another program of a plugin: those with PHP workers, and custom ones whose command
/// names a file there.
fn has_code(entry: &Entry, place: &Place) -> bool {
    match entry.is_custom() {
        true => place.has_program(&entry.process.command.0),
        false => !WITHOUT_PHP.contains(&entry.name.as_str()),
    }
}

/// What of a configuration concerns a plugin: all but other plugins' sections, their connections, and ours; of the section
/// `supervisor` what is said about its process, and of `endure` the time that a stop may take.
fn view(tree: &Value, entry: &Entry, plugins: &BTreeSet<&str>) -> Map<String, Value> {
    let name = entry.name.as_str();
    let without_php = !entry.is_custom() && WITHOUT_PHP.contains(&name);
    let concerns = |section: &str| {
        let connection = CONNECTIONS.iter().find(|(connection, _)| *connection == section);
        match connection {
            _ if without_php && FOR_PHP.contains(&section) => false,
            Some((_, readers)) => readers.contains(&name),
            None => {
                section == name || !(plugins.contains(section) || OURS.contains(&section) || section.starts_with("x-"))
            }
        }
    };
    let Value::Object(sections) = tree else {
        return Map::new();
    };
    let concerning = sections.iter().filter(|(section, _)| concerns(section));
    let mut seen: Map<String, Value> = concerning
        .map(|(section, value)| (section.clone(), value.clone()))
        .collect();
    let process = name.replace('~', "~0").replace('/', "~1");
    let pointers = [
        (
            "supervisor.adopt_timeout".to_owned(),
            "/supervisor/adopt_timeout".to_owned(),
        ),
        (
            format!("supervisor.plugins.{name}"),
            format!("/supervisor/plugins/{process}"),
        ),
        ("endure.grace_period".to_owned(), "/endure/grace_period".to_owned()),
    ];
    for (key, pointer) in pointers {
        if let Some(value) = tree.pointer(&pointer) {
            seen.insert(key, value.clone());
        }
    }
    // It runs once before all, in no plugin.
    if let Some(Value::Object(server)) = seen.get_mut("server") {
        server.remove("on_init");
    }
    // The port asks who calls, and its file has the mode; a plugin only tells its workers where it is.
    if let Some(Value::Object(rpc)) = seen.get_mut("rpc") {
        rpc.remove("allow_users");
        if let Some(Value::String(listen)) = rpc.get_mut("listen") {
            listen.truncate(listen.find('?').unwrap_or(listen.len()));
        }
    }
    seen
}

/// The keys with other values.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differ.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::{catalog::Role, process::Program};
    use rr_common::config::section::PluginProcess;
    use serde_json::json;
    use std::path::Path;

    fn entries(tree: &Value) -> Vec<Entry> {
        let asked = ["kv", "mine", "jobs", "http"]
            .into_iter()
            .filter(|name| tree.get(name).is_some());
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            role: Role::Ingress,
            on_demand: false,
            keeps_state: false,
            attached: false,
            is_single: false,
            chosen: false,
            program: Program::binary(Path::new("/bin/true")),
            addresses: Vec::new(),
            process: PluginProcess::default(),
        };
        asked.map(entry).collect()
    }

    fn at(directory: &str, variable: &str) -> Place {
        Place {
            directory: directory.into(),
            set: [("A".to_owned(), variable.to_owned())].into(),
            ..Place::default()
        }
    }

    fn planned(before: (&Value, &Place), after: (&Value, &Place)) -> Plan {
        let (old, new) = (entries(before.0), entries(after.0));
        let side = |(tree, place), entries| Side { tree, entries, place };
        plan(side(before, &old), side(after, &new), &[], &[])
    }

    fn changed(plan: &Plan) -> Vec<&str> {
        plan.changed.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn only_what_sees_a_change_is_replaced() {
        let base = json!({
            "version": "3", "server": {"command": "php a.php"}, "logs": {"level": "error"}, "endure": {"grace_period": "30s"},
            "http": {"address": ":1"}, "jobs": {"pool": {}}, "kv": {"mem": {}}, "amqp": {"addr": "x"}, "rpc": {"listen": "a"},
            "supervisor": {"adopt_timeout": "2s", "plugins": {"kv": {"env": {"A": "1"}}}},
        });
        let place = at("/a", "1");
        assert_eq!(
            planned((&base, &place), (&base, &place)).unchanged,
            ["kv", "jobs", "http"]
        );
        let cases: [(&str, Value, &[&str]); 17] = [
            ("/http/address", json!(":2"), &["http"]),
            ("/amqp/addr", json!("y"), &["jobs"]),
            ("/kv/mem", json!({"interval": 1}), &["kv"]),
            ("/server/command", json!("php b.php"), &["jobs", "http"]),
            ("/server/on_init", json!({"command": "x"}), &[]),
            ("/rpc/listen", json!("b"), &["jobs", "http"]),
            ("/rpc/listen", json!("a?mode=0600"), &[]),
            ("/rpc/allow_users", json!(["www"]), &[]),
            ("/status", json!({"address": ":3"}), &[]),
            ("/metrics", json!({"address": ":4"}), &[]),
            ("/reload", json!({"interval": "2s"}), &[]),
            ("/supervisor/control", json!({"group": "www"}), &[]),
            ("/logs/level", json!("debug"), &[]),
            ("/version", json!("2.7"), &[]),
            ("/supervisor/plugins/kv/env", json!({"A": "2"}), &["kv"]),
            ("/supervisor/adopt_timeout", json!("3s"), &["kv", "jobs", "http"]),
            ("/endure/grace_period", json!("3s"), &["kv", "jobs", "http"]),
        ];
        for (pointer, value, expected) in cases {
            let mut after = base.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
            if let Some(Value::Object(section)) = after.pointer_mut(parent) {
                section.insert(key.to_owned(), value);
            }
            assert_eq!(
                changed(&planned((&base, &place), (&after, &place))),
                expected,
                "{pointer}"
            );
        }
    }

    #[test]
    fn another_directory_is_other_code_for_php() {
        let tree = json!({"http": {}, "kv": {}});
        let moved = planned((&tree, &at("/a", "1")), (&tree, &at("/b", "1")));
        assert_eq!(
            moved.changed,
            [("http".to_owned(), vec!["the working directory".to_owned()])]
        );
        let other = planned((&tree, &at("/a", "1")), (&tree, &at("/a", "2")));
        assert_eq!(changed(&other), ["http"]);
        assert_eq!(other.unchanged, ["kv"]);
    }

    #[test]
    fn sections_come_and_go_and_what_failed_is_tried_again() {
        let before = json!({"http": {"a": 1}, "kv": {}, "metrics": {}});
        let after = json!({"http": {"a": 1}, "mine": {}, "status": {}});
        let place = Place::default();
        let (old, new) = (entries(&before), entries(&after));
        let plan = plan(
            Side {
                tree: &before,
                entries: &old,
                place: &place,
            },
            Side {
                tree: &after,
                entries: &new,
                place: &place,
            },
            &["http".to_owned()],
            &["http", "kv"],
        );
        assert_eq!(
            (&plan.added[..], &plan.removed[..]),
            (&["mine".to_owned()][..], &["kv".to_owned()][..])
        );
        let why = vec!["it had failed".to_owned(), "files are watched".to_owned()];
        assert_eq!(plan.changed, [("http".to_owned(), why)]);
    }
}
