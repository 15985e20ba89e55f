//! Waits, time limits and stops go on where they stood.

use crate::place::{Place, script, start};
use rr_tests::{
    Room, Rpc, eventually,
    port::local,
    process,
    wait::{SOON, holds_within},
};
use serde_json::json;

/// Upgrades until something has happened: if they began its time anew it never would.
#[track_caller]
fn upgrade_until(place: &Place, mut happened: impl FnMut(&Place) -> bool) {
    place.upgrade();
    let came = holds_within(2 * SOON, || {
        let has = happened(place);
        if !has {
            place.upgrade();
        }
        has
    });
    assert!(came, "{}", place.server.log());
}

#[test]
fn a_wait_for_a_restart_goes_on() {
    let room = Room::new();
    let soon = script(&room, "soon.sh", "echo run >> soon; exit 0");
    let late = script(&room, "late.sh", "echo run >> late; exit 7");
    let services = json!({
        "soon": {"command": soon, "remain_after_exit": true, "restart_sec": 4},
        "late": {"command": late, "remain_after_exit": true, "restart_sec": 1000},
    });
    let mut place = start(room, &services);
    eventually(SOON, || {
        place.logged("wait", "late") == 1 && place.logged("service has ended", "soon") == 1
    });
    let before = place.statuses();
    upgrade_until(&place, |place| place.runs("soon") == 2);
    let after = place.statuses();
    assert_eq!(after["late"], before["late"]);
    assert_eq!(after["late"][0].2["message"], "process does not exist: exit status 7");
    assert_eq!(place.runs("late"), 1, "an upgrade is no reason to start it");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn the_longest_run_goes_on() {
    let room = Room::new();
    let command = script(&room, "slow.sh", "trap '' INT; sleep 1000 & sleep 1000");
    let mut place = start(room, &json!({"slow": {"command": command, "exec_timeout": "4s"}}));
    let pid = place.pid("slow");
    let killed = "killed: it ran longer than exec_timeout";
    upgrade_until(&place, |place| place.logged(killed, "slow") == 1);
    eventually(SOON, || place.logged("wait", "slow") == 1);
    assert!(!process::alive(pid));
    assert!(process::named(place.server.pid(), "sleep").is_empty());
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn a_stop_goes_on_to_its_end() {
    let room = Room::new();
    let deaf = script(&room, "deaf.sh", "trap 'echo asked' INT; while :; do sleep 0.05; done");
    // Its own process ends at once; what it has started takes its time, and is waited for.
    let last = "(trap '' INT; echo child; while ! [ -e go ]; do sleep 0.01; done; echo bye) & trap 'exit 0' INT; wait";
    let last = script(&room, "last.sh", last);
    let services = json!({
        "deaf": {"command": deaf, "timeout_stop_sec": 5, "service_name_in_log": true},
        "last": {"command": last, "timeout_stop_sec": 100, "service_name_in_log": true},
    });
    let mut place = start(room, &services);
    let said = |place: &Place, name: &str, text: &str| place.said(name).iter().any(|line| line == text);
    eventually(SOON, || said(&place, "last", "child"));
    let codec = rr_common::frame::flag::JSON;
    let asking = ["deaf", "last"].map(|name| {
        let mut rpc = Rpc::tcp(local(place.port));
        let body = json!({"name": name}).to_string();
        rpc.begin("service.Terminate", codec, body.as_bytes());
        rpc
    });
    eventually(SOON, || said(&place, "deaf", "asked"));
    eventually(SOON, || place.names().is_empty());
    // An upgrade waits for calls; those who have asked go without their answers.
    drop(asking);
    upgrade_until(&place, |place| {
        place.logged("killed: it did not stop in time", "deaf") == 1
    });
    eventually(SOON, || place.logged("service was stopped", "deaf") == 1);
    assert_eq!(
        place.logged("service was stopped", "last"),
        0,
        "the rest of its group is there"
    );
    place.server.room().write("go", "");
    eventually(SOON, || place.logged("service was stopped", "last") == 1);
    eventually(SOON, || said(&place, "last", "bye"));
    // What a call has stopped stays so, though its section is there.
    place.upgrade();
    assert_eq!(place.names(), [""; 0]);
    assert!(process::descendants(place.server.pid()).len() <= 1, "the guard at most");
    assert!(place.server.stop().success(), "{}", place.server.log());
}
