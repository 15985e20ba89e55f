//! The supervisor's own program is replaced in place: same pid, and nobody outside notices.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_common::{frame::flag, rpc::wire};
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    load::Load,
    operator::{self, done, refused, renewals, rr, upgrade_self},
    port::{at, free_port, local, tcp},
    process, rounds,
    server::http_config,
    wait::SOON,
};
use serde_json::json;
use std::{
    os::unix::net::UnixStream,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A server for HTTP with everything that has something to lose.
fn start() -> (Server, u16) {
    let rpc = free_port();
    let settings = json!({
        "rpc": {"listen": tcp(rpc)},
        "kv": {"memory": {"driver": "memory", "config": {}}},
        "metrics": {"address": at(free_port())},
        "service": {},
        "supervisor": {"adopt_timeout": "20s"},
    });
    (Server::http(settings), rpc)
}

#[test]
fn under_load_no_request_and_no_call_fails() {
    let (server, _) = start();
    let plugin = server.plugin("rr-http");
    let workers = server.workers();
    let requests = Load::start(server.address(), 3, "/echo?body=hi");
    let calls = Load::start(server.address(), 3, "/rpc?method=rpc.Version");
    for _ in 0..rounds(3) {
        requests.goes_on();
        calls.goes_on();
        upgrade_self(&server);
        assert_eq!(server.plugin("rr-http"), plugin);
    }
    calls.goes_on();
    for load in [requests, calls] {
        load.stop_unharmed(&server);
    }
    assert_eq!(server.workers(), workers, "their connections live on");
    assert!(!server.log().contains("has taken the place"), "nobody was gone");
    // What was not touched goes on as before.
    process::kill_and_wait(plugin);
    eventually(SOON, || process::named(server.pid(), "rr-http").len() == 1);
    assert_eq!(server.client().get("/echo?body=new").text(), "new");
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn our_endpoints_answer_at_any_moment() {
    let (status, metrics) = (free_port(), free_port());
    let server = Server::http(json!({
        "status": {"address": local(status).to_string()},
        "metrics": {"address": local(metrics).to_string()},
        "supervisor": {"adopt_timeout": "20s"},
    }));
    let health = Load::start_fresh(local(status), 2, "/health?plugin=http");
    let page = Load::start_fresh(local(metrics), 2, "/metrics");
    for _ in 0..rounds(3) {
        health.goes_on();
        page.goes_on();
        upgrade_self(&server);
    }
    for load in [health, page] {
        load.stop_unharmed(&server);
    }
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn whoever_asks_by_the_control_directory_is_let_in_at_any_moment() {
    let room = Room::new();
    let dir = room.file("control");
    let server = Server::http_in(
        room,
        json!({"supervisor": {"adopt_timeout": "20s", "control": {"dir": dir}}}),
    );
    let over = Arc::new(AtomicBool::new(false));
    let asking = thread::spawn({
        let (over, socket) = (Arc::clone(&over), dir.join("rpc.sock"));
        move || {
            let (mut refused, mut answered) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                match UnixStream::connect(&socket) {
                    Err(_) => refused += 1,
                    // Without an answer this one panics.
                    Ok(_) => {
                        answered += usize::from(Rpc::unix(&socket).call("rpc.Version", &json!(true)).error().is_none())
                    }
                }
            }
            (refused, answered)
        }
    });
    for _ in 0..rounds(3) {
        upgrade_self(&server);
    }
    over.store(true, Ordering::Relaxed);
    let (refused, answered) = asking.join().unwrap();
    assert!(refused == 0 && answered > 0, "{refused} of {answered}");
    assert!(server.stop().success(), "{}", server.log());
}

/// A plugin that does not run for a moment keeps what it has: the new program waits for it.
#[test]
fn a_plugin_that_stands_still_for_a_moment_is_waited_for() {
    let (server, port) = start();
    let items = json!({"storage": "memory", "items": [{"key": "k", "value": "dmFsdWU="}]});
    assert_eq!(Rpc::tcp(local(port)).call("kv.Set", &items).error(), None);
    let kv = server.plugin("rr-kv");
    process::signal(kv, Signal::SIGSTOP);
    let upgrade = operator::start(&server, &["upgrade", "self"]);
    // By now it has been asked, and does not answer.
    let adopted = || server.log().contains("\"adopted\"") || server.log().contains("killed and not adopted");
    let began = Instant::now();
    eventually(SOON, || began.elapsed() > Duration::from_secs(3) || adopted());
    process::signal(kv, Signal::SIGCONT);
    assert!(upgrade.wait_with_output().unwrap().status.success(), "{}", server.log());
    let has = json!({"storage": "memory", "items": [{"key": "k"}]});
    assert_eq!(
        Rpc::tcp(local(port)).call("kv.Has", &has).json()["items"][0]["key"],
        "k"
    );
    assert_eq!(server.plugin("rr-kv"), kv);
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn what_was_told_before_is_known_after() {
    let (server, port) = start();
    let mut rpc = Rpc::tcp(local(port));
    let mut other = Rpc::tcp(local(port));
    let declare = json!({"name": "orders", "collector": {"type": "counter", "help": "x"}});
    assert_eq!(rpc.call("metrics.Declare", &declare).error(), None);
    let service = json!({"name": "ticker", "command": "sleep 1000", "process_num": 1});
    assert_eq!(rpc.call("service.Create", &service).error(), None);
    let sleeping = process::named(server.pid(), "sleep");
    assert_eq!(sleeping.len(), 1);
    let lock = |id: &str| json!({"resource": "r", "id": id, "ttl": 60_000_000, "wait": 0});
    assert_eq!(rpc.call("lock.Lock", &lock("one")).json()["ok"], true);
    let items = json!({"storage": "memory", "items": [{"key": "k", "value": "dmFsdWU="}]});
    assert_eq!(rpc.call("kv.Set", &items).error(), None);
    // Half of a call before, the other half after.
    let mut half = Vec::new();
    wire::answer(&mut half, flag::JSON, 99, b"rpc.Version", b"true");
    assert!(other.send(&half[..20]));

    upgrade_self(&server);
    assert!(other.send(&half[20..]));
    assert!(other.answer(99).error().is_none());
    let add = json!({"name": "orders", "value": 2.0});
    assert_eq!(rpc.call("metrics.Add", &add).error(), None);
    assert_eq!(
        rpc.call("service.List", &json!({})).json()["services"],
        json!(["ticker"])
    );
    assert_eq!(process::named(server.pid(), "sleep"), sleeping, "it runs on");
    assert_ne!(rpc.call("lock.Lock", &lock("two")).json()["ok"], true, "it is held");
    let has = json!({"storage": "memory", "items": [{"key": "k"}]});
    assert_eq!(rpc.call("kv.Has", &has).json()["items"][0]["key"], "k");
    // A signal does the same.
    assert_eq!(renewals(&mut rpc), 1);
    server.signal(Signal::SIGUSR2);
    eventually(SOON, || renewals(&mut rpc) == 2);
    // What it has kept comes back to it, and can then be replaced like its own.
    eventually(SOON, || {
        let plugins = rpc.call("supervisor.Plugins", &json!(true)).json();
        plugins
            .as_array()
            .unwrap()
            .iter()
            .all(|plugin| plugin["state"] == "running")
    });
    for plugin in ["kv", "lock"] {
        done(&server, &["upgrade", plugin]);
    }
    assert_eq!(rpc.call("kv.Has", &has).json()["items"][0]["key"], "k");
    assert_ne!(rpc.call("lock.Lock", &lock("two")).json()["ok"], true, "it is held");
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn a_bad_program_changes_nothing() {
    let (server, port) = start();
    let mut rpc = Rpc::tcp(local(port));
    let version = rpc.call("rpc.Version", &json!(true)).json();
    let room = Room::new();
    let foreign = room.program(
        "foreign",
        r#"echo '{"supervisor":"9","contract":9,"baggage":1,"memory":1}'"#,
    );
    // One that is fit, and gone when it is to be executed.
    let gone = operator::vanishing(&room);
    for (binary, reason) in [
        ("/bin/false", "exit code 1"),
        ("/bin/echo", "it is no supervisor"),
        ("/nowhere", "No such file"),
        (foreign.to_str().unwrap(), "version 9 of the control contract"),
        (gone.to_str().unwrap(), "No such file"),
    ] {
        let told = refused(&rr(&server, &["upgrade", "self", "--binary", binary]));
        assert!(told.contains(reason), "{binary}: {told}");
        assert_eq!(rpc.call("rpc.Version", &json!(true)).json(), version);
        assert_eq!(server.client().get("/rpc?method=rpc.Version").status, 200);
    }
    assert!(server.stop().success(), "{}", server.log());
}

/// What the file says by then is the business of a reload, which follows a signal and nothing else.
#[test]
fn the_configuration_in_force_stays_in_force() {
    let (server, port) = start();
    let mut rpc = Rpc::tcp(local(port));
    let file = server.room().file(".rr.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let plugin = server.plugin("rr-http");
    let of_three = text.replace("\"num_workers\":2", "\"num_workers\":3");
    assert_ne!(text, of_three);
    // Another file, one that is wrong, one with an address that is taken, and none at all.
    let taken = free_port();
    let _taken = std::net::TcpListener::bind(local(taken)).unwrap();
    let elsewhere = text.replace(&at(server.address().port()), &local(taken).to_string());
    for other in [&*of_three, "version: '3'\nhttp: 5\n", &*elsewhere, ""] {
        server.room().write(".rr.yaml", other);
        let before = renewals(&mut rpc);
        assert_eq!(rpc.call("supervisor.Renew", &json!({})).error(), None);
        eventually(SOON, || renewals(&mut rpc) > before);
        assert_eq!(server.client().get("/echo?body=hi").text(), "hi");
        assert_eq!((server.plugin("rr-http"), server.workers().len()), (plugin, 2));
    }
    // A signal's reload says why it changes nothing.
    server.signal(Signal::SIGUSR2);
    server.wait_log("the reload has changed nothing");
    assert_eq!((server.plugin("rr-http"), server.workers().len()), (plugin, 2));
    server.room().write(".rr.yaml", &of_three);
    server.signal(Signal::SIGUSR2);
    eventually(SOON, || server.workers().len() == 3);
    // And that is what the next one begins with.
    server.room().write(".rr.yaml", "rubbish");
    let before = renewals(&mut rpc);
    assert_eq!(rpc.call("supervisor.Renew", &json!({})).error(), None);
    eventually(SOON, || renewals(&mut rpc) > before);
    assert_eq!(server.workers().len(), 3);
    assert!(server.stop().success(), "{}", server.log());
}

/// A release is deployed by a link, and the old one removed: the directory that is in force may be gone.
#[test]
fn a_directory_that_is_gone_ends_nothing() {
    let (room, port, rpc) = (Room::new(), free_port(), free_port());
    let dir = room.path().canonicalize().unwrap();
    let release = |name: &str| {
        let release = dir.join(name);
        std::fs::create_dir(&release).unwrap();
        let mut config = http_config(
            port,
            json!({
                "rpc": {"listen": tcp(rpc)},
                "supervisor": {"adopt_timeout": "20s"},
            }),
        );
        config["server"]["env"] = json!({"RELEASE": name});
        std::fs::write(release.join(".rr.yaml"), config.to_string()).unwrap();
        let next = dir.join("next");
        std::os::unix::fs::symlink(&release, &next).unwrap();
        std::fs::rename(next, dir.join("current")).unwrap();
    };
    release("one");
    let mut command = Command::new(bin::server());
    command
        .args(["serve", "-c", "current/.rr.yaml"])
        .current_dir(&dir)
        .env("PWD", &dir);
    let server = Server::run(room, port, command);
    server.wait_ready();
    let mut rpc = Rpc::tcp(local(rpc));
    let seen = || server.client().get("/env?name=RELEASE").text();
    assert_eq!(seen(), "one");
    std::fs::remove_dir_all(dir.join("one")).unwrap();
    assert_eq!(rpc.call("supervisor.Renew", &json!({})).error(), None);
    eventually(SOON, || renewals(&mut rpc) == 1);
    assert_eq!(seen(), "one");
    // The next release comes by the link, as RoadRunner's restart by this signal finds it.
    release("two");
    server.signal(Signal::SIGUSR2);
    eventually(SOON, || seen() == "two");
    assert_eq!(renewals(&mut rpc), 2);
    assert!(server.stop().success(), "{}", server.log());
}
