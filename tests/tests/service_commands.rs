//! The user's own commands under supervision (SERV-01).
#![allow(clippy::unwrap_used)]

use nix::{sys::signal::Signal, unistd::geteuid};
use rr_tests::{Room, Server, eventually, process, server::merge, standin, wait::SOON};
use serde_json::{Value, json};

/// A server of nothing but these services, whose scripts are files of the room.
fn launch(room: Room, services: Value, more: Value) -> Server {
    let mut config = json!({
        "version": "3",
        "service": services,
        "logs": {"mode": "production", "level": "debug"},
    });
    merge(&mut config, more);
    Server::launch(room, 0, &config.to_string(), &[])
}

fn start(room: Room, services: Value) -> Server {
    let server = launch(room, services, json!({}));
    server.wait_started();
    server
}

/// A room with a shell script, and the command that runs it.
fn script(text: &str) -> (Room, Value) {
    let room = Room::new();
    let path = room.write("service.sh", text);
    (room, json!(["sh", path]))
}

/// The messages of a logger.
fn messages(server: &Server, logger: &str) -> Vec<String> {
    let lines = server.log_json().into_iter().filter(|line| line["logger"] == logger);
    lines.map(|line| line["msg"].as_str().unwrap().to_owned()).collect()
}

fn lines(room: &Room, file: &str) -> usize {
    room.read(file).lines().count()
}

#[test]
fn its_lines_are_log_lines() {
    let (room, command) = script(
        r#"echo "$FOO $RR_SERVICE"
        echo '  {"level":"info","msg":"hi"}'
        echo to stderr >&2
        printf 'no end'
        exec sleep 1000"#,
    );
    let services = json!({
        "named": {"command": command, "service_name_in_log": true, "env": {"foo": "a ${HOME}"}},
        "plain": {"command": "echo plain"},
        "many": {"command": "echo many", "process_num": 3},
    });
    let server = start(room, services);
    server.wait_log("no end");
    let home = std::env::var("HOME").unwrap_or_default();
    let expected = [
        &format!("a {home} named.0"),
        "  {\"level\":\"info\",\"msg\":\"hi\"}",
        "to stderr",
        "no end",
    ];
    assert_eq!(messages(&server, "service.named"), expected);
    eventually(SOON, || {
        let plain = messages(&server, "service");
        let count = |text: &str| plain.iter().filter(|message| *message == text).count();
        count("plain") == 1 && count("many") == 3 && count("service was started") == 5
    });
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn it_is_started_again_after_any_exit_if_it_shall_remain() {
    let (room, command) = script("echo $$ >> marks; exit ${1:-0}");
    let mut failing = command.clone();
    failing.as_array_mut().unwrap().push(json!("3"));
    let services = json!({
        "good": {"command": command, "remain_after_exit": true, "restart_sec": 1},
        "bad": {"command": failing, "remain_after_exit": true, "restart_sec": 1, "service_name_in_log": true},
        "once": {"command": "sh -c exit"},
    });
    let server = start(room, services);
    eventually(SOON, || lines(server.room(), "marks") >= 6);
    let failed = |line: &Value| line["logger"] == "service.bad" && line["level"] == "error";
    let line = server.log_json().into_iter().find(failed).unwrap();
    assert_eq!(
        (&line["msg"], &line["error"]),
        (&json!("wait"), &json!("exit status 3"))
    );
    let once = |line: &Value| line["msg"] == "service was started" && line["name"] == "once";
    assert_eq!(server.log_json().iter().filter(|line| once(line)).count(), 1);
    assert!(server.stop().success());
}

#[test]
fn a_run_that_takes_too_long_is_killed() {
    let (room, command) = script("echo $$ >> marks; trap '' INT TERM; sleep 1000 & wait; sleep 1000");
    let service = json!({"command": command, "exec_timeout": "200ms", "remain_after_exit": true, "restart_sec": 1});
    let server = start(room, json!({"slow": service}));
    server.wait_log("killed: it ran longer than exec_timeout");
    server.wait_log("signal: killed");
    eventually(SOON, || lines(server.room(), "marks") >= 2);
    // Its sleep goes with it, each time.
    assert!(process::named(server.pid(), "sleep").len() <= 2, "{}", server.log());
    assert!(server.stop().success());
}

/// The whole group is asked, as a terminal does it, and the wrapper's child is given its time.
#[test]
fn a_stop_is_asked_for_and_waited_for() {
    let (room, command) = script("trap 'sleep 0.3; echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done");
    let inner = command.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let wrapped = json!(["sh", "-c", format!("{}; true", inner.collect::<Vec<_>>().join(" "))]);
    let server = start(
        room,
        json!({"direct": {"command": command}, "wrapped": {"command": wrapped}}),
    );
    let said = |text: &str| {
        messages(&server, "service")
            .iter()
            .filter(|message| *message == text)
            .count()
    };
    eventually(SOON, || said("up") == 2);
    assert!(server.stop().success(), "{}", server.log());
    assert_eq!((said("bye"), said("service was stopped")), (2, 2), "{}", server.log());
    assert!(!server.log().contains("killed:"), "{}", server.log());
}

#[test]
fn one_that_ignores_the_request_is_killed() {
    let (room, command) = script("trap '' INT; echo up; while :; do sleep 1; done");
    let server = start(room, json!({"deaf": {"command": command, "timeout_stop_sec": 1}}));
    server.wait_log("\"up\"");
    assert!(server.stop().success(), "{}", server.log());
    server.wait_log("killed: it did not stop in time");
}

#[test]
fn what_it_leaves_behind_goes_with_it() {
    let (room, command) = script("sleep 1001 & setsid sleep 1002 & echo up; sleep 0.2");
    let server = start(room, json!({"messy": {"command": command}}));
    server.wait_log("service has ended");
    eventually(SOON, || process::named(server.pid(), "sleep").is_empty());
    assert!(server.stop().success());
}

#[test]
fn one_that_cannot_be_started_ends_the_start() {
    let services = json!({"good": {"command": "sleep 1000"}, "none": {"command": "/no/such/program x"}});
    let server = launch(Room::new(), services.clone(), json!({}));
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin service cannot start: none: fork/exec /no/such/program: no such file or directory");

    let server = launch(Room::new(), services, json!({"supervisor": {"start": "keep_going"}}));
    server.wait_started();
    server.wait_log("process start error");
    assert_eq!(process::named(server.pid(), "sleep").len(), 1);
    assert!(server.stop().success());
}

#[test]
fn it_dies_with_the_supervisor() {
    let server = start(Room::new(), json!({"a": {"command": "sleep 1000", "process_num": 2}}));
    let sleeping = process::named(server.pid(), "sleep");
    assert_eq!(sleeping.len(), 2);
    server.signal(Signal::SIGKILL);
    eventually(SOON, || !sleeping.iter().any(|pid| process::alive(*pid)));
}

/// What a service has started has no parent-death signal: the guard kills it. One that was killed itself is replaced.
#[test]
fn what_it_has_started_dies_with_the_supervisor_too() {
    let (room, command) = script("sleep 1000; true");
    let server = start(room, json!({"wrapped": {"command": command}}));
    let guards = || process::named(server.pid(), "rr-supervisor");
    eventually(SOON, || {
        process::named(server.pid(), "sleep").len() == 1 && guards().len() == 1
    });
    let first = guards();
    process::kill_and_wait(first[0]);
    eventually(SOON, || guards().len() == 1 && guards() != first);
    let below = process::descendants(server.pid());
    server.signal(Signal::SIGKILL);
    eventually(SOON, || !below.iter().any(|pid| process::alive(*pid)));
}

#[test]
fn it_runs_as_the_user() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change the user");
        return;
    }
    let server = start(Room::new(), json!({"who": {"command": "id -un", "user": "nobody"}}));
    server.wait_log("\"nobody\"");
    assert!(server.stop().success());

    let server = launch(
        Room::new(),
        json!({"who": {"command": "id", "user": "nobody at all"}}),
        json!({}),
    );
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("service.who.user: there is no user");
}

#[test]
fn it_starts_before_ingress_and_stops_after() {
    let settings = json!({"service": {"a": {"command": "sleep 1000"}}});
    let server = standin::start(json!({}), settings);
    server.wait_log("service was started");
    let plugin = u64::from(server.plugin("rr-test-plugin"));
    assert!(server.stop().success());
    let lines = server.log_json();
    let told = |text: &str| {
        let line = lines.iter().find(|line| line["msg"] == text);
        line.unwrap_or_else(|| panic!("not in the log: {text}\n{}", server.log()))
    };
    // Pids are given in order; the lines of several processes need not come in the order of their times.
    assert!(told("service was started")["pid"].as_u64().unwrap() < plugin);
    let time = |text: &str| told(text)["ts"].as_u64().unwrap();
    assert!(time("stopped") < time("service was stopped"), "{}", server.log());
}

#[test]
fn a_second_signal_does_not_wait() {
    let (room, command) = script("trap '' INT; echo up; while :; do sleep 1; done");
    let server = start(room, json!({"deaf": {"command": command, "timeout_stop_sec": 600}}));
    server.wait_log("\"up\"");
    let below = process::descendants(server.pid());
    server.stop_twice();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    eventually(SOON, || !below.iter().any(|pid| process::alive(*pid)));
}
