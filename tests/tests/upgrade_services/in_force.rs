//! Which services there are: those of calls, those of the file that is in force, and none without a guard.

use crate::place::{Place, config, script, start};
use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, eventually,
    operator::{command, done},
    port::{free_port, local},
    process, rounds,
    wait::SOON,
};
use serde_json::json;
use std::os::unix::fs::symlink;

#[test]
fn what_calls_have_made_stays_and_obeys() {
    let room = Room::new();
    let once = script(&room, "once.sh", "echo run >> once; exit 3");
    let once = format!("sh {}", once[1].as_str().unwrap());
    let mut place = start(room, &json!({}));
    let create =
        |name: &str, command: &str, number: u64| json!({"name": name, "command": command, "process_num": number});
    place.ok("service.Create", &create("many", "sleep 1000", 3));
    place.ok("service.Create", &create("once", &once, 1));
    eventually(SOON, || place.logged("wait", "once") == 1);
    let before = place.statuses();
    assert_eq!(before["once"][0].2["message"], "process does not exist: exit status 3");
    for _ in 0..rounds(3) {
        place.upgrade();
        assert_eq!(place.statuses(), before);
    }
    assert_eq!(place.runs("once"), 1);
    // They obey as before.
    let many = json!({"name": "many"});
    place.ok("service.Restart", &many);
    let restarted = place.statuses();
    assert!(
        restarted["many"]
            .iter()
            .zip(&before["many"])
            .all(|(new, old)| new.0 != old.0)
    );
    place.upgrade();
    assert_eq!(place.statuses(), restarted);
    place.ok("service.Terminate", &many);
    assert_eq!(place.names(), ["once"]);
    assert!(process::named(place.server.pid(), "sleep").is_empty());
    place.ok("service.Restart", &json!({"name": "once"}));
    eventually(SOON, || place.runs("once") == 2);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// What the file says by then is the business of a reload, which touches what differs.
#[test]
fn the_services_in_force_go_on_whatever_the_file_says() {
    let sleep = |seconds: u32| json!({"command": format!("sleep {seconds}")});
    let first = json!({
        "same": sleep(1001), "changed": sleep(1002), "removed": sleep(1003), "terminated": sleep(1004),
        "more": {"command": "sleep 1005", "process_num": 2},
    });
    let mut place = start(Room::new(), &first);
    place.ok(
        "service.Create",
        &json!({"name": "called", "command": "sleep 1010", "process_num": 1}),
    );
    place.ok("service.Terminate", &json!({"name": "terminated"}));
    let before = place.statuses();
    let second = json!({
        "same": sleep(1001), "changed": sleep(2002), "added": sleep(1006), "terminated": sleep(1004),
        "more": {"command": "sleep 1005", "process_num": 3},
    });
    for other in [
        &second,
        &json!({"same": {"command": "sleep 1001", "process_num": 5000}}),
        &second,
    ] {
        place.write(other);
        place.upgrade();
        assert_eq!(place.statuses(), before);
    }
    done(&place.server, &["reload"]);
    let after = place.statuses();
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert_eq!(names, ["added", "called", "changed", "more", "same"]);
    assert_eq!((&after["same"], &after["called"]), (&before["same"], &before["called"]));
    assert!(after["changed"][0].1.as_str().unwrap().ends_with("/sleep 2002"));
    assert_eq!(after["more"].len(), 3);
    place.upgrade();
    assert_eq!(place.statuses(), after);
    // What a reload has made is the file's, and goes with it.
    place.write(&json!({"same": sleep(1001)}));
    done(&place.server, &["reload"]);
    let mut names = place.names();
    names.sort();
    assert_eq!(names, ["called", "same"]);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A guard stands all the time: the same one, or the next if it was killed itself.
#[test]
fn nothing_is_left_of_a_server_that_is_killed_afterwards() {
    for kill_the_guard in [false, true] {
        let room = Room::new();
        let wrapped = script(&room, "wrapped.sh", "sleep 1000 & sleep 1000; true");
        let later = format!("sh {}", wrapped[1].as_str().unwrap());
        let mut place = start(room, &json!({"wrapped": {"command": wrapped}}));
        let guards = |place: &Place| process::named(place.server.pid(), "rr-supervisor");
        eventually(SOON, || process::named(place.server.pid(), "sleep").len() == 2);
        let guard = guards(&place);
        assert_eq!(guard.len(), 1);
        for _ in 0..2 {
            place.upgrade();
        }
        assert_eq!(guards(&place), guard);
        place.ok(
            "service.Create",
            &json!({"name": "later", "command": later, "process_num": 1}),
        );
        if kill_the_guard {
            process::kill_and_wait(guard[0]);
            eventually(SOON, || guards(&place).len() == 1 && guards(&place) != guard);
        }
        eventually(SOON, || process::named(place.server.pid(), "sleep").len() == 4);
        let below = process::descendants(place.server.pid());
        place.server.signal(Signal::SIGKILL);
        eventually(SOON, || !below.iter().any(|pid| process::alive(*pid)));
    }
}

/// In another directory the services of the file are other programs.
#[test]
fn a_moved_link_starts_what_is_behind_it() {
    let (room, port) = (Room::new(), free_port());
    let text = config(
        port,
        &json!({"here": {"command": "sh here.sh", "service_name_in_log": true}}),
    );
    room.write(".rr.yaml", &text);
    for release in ["one", "two"] {
        room.write(&format!("{release}/.rr.yaml"), &text);
        room.write(
            &format!("{release}/here.sh"),
            format!("echo {release}; exec sleep 1001"),
        );
    }
    let link = room.file("current");
    symlink(room.file("one"), &link).unwrap();
    let command = command(&["serve"], &link.join(".rr.yaml"));
    let server = Server::run(room, port, command);
    server.wait_started();
    let mut place = Place {
        rpc: Rpc::tcp(local(port)),
        server,
        port,
    };
    place.ok(
        "service.Create",
        &json!({"name": "called", "command": "sleep 1002", "process_num": 1}),
    );
    eventually(SOON, || place.said("here") == ["one"]);
    let before = place.statuses();
    place.upgrade();
    assert_eq!(place.statuses(), before);
    std::fs::remove_file(&link).unwrap();
    symlink(place.server.room().file("two"), &link).unwrap();
    place.upgrade();
    assert_eq!(place.statuses(), before);
    // The signal reloads too.
    place.server.signal(Signal::SIGUSR2);
    eventually(SOON, || place.said("here") == ["one", "two"]);
    let after = place.statuses();
    assert_ne!(after["here"], before["here"]);
    assert_eq!(after["called"], before["called"]);
    assert!(place.server.stop().success(), "{}", place.server.log());
}
