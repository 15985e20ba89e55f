//! The supervisor is killed; its plugins serve on, and the next supervisor adopts them.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_common::frame::flag;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    load::Load,
    operator::{self, done, refused, rr, seen, told},
    port::{at, free_port, local, tcp},
    process, rounds,
    server::{http_config, merge},
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{collections::HashSet, fs::OpenOptions, io::Write};

/// A supervisor of the same configuration file, in place of one that was killed.
fn successor(dead: &Server) -> Server {
    let command = operator::command(&["serve"], &dead.room().file(".rr.yaml"));
    let next = Server::run(Room::new(), dead.address().port(), command);
    next.wait_started();
    next
}

/// The workers of the plugin http.
fn workers(dead: &Server) -> HashSet<u64> {
    let all = told(dead, &["workers", "http", "--json"]);
    let workers = all["plugins"][0]["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().filter_map(|worker| worker["pid"].as_u64()).collect()
}

fn kill(server: &Server) {
    server.signal(Signal::SIGKILL);
    server.wait_exit(SOON);
}

/// A server for HTTP with an RPC port.
fn http(settings: Value) -> (Server, u16) {
    let rpc = free_port();
    let mut all = json!({
        "rpc": {"listen": tcp(rpc)},
        "supervisor": {"adopt_timeout": "20s"},
    });
    merge(&mut all, settings);
    (Server::http(all), rpc)
}

#[test]
fn a_killed_supervisors_plugins_serve_on_and_are_adopted() {
    let (server, _) = http(json!({}));
    let pid = server.plugin("rr-http");
    let before = workers(&server);
    assert_eq!(before.len(), 2);
    for _ in 0..4 {
        assert_eq!(server.client().get("/rpc?method=rpc.Version").status, 200);
    }
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    kill(&server);
    let answers = load.answers();
    eventually(SOON, || load.answers() > answers + 50);

    let next = successor(&server);
    assert_eq!(seen(&server, "http")["pid"], pid);
    assert_eq!(seen(&server, "http")["state"], "running");
    // PHP's connections for RPC died with the first supervisor: every worker is a new one, one after the other.
    eventually(SOON, || {
        let now = workers(&server);
        now.len() == 2 && now.is_disjoint(&before)
    });
    for _ in 0..8 {
        let answer = server.client().get("/rpc?method=rpc.Version");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    load.stop_unharmed(&next);

    // From here on it is a plugin like any other: restarted when it dies, stopped with the server.
    process::kill_and_wait(pid);
    eventually(SOON, || {
        let now = seen(&server, "http");
        now["state"] == "running" && now["pid"] != pid
    });
    assert_eq!(server.client().get("/echo?body=new").text(), "new");
    assert!(next.stop().success(), "{}", next.log());
}

/// The supervisor dies while a reload waits for its last process: of two processes of a plugin one is adopted, and the other leaves as one
/// that was replaced.
#[test]
fn two_generations_of_a_plugin_are_left_without_a_lost_request() {
    let own = |env: Value| {
        json!({"supervisor": {"plugins": {"own": {
            "command": [bin::binary("rr-test-plugin")], "env": env, "rpc_prefixes": ["own"],
        }}}})
    };
    let mut settings = json!({"own": {}});
    merge(&mut settings, own(json!({"TEST_NO_PORT": "1"})));
    for _ in 0..rounds(5) {
        let (server, _) = http(settings.clone());
        let load = Load::start(server.address(), 4, "/echo?body=hi");
        let before = std::fs::read(server.room().file(".rr.yaml")).unwrap();
        server.change(json!({"http": {"pool": {"num_workers": 3}}}));
        server.change(own(json!({"TEST_NO_PORT": "1", "TEST_HANG_AT_START": "1"})));
        let reload = operator::start(&server, &["reload"]);
        eventually(SOON, || server.workers().len() == 5);
        load.goes_on();
        let generations = process::named(server.pid(), "rr-http");
        assert_eq!(generations.len(), 2);
        kill(&server);
        server.room().write(".rr.yaml", before);
        let next = successor(&server);
        load.goes_on();
        eventually(SOON, || {
            generations.iter().filter(|pid| process::alive(**pid)).count() == 1
        });
        load.goes_on();
        load.stop_unharmed(&next);
        assert!(next.stop().success(), "{}", next.log());
        drop(reload.wait_with_output());
    }
}

/// What custom plugins print goes to the next supervisor, also what they print while there is none.
#[test]
fn what_a_custom_plugin_prints_is_read_on() {
    let own =
        json!({"command": [bin::binary("rr-test-plugin")], "env": {"TEST_NO_PORT": "1"}, "rpc_prefixes": ["own"]});
    let (server, rpc) = http(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    let print = |text: &str| {
        let mut rpc = Rpc::tcp(local(rpc));
        assert_eq!(rpc.exchange("own.Print", flag::RAW, text.as_bytes()).error(), None);
    };
    let own = server.plugin("rr-test-plugin");
    print("printed before");
    server.wait_log("printed before");
    kill(&server);
    let mut meanwhile = OpenOptions::new()
        .append(true)
        .open(format!("/proc/{own}/fd/1"))
        .unwrap();
    meanwhile.write_all(b"printed meanwhile\n").unwrap();
    drop(meanwhile);

    let next = successor(&server);
    assert_eq!(seen(&server, "own")["pid"], own);
    next.wait_log("printed meanwhile");
    // More than a pipe holds, and then the next supervisor's upgrade.
    let long = "long ".repeat(8000);
    for number in 0..4 {
        print(&format!("{long}{number}"));
        next.wait_log(&format!("{long}{number}"));
    }
    done(&server, &["upgrade", "self"]);
    print("printed after");
    next.wait_log("printed after");

    process::kill_and_wait(own);
    eventually(SOON, || {
        let death = seen(&server, "own")["deaths"][0].take();
        death["lines"]
            .as_str()
            .is_some_and(|lines| lines.contains("printed after"))
    });
    assert!(next.stop().success(), "{}", next.log());
}

/// A plugin that starts by its first call may have died together with the supervisor: the next one does not wait for it.
#[test]
fn one_that_starts_by_a_call_waits_for_the_next_call() {
    let (server, port) = http(json!({}));
    let lock = |id: &str| {
        let argument = json!({"resource": "r", "id": id, "ttl": 60_000_000, "wait": 0});
        Rpc::tcp(local(port)).call("lock.Lock", &argument).json()["ok"] == true
    };
    assert!(lock("one"));
    let since = |plugin: &str| seen(&server, plugin)["uptime_seconds"].as_u64();
    eventually(SOON, || since("http") > Some(0));
    let pid = server.plugin("rr-lock");
    kill(&server);
    process::kill_and_wait(pid);
    let next = successor(&server);
    assert!(since("http") > Some(0), "it is as old as it was");
    assert_eq!(seen(&server, "lock")["state"], "down");
    assert!(lock("two"));
    assert_eq!(seen(&server, "lock")["state"], "running");
    assert!(next.stop().success(), "{}", next.log());
}

#[test]
fn after_a_reload_with_other_addresses_they_are_found_as_well() {
    let (server, _) = http(json!({}));
    let port = free_port();
    server.change(json!({"http": {"address": at(port)}}));
    assert!(told(&server, &["reload", "--json"]).is_object());
    let pid = seen(&server, "http")["pid"].clone();
    let load = Load::start(local(port), 2, "/echo?body=hi");
    kill(&server);
    let next = successor(&server);
    assert_eq!(seen(&server, "http")["pid"], pid, "{}", next.log());
    let answers = load.answers();
    eventually(SOON, || load.answers() > answers + 50);
    load.stop_unharmed(&next);
    assert!(next.stop().success(), "{}", next.log());
}

#[test]
fn a_plugin_with_state_and_another_configuration_keeps_what_it_has() {
    let memory = json!({"driver": "memory", "config": {}});
    let (server, port) = http(json!({"kv": {"memory": memory}}));
    let items = json!({"storage": "memory", "items": [{"key": "k", "value": "dmFsdWU="}]});
    assert_eq!(Rpc::tcp(local(port)).call("kv.Set", &items).error(), None);
    let pid = seen(&server, "kv")["pid"].clone();
    kill(&server);
    server.change(json!({"kv": {"other": memory}}));
    let next = successor(&server);
    eventually(SOON, || {
        let kv = seen(&server, "kv");
        kv["state"] == "running" && kv["pid"] != pid
    });
    let mut rpc = Rpc::tcp(local(port));
    for (storage, found) in [("memory", json!("k")), ("other", Value::Null)] {
        let has = json!({"storage": storage, "items": [{"key": "k"}]});
        assert_eq!(
            rpc.call("kv.Has", &has).json()["items"][0]["key"],
            found,
            "{}",
            next.log()
        );
    }
    assert!(next.stop().success(), "{}", next.log());
}

#[test]
fn an_adopted_plugin_is_stopped_with_the_server() {
    let room = Room::new();
    let control = room.file("control");
    let settings = json!({"supervisor": {"adopt_timeout": "20s", "control": {"dir": control}}});
    let server = standin::launch(room, json!({}), settings);
    server.wait_started();
    let pid = server.plugin("rr-test-plugin");
    kill(&server);
    let next = successor(&server);
    assert_eq!(server.client().get("/").text(), pid.to_string());
    assert!(next.stop().success(), "{}", next.log());
    // Its last lines are in the new supervisor's log.
    assert!(next.log().contains("stopped"), "{}", next.log());
    assert!(!process::alive(pid));
    assert!(!control.exists());
}

/// Adopted with what it had, then replaced under load by one with the new configuration.
#[test]
fn a_changed_configuration_replaces_what_is_adopted() {
    let (server, rpc) = http(json!({}));
    let pid = server.plugin("rr-http");
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    kill(&server);
    let changed = json!({
        "rpc": {"listen": tcp(rpc)},
        "supervisor": {"adopt_timeout": "20s"},
        "http": {"pool": {"num_workers": 3}},
    });
    let config = http_config(server.address().port(), changed);
    server.room().write(".rr.yaml", config.to_string());
    let next = successor(&server);
    eventually(SOON, || {
        seen(&server, "http")["pid"] != pid && workers(&server).len() == 3
    });
    eventually(SOON, || !process::alive(pid));
    load.stop_unharmed(&next);
    assert!(next.stop().success());
}

/// What PHP has told the supervisor, and no plugin knows.
#[test]
fn declared_metrics_services_and_locks_are_kept() {
    let metrics = free_port();
    let (server, port) = http(json!({
        "metrics": {"address": at(metrics)},
        "service": {},
    }));
    let mut rpc = Rpc::tcp(local(port));
    let declare = json!({"name": "orders", "collector": {"type": "counter", "help": "x"}});
    assert_eq!(rpc.call("metrics.Declare", &declare).error(), None);
    let service = json!({"name": "ticker", "command": "sleep 1000", "process_num": 1});
    assert_eq!(rpc.call("service.Create", &service).error(), None);
    let lock = json!({"resource": "r", "id": "one", "ttl": 60_000_000, "wait": 0});
    assert_eq!(rpc.call("lock.Lock", &lock).json()["ok"], true);
    kill(&server);

    let next = successor(&server);
    let mut rpc = Rpc::tcp(local(port));
    let add = json!({"name": "orders", "value": 2.0});
    assert_eq!(rpc.call("metrics.Add", &add).error(), None);
    assert_eq!(
        rpc.call("service.List", &json!({})).json()["services"],
        json!(["ticker"])
    );
    let second = json!({"resource": "r", "id": "two", "ttl": 60_000_000, "wait": 0});
    assert_ne!(rpc.call("lock.Lock", &second).json()["ok"], true, "it is held");
    let release = json!({"resource": "r", "id": "one"});
    assert_eq!(rpc.call("lock.Release", &release).json()["ok"], true);
    assert!(next.stop().success(), "{}", next.log());
}

/// A supervisor that starts while another one lives is refused, and changes nothing.
#[test]
fn one_supervisor_adopts() {
    let (server, _) = http(json!({}));
    let pid = server.plugin("rr-http");
    kill(&server);
    let next = successor(&server);
    refused(&rr(&server, &["serve"]));
    assert_eq!(seen(&server, "http")["pid"], pid);
    // And again, after the adopting one.
    kill(&next);
    let third = successor(&server);
    assert_eq!(seen(&server, "http")["pid"], pid);
    assert!(third.stop().success(), "{}", third.log());
}
