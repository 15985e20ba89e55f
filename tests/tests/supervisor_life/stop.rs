//! Stops: by signals, in order, bounded by the grace period, at any moment.

use crate::plugin::{PLUGIN, answering, nothing};
use nix::sys::signal::Signal;
use rr_tests::{Room, eventually, process, standin, wait::SOON};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn it_starts_serves_and_stops_in_order() {
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_log("[INFO] RoadRunner server started; version: 2025.1.");
    assert_eq!(answering(&server), server.plugin(PLUGIN));
    assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o700);

    assert!(server.stop().success(), "{}", server.log());
    let log = server.log();
    assert!(
        log.contains("stop signal received, grace timeout is: 30 seconds"),
        "{log}"
    );
    let (drained, stopped) = (log.find("drained").unwrap(), log.find("stopped").unwrap());
    assert!(drained < stopped, "{log}");
    assert!(!control.exists());
}

#[test]
fn every_stop_signal_is_an_orderly_stop() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT] {
        let server = standin::start(nothing(), nothing());
        server.signal(signal);
        assert!(server.wait_exit(SOON).success(), "{signal}: {}", server.log());
        assert!(server.log().contains("drained"));
    }
}

#[test]
fn what_runs_is_finished_before_the_stop() {
    let server = standin::start(json!({"TEST_SLOW_DRAIN": "300"}), nothing());
    assert!(server.stop().success());
    assert!(server.log().contains("drained"), "{}", server.log());
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let server = standin::start(json!({"TEST_IGNORE_STOP": "1"}), nothing());
    let plugin = server.plugin(PLUGIN);
    server.stop_twice();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("exit forced");
    eventually(SOON, || !process::alive(plugin));
}

#[test]
fn the_grace_period_bounds_a_plugin_that_does_not_stop() {
    let settings = json!({"endure": {"grace_period": "500ms"}});
    let server = standin::start(json!({"TEST_IGNORE_STOP": "1"}), settings);
    server.stop();
    server.wait_log("killed: it took too long");
}

#[test]
fn a_stop_during_the_start_is_orderly() {
    let server = standin::launch(Room::new(), json!({"TEST_HANG_AT_START": "1"}), nothing());
    eventually(SOON, || !process::named(server.pid(), PLUGIN).is_empty());
    assert!(server.stop().success(), "{}", server.log());
}
