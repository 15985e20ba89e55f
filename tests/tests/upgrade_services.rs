//! Services live through `rr upgrade self`: same processes, every line once, every rule goes on where it stood.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    operator::{command, done, refused, rr, upgrade_self},
    process,
    room::free_port,
    rounds,
    rpc_place::local,
    server::merge,
    wait::{SOON, holds_within},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

/// A server of nothing but services.
struct Place {
    server: Server,
    rpc: Rpc,
    port: u16,
}

fn config(port: u16, services: &Value) -> String {
    let mut config = json!({
        "version": "3",
        "rpc": {"listen": format!("tcp://127.0.0.1:{port}")},
        "service": {},
        "logs": {"mode": "production", "level": "debug"},
    });
    merge(&mut config, json!({"service": services}));
    config.to_string()
}

fn start(room: Room, services: &Value) -> Place {
    let port = free_port();
    let server = Server::launch(room, port, &config(port, services), &[]);
    server.wait_log("RoadRunner server started");
    Place {
        rpc: Rpc::tcp(local(port)),
        server,
        port,
    }
}

/// The command that runs a script of the room.
fn script(room: &Room, name: &str, text: &str) -> Value {
    json!(["sh", room.write(name, text)])
}

impl Place {
    #[track_caller]
    fn upgrade(&self) {
        upgrade_self(&self.server);
    }

    #[track_caller]
    fn ok(&mut self, method: &str, argument: &Value) -> Value {
        let answer = self.rpc.call(method, argument);
        assert_eq!(answer.error(), None, "{}", self.server.log());
        answer.json()
    }

    fn names(&mut self) -> Vec<String> {
        let all = self.ok("service.List", &json!({}));
        serde_json::from_value(all["services"].clone()).unwrap_or_default()
    }

    /// Pid, command and end of every process.
    fn statuses(&mut self) -> BTreeMap<String, Vec<(Value, Value, Value)>> {
        let names = self.names().into_iter();
        let of = |name: String| {
            let all = self.ok("service.Statuses", &json!({"name": name}));
            let all = all["status"].as_array().cloned().unwrap_or_default().into_iter();
            let one = |one: Value| (one["pid"].clone(), one["command"].clone(), one["status"].clone());
            (name, all.map(one).collect())
        };
        names.map(of).collect()
    }

    fn pid(&mut self, name: &str) -> u32 {
        let all = self.ok("service.Statuses", &json!({"name": name}));
        u32::try_from(all["status"][0]["pid"].as_u64().unwrap()).unwrap()
    }

    /// What a service has written.
    fn said(&self, name: &str) -> Vec<String> {
        let logger = format!("service.{name}");
        let lines = self.server.log_json().into_iter();
        let lines = lines.filter(|line| line["logger"] == logger && line["name"].is_null());
        lines.map(|line| line["msg"].as_str().unwrap().to_owned()).collect()
    }

    /// How often a line of the supervisor's about a service was logged.
    fn logged(&self, message: &str, name: &str) -> usize {
        let lines = self.server.log_json().into_iter();
        lines
            .filter(|line| line["msg"] == message && line["name"] == name)
            .count()
    }

    fn runs(&self, file: &str) -> usize {
        let path = self.server.room().file(file);
        std::fs::read_to_string(path).unwrap_or_default().lines().count()
    }

    fn write(&self, services: &Value) {
        self.server.room().write(".rr.yaml", config(self.port, services));
    }
}

/// A program that is fit, and gone when it is to be executed.
fn vanishing(room: &Room) -> PathBuf {
    let server = bin::server().display().to_string();
    let path = room.write("gone", format!("#!/bin/sh\n{server} \"$@\" && rm \"$0\"\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Numbered lines in bursts that are longer than one read.
const COUNTING: &str = r#"
i=0
trap 'echo "end $i"; exit 0' INT
filling=$(printf '%080d' 0)
while :; do
    n=0
    while [ $n -lt 300 ]; do
        echo "line $i $filling"
        i=$((i + 1)) n=$((n + 1))
    done
    sleep 0.03
done
"#;

/// There is always half a line whose rest comes soon: usually soon enough to be logged as one.
const HALVES: &str = r#"
i=0
trap 'echo " end"; exit 0' INT
printf 'line 0'
while :; do
    sleep 0.005
    i=$((i + 1))
    printf ' rest\nline %s' $i
done
"#;

#[test]
fn it_goes_on_and_every_line_is_logged_once() {
    let room = Room::new();
    let counting = script(&room, "counting.sh", COUNTING);
    let halves = script(&room, "halves.sh", HALVES);
    let services = json!({
        "counting": {"command": counting, "service_name_in_log": true},
        "halves": {"command": halves, "service_name_in_log": true},
    });
    let mut place = start(room, &services);
    let pid = place.pid("counting");
    for round in 0..rounds(3) {
        let before = place.said("counting").len();
        eventually(SOON, || place.said("counting").len() > before + 1000);
        place.upgrade();
        assert_eq!(place.pid("counting"), pid, "round {round}");
        // One that fails at the last moment leaves it alone as well.
        let gone = vanishing(place.server.room()).display().to_string();
        refused(&rr(&place.server, &["upgrade", "self", "--binary", &gone]));
        assert_eq!(place.pid("counting"), pid, "round {round}");
    }
    let workers = done(&place.server, &["workers", "service"]);
    assert!(workers.contains(&pid.to_string()));
    let before = place.said("counting").len();
    eventually(SOON, || place.said("counting").len() > before + 1000);
    assert!(place.server.stop().success(), "{}", place.server.log());

    let said = place.said("counting");
    let (end, lines) = said.split_last().unwrap();
    let filling = "0".repeat(80);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {n} {filling}"));
    }
    assert_eq!(*end, format!("end {}", lines.len()));
    let said = place.said("halves").concat();
    let whole = said.matches("rest").count();
    let lines = (0..whole).map(|n| format!("line {n} rest"));
    assert_eq!(said, lines.collect::<String>() + &format!("line {whole} end"));
    assert_eq!(place.logged("service was started", "counting"), 1);
    assert_eq!(place.logged("service was stopped", "counting"), 1);
}

/// Half a line is logged as one when its rest is late, with and without an upgrade; nothing of it is lost or doubled.
#[test]
fn half_a_line_before_and_its_rest_after() {
    let room = Room::new();
    let text = "printf 'the first half'; touch half; while ! [ -e go ]; do sleep 0.01; done; echo ' and the rest'; echo done; exec sleep 1000";
    let command = script(&room, "half.sh", text);
    let mut place = start(
        room,
        &json!({"half": {"command": command, "service_name_in_log": true}}),
    );
    eventually(SOON, || place.server.room().file("half").exists());
    let pid = place.pid("half");
    place.upgrade();
    place.server.room().write("go", "");
    eventually(SOON, || place.said("half").iter().any(|line| line == "done"));
    assert_eq!(place.said("half").concat(), "the first half and the restdone");
    assert_eq!(place.pid("half"), pid);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

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
    server.wait_log("RoadRunner server started");
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
