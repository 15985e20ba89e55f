//! What systemd sees of us: the units themselves, socket activation, notify messages, the watchdog, sockets kept over a restart
//! (CORE-24 and our own units in `systemd/`).
#![allow(clippy::unwrap_used)]

use nix::{
    sys::{ptrace, signal::Signal},
    unistd::Pid,
};
use rr_tests::{
    Room, Server, bin, eventually,
    load::Load,
    operator::seen,
    port::{at, free_port, tcp},
    process,
    server::http_config,
    standin,
    systemd::Manager,
    wait::{SOON, holds_within},
};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// Where the packages put our programs.
const PLACES: [&str; 2] = ["/usr/bin/rr-", "/usr/libexec/roadrunner/rr-"];

/// The units with our built programs in place of installed ones, in a directory that `systemd-analyze` reads.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let built = bin::binary("rr-supervisor");
    let built = format!("{}/rr-", built.parent().unwrap().display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(bin::repository().join("systemd")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.ends_with(".service") && !name.ends_with(".socket") {
            continue;
        }
        let mut text = fs::read_to_string(entry.path()).unwrap();
        for place in PLACES {
            text = text.replace(place, &built);
        }
        // A template is looked at as one of its instances.
        let path = dir.path().join(name.replace("@.", "@http."));
        fs::write(&path, text).unwrap();
        paths.push(path);
    }
    assert!(paths.len() >= 2);
    paths.sort();
    (dir, paths)
}

/// True where the tool is missing, which CI does not forgive.
fn without(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "{tool} is missing");
    if !there {
        eprintln!("SKIPPED: {tool} is missing");
    }
    !there
}

#[test]
fn the_units_are_sound() {
    if without("systemd-analyze") {
        return;
    }
    let (dir, units) = units();
    let path = format!("{}:", dir.path().display());
    let analyze = || {
        let mut command = Command::new("systemd-analyze");
        command.env("SYSTEMD_UNIT_PATH", &path);
        command
    };
    let verified = analyze().args(["verify", "--man=no"]).args(&units).output().unwrap();
    let text = String::from_utf8_lossy(&verified.stderr);
    // Older versions do not know this key, and say that they ignore it.
    let unexpected: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("'DelegateSubgroup'"))
        .collect();
    assert!(verified.status.success() && unexpected.is_empty(), "{text}");
    for unit in units.iter().filter(|unit| unit.extension().unwrap() == "service") {
        // In tenths: 2.5 of 10, where 0 is a program that may do nothing.
        let rated = analyze()
            .args(["security", "--offline=true", "--no-pager", "--threshold=25"])
            .arg(unit)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&rated.stdout).into_owned() + &String::from_utf8_lossy(&rated.stderr);
        assert!(rated.status.success(), "{}:\n{text}", unit.display());
    }
}

/// The real tool: the server starts with the first connection, and that connection is answered.
#[test]
fn the_first_connection_starts_the_server() {
    if without("systemd-socket-activate") {
        return;
    }
    let room = Room::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({}));
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen=127.0.0.1:{port}"));
    // It starts its program with an empty environment.
    for variable in ["PATH", "TMPDIR", "XDG_RUNTIME_DIR"] {
        command.arg(format!("--setenv={variable}"));
    }
    command.arg(bin::server()).args(["serve", "-c"]).arg(file);
    let server = Server::run(room, port, command);
    assert!(holds_within(SOON, || TcpStream::connect(server.address()).is_ok()));
    server.wait_started();
    assert_eq!(server.client().get("/").status, 200);
    // The tool has become the server.
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn systemd_hears_how_the_server_is_from_start_to_end() {
    let mut systemd = Manager::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({"endure": {"grace_period": "120s"}}));
    let server = systemd.start(Room::new(), port, &config.to_string(), &[("WATCHDOG_USEC", "400000")]);
    // A start that may take longer than the unit allows asks for more.
    let extended = systemd.wait_for("EXTEND_TIMEOUT_USEC=");
    let micros: u64 = extended.rsplit('=').next().unwrap().parse().unwrap();
    assert!(micros > 60_000_000, "{extended}");
    systemd.wait_for("READY=1");
    systemd.wait_for("STATUS=Serving: http");
    systemd.wait_for("WATCHDOG=1");
    process::kill_and_wait(server.plugin("rr-test-plugin"));
    systemd.wait_for("STATUS=No plugin serves; restarting: http");
    systemd.wait_for("STATUS=Serving: http");
    // None of its variables is for anybody else.
    let environment = process::environment(server.plugin("rr-test-plugin")).unwrap();
    for name in ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "LISTEN_FDS=", "LISTEN_FDNAMES="] {
        assert!(!environment.iter().any(|one| one.starts_with(name)), "{name}");
    }
    // A reload and its end, also of one that fails.
    server.room().write(".rr.yaml", "{");
    server.signal(Signal::SIGHUP);
    assert!(systemd.wait_for("RELOADING=1").contains("\nMONOTONIC_USEC="));
    systemd.wait_for("READY=1");
    server.signal(Signal::SIGTERM);
    assert_eq!(
        systemd.wait_for("STOPPING=1"),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=125000000"
    );
    systemd.wait_for("STATUS=Stopping");
    assert!(server.wait_exit(SOON).success());
}

/// The thread of that name, frozen while this lives. The thread that freezes it must be the one that lets it go.
struct Frozen(Pid);

impl Frozen {
    fn thread(pid: u32, wanted: impl Fn(&str) -> bool) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let named =
            |task: &fs::DirEntry| wanted(fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim());
        let found: Vec<_> = tasks.filter(named).map(|task| task.file_name()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let thread = Pid::from_raw(found[0].to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        Self(thread)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It has to have arrived at its stop; the kernel tells that by a state of its own.
        let stopped = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('t'))
        };
        eventually(SOON, stopped);
        ptrace::detach(self.0, None).unwrap();
    }
}

/// The watchdog is worth something only if a server that hangs is silent, whatever thread it is that hangs.
#[test]
fn a_server_that_hangs_is_silent() {
    let mut systemd = Manager::new();
    let port = free_port();
    let config = standin::config(port, json!({}), json!({}));
    let limit = Duration::from_millis(400);
    let micros = limit.as_micros().to_string();
    let server = systemd.start(Room::new(), port, &config.to_string(), &[("WATCHDOG_USEC", &micros)]);
    systemd.wait_for("READY=1");
    let main = |name: &str| name == "rr-supervisor";
    let rpc = |name: &str| name == "rpc";
    let threads: [&dyn Fn(&str) -> bool; 2] = [&main, &rpc];
    for thread in threads {
        systemd.wait_for("WATCHDOG=1");
        let frozen = Frozen::thread(server.pid(), thread);
        // What it had said before, and the one beat that may follow: the other thread was asked before it froze.
        let silent = || {
            let end = std::time::Instant::now() + limit;
            let mut beats = 0;
            while let Some(left) = end.checked_duration_since(std::time::Instant::now()) {
                beats += usize::from(systemd.hear(left.max(Duration::from_millis(1))).as_deref() == Some("WATCHDOG=1"));
            }
            beats == 0
        };
        assert!(holds_within(SOON, silent), "it goes on as if nothing had happened");
        drop(frozen);
        systemd.wait_for("WATCHDOG=1");
    }
    assert!(server.stop().success());
}

/// systemd keeps the listening sockets (`FileDescriptorStoreMax`): whoever connects while there is no server waits for the next.
#[test]
fn a_restart_of_the_service_refuses_no_connection() {
    let mut systemd = Manager::new();
    let port = free_port();
    let config = http_config(port, json!({})).to_string();
    let mut server = systemd.start(Room::new(), port, &config, &[]);
    systemd.wait_for("FDSTORE=1");
    systemd.wait_for("READY=1");
    assert_eq!(
        systemd.stored.keys().collect::<Vec<_>>(),
        [&format!("rr-127.0.0.1_{port}")]
    );
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    for _ in 0..3 {
        load.goes_on();
        assert!(server.stop().success(), "{}", server.log());
        systemd.drain();
        // Nobody serves now.
        let mut early = TcpStream::connect(server.address()).unwrap();
        early
            .write_all(b"GET /echo?body=early HTTP/1.0\r\nHost: x\r\n\r\n")
            .unwrap();
        server = systemd.start(Room::new(), port, &config, &[]);
        let mut answer = String::new();
        early.set_read_timeout(Some(SOON)).unwrap();
        early.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("early"), "{answer}");
        systemd.wait_for("READY=1");
    }
    let outcome = load.stop();
    assert_eq!(outcome.refused, 0, "{}", server.log());
    // A stop closes idle connections, and a request may cross that on its way: `upgrade` and `reload` are there for more.
    assert!(outcome.failures.len() <= 4 * 3, "{:?}", outcome.failures);
    assert!(server.stop().success());
}

/// A newer systemd says that it has a store; then Unix sockets are given to it as well, and their files stay.
#[test]
fn a_unix_socket_outlives_a_restart_and_one_that_nobody_wants_is_closed() {
    let mut systemd = Manager::new();
    let place = Room::new();
    let file = place.file("http.sock");
    let port = free_port();
    let stores = [("FDSTORE", "64")];
    let config =
        |addresses: &str| standin::config(port, json!({}), json!({"http": {"address": addresses}})).to_string();
    let both = config(&format!("127.0.0.1:{port},unix://{}", file.display()));
    let first = systemd.start(Room::new(), port, &both, &stores);
    systemd.wait_for("FDSTORE=1");
    systemd.wait_for("FDSTORE=1");
    first.wait_started();
    assert!(first.stop().success());
    systemd.drain();
    assert_eq!(systemd.stored.len(), 2);
    let second = systemd.start(Room::new(), port, &both, &stores);
    systemd.wait_for("READY=1");
    assert_eq!(rr_tests::Client::unix(&file).get("/").status, 200);
    assert!(second.stop().success());
    systemd.drain();

    // The next configuration has no Unix socket any more.
    let third = systemd.start(Room::new(), port, &config(&at(port)), &stores);
    systemd.wait_for("FDSTOREREMOVE=1");
    systemd.wait_for("READY=1");
    third.wait_log("no address of its configuration means");
    assert_eq!(systemd.stored.len(), 1);
    assert!(
        std::os::unix::net::UnixStream::connect(&file).is_err(),
        "nobody listens"
    );
    assert_eq!(third.client().get("/").status, 200);
    assert!(third.stop().success());
}

/// systemd has the plugin's process and its socket, the supervisor the rest: as `roadrunner-plugin@http` has it.
#[test]
fn an_attached_plugin_outlives_its_supervisor_and_is_stopped_by_the_next() {
    let mut systemd = Manager::new();
    let port = free_port();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    systemd.stored.insert("http".into(), listener.into());
    let place = Room::new();
    let control = place.file("control");
    let settings = json!({
        "rpc": {"listen": tcp(free_port())},
        "endure": {"grace_period": "10s"},
        "supervisor": {
            "adopt_timeout": "20s",
            "control": {"dir": control},
            "plugins": {"http": {"attached": true}},
        },
    });
    let config = http_config(port, settings).to_string();
    let launch = || Server::launch(Room::new(), port, &config, &[]);
    let first = launch();
    first.wait_started();
    assert_eq!(seen(&first, "http")["state"], "down");

    let mut plugin = systemd.command(&bin::binary("rr-http").display().to_string());
    let mut plugin = plugin
        .process_group(0)
        .env("RR_PLUGIN", "http")
        .env("RR_CONTROL", control.join("supervisor.sock"))
        .env("WATCHDOG_USEC", "1000000")
        .spawn()
        .unwrap();
    systemd.wait_for("READY=1");
    systemd.wait_for("WATCHDOG=1");
    assert_eq!(seen(&first, "http")["pid"], plugin.id());
    let load = Load::start(first.address(), 2, "/echo?body=hi");
    eventually(SOON, || load.answers() > 20);
    // PHP hears nothing of systemd.
    for worker in process::named_by(plugin.id(), |name| name.starts_with("php")) {
        let environment = process::environment(worker).unwrap().concat();
        assert!(!environment.contains("NOTIFY_SOCKET"));
    }

    first.signal(Signal::SIGKILL);
    first.wait_exit(SOON);
    let second = launch();
    second.wait_started();
    eventually(SOON, || seen(&second, "http")["state"] == "running");
    assert_eq!(seen(&second, "http")["pid"], plugin.id());
    load.goes_on();
    load.stop_unharmed(&second);

    second.signal(Signal::SIGTERM);
    systemd.wait_for("STOPPING=1");
    assert!(plugin.wait().unwrap().success());
    assert!(second.wait_exit(SOON).success(), "{}", second.log());
}
