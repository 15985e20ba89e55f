//! One server under test: the real supervisor with a configuration of the test's own.
//!
//! ```no_run
//! use rr_tests::Server;
//! use serde_json::json;
//!
//! let server = Server::http(json!({"http": {"pool": {"num_workers": 2}}}));
//! assert_eq!(server.client().get("/echo?body=hi").text(), "hi");
//! assert!(server.stop().success());
//! ```
//!
//! The configuration is JSON, which is YAML as well. [`Server::http`] fills in what a test does not care about: the
//! version, a free port, two workers with `tests/php/worker.php`, production log lines on stderr. Whatever the server
//! writes is kept for [`Server::log`]. Dropping a server kills everything below it.

use crate::client::{Client, Raw};
use crate::room::Room;
use crate::wait::{SOON, holds_within};
use crate::{
    bin,
    port::{at, free_port, local},
    process,
};
use nix::sys::signal::Signal;
use rr_common::shutdown::SAME_SIGNAL;
use serde_json::{Value, json};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Longer than any orderly stop: `endure.grace_period` is 30 s.
const STOP_BOUND: Duration = Duration::from_secs(45);

/// How long the last lines of a server that has ended may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long after its first answer a server may take to say that it has started.
const TOLD: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    child: Mutex<Child>,
    pid: u32,
    port: u16,
    log: Arc<Mutex<String>>,
    room: Room,
}

impl Server {
    /// Starts a server for HTTP with these settings over the defaults, and waits until it answers.
    #[track_caller]
    pub fn http(settings: Value) -> Self {
        Self::http_in(Room::new(), settings)
    }

    /// The same in a directory that the test has filled.
    #[track_caller]
    pub fn http_in(room: Room, settings: Value) -> Self {
        let port = free_port();
        let config = http_config(port, settings);
        let server = Self::launch(room, port, &config.to_string(), &[]);
        server.wait_ready();
        server
    }

    /// Starts a server with this text as its `.rr.yaml` and these further arguments, and waits for nothing.
    #[track_caller]
    pub fn launch(room: Room, port: u16, config: &str, arguments: &[&str]) -> Self {
        let file = room.write(".rr.yaml", config);
        let mut command = Command::new(bin::server());
        command.arg("serve").arg("-c").arg(&file).args(arguments);
        Self::run(room, port, command)
    }

    /// Starts whatever command in the room; `port` is where [`Server::client`] connects.
    #[track_caller]
    pub fn run(room: Room, port: u16, mut command: Command) -> Self {
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => panic!("{command:?}: {error}"),
        };
        let log = Arc::new(Mutex::new(String::new()));
        gather(child.stdout.take().unwrap(), &log);
        gather(child.stderr.take().unwrap(), &log);
        Self {
            pid: child.id(),
            child: Mutex::new(child),
            port,
            log,
            room,
        }
    }

    /// Waits until the HTTP port answers. A malformed request asks it: no worker sees that one.
    ///
    /// # Panics
    /// With the log when the server ends or does not get there.
    #[track_caller]
    pub fn wait_ready(&self) {
        let ready = holds_within(SOON, || {
            assert!(self.running(), "the server has ended:\n{}", self.log());
            let Ok(mut raw) = Raw::try_connect(self.address()) else {
                return false;
            };
            raw.send("NOT HTTP\r\n\r\n");
            raw.closes_within(Duration::from_secs(1)) && raw.text().starts_with("HTTP/")
        });
        assert!(ready, "the server is not ready:\n{}", self.log());
        // The port answers a moment before the server calls itself started, and until then a plugin's death ends the start.
        // A silent server does not say it.
        let _told = holds_within(TOLD, || self.log().contains("server started"));
    }

    /// A client for the HTTP port.
    pub fn client(&self) -> Client {
        Client::tcp(self.address())
    }

    /// Raw bytes to the HTTP port.
    #[track_caller]
    pub fn raw(&self) -> Raw {
        Raw::connect(self.address())
    }

    /// The HTTP address.
    pub fn address(&self) -> SocketAddr {
        local(self.port)
    }

    /// The directory of its configuration.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The process id of the supervisor.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process id of a plugin, by the name of its binary.
    #[track_caller]
    pub fn plugin(&self, name: &str) -> u32 {
        let pids = process::named(self.pid, name);
        assert_eq!(pids.len(), 1, "processes named {name}:\n{}", self.log());
        pids[0]
    }

    /// The process ids of all PHP workers, ascending.
    pub fn workers(&self) -> Vec<u32> {
        process::named_by(self.pid, |name| name.starts_with("php"))
    }

    /// All that the server has written so far, to stdout and stderr.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Waits until the server calls itself started.
    #[track_caller]
    pub fn wait_started(&self) {
        self.wait_log("RoadRunner server started");
    }

    /// Waits until the log has this text.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        let found = holds_within(SOON, || lock(&self.log).contains(text));
        assert!(found, "not in the log: {text:?}\n{}", self.log());
    }

    /// The log lines that are JSON objects.
    pub fn log_json(&self) -> Vec<Value> {
        let log = self.log();
        let parsed = log.lines().filter_map(|l| serde_json::from_str(l).ok());
        parsed.filter(Value::is_object).collect()
    }

    /// Whether the supervisor runs.
    pub fn running(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Changes what the configuration's file says.
    pub fn change(&self, changes: Value) {
        let mut config = serde_json::from_str(&self.room.read(".rr.yaml")).unwrap();
        merge(&mut config, changes);
        self.room.write(".rr.yaml", config.to_string());
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid, signal);
    }

    /// SIGTERM, then the exit status. Fails if anything that ran below the server survives it.
    #[track_caller]
    pub fn stop(&self) -> ExitStatus {
        let below = process::descendants(self.pid);
        self.signal(Signal::SIGTERM);
        let status = self.wait_exit(STOP_BOUND);
        let gone = holds_within(SOON, || !below.iter().any(|pid| process::alive(*pid)));
        assert!(gone, "processes survived the stop:\n{}", self.log());
        status
    }

    /// SIGTERM, and once more when the stop has begun and a second signal is not taken for the same one.
    #[track_caller]
    pub fn stop_twice(&self) {
        self.signal(Signal::SIGTERM);
        self.wait_log("stop signal received");
        let begun = Instant::now();
        assert!(holds_within(SOON, || begun.elapsed() > 2 * SAME_SIGNAL));
        self.signal(Signal::SIGTERM);
    }

    /// Waits until the supervisor ends by itself.
    #[track_caller]
    pub fn wait_exit(&self, bound: Duration) -> ExitStatus {
        let mut status = None;
        let ended = holds_within(bound, || {
            status = lock(&self.child).try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "it runs on:\n{}", self.log());
        // Its last words may still be on the way; a plugin that outlives it keeps the pipes open.
        let _all_read = holds_within(LAST_WORDS, || Arc::strong_count(&self.log) == 1);
        status.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Frozen first, so that it restarts nothing while its tree is taken down.
        self.signal(Signal::SIGSTOP);
        for pid in process::descendants(self.pid) {
            process::signal(pid, Signal::SIGKILL);
        }
        let mut child = lock(&self.child);
        let _ended_already = child.kill();
        let _reaped = child.wait();
    }
}

/// The defaults of [`Server::http`] with the test's settings over them.
pub fn http_config(port: u16, settings: Value) -> Value {
    let mut config = json!({
        "version": "3",
        "server": {"command": php(&bin::script("worker.php"))},
        "http": {
            "address": at(port),
            "pool": {"num_workers": 2, "allocate_timeout": "20s", "destroy_timeout": "10s"},
        },
        "logs": {"mode": "production", "level": "info"},
    });
    merge(&mut config, settings);
    config
}

/// The command of a PHP script.
pub fn php(script: &Path) -> Value {
    json!(["php", script.to_str().unwrap()])
}

/// Lays `over` upon `base`: objects are merged, anything else is replaced, null removes.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Copies what a pipe brings into the log, until its end.
fn gather(mut pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            lock(&log).push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
