//! Which plugin processes a configuration asks for, in which order they start and stop, and where their programs are.

use super::process::Program;
use rr_common::config::{
    Config, is_custom,
    section::{PluginProcess, PluginRole},
};
use std::{
    env, fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The place of a plugin in the flow of work. Started in this order, stopped in the reverse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Others call it: first up, last down.
    State,
    /// Fetches work from queues.
    Consumer,
    /// Takes work from clients.
    Ingress,
}

/// The bundled plugins that are not [`Role::State`], by the name of their section.
const ROLES: [(&str, Role); 6] = [
    ("jobs", Role::Consumer),
    ("temporal", Role::Consumer),
    ("http", Role::Ingress),
    ("grpc", Role::Ingress),
    ("tcp", Role::Ingress),
    ("centrifuge", Role::Ingress),
];

/// Bundled plugins that this build does not have yet: a program of that name is somebody else's. Whoever brings one removes its name.
const NOT_YET: [&str; 5] = ["centrifuge", "grpc", "jobs", "tcp", "temporal"];

/// One plugin process that the configuration asks for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// Its place in the flow of work.
    pub role: Role,
    /// Started by the first call of one of its methods, not with the others.
    pub on_demand: bool,
    /// Its processes hand a memory file on to each other.
    pub keeps_state: bool,
    /// Started by somebody else; it comes by its registration.
    pub attached: bool,
    /// What it keeps in its process must not be lost: never two of them side by side, one hands over to the next.
    pub is_single: bool,
    /// What is executed.
    pub program: Program,
    /// An operator has put it in place of what the configuration means.
    pub chosen: bool,
    /// The addresses that it serves, as the configuration writes them.
    pub addresses: Vec<Listen>,
    /// Its own settings.
    pub process: PluginProcess,
}

impl Entry {
    /// Whether it is a plugin of the user's own, which knows nothing of our log.
    pub(crate) fn is_custom(&self) -> bool {
        !self.process.command.is_empty()
    }
}

/// One address of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// As the configuration writes it.
    pub address: String,
    /// Whether plain HTTP is spoken there, so that we can answer 503 for a plugin that failed.
    pub plain_http: bool,
}

/// A configured plugin whose program is nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Missing {
    name: String,
    /// `supervisor.plugins.NAME.binary` has said where it is.
    named: bool,
    looked: Vec<PathBuf>,
}

impl Missing {
    /// The key of the configuration that asks for it, or for this place of it.
    pub(crate) fn key(&self) -> String {
        match self.named {
            true => format!("supervisor.plugins.{}.binary", self.name),
            false => self.name.clone(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, named, looked } = self;
        if *named {
            let place = looked.first().map_or(Path::new(""), PathBuf::as_path).display();
            return write!(
                f,
                "the plugin {name} has no program there: {place} is no file that can be executed"
            );
        }
        if NOT_YET.contains(&name.as_str()) {
            return write!(
                f,
                "this build has no plugin {name} yet, so nothing would serve this section; take it out, or name a program that does with \
                 supervisor.plugins.{name}.command"
            );
        }
        write!(
            f,
            "the plugin {name} is asked for, but its program rr-{name} was not found; looked for"
        )?;
        for path in looked {
            write!(f, "\n  {}", path.display())?;
        }
        write!(f, "\n(supervisor.plugins.{name}.binary names another place)")
    }
}

/// The plugin processes of a configuration, in the order of their start.
///
/// # Errors
/// All programs that are missing.
pub(crate) fn entries(config: &Config) -> Result<Vec<Entry>, Vec<Missing>> {
    let places = Places::of_this_process();
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in config.plugins() {
        let process = config.supervisor.plugins.get(&name).cloned().unwrap_or_default();
        let program = match process.attached {
            true => Ok(Program::binary(Path::new(&format!("rr-{name}")))),
            false => program(&name, &process, &places),
        };
        match program {
            Ok(program) => found.push(Entry {
                role: role(&name, &process),
                on_demand: false,
                keeps_state: keeps_state(&name, &process),
                attached: process.attached,
                is_single: is_single(&name, &process),
                program,
                chosen: false,
                // Those of an attached one are its service manager's.
                addresses: match process.attached {
                    true => Vec::new(),
                    false => addresses(config, &name),
                },
                process,
                name,
            }),
            Err(error) => missing.push(error),
        }
    }
    // A program that is not there is told to who calls it: nobody may.
    found.extend(on_demand(config).into_iter().filter_map(|(_, entry)| entry.ok()));
    found.sort_by_key(|entry| entry.role);
    if missing.is_empty() { Ok(found) } else { Err(missing) }
}

/// The plugins that nobody configures: with RPC they are there, and start when they are first called.
pub(crate) fn on_demand(config: &Config) -> Vec<(&'static str, Result<Entry, Missing>)> {
    let name = "lock";
    let process = config.supervisor.plugins.get(name).cloned().unwrap_or_default();
    // With a command of its own it is a plugin of the user's, and asked for by that.
    if config.rpc.is_none() || config.lock.is_some() || !process.command.is_empty() || process.attached {
        return Vec::new();
    }
    let program = program(name, &process, &Places::of_this_process());
    let entry = program.map(|program| Entry {
        name: name.to_owned(),
        role: role(name, &process),
        on_demand: true,
        keeps_state: keeps_state(name, &process),
        attached: false,
        is_single: is_single(name, &process),
        program,
        chosen: false,
        addresses: Vec::new(),
        process,
    });
    vec![(name, entry)]
}

/// Whether a plugin's processes hand a memory file on: the bundled one for locks.
fn keeps_state(name: &str, process: &PluginProcess) -> bool {
    name == "lock" && process.command.is_empty()
}

fn role(name: &str, process: &PluginProcess) -> Role {
    if is_custom(name, process) {
        return match process.role {
            PluginRole::Methods | PluginRole::State => Role::State,
            PluginRole::Consumer => Role::Consumer,
            PluginRole::Ingress => Role::Ingress,
        };
    }
    let known = ROLES.iter().find(|(known, _)| *known == name);
    known.map_or(Role::State, |(_, role)| *role)
}

/// Whether two processes side by side would each hold a part of what they keep for others.
fn is_single(name: &str, process: &PluginProcess) -> bool {
    match is_custom(name, process) {
        true => process.role == PluginRole::State,
        false => matches!(name, "kv" | "lock" | "jobs"),
    }
}

/// The addresses of a plugin.
fn addresses(config: &Config, name: &str) -> Vec<Listen> {
    let plain: Vec<&str> = match &config.http {
        Some(http) if name == "http" => http.address.split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    let listen = |address: String| Listen {
        plain_http: plain.contains(&address.as_str()),
        address,
    };
    config.addresses(name).into_iter().map(listen).collect()
}

fn program(name: &str, process: &PluginProcess, places: &Places) -> Result<Program, Missing> {
    if !process.command.is_empty() {
        return Ok(Program::command(&process.command));
    }
    let looked = match process.binary.as_str() {
        "" => places.of(&format!("rr-{name}")),
        binary => vec![PathBuf::from(binary)],
    };
    match looked.iter().find(|path| is_executable(path)) {
        Some(path) => Ok(Program::binary(path)),
        None => Err(Missing {
            name: name.to_owned(),
            named: !process.binary.is_empty(),
            looked,
        }),
    }
}

/// Where bundled programs are looked for, in this order.
#[derive(Debug, Default)]
struct Places {
    directories: Vec<PathBuf>,
}

impl Places {
    /// Beside our own program, then in the libexec folder that belongs to it, then in PATH.
    fn of_this_process() -> Self {
        let mut directories = Vec::new();
        // The link's target, not the link: `rr` in /usr/local/bin may point into the installation.
        let own = env::current_exe().and_then(|path| path.canonicalize());
        if let Some(beside) = own.ok().as_deref().and_then(Path::parent) {
            directories.push(beside.to_owned());
            if let Some(prefix) = beside.parent() {
                directories.push(prefix.join("libexec/roadrunner"));
            }
        }
        if let Some(path) = env::var_os("PATH") {
            directories.extend(env::split_paths(&path).filter(|path| path.is_absolute()));
        }
        Self { directories }
    }

    fn of(&self, program: &str) -> Vec<PathBuf> {
        let mut all: Vec<_> = self
            .directories
            .iter()
            .map(|directory| directory.join(program))
            .collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|path| seen.insert(path.clone()));
        all
    }
}

/// Whether that file could be executed.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    fn config(tree: &Value) -> Config {
        serde_json::from_value(tree.clone()).unwrap()
    }

    #[test]
    fn state_starts_first_and_ingress_last() {
        assert!([Role::State, Role::Consumer, Role::Ingress].is_sorted());
        let tree = json!({"supervisor": {"plugins": {
            "mine": {"command": ["/bin/true"]}, "http": {"binary": "/bin/sh"}, "kv": {"binary": "/bin/sh"},
        }}, "http": {"address": "127.0.0.1:1"}, "kv": {}});
        let names: Vec<_> = entries(&config(&tree))
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["kv", "mine", "http"]);
    }

    #[test]
    fn locks_are_there_with_rpc_and_start_by_a_call_unless_configured() {
        let lock = json!({"plugins": {"lock": {"binary": "/bin/sh"}}});
        for (tree, expected) in [
            (json!({"supervisor": lock}), None),
            (json!({"supervisor": lock, "rpc": {}}), Some(true)),
            (json!({"supervisor": lock, "rpc": {}, "lock": {}}), Some(false)),
            (json!({"supervisor": lock, "lock": {}}), Some(false)),
        ] {
            let entries = entries(&config(&tree)).unwrap();
            let found = entries.iter().find(|entry| entry.name == "lock");
            assert_eq!(found.map(|entry| entry.on_demand), expected, "{tree}");
            assert!(found.is_none_or(|entry| entry.keeps_state && entry.role == Role::State));
        }
        let nowhere = json!({"rpc": {}, "supervisor": {"plugins": {"lock": {"binary": "/nowhere"}}}});
        assert!(
            entries(&config(&nowhere)).unwrap().is_empty(),
            "no error: nobody has asked for it"
        );
        assert!(on_demand(&config(&nowhere))[0].1.is_err());
    }

    #[test]
    fn a_missing_program_is_told_with_all_places() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            directories: vec![dir.path().join("a"), dir.path().join("b")],
        };
        let error = |name: &str, process: &PluginProcess| {
            let missing = program(name, process, &places).unwrap_err();
            format!("{}: {missing}", missing.key())
        };
        let text = error("http", &PluginProcess::default());
        for part in ["http: ", "a/rr-http", "b/rr-http", "supervisor.plugins.http.binary"] {
            assert!(text.contains(part), "{text}");
        }
        let text = error("jobs", &PluginProcess::default());
        assert!(text.starts_with("jobs: this build has no plugin jobs yet"), "{text}");
        let named = PluginProcess {
            binary: "/nowhere".into(),
            ..PluginProcess::default()
        };
        let text = error("jobs", &named);
        assert!(text.starts_with("supervisor.plugins.jobs.binary: "), "{text}");
        fs::create_dir(dir.path().join("b")).unwrap();
        let binary = dir.path().join("b/rr-jobs");
        fs::write(&binary, "").unwrap();
        assert!(
            program("jobs", &PluginProcess::default(), &places).is_err(),
            "not executable"
        );
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(program("jobs", &PluginProcess::default(), &places).is_ok());
    }

    #[test]
    fn http_listens_at_all_its_addresses() {
        let tree = json!({"http": {
            "address": "127.0.0.1:1, unix:///a.sock", "ssl": {"address": ":443", "key": "k", "cert": "c"},
        }});
        let found = addresses(&config(&tree), "http");
        let plain: Vec<_> = found.iter().map(|l| (l.address.as_str(), l.plain_http)).collect();
        assert_eq!(
            plain,
            [("127.0.0.1:1", true), ("unix:///a.sock", true), (":443", false)]
        );
    }
}
