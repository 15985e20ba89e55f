//! A plugin runs out of memory while PHP makes it grow: it dies of that, and nothing else does.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Room, Server, bin, eventually,
    load::Load,
    operator::{told, upgrade_self},
    port::{free_port, tcp},
    process,
    server::{http_config, php},
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Clients of each kind.
const CLIENTS: usize = 2;

/// Address space of the limited plugin, in kB: what it has at its start, and some hundred values more.
const ADDRESS_SPACE: usize = 400 * 1024;

/// The same in a control group, in bytes.
const GROUP: usize = 64 << 20;

/// A server whose kv plugin is this program, and whose PHP stores without end on demand.
fn launch(room: Room, program: &Path) -> Server {
    let port = free_port();
    let settings = json!({
        "server": {"command": php(&bin::script("calls.php"))},
        "rpc": {"listen": tcp(free_port())},
        "kv": {"memory": {"driver": "memory", "config": {}}},
        "supervisor": {"plugins": {"kv": {"binary": program}}},
    });
    let server = Server::launch(room, port, &http_config(port, settings).to_string(), &[]);
    server.wait_ready();
    server
}

/// What `rr why kv` tells, as JSON.
fn why(server: &Server) -> Value {
    told(server, &["why", "kv", "--json"])
}

fn deaths(server: &Server) -> Vec<Value> {
    why(server)["deaths"].as_array().unwrap().clone()
}

/// Stores until kv has died of it, and sees that nothing else has noticed; then its deaths.
fn grow_until_it_dies(server: &Server) -> Vec<Value> {
    let (http, workers) = (server.plugin("rr-http"), server.workers());
    let visitors = Load::start(server.address(), CLIENTS, "/hello");
    let growing = Load::start(server.address(), CLIENTS, "/store");
    eventually(SOON * 4, || !deaths(server).is_empty());
    // The calls in flight have got an error, as an answer. A connection that breaks would be a status 500.
    growing.goes_on();
    for load in [growing, visitors] {
        load.stop_unharmed(server);
    }
    // The same processes, over the connections that they had from the start.
    assert_eq!((server.plugin("rr-http"), server.workers()), (http, workers));
    eventually(SOON, || server.client().get("/store").text() == "stored");
    let deaths = deaths(server);
    assert!(deaths.iter().all(|death| death["cause"] == "crash"), "{deaths:?}");
    deaths
}

/// A program in the room that limits itself and becomes rr-kv.
fn limited(room: &Room, limit: &str) -> PathBuf {
    let script = format!(
        "{limit}
exec {} \"$@\"",
        bin::binary("rr-kv").display()
    );
    room.program("limited-kv", &script)
}

/// An allocation fails, and the process aborts with words that only its stderr has.
#[test]
fn kv_that_gets_no_more_memory_costs_http_nothing() {
    let room = Room::new();
    let program = limited(&room, &format!("ulimit -v {ADDRESS_SPACE}"));
    let server = launch(room, &program);
    // The next program of the supervisor reads on what its plugins have to say.
    upgrade_self(&server);
    for death in grow_until_it_dies(&server) {
        assert_eq!(death["exit"], "SIGABRT", "{death}");
        let lines = death["lines"].as_str().unwrap();
        assert!(
            lines.contains("memory allocation of ") && lines.contains(" bytes failed"),
            "{death}"
        );
    }
    // They are in the log too, once, under the plugin's name.
    let log = server.log_json();
    let told = log.iter().find(|line| {
        line["msg"]
            .as_str()
            .is_some_and(|text| text.starts_with("memory allocation of "))
    });
    let told = told.unwrap_or_else(|| panic!("{}", server.log()));
    assert_eq!((&told["logger"], &told["level"]), (&json!("kv"), &json!("error")));
    assert!(server.stop().success());
}

/// A memory controller of version 1, in which a test may have a group of its own; removed at the end.
struct Group(PathBuf);

impl Group {
    fn make() -> io::Result<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/memory/rr-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), GROUP.to_string())?;
        // With swap the group would grow on; a kernel without that count has no such file.
        let _ = fs::write(group.0.join("memory.memsw.limit_in_bytes"), GROUP.to_string());
        Ok(group)
    }

    fn enter(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The kernel's OOM killer.
#[test]
fn kv_that_the_kernel_kills_for_want_of_memory_costs_http_nothing() {
    let group = match Group::make() {
        Ok(group) => group,
        Err(error) => {
            eprintln!("SKIPPED: no memory controller of version 1 that is ours: {error}");
            return;
        }
    };
    let server = launch(Room::new(), &bin::binary("rr-kv"));
    let first = server.plugin("rr-kv");
    group.enter(first);
    let deaths = grow_until_it_dies(&server);
    assert_eq!(deaths.len(), 1, "{deaths:?}");
    assert_eq!(deaths[0]["pid"], first);
    assert_eq!(
        deaths[0]["exit"],
        "SIGKILL (the kernel's OOM killer has just been at work: out of memory)"
    );
    assert!(!process::alive(first));
    assert!(server.stop().success());
}
