//! Many random faults, from a seed, under a light load. In between anything may fail but never be refused; at the end everything is as it
//! was: every worker ready, the same connections in use, nothing leaked.
//!
//! `RR_TEST_FAULTS` says how many, `RR_TEST_SEED` which ones; the seed and the last faults are in every failure.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    load::Load,
    operator, process,
    room::free_port,
    rounds::number,
    rpc_place::local,
    server::{http_config, merge},
    wait::holds_within,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// The longest that the server may take to be itself again.
const RECOVERY: Duration = Duration::from_secs(60);

/// Our processes below the supervisor, by the names that the kernel keeps.
const PLUGINS: [&str; 4] = ["rr-http", "rr-kv", "rr-lock", "rr-test-custom"];

/// Methods that the clients of the RPC port call in turn.
const METHODS: [&str; 4] = ["rpc.Version", "own.Pid", "kv.Nothing", "lock.Nothing"];

/// One fault.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillPlugin,
    KillWorker,
    TerminateWorker,
    StopPlugin,
    StopWorker,
    Reset,
    Upgrade,
    GoodReload,
    BadReload,
    Renew,
    KillSupervisor,
}

/// How often each comes.
const MIX: [(Fault, u64); 11] = [
    (Fault::KillPlugin, 10),
    (Fault::KillWorker, 8),
    (Fault::TerminateWorker, 2),
    (Fault::StopPlugin, 6),
    (Fault::StopWorker, 4),
    (Fault::Reset, 4),
    (Fault::Upgrade, 4),
    (Fault::GoodReload, 2),
    (Fault::BadReload, 2),
    (Fault::Renew, 2),
    (Fault::KillSupervisor, 1),
];

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let sides = u64::try_from(of.len()).unwrap();
        (sides > 0).then(|| of[usize::try_from(self.roll(sides)).unwrap()])
    }

    fn fault(&mut self) -> Fault {
        let mut left = self.roll(MIX.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in MIX {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Fault::KillWorker
    }
}

/// Clients of the RPC port that never connect anew, as PHP's, unless the supervisor was killed meanwhile.
struct Callers {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Rpc>>,
}

impl Callers {
    fn start(port: u16, count: usize) -> Self {
        let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = |n: usize| {
            let (over, answers) = (Arc::clone(&over), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut kills = KILLS.load(Ordering::SeqCst);
                let mut rpc = Rpc::tcp(local(port));
                let mut methods = METHODS.iter().cycle().skip(n);
                while !over.load(Ordering::Relaxed) {
                    // Any answer will do, but it must be one.
                    let method = methods.next().unwrap();
                    let since = std::time::Instant::now();
                    match rpc.try_call(method, &Value::Null) {
                        Some(_) => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        None => {
                            let now = KILLS.load(Ordering::SeqCst);
                            let killed = now != kills || now % 2 == 1;
                            let after = since.elapsed();
                            assert!(
                                killed,
                                "{method}: the connection was closed, or no answer came, after {after:?}; {:?}",
                                last()
                            );
                            (kills, rpc) = (now, connect(port));
                        }
                    }
                }
                rpc
            })
        };
        Self {
            threads: (0..count).map(caller).collect(),
            over,
            answers,
        }
    }

    fn stop(self) -> Vec<Rpc> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

/// Counts the kills of the supervisor: odd from the kill until the next one serves.
static KILLS: AtomicUsize = AtomicUsize::new(0);

/// A new connection, to the supervisor that will be there soon.
fn connect(port: u16) -> Rpc {
    let mut rpc = None;
    eventually(RECOVERY, || {
        rpc = Rpc::try_tcp(local(port));
        rpc.is_some()
    });
    rpc.unwrap()
}

/// What must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    /// Processes that bear our mark, by name.
    processes: BTreeMap<String, usize>,
    zombies: usize,
    /// Descriptors by the name of our process.
    descriptors: BTreeMap<String, usize>,
    /// Files in the control directory, with `PID` in the place of numbers.
    control: BTreeSet<String>,
    /// Files in the directory for temporary ones.
    temporary: BTreeSet<String>,
}

struct Place {
    server: Server,
    /// Those that were killed, whose rooms are in use.
    before: Vec<Server>,
    file: PathBuf,
    rpc: u16,
    control: PathBuf,
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
    fn start() -> Self {
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
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut pids: Vec<u32> = pids.filter(is).collect();
        pids.sort_unstable();
        pids
    }

    fn named(&self, is: impl Fn(&str) -> bool) -> Vec<u32> {
        let mut pids = self.processes();
        pids.retain(|pid| is(&name(*pid)));
        pids
    }

    fn plugins(&self) -> Vec<u32> {
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
    fn commit(&mut self, fault: Fault, dice: &mut Dice) -> (String, Option<u32>) {
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
    fn ask(&self, method: &'static str, argument: Value) -> String {
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

    fn inventory(&self) -> Inventory {
        let mut processes = BTreeMap::new();
        let mut descriptors = BTreeMap::new();
        for pid in self.processes() {
            let name = name(pid);
            *processes.entry(name.clone()).or_insert(0) += 1;
            if PLUGINS.contains(&name.as_str()) || pid == self.server.pid() {
                descriptors.insert(name, open_files(pid));
            }
        }
        Inventory {
            processes,
            zombies: zombies(self.server.pid()),
            descriptors,
            control: files(&self.control),
            temporary: files(&self.temporary),
        }
    }

    /// Everything that was configured is there and works.
    fn is_itself(&self, rpc: &mut Rpc) -> bool {
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

fn config(web: u16, rpc: u16, control: &Path) -> Value {
    http_config(
        web,
        json!({
            "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
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

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn zombies(parent: u32) -> usize {
    let is = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.first() == Some(&"Z") && fields.get(1) == Some(&parent.to_string().as_str())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(is)
        .filter(|zombie| *zombie)
        .count()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let parts = name
            .split('.')
            .map(|part| if part.parse::<u32>().is_ok() { "PID" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let counted = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(name)
        .fold(BTreeMap::new(), |mut all, name| {
            *all.entry(name).or_insert(0) += 1;
            all
        });
    counted
        .into_iter()
        .map(|(name, count)| format!("{name} x{count}"))
        .collect()
}

/// What was done last, for the report.
static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn after_random_faults_everything_is_as_before() {
    let seed: u64 = number("RR_TEST_SEED").unwrap_or(3);
    let count: u64 = number("RR_TEST_FAULTS").unwrap_or(60);
    println!("RR_TEST_SEED={seed} RR_TEST_FAULTS={count}");
    let mut dice = Dice(seed);

    let mut place = Place::start();
    let mut operator = Rpc::tcp(local(place.rpc));
    eventually(RECOVERY, || place.is_itself(&mut operator));
    let load = Load::start(place.server.address(), 2, "/echo?body=hi");
    let callers = Callers::start(place.rpc, 2);
    // Everything has been called, so every connection that stays is there.
    eventually(RECOVERY, || {
        load.answers() > 50 && callers.answers.load(Ordering::Relaxed) > 50
    });
    let before = place.inventory();

    let mut stopped: Vec<(u32, u64)> = Vec::new();
    for n in 0..count {
        let fault = dice.fault();
        let (words, pid) = place.commit(fault, &mut dice);
        if let Fault::KillSupervisor = fault {
            operator = connect(place.rpc);
        }
        DONE.lock().unwrap().push(format!("{n}: {words}"));
        stopped.extend(pid.map(|pid| (pid, n + 1 + dice.roll(3))));
        // What was stopped goes on a few faults later.
        stopped.retain(|(pid, until)| {
            if *until <= n {
                process::signal(*pid, Signal::SIGCONT);
            }
            *until > n
        });
        // Sometimes the next one comes at once, sometimes after a few requests, sometimes when all is well again.
        let (answers, asked) = (load.answers(), callers.answers.load(Ordering::Relaxed));
        match dice.roll(4) {
            0 => {}
            1 if stopped.is_empty() => eventually(RECOVERY, || place.is_itself(&mut operator)),
            more => {
                let more = usize::try_from(more * 10).unwrap();
                let moved =
                    || load.answers() > answers + more || callers.answers.load(Ordering::Relaxed) > asked + more;
                // With everything stopped nothing moves; then the next fault is due.
                let _ = holds_within(Duration::from_millis(500), moved);
            }
        }
        assert!(place.server.running(), "the supervisor has ended: {}", report(&place));
    }
    for (pid, _) in stopped {
        process::signal(pid, Signal::SIGCONT);
    }
    let good = config(place.server.address().port(), place.rpc, &place.control);
    fs::write(&place.file, good.to_string()).unwrap();
    place.ask("supervisor.Reload", json!({}));

    let recovered = holds_within(RECOVERY, || place.is_itself(&mut operator));
    let state = operator.call("supervisor.Plugins", &Value::Null).text();
    assert!(recovered, "not itself again: {state}\n{}", report(&place));
    let (answers, asked) = (load.answers(), callers.answers.load(Ordering::Relaxed));
    let goes_on = holds_within(RECOVERY, || {
        load.answers() > answers + 50 && callers.answers.load(Ordering::Relaxed) > asked + 50
    });
    assert!(goes_on, "no answers: {}", report(&place));

    // An adopted process is watched by descriptors of its own: one of each that is the supervisor's child is what there was before.
    let renewals = operator.call("supervisor.Self", &Value::Null).json()["renewals"].clone();
    if !place.before.is_empty() || renewals != 0 {
        place.plugins().into_iter().for_each(process::kill_and_wait);
        let again = holds_within(RECOVERY, || place.is_itself(&mut operator));
        assert!(again, "not itself after all were killed: {}", report(&place));
        let asked = callers.answers.load(Ordering::Relaxed);
        eventually(RECOVERY, || callers.answers.load(Ordering::Relaxed) > asked + 50);
    }
    let mut after = place.inventory();
    let clean = holds_within(RECOVERY, || {
        after = place.inventory();
        after == before
    });
    assert!(clean, "before {before:#?}\nafter {after:#?}\n{}", report(&place));

    let outcome = load.stop();
    // Where the supervisor dies while rr-http is dead too nobody holds the sockets; short of that nobody is refused.
    if place.before.is_empty() {
        assert_eq!(outcome.refused, 0, "connections were refused: {}", report(&place));
    }
    println!(
        "{renewals} renewals at the end, {} requests answered, {} failed with their process",
        outcome.answers,
        outcome.failures.len()
    );
    for mut rpc in callers.stop() {
        assert_eq!(rpc.call("rpc.Version", &Value::Null).json(), "2025.1.15");
        assert!(rpc.call("own.Pid", &Value::Null).error().is_none());
        for method in ["kv.Nothing", "lock.Nothing"] {
            let text = rpc.call(method, &Value::Null).error().unwrap();
            assert_eq!(text, format!("rpc: can't find method {method}"));
        }
    }
    assert!(place.server.stop().success(), "{}", report(&place));
}

fn last() -> Vec<String> {
    let done = DONE.lock().unwrap();
    done[done.len().saturating_sub(40)..].to_vec()
}

/// The last faults and the last lines of the log.
fn report(place: &Place) -> String {
    let log = place.server.log();
    let lines: Vec<&str> = log.lines().collect();
    format!(
        "\nfaults: {:#?}\nlog:\n{}",
        last(),
        lines[lines.len().saturating_sub(60)..].join("\n")
    )
}
