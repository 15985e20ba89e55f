//! The server, what befalls it, and what is there of it.

use crate::callers::{KILLS, connect};
use crate::dice::{Dice, Fault};
use crate::inventory::{Inventory, files};
use crate::{RECOVERY, last};
use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, operator,
    port::{free_port, tcp},
    process,
    server::{http_config, merge},
    wait::holds_within,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Our processes below the supervisor, by the names that the kernel keeps.
const PLUGINS: [&str; 4] = ["rr-http", "rr-kv", "rr-lock", "rr-test-custom"];

pub(crate) struct Place {
    pub(crate) server: Server,
    /// Those that were killed, whose rooms are in use.
    pub(crate) before: Vec<Server>,
    pub(crate) file: PathBuf,
    pub(crate) rpc: u16,
    pub(crate) control: PathBuf,
    temporary: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a failure: also those that are frozen, or whose parent is gone.
        for pid in self.processes() {
            process::signal(pid, Signal::SIGKILL);
        }
    }
}

impl Place {
    pub(crate) fn start() -> Self {
        let room = Room::new();
        let (web, rpc) = (free_port(), free_port());
        let (control, temporary) = (room.file("control"), room.file("tmp"));
        fs::create_dir(&temporary).unwrap();
        let file = room.write(".rr.yaml", config(web, rpc, &control).to_string());
        let server = serve(room, web, &file, &temporary);
        Self {
            server,
            before: Vec::new(),
            file,
            rpc,
            control,
            temporary,
        }
    }

    /// All our processes, whoever is their parent: they have inherited the directory for temporary files.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("TMPDIR={}", self.temporary.display());
        let is = |pid: &u32| {
            let environment = process::environment(*pid).unwrap_or_default();
            environment.contains(&mark)
        };
        let mut pids: Vec<u32> = process::all().filter(is).collect();
        pids.sort_unstable();
        pids
    }

    fn named(&self, is: impl Fn(&str) -> bool) -> Vec<u32> {
        let mut pids = self.processes();
        pids.retain(|pid| is(&name(*pid)));
        pids
    }

    pub(crate) fn plugins(&self) -> Vec<u32> {
        self.named(|name| PLUGINS.contains(&name))
    }

    fn workers(&self) -> Vec<u32> {
        self.named(|name| name.starts_with("php"))
    }

    /// The supervisor is killed, and another one takes its place.
    fn replace_supervisor(&mut self) {
        // One that starts with a file that is wrong does not start, and rightly so.
        let good = config(self.server.address().port(), self.rpc, &self.control);
        fs::write(&self.file, good.to_string()).unwrap();
        // A frozen plugin cannot hand its sockets over: it is killed, and clients find nobody for a moment.
        for pid in self.named(|name| name == "rr-http") {
            process::signal(pid, Signal::SIGCONT);
        }
        KILLS.fetch_add(1, Ordering::SeqCst);
        self.server.signal(Signal::SIGKILL);
        self.server.wait_exit(RECOVERY);
        let next = serve(Room::new(), self.server.address().port(), &self.file, &self.temporary);
        self.before.push(std::mem::replace(&mut self.server, next));
        KILLS.fetch_add(1, Ordering::SeqCst);
    }

    /// Commits one; says what it did, and the process that has to go on later.
    pub(crate) fn commit(&mut self, fault: Fault, dice: &mut Dice) -> (String, Option<u32>) {
        let told = |pid: u32| format!("{fault:?} {} {pid}", name(pid));
        let signal = |pids: Vec<u32>, signal, dice: &mut Dice| {
            let Some(pid) = dice.pick(&pids) else {
                return (format!("{fault:?} of nobody"), None);
            };
            let words = told(pid);
            process::signal(pid, signal);
            (words, Some(pid))
        };
        let done = |(words, _): (String, Option<u32>)| (words, None);
        match fault {
            Fault::KillPlugin => done(signal(self.plugins(), Signal::SIGKILL, dice)),
            Fault::KillWorker => done(signal(self.workers(), Signal::SIGKILL, dice)),
            Fault::TerminateWorker => done(signal(self.workers(), Signal::SIGTERM, dice)),
            Fault::StopPlugin => signal(self.plugins(), Signal::SIGSTOP, dice),
            Fault::StopWorker => signal(self.workers(), Signal::SIGSTOP, dice),
            Fault::Reset => (self.ask("resetter.Reset", json!("http")), None),
            Fault::Upgrade => {
                let plugin = dice.pick(&["http", "own", "kv", "lock"]).unwrap();
                (self.ask("supervisor.Upgrade", json!({"plugin": plugin})), None)
            }
            Fault::Renew => (self.ask("supervisor.Renew", json!({})), None),
            Fault::KillSupervisor => {
                self.replace_supervisor();
                (format!("KillSupervisor, now {}", self.server.pid()), None)
            }
            Fault::GoodReload | Fault::BadReload => (self.reload(matches!(fault, Fault::GoodReload), dice), None),
        }
    }

    /// An operator's question, whose answer nobody waits for here: the next fault may come in the middle of it.
    pub(crate) fn ask(&self, method: &'static str, argument: Value) -> String {
        let words = format!("{method} {argument}");
        let port = self.rpc;
        std::thread::spawn(move || connect(port).try_call(method, &argument));
        words
    }

    fn reload(&self, good: bool, dice: &mut Dice) -> String {
        let jobs = 10_000 + dice.roll(1000);
        let mut config = config(self.server.address().port(), self.rpc, &self.control);
        let changes = match (good, dice.roll(2)) {
            (true, 0) => json!({"http": {"pool": {"max_jobs": jobs}}}),
            // Endpoints come, and go with the next one.
            (true, _) => json!({
                "http": {"pool": {"max_jobs": jobs}},
                "status": {"address": "127.0.0.1:0"},
                "metrics": {"address": "127.0.0.2:0"},
            }),
            (false, 0) => json!({"server": {"command": "php nowhere.php"}, "http": {"pool": {"num_workers": "many"}}}),
            // Much of this one is possible, and has been done when it fails.
            (false, _) => json!({
                "server": {"command": "php nowhere.php"},
                "rpc": {"listen": "tcp://127.0.0.2:0"},
                "status": {"address": "127.0.0.1:0"},
            }),
        };
        merge(&mut config, changes);
        fs::write(&self.file, config.to_string()).unwrap();
        self.ask("supervisor.Reload", json!({}))
    }

    pub(crate) fn inventory(&self) -> Inventory {
        let mut processes = BTreeMap::new();
        let mut descriptors = BTreeMap::new();
        for pid in self.processes() {
            let name = name(pid);
            *processes.entry(name.clone()).or_insert(0) += 1;
            if PLUGINS.contains(&name.as_str()) || pid == self.server.pid() {
                descriptors.insert(name, process::open_files(pid).unwrap_or_default());
            }
        }
        Inventory {
            processes,
            zombies: process::zombies(self.server.pid()),
            descriptors,
            control: files(&self.control),
            temporary: files(&self.temporary),
        }
    }

    /// Everything that was configured is there and works.
    pub(crate) fn is_itself(&self, rpc: &mut Rpc) -> bool {
        let answer = rpc.call("supervisor.Plugins", &Value::Null);
        if answer.error().is_some() {
            return false;
        }
        let processes = answer.json();
        let mut plugins = processes.as_array().unwrap().iter();
        let well =
            plugins.all(|plugin| plugin["state"] == "running" && plugin["health"] == "" && plugin["ready"] == true);
        let workers = rpc.call("informer.Workers", &json!("http"));
        let ready = |worker: &Value| worker["statusStr"] == "ready";
        well && workers.error().is_none()
            && workers.json()["workers"]
                .as_array()
                .is_some_and(|workers| workers.len() == 2 && workers.iter().all(ready))
            && self.workers().len() == 2
    }
}

pub(crate) fn config(web: u16, rpc: u16, control: &Path) -> Value {
    http_config(
        web,
        json!({
            "rpc": {"listen": tcp(rpc)},
            "kv": {"memory": {"driver": "memory"}},
            "lock": {},
            "logs": {"level": "warn"},
            "endure": {"grace_period": "10s"},
            "http": {"pool": {"destroy_timeout": "2s", "reset_timeout": "5s"}},
            "supervisor": {
                "control": {"dir": control},
                "start": "keep_going",
                "adopt_timeout": "20s",
                // Here a plugin that dies early dies by our hand.
                "restart": {"backoff": "10ms", "max": 1_000_000, "window": "1s"},
                "plugins": {"own": {"command": [bin::binary("rr-test-custom")], "rpc_prefixes": ["own"], "start_timeout": "5s"}},
            },
        }),
    )
}

/// The name of a process; empty when it is gone.
fn name(pid: u32) -> String {
    process::name(pid).unwrap_or_default()
}

fn serve(room: Room, web: u16, file: &Path, temporary: &Path) -> Server {
    let mut command = operator::command(&["serve"], file);
    command.env("TMPDIR", temporary);
    let server = Server::run(room, web, command);
    let started = holds_within(RECOVERY, || {
        server.log().contains("RoadRunner server started") || !server.running()
    });
    assert!(
        started && server.running(),
        "the server has not started: {}\n{:#?}",
        server.log(),
        last()
    );
    server
}
