//! How a worker is started: command, environment, user. Made once for a pool, used for every worker.

use super::unsafe_exec::{self, Identity};
use crate::{COMPATIBLE_VERSION, plugin::StartError, pool::Options};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsString},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

/// Variables by which the supervisor talks to a plugin, and systemd to a service: none of PHP's business.
const OURS: [&str; 12] = [
    "RR_CONTROL",
    "RR_CONTROL_DIR",
    "RR_PLUGIN",
    "RR_LISTEN_FDS",
    "RR_LOG_FD",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
];

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    command: Vec<String>,
    env: BTreeMap<OsString, OsString>,
    identity: Option<Identity>,
    /// Standard output carries frames.
    pipes: bool,
}

impl Recipe {
    /// What the configuration says. `relay` is the value of RR_RELAY.
    ///
    /// # Errors
    /// There is no command.
    pub fn new(options: &Options, relay: &str, identity: Option<Identity>) -> Result<Self, StartError> {
        let own = &options.pool.command;
        let command = if own.is_empty() { &options.server.command } else { own };
        if command.is_empty() {
            return Err(StartError(
                "server.command is empty: it names the PHP worker script".into(),
            ));
        }
        let mut env: BTreeMap<OsString, OsString> = std::env::vars_os()
            .filter(|(name, _)| !OURS.iter().any(|ours| name == ours))
            .collect();
        let mut set = |name: String, value: &str| env.insert(name.into(), value.into());
        set("RR_RELAY".into(), relay);
        if let Some(rpc) = &options.rpc {
            set("RR_RPC".into(), rpc);
        }
        for (name, value) in &options.server.env {
            set(name.to_uppercase(), value);
        }
        set("RR_VERSION".into(), COMPATIBLE_VERSION);
        set("RR_MODE".into(), &options.mode);
        for (name, value) in &options.env {
            set(name.clone(), value);
        }
        Ok(Self {
            command: command.0.clone(),
            env,
            identity,
            pipes: relay == "pipes",
        })
    }

    /// True if workers talk over their standard input and output.
    pub fn pipes(&self) -> bool {
        self.pipes
    }

    /// The command as one would type it.
    pub fn text(&self) -> String {
        self.command.join(" ")
    }

    /// The command, ready to be spawned in a process group of its own. It must be spawned by a thread that lives as
    /// long as the process: the worker dies with it.
    pub(super) fn command(&self) -> Command {
        let (program, arguments) = self
            .command
            .split_first()
            .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.env)
            .process_group(0)
            .stderr(Stdio::piped());
        if self.pipes {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        unsafe_exec::prepare(&mut command, self.identity.clone());
        command
    }
}

/// The configured user and group, which may be names or numbers; `None` if it is our own. Errors name the keys `section.user` and
/// `section.group`.
///
/// # Errors
/// An unknown user or group, or no right to change to it.
pub fn identity(section: &str, user: &str, group: &str) -> Result<Option<Identity>, StartError> {
    if user.is_empty() && group.is_empty() {
        return Ok(None);
    }
    let fail = |text: String| StartError(text);
    let account = if user.is_empty() {
        User::from_uid(geteuid())
    } else if let Ok(id) = user.parse::<u32>() {
        User::from_uid(Uid::from_raw(id))
    } else {
        User::from_name(user)
    }
    .map_err(|error| fail(format!("{section}.user: {user:?} cannot be looked up: {error}")))?
    .ok_or_else(|| fail(format!("{section}.user: there is no user {user:?}")))?;
    let gid = if group.is_empty() {
        account.gid
    } else {
        let found = match group.parse::<u32>() {
            Ok(id) => Some(Gid::from_raw(id)),
            Err(_) => Group::from_name(group)
                .map_err(|error| fail(format!("{section}.group: {group:?} cannot be looked up: {error}")))?
                .map(|group| group.gid),
        };
        found.ok_or_else(|| fail(format!("{section}.group: there is no group {group:?}")))?
    };
    if account.uid == geteuid() && gid == nix::unistd::getegid() {
        return Ok(None);
    }
    if !geteuid().is_root() {
        let text = format!(
            "{section}.user: a process can run as {:?} only if the server runs as root",
            account.name
        );
        return Err(fail(text));
    }
    let name = CString::new(account.name.as_str()).unwrap_or_default();
    let groups = getgrouplist(&name, gid).unwrap_or_else(|_| vec![gid]);
    Ok(Some(Identity {
        uid: account.uid,
        gid,
        groups,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{CommandLine, section};

    fn options() -> Options {
        Options {
            pool: section::Pool::default(),
            server: section::Server {
                command: CommandLine::split("php worker.php"),
                ..section::Server::default()
            },
            rpc: None,
            mode: "http".into(),
            env: vec![("EXTRA".into(), "1".into())],
            runtimes: Vec::new(),
            describe: None,
        }
    }

    /// WORK: environment in the reference's order, later entries win.
    #[test]
    fn the_environment_is_the_reference_s() {
        let mut options = options();
        options.rpc = Some("tcp://127.0.0.1:6001".into());
        options.server.env = [("app_x", "1"), ("rr_relay", "mine"), ("rr_mode", "lost")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let recipe = Recipe::new(&options, "pipes", None).unwrap();
        let get = |name: &str| recipe.env.get(&OsString::from(name)).and_then(|v| v.to_str());
        assert_eq!(get("APP_X"), Some("1"));
        assert_eq!(get("RR_RELAY"), Some("mine"));
        assert_eq!(get("RR_MODE"), Some("http"));
        assert_eq!(get("RR_RPC"), Some("tcp://127.0.0.1:6001"));
        assert_eq!(get("RR_VERSION"), Some(COMPATIBLE_VERSION));
        assert_eq!(get("EXTRA"), Some("1"));
        assert_eq!(get("PATH"), std::env::var("PATH").ok().as_deref());
    }

    #[test]
    fn what_cannot_be_started_is_said() {
        let mut options = options();
        assert!(
            identity("server", "no such user", "")
                .unwrap_err()
                .0
                .contains("server.user")
        );
        assert!(
            identity("server", "", "no such group")
                .unwrap_err()
                .0
                .contains("server.group")
        );
        assert_eq!(identity("server", "", "").unwrap(), None);
        options.server.command = CommandLine::default();
        assert!(
            Recipe::new(&options, "pipes", None)
                .unwrap_err()
                .0
                .contains("server.command")
        );
        options.pool.command = CommandLine::split("php own.php");
        assert_eq!(Recipe::new(&options, "pipes", None).unwrap().text(), "php own.php");
    }
}
