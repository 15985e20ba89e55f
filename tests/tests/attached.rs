//! A plugin that somebody else has started: a service manager, here the test.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Rpc, Server, bin, eventually, process,
    reload::{Place, action},
    room::free_port,
    rpc_place::local,
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// Starts the plugin as a service manager does: a process group of its own, and the way to the supervisor.
fn start_plugin(server: &Server) -> Child {
    start(server, "rr-test-plugin", "http")
}

fn start(server: &Server, program: &str, plugin: &str) -> Child {
    let mut command = Command::new(bin::binary(program));
    command
        .env("RR_CONTROL", server.room().file("control/supervisor.sock"))
        .env("RR_PLUGIN", plugin)
        .process_group(0)
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What `rr plugins` says of the plugin.
fn seen(server: &Server) -> Value {
    let mut command = Command::new(bin::server());
    let file = server.room().file(".rr.yaml");
    let output = command.args(["plugins", "--json", "-c"]).arg(file).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = all["plugins"].as_array().unwrap();
    all.iter().find(|process| process["name"] == "http").unwrap().clone()
}

#[test]
fn an_attached_plugin_comes_goes_and_is_stopped_with_the_server() {
    let room = rr_tests::Room::new();
    let settings = json!({
        "rpc": {"listen": format!("tcp://127.0.0.1:{}", free_port())},
        "supervisor": {
            "control": {"dir": room.file("control")},
            "plugins": {"http": {"attached": true, "binary": null, "env": null}},
        },
    });
    let server = standin::launch(room, json!({}), settings);
    server.wait_log("RoadRunner server started");
    assert_eq!(seen(&server)["state"], "down");

    let mut plugin = start_plugin(&server);
    eventually(SOON, || seen(&server)["state"] == "running");
    assert_eq!(seen(&server)["pid"], plugin.id());
    assert_eq!(server.client().get("/").text(), plugin.id().to_string());

    // A second one of that name is a stranger.
    let mut second = start_plugin(&server);
    assert_eq!(second.wait().unwrap().code(), Some(1));

    plugin.kill().unwrap();
    plugin.wait().unwrap();
    eventually(SOON, || seen(&server)["state"] == "down");
    assert_eq!(seen(&server)["deaths"][0]["exit"], "ended");
    assert!(server.running());

    let mut again = start_plugin(&server);
    eventually(SOON, || seen(&server)["pid"] == again.id());
    let refused = Command::new(bin::server())
        .args(["upgrade", "http", "-c"])
        .arg(server.room().file(".rr.yaml"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("started by its service manager"));
    server.signal(Signal::SIGTERM);
    assert!(again.wait().unwrap().success(), "{}", server.log());
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
    assert!(!process::alive(again.id()));
}

/// Whoever starts a plugin cannot change under it: one reload without it lies between.
#[test]
fn a_plugin_changes_hands_by_two_reloads() {
    let room = rr_tests::Room::new();
    let rpc = free_port();
    let kv = json!({"memory": {"driver": "memory", "config": {}}});
    let settings = json!({
        "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
        "kv": kv,
        "supervisor": {"control": {"dir": room.file("control")}},
    });
    let mut place = Place::at(room, ".rr.yaml", settings);
    let has = json!({"storage": "memory", "items": [{"key": "k"}]});
    let asked = || Rpc::tcp(local(rpc)).call("kv.Has", &has).error();
    assert_eq!(asked(), None);
    let ours = place.server.plugin("rr-kv");
    let with = |attached: Value| json!({"kv": kv, "supervisor": {"plugins": {"kv": {"attached": attached}}}});
    let without = json!({"kv": null, "supervisor": {"plugins": null}});

    place.change(with(json!(true)));
    assert!(
        place
            .refused()
            .contains("put it back and reload, and its service manager runs it")
    );
    assert!(process::alive(ours));
    place.change(without.clone());
    assert_eq!(action(&place.reload(), "kv"), "removed");
    eventually(SOON, || !process::alive(ours));
    place.change(with(json!(true)));
    assert_eq!(action(&place.reload(), "kv"), "added");
    let mut theirs = start(&place.server, "rr-kv", "kv");
    eventually(SOON, || asked().is_none());
    assert!(process::named(place.server.pid(), "rr-kv").is_empty());

    place.change(with(json!(false)));
    assert!(
        place
            .refused()
            .contains("put it back and reload, and the server runs it")
    );
    place.change(without);
    assert_eq!(action(&place.reload(), "kv"), "removed");
    assert!(theirs.wait().unwrap().success(), "it was asked to stop");
    place.change(with(json!(false)));
    assert_eq!(action(&place.reload(), "kv"), "added");
    assert_eq!(asked(), None);
    assert_ne!(place.server.plugin("rr-kv"), ours);
    assert!(place.server.stop().success());
}
