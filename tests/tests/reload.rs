//! A changed configuration takes effect in a running server: all of it, with no request lost, or nothing.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    load::Load,
    operator::{self, done, refused, rr, seen, succeeded, text, told},
    port::{at, free_port, local, tcp},
    process,
    reload::{Place, action},
    rounds,
    server::{http_config, php},
    wait::SOON,
};
use serde_json::json;
use std::{os::unix::fs::symlink, path::Path};

/// A release: the worker's script, and a file that tells which one it is.
fn release(room: &Room, name: &str) {
    for script in ["worker.php", "wire.php"] {
        room.write(&format!("{name}/{script}"), std::fs::read(bin::script(script)).unwrap());
    }
    room.write(&format!("{name}/release.txt"), name);
}

/// Atomically, as deployment tools do it.
fn point(room: &Path, release: &str) {
    let next = room.join("next");
    symlink(release, &next).unwrap();
    std::fs::rename(next, room.join("current")).unwrap();
}

/// Settings change with the odd rounds, the code with the even ones.
#[test]
fn reloads_under_load_fail_no_request() {
    let rounds = rounds(20);
    let room = Room::new();
    release(&room, "one");
    release(&room, "two");
    point(room.path(), "one");
    let file = "shared/.rr.yaml";
    let settings = json!({"server": {"command": ["php", "worker.php"]}, "http": {"http2": {"h2c": true}}});
    let mut place = {
        // The configuration stands in the release as a link, as deployment tools share files.
        let shared = room.file(file);
        for name in ["one", "two"] {
            symlink(&shared, room.file(&format!("{name}/.rr.yaml"))).unwrap();
        }
        let port = free_port();
        room.write(file, http_config(port, settings.clone()).to_string());
        let serve = operator::command(&["serve"], &room.file("current/.rr.yaml"));
        let server = Server::run(room, port, serve);
        server.wait_ready();
        Place { server, port, settings }
    };
    let address = place.server.address();
    let load = Load::start(address, 2, "/echo?body=hi");
    let load_h2 = Load::start_h2(address, 2, "/echo?body=hi");
    let mut pid = place.server.plugin("rr-http");
    for round in 0..rounds {
        load.goes_on();
        load_h2.goes_on();
        if round % 2 == 1 {
            place.write(file, json!({"http": {"pool": {"num_workers": 2 + round % 3}}}));
        } else {
            let next = ["two", "one"][round / 2 % 2];
            point(place.server.room().path(), next);
        }
        let answer = place.reload_by("current/.rr.yaml");
        assert_eq!(action(&answer, "http"), "replaced", "{answer}");
        let new = u32::try_from(answer["plugins"][0]["pid"].as_u64().unwrap()).unwrap();
        assert_ne!(new, pid);
        eventually(SOON, || !process::alive(pid));
        pid = new;
        let at = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        let now = place.server.room().file("current").canonicalize().unwrap();
        assert_eq!(at, now);
        let own = std::fs::read_link(format!("/proc/{}/cwd", place.server.pid())).unwrap();
        assert_eq!(own, now);
    }
    load.stop_unharmed(&place.server);
    let over_h2 = load_h2.stop_unharmed(&place.server);
    assert!(over_h2.answers > 20 * rounds);
    assert!(place.server.stop().success());
}

#[test]
fn only_what_changed_gets_a_new_process() {
    let mut place = Place::new(json!({"kv": {"memory": {"driver": "memory", "config": {}}}}));
    let (http, kv) = (place.server.plugin("rr-http"), place.server.plugin("rr-kv"));
    let answer = place.reload();
    assert_eq!(
        (action(&answer, "http"), action(&answer, "kv")),
        ("unchanged", "unchanged")
    );
    let told = done(&place.server, &["reload"]);
    assert!(
        told.contains("http: unchanged") && told.contains("`rr reset`"),
        "{told}"
    );
    assert_eq!(place.server.plugin("rr-http"), http);

    place.change(json!({"http": {"pool": {"num_workers": 3}}}));
    let dry = done(&place.server, &["reload", "--dry-run"]);
    assert!(dry.contains("http: replaced (http)"), "{dry}");
    assert_eq!(place.server.plugin("rr-http"), http);
    let answer = place.reload();
    assert_eq!(
        (action(&answer, "http"), action(&answer, "kv")),
        ("replaced", "unchanged")
    );
    assert_eq!(place.server.plugin("rr-kv"), kv);
    eventually(SOON, || !process::alive(http));
    assert_ne!(place.server.plugin("rr-http"), http);
    assert_eq!(place.server.workers().len(), 3);

    // The log's level is nothing for which anybody has to be replaced.
    let http = place.server.plugin("rr-http");
    place.change(json!({"logs": {"level": "debug"}}));
    let answer = place.reload();
    assert_eq!(
        (action(&answer, "http"), &answer["settings"][0]),
        ("unchanged", &json!("logs"))
    );
    assert_eq!(place.server.plugin("rr-http"), http);
    assert!(place.server.stop().success());
}

#[test]
fn plugins_come_and_go_with_their_sections() {
    let port = free_port();
    let mut place = Place::new(json!({"rpc": {"listen": tcp(port)}}));
    let http = place.server.plugin("rr-http");
    place.change(json!({"kv": {"memory": {"driver": "memory", "config": {}}}}));
    assert_eq!(action(&place.reload(), "kv"), "added");
    let kv = place.server.plugin("rr-kv");
    let listed = told(&place.server, &["plugins", "--json"]);
    let names: Vec<_> = listed["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.last(), Some(&"http"), "in the order of the start: {names:?}");
    assert!(names.contains(&"kv"));

    place.change(json!({"kv": null}));
    assert_eq!(action(&place.reload(), "kv"), "removed");
    eventually(SOON, || !process::alive(kv));
    assert_eq!(place.server.plugin("rr-http"), http);
    assert!(place.server.stop().success());
}

/// A removed plugin stays until those that may call it have gone. One that is wanted again by then stays for good, with what it keeps.
#[test]
fn what_is_wanted_again_before_it_has_gone_stays() {
    let port = free_port();
    let both = json!({
        "kv": {"memory": {"driver": "memory", "config": {}}},
        "supervisor": {"plugins": {"own": {
            "command": [bin::binary("rr-test-plugin")], "env": {"TEST_NO_PORT": "1"}, "rpc_prefixes": ["own"],
        }}},
        "own": {},
    });
    let mut place = Place::new(json!({"rpc": {"listen": tcp(port)}}));
    place.change(both.clone());
    place.reload();
    let mut rpc = Rpc::tcp(local(port));
    let items = json!({"storage": "memory", "items": [{"key": "k", "value": "dmFsdWU="}]});
    assert_eq!(rpc.call("kv.Set", &items).error(), None);
    let old = place.server.plugin("rr-http");
    let address = place.server.address();
    let slow = std::thread::spawn(move || rr_tests::Client::tcp(address).get("/sleep?ms=60000").status);
    eventually(SOON, || {
        done(&place.server, &["workers", "http", "--json"]).contains("working")
    });
    place.change(json!({"http": {"pool": {"num_workers": 3}}}));
    assert_eq!(action(&place.reload(), "http"), "replaced");

    place.change(json!({"kv": null, "own": null, "supervisor": null}));
    let answer = place.reload();
    assert_eq!((action(&answer, "kv"), action(&answer, "own")), ("removed", "removed"));
    place.change(both);
    let answer = place.reload();
    assert_eq!((action(&answer, "kv"), action(&answer, "own")), ("added", "added"));
    assert!(process::alive(old), "it works on its last request");
    process::kill_and_wait(old);
    assert!(slow.join().is_err(), "it had no answer");
    eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
    for (plugin, program) in [("kv", "rr-kv"), ("own", "rr-test-plugin")] {
        assert_eq!(seen(&place.server, plugin)["state"], "running");
        assert_eq!(process::named(place.server.pid(), program).len(), 1);
    }
    let has = json!({"storage": "memory", "items": [{"key": "k"}]});
    assert_eq!(rpc.call("kv.Has", &has).json()["items"][0]["key"], "k");
    assert!(place.server.stop().success());
}

#[test]
fn another_address_is_served_and_the_old_one_closed() {
    let mut place = Place::new(json!({}));
    let old = place.server.address();
    let other = free_port();
    place.change(json!({"http": {"address": at(other)}}));
    assert_eq!(action(&place.reload(), "http"), "replaced");
    let answered = rr_tests::Client::tcp(local(other)).get("/echo?body=new");
    assert_eq!(answered.text(), "new");
    eventually(SOON, || std::net::TcpStream::connect(old).is_err());

    // The same port on all hosts, while the old socket is open.
    place.change(json!({"http": {"address": format!("0.0.0.0:{other}")}}));
    assert_eq!(action(&place.reload(), "http"), "replaced");
    let answered = rr_tests::Client::tcp(([127, 0, 0, 2], other).into()).get("/echo?body=all");
    assert_eq!(answered.text(), "all");
    // And back to where it began.
    place.change(json!({"http": {"address": old.to_string()}}));
    place.reload();
    assert_eq!(place.get("/echo?body=back"), "back");
    eventually(SOON, || std::net::TcpStream::connect(("127.0.0.2", other)).is_err());
    assert!(place.server.stop().success());
}

/// Each of these leaves the processes, the sockets and the configuration as they were.
#[test]
fn what_cannot_be_done_changes_nothing() {
    let mut place = Place::new(json!({"service": {"beside": {"command": ["sleep", "1000"]}}}));
    let http = place.server.plugin("rr-http");
    let beside = process::named(place.server.pid(), "sleep");
    let workers = place.server.workers();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let free = free_port();
    let cases = [
        (json!({"http": {"address": taken.to_string()}}), vec![taken.to_string()]),
        (
            json!({"http": {"address": at(free), "pool": {"command": php(Path::new("/nowhere.php"))}}}),
            vec!["the plugin http cannot start".to_owned()],
        ),
        (
            json!({"http": {"pool": {"num_workers": "many"}}, "logs": {"level": ["x"]}}),
            vec![".rr.yaml:1: http.pool.num_workers".to_owned(), "logs.level".to_owned()],
        ),
        (
            json!({"http": {"pool": {"num_workers": 3}}, "service": {"beside": {"command": ["/nowhere"]}}}),
            vec!["the service beside cannot start".to_owned()],
        ),
        (
            json!({"supervisor": {"control": {"dir": "/nowhere"}}}),
            vec!["supervisor.control.dir has changed".to_owned()],
        ),
        (
            json!({"server": {"on_init": {"command": ["false"], "exit_on_error": true}}}),
            vec!["server.on_init: false: exit code 1".to_owned()],
        ),
    ];
    for (change, reasons) in cases {
        let before = place.settings.clone();
        place.change(change);
        let told = place.refused();
        for reason in reasons {
            assert!(told.contains(&reason), "{reason:?} in {told}");
        }
        // What had been started for it may still be going.
        eventually(SOON, || {
            process::named(place.server.pid(), "rr-http") == [http] && place.server.workers() == workers
        });
        assert_eq!(place.get("/echo?body=still"), "still");
        assert!(std::net::TcpStream::connect(("127.0.0.1", free)).is_err());
        place.settings = before;
        place.change(json!({}));
        let answer = place.reload();
        assert_eq!(
            action(&answer, "http"),
            "unchanged",
            "the old configuration is in force: {answer}"
        );
    }
    // Only the service that was stopped for its successor has another process.
    assert_eq!(process::named(place.server.pid(), "sleep").len(), beside.len());
    assert!(place.server.stop().success());
}

/// SIGHUP is a reload, and one that fails is told in the log.
#[test]
fn a_signal_reloads() {
    let mut place = Place::new(json!({
        "service": {"beside": {"command": ["sleep", "1000"]}},
        "endure": {"log_level": "info"},
    }));
    let http = place.server.plugin("rr-http");
    place.change(json!({"http": {"pool": {"num_workers": 1}}, "service": {"beside": {"command": ["sleep", "2000"]}}}));
    place.server.signal(Signal::SIGHUP);
    place.server.wait_log("the configuration was reloaded: http: replaced");
    eventually(SOON, || !process::alive(http));
    assert_eq!(place.server.workers().len(), 1);
    let now = process::named(place.server.pid(), "sleep");
    let line = std::fs::read(format!("/proc/{}/cmdline", now[0])).unwrap();
    assert_eq!(text(&line), "sleep\x002000\x00");
    place.server.room().write(".rr.yaml", "{");
    place.server.signal(Signal::SIGHUP);
    place.server.wait_log("the reload has changed nothing");
    assert_eq!(place.get("/echo?body=still"), "still");
    assert!(place.server.stop().success());
}

/// A signal that comes while a plugin's next process is on its way is followed when that has arrived, or has been given up.
#[test]
fn a_signal_waits_for_an_upgrade() {
    let mut place = Place::new(json!({"endure": {"log_level": "info"}}));
    let hangs = place.server.room().program("hangs", "exec sleep 1000");
    let upgrade = operator::start(&place.server, &["upgrade", "http", "--binary", hangs.to_str().unwrap()]);
    eventually(SOON, || !process::named(place.server.pid(), "sleep").is_empty());
    place.change(json!({"http": {"pool": {"num_workers": 1}}}));
    place.server.signal(Signal::SIGHUP);
    // It is seen before this is answered.
    assert!(refused(&rr(&place.server, &["upgrade", "http"])).contains("on its way"));
    process::signal(process::named(place.server.pid(), "sleep")[0], Signal::SIGTERM);
    refused(&upgrade.wait_with_output().unwrap());
    place.server.wait_log("the configuration was reloaded: http: replaced");
    assert!(
        !place.server.log().contains("the reload has changed nothing"),
        "{}",
        place.server.log()
    );
    assert!(place.server.stop().success());
}

/// Variables of the dotenv file, and `on_init` before a new release's workers.
#[test]
fn a_new_release_has_its_own_variables_and_its_own_first_command() {
    let room = Room::new();
    for name in ["one", "two"] {
        release(&room, name);
        room.write(&format!("{name}/.env"), format!("RR_TEST_RELEASE={name}\n"));
    }
    point(room.path(), "one");
    let port = free_port();
    let settings = json!({
        "server": {
            "command": ["php", "worker.php"],
            "on_init": {"command": ["sh", "-c", "cat release.txt >> ../began"], "exit_on_error": true},
        },
    });
    room.write("shared.yaml", http_config(port, settings).to_string());
    let command = |verb: &str, room: &Room| {
        let mut command = operator::command(&[verb, "--dotenv", ".env"], Path::new("../shared.yaml"));
        command.arg("-w").arg(room.file("current"));
        command
    };
    let serve = command("serve", &room);
    let server = Server::run(room, port, serve);
    server.wait_ready();
    let variable = || server.client().get("/env?name=RR_TEST_RELEASE").text();
    assert_eq!(variable(), "one");
    let reload = || {
        let output = command("reload", server.room()).output().unwrap();
        succeeded(&server, &output)
    };
    assert!(reload().contains("http: unchanged"));
    point(server.room().path(), "two");
    let reset = || succeeded(&server, &command("reset", server.room()).output().unwrap());
    reset();
    server.wait_log("the reset starts the same code anew: ");
    assert_eq!(variable(), "one");
    let told = reload();
    assert!(told.contains("http: replaced") && told.contains("/two"), "{told}");
    // The old process takes no new connection from a moment later on.
    eventually(SOON, || variable() == "two");
    assert_eq!(server.room().read("began"), "onetwo");
    reset();
    let warnings = server.log().matches("the reset starts the same code anew").count();
    assert_eq!(warnings, 1, "{}", server.log());
    server.room().write("two/.env", "");
    assert!(reload().contains("variables of the dotenv file"));
    eventually(SOON, || variable().is_empty());
    assert_eq!(server.room().read("began"), "onetwo", "the same release begins once");
    assert!(server.stop().success());
}

#[test]
fn a_stop_during_a_reload_wins() {
    let mut place = Place::new(json!({}));
    let worker = bin::script("worker.php");
    let slow = json!(["php", worker.to_str().unwrap(), "--boot-sleep=10000"]);
    place.change(json!({"server": {"command": slow}}));
    let reload = operator::start(&place.server, &["reload"]);
    eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 2);
    let second = place.refused();
    assert!(second.contains("another reload is under way"), "{second}");
    assert!(place.server.stop().success(), "{}", place.server.log());
    refused(&reload.wait_with_output().unwrap());
}
