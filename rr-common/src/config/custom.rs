//! The user's own plugins: what in `supervisor.plugins` cannot be right, whatever their programs do.

use super::{Config, check::bad_address, section::PluginProcess};
use std::collections::BTreeMap;

/// First parts of the methods that the supervisor answers itself, always or with a section of that name.
pub const OWN_PREFIXES: [&str; 8] = [
    "app",
    "informer",
    "metrics",
    "resetter",
    "rpc",
    "service",
    "status",
    "supervisor",
];

/// The plugins that come with the server.
pub const BUNDLED: [&str; 8] = ["centrifuge", "grpc", "http", "jobs", "kv", "lock", "tcp", "temporal"];

/// Whether that plugin is one of the user's own: it has a command, or is no bundled one and started by somebody else.
pub fn is_custom(name: &str, process: &PluginProcess) -> bool {
    !process.command.is_empty() || (process.attached && !BUNDLED.contains(&name))
}

/// Everything that is wrong: the key, and in which way.
pub(super) fn mistakes(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, process) in &config.supervisor.plugins {
        let key = format!("supervisor.plugins.{name}");
        let ours = BUNDLED.contains(&name.as_str());
        if !is_name(name) {
            let message = "a plugin's name consists of letters, digits, `-` and `_`, at most 32 of them";
            found.push((key, message.to_owned()));
            continue;
        }
        if OWN_PREFIXES.contains(&name.as_str()) {
            found.push((key.clone(), format!("{name} is a part of the server and no plugin")));
        } else if !ours && !is_custom(name, process) {
            let message = format!("{name} is none of the server's plugins, so it needs a `command`");
            found.push((key.clone(), message));
        }
        for address in &process.listen {
            if process.command.is_empty() {
                let message = "only for a plugin with a `command`; the others have addresses in their sections";
                found.push((format!("{key}.listen"), message.to_owned()));
            } else if let Some(message) = bad_address(address) {
                found.push((format!("{key}.listen"), message));
            }
        }
    }
    found.extend(prefixes(config));
    found
}

/// Prefixes that are none, or that somebody else answers already.
fn prefixes(config: &Config) -> Vec<(String, String)> {
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    for prefix in OWN_PREFIXES {
        owners.insert(prefix, "the server itself".to_owned());
    }
    let plugins = config.plugins();
    let custom = |name: &str| {
        let process = config.supervisor.plugins.get(name);
        process.is_some_and(|process| is_custom(name, process))
    };
    for name in plugins.iter().filter(|name| !custom(name)) {
        owners.insert(name, format!("the plugin {name}"));
    }
    // Locks are there wherever there is RPC.
    if config.rpc.is_some() && !custom("lock") {
        owners.insert("lock", "the plugin lock".to_owned());
    }
    let mut found = Vec::new();
    for (name, process) in &config.supervisor.plugins {
        let key = format!("supervisor.plugins.{name}.rpc_prefixes");
        for prefix in &process.rpc_prefixes {
            if prefix.is_empty() || prefix.contains('.') {
                let message = format!("a prefix is the part of a method's name before its dot, found {prefix:?}");
                found.push((key.clone(), message));
                continue;
            }
            match owners.get(prefix.as_str()) {
                Some(owner) if *owner != format!("the plugin {name}") => {
                    let message = format!("methods with the prefix {prefix} are answered by {owner} already");
                    found.push((key.clone(), message));
                }
                _ => drop(owners.insert(prefix, format!("the plugin {name}"))),
            }
        }
    }
    found
}

/// It becomes part of the names of files and variables.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= 32 && name.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(plugins: serde_json::Value) -> Vec<String> {
        let tree = json!({"kv": {}, "rpc": {}, "supervisor": {"plugins": plugins}});
        let config: Config = serde_json::from_value(tree).unwrap();
        let all = mistakes(&config).into_iter();
        all.map(|(key, message)| format!("{}: {message}", key.trim_start_matches("supervisor.plugins.")))
            .collect()
    }

    #[test]
    fn a_prefix_has_one_owner() {
        let run = ["./run"];
        assert!(
            found(json!({"a": {"command": run, "rpc_prefixes": ["a", "aa"]}, "kv": {"env": {"X": "1"}}})).is_empty()
        );
        // Who replaces one of ours answers its methods.
        assert!(found(json!({"lock": {"command": run, "rpc_prefixes": ["lock"]}})).is_empty());
        for (plugins, expected) in [
            (
                json!({"a": {"command": run, "rpc_prefixes": ["x"]}, "b": {"command": run, "rpc_prefixes": ["x"]}}),
                "b.rpc_prefixes: methods with the prefix x are answered by the plugin a already",
            ),
            (
                json!({"a": {"command": run, "rpc_prefixes": ["kv"]}}),
                "a.rpc_prefixes: methods with the prefix kv are answered by the plugin kv already",
            ),
            (
                json!({"a": {"command": run, "rpc_prefixes": ["lock"]}}),
                "a.rpc_prefixes: methods with the prefix lock are answered by the plugin lock already",
            ),
            (
                json!({"a": {"command": run, "rpc_prefixes": ["informer"]}}),
                "a.rpc_prefixes: methods with the prefix informer are answered by the server itself already",
            ),
            (
                json!({"a": {"command": run, "rpc_prefixes": ["x.y"]}}),
                "a.rpc_prefixes: a prefix is the part of a method's name before its dot, found \"x.y\"",
            ),
        ] {
            assert_eq!(found(plugins), [expected]);
        }
    }

    #[test]
    fn what_is_no_plugin_is_said_to_be_none() {
        for (plugins, expected) in [
            (json!({"a": {"env": {"X": "1"}}}), "none of the server's plugins"),
            (json!({"../a": {"command": ["./run"]}}), "a plugin's name consists of"),
            (
                json!({"rpc": {"command": ["./run"]}}),
                "a part of the server and no plugin",
            ),
            (
                json!({"a": {"command": ["./run"], "listen": ["80"]}}),
                "a.listen: expected host:port",
            ),
            (
                json!({"kv": {"listen": ["127.0.0.1:80"]}}),
                "kv.listen: only for a plugin with a `command`",
            ),
        ] {
            let found = found(plugins);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }
}
