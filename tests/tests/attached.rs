//! A plugin that somebody else has started: a service manager, here the test.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Rpc, Server, bin, eventually,
    operator::{self, rr, seen, text, upgrade_self},
    port::{free_port, local, tcp},
    process,
    reload::{Place, action},
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

#[test]
fn an_attached_plugin_comes_goes_and_is_stopped_with_the_server() {
    let room = rr_tests::Room::new();
    let settings = json!({
        "rpc": {"listen": tcp(free_port())},
        "supervisor": {
            "control": {"dir": room.file("control")},
            "plugins": {"http": {"attached": true, "binary": null, "env": null}},
        },
    });
    let server = standin::launch(room, json!({}), settings);
    server.wait_started();
    assert_eq!(seen(&server, "http")["state"], "down");

    let mut plugin = start_plugin(&server);
    eventually(SOON, || seen(&server, "http")["state"] == "running");
    assert_eq!(seen(&server, "http")["pid"], plugin.id());
    assert_eq!(server.client().get("/").text(), plugin.id().to_string());

    // A second one of that name is a stranger.
    let mut second = start_plugin(&server);
    assert_eq!(second.wait().unwrap().code(), Some(1));

    plugin.kill().unwrap();
    plugin.wait().unwrap();
    eventually(SOON, || seen(&server, "http")["state"] == "down");
    assert_eq!(seen(&server, "http")["deaths"][0]["exit"], "ended");
    assert!(server.running());

    let mut again = start_plugin(&server);
    eventually(SOON, || seen(&server, "http")["pid"] == again.id());
    let refused = text(&rr(&server, &["upgrade", "http"]).stderr);
    assert!(refused.contains("started by its service manager"), "{refused}");
    server.signal(Signal::SIGTERM);
    assert!(again.wait().unwrap().success(), "{}", server.log());
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
    assert!(!process::alive(again.id()));
}

/// The next supervisor, whether the first one has died or has become another program, leaves its start to whoever has started it.
#[test]
fn after_the_supervisors_end_it_is_still_somebody_elses_to_start() {
    let room = rr_tests::Room::new();
    let settings = json!({
        "rpc": {"listen": tcp(free_port())},
        "supervisor": {
            "adopt_timeout": "20s",
            "control": {"dir": room.file("control")},
            "plugins": {"http": {"attached": true, "binary": null, "env": null}},
        },
    });
    let first = standin::launch(room, json!({}), settings);
    first.wait_started();
    let mut plugin = start_plugin(&first);
    eventually(SOON, || seen(&first, "http")["state"] == "running");
    upgrade_self(&first);
    assert_eq!(seen(&first, "http")["pid"], plugin.id());
    let mut next = None;
    for dies in [false, true] {
        if dies {
            first.signal(Signal::SIGKILL);
            first.wait_exit(SOON);
            let serve = operator::command(&["serve"], &first.room().file(".rr.yaml"));
            let server = Server::run(rr_tests::Room::new(), first.address().port(), serve);
            server.wait_started();
            assert_eq!(seen(&first, "http")["pid"], plugin.id());
            next = Some(server);
        }
        plugin.kill().unwrap();
        plugin.wait().unwrap();
        eventually(SOON, || seen(&first, "http")["state"] == "down");
        let log = next.as_ref().unwrap_or(&first).log();
        assert!(
            !log.contains("restarted at once") && !log.contains("cannot start"),
            "{log}"
        );
        plugin = start_plugin(&first);
        eventually(SOON, || seen(&first, "http")["state"] == "running");
        assert_eq!(seen(&first, "http")["pid"], plugin.id());
    }
    assert!(next.unwrap().stop().success());
    assert!(plugin.wait().unwrap().success());
}

/// Whoever starts a plugin cannot change under it: one reload without it lies between.
#[test]
fn a_plugin_changes_hands_by_two_reloads() {
    let room = rr_tests::Room::new();
    let rpc = free_port();
    let kv = json!({"memory": {"driver": "memory", "config": {}}});
    let settings = json!({
        "rpc": {"listen": tcp(rpc)},
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
