//! History: what died and why, what was given up, what waits for its restart.

use crate::place::Place;
use nix::sys::signal::Signal;
use rr_tests::{
    Room, Server, eventually,
    operator::{done, rr, text, told},
    process, rounds, standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Why processes died is told afterwards as before, down to what they wrote, and a living one is as old as it was.
#[test]
fn what_was_remembered_is_remembered() {
    let place = Place::start(json!({"http": {"pool": {"num_workers": 1}}}));
    let get = |path: &str| place.server.client().get(path).status;
    assert_eq!(get("/stderr?text=first+words"), 200);
    place.server.wait_log("first words");
    place.wait_settled("http");
    let (first, worker) = (place.server.plugin("rr-http"), place.server.workers()[0]);
    process::kill_and_wait(first);
    eventually(SOON, || place.told("http")["deaths"][0]["pid"] == first);
    eventually(SOON, || place.told("http")["state"] == "running");
    // The worker of the dead one, and one of a replaced one.
    eventually(SOON, || {
        rr(&place.server, &["why", &worker.to_string()]).status.success()
    });
    assert_eq!(get("/exit?code=3"), 500);
    done(&place.server, &["upgrade", "http"]);
    eventually(SOON, || place.told("http")["deaths"].as_array().unwrap().len() == 2);
    assert_eq!(get("/stderr?text=second+words"), 200);
    place.server.wait_log("second words");

    let started = || place.samples(&["rr_plugin_start_time_seconds", "rr_plugin_restarts_total"]);
    place.wait_settled("http");
    let uptime = || told(&place.server, &["plugins", "--json"])["plugins"][0]["uptime_seconds"].as_u64();
    eventually(SOON, || uptime() > Some(0));
    let (before, since) = (place.told("http"), started());
    assert_eq!(before["worker_deaths"].as_array().unwrap().len(), 2, "{before}");
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(place.told("http"), before);
        assert_eq!(started(), since);
        assert!(uptime() > Some(0), "the supervisor's process is no other");
        let orphan = told(&place.server, &["why", &worker.to_string(), "--json"]);
        assert_eq!(orphan["deaths"][0]["cause"], "orphan", "{orphan}");
    }
    // What it wrote before the upgrade is told of one that dies after it.
    let second = place.server.plugin("rr-http");
    process::kill_and_wait(second);
    eventually(SOON, || place.told("http")["deaths"].as_array().unwrap().len() == 3);
    let deaths = place.told("http")["deaths"].take();
    for (death, pid, words) in [(&deaths[0], first, "first words"), (&deaths[2], second, "second words")] {
        assert_eq!(
            (&death["pid"], &death["cause"], &death["early"]),
            (&json!(pid), &json!("crash"), &json!(false))
        );
        assert!(death["exit"].as_str().unwrap().starts_with("SIGKILL"), "{death}");
        assert!(death["lines"].as_str().unwrap().contains(words), "{death}");
    }
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A plugin may die while the supervisor becomes another program: at whatever moment, its death is told, it is restarted, and what is
/// kept for it is not lost.
#[test]
fn a_death_at_any_moment_is_seen() {
    let place = Place::start(json!({"http": {"pool": {"num_workers": 1}}, "lock": {}}));
    let lock = |id: &str| {
        let argument = json!({"resource": "r", "id": id, "ttl": 600_000_000, "wait": 0});
        place.client().call("lock.Lock", &argument).json()["ok"] == true
    };
    assert!(lock("one"));
    for round in 0..2 * rounds(3) {
        let plugins = ["http", "lock"].map(|plugin| {
            place.wait_settled(plugin);
            (plugin, place.server.plugin(&format!("rr-{plugin}")))
        });
        std::thread::scope(|scope| {
            // It may be refused, since a process is on its way.
            let upgrade = scope.spawn(|| rr(&place.server, &["upgrade", "self"]));
            let began = Instant::now();
            let moment = Duration::from_millis(15 * round as u64);
            eventually(SOON, || began.elapsed() >= moment);
            for (_, pid) in plugins {
                process::signal(pid, Signal::SIGKILL);
            }
            upgrade.join().unwrap();
        });
        for (plugin, pid) in plugins {
            eventually(SOON, || {
                let told = place.told(plugin);
                told["pid"] != pid && told["state"] == "running"
            });
            let deaths = place.told(plugin)["deaths"].take();
            let last = deaths.as_array().unwrap().last().unwrap();
            assert_eq!(last["pid"], pid, "{deaths}\n{}", place.server.log());
            assert!(last["exit"].as_str().unwrap().starts_with("SIGKILL"), "{deaths}");
        }
        assert!(!lock("two"), "it is held\n{}", place.server.log());
    }
    assert_eq!(place.server.client().get("/echo?body=after").text(), "after");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A server whose `http` does not start; it goes on without.
fn without_http(restart: Value) -> Server {
    let settings = json!({"supervisor": {"start": "keep_going", "restart": restart}});
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), settings);
    server.wait_started();
    server
}

/// A plugin that was given up stays so, with an answer at its port, until somebody wants another try.
#[test]
fn a_plugin_that_was_given_up_stays_so() {
    let place = Place::of(without_http(json!({"max": 3})));
    let failed = |deaths: usize| {
        let told = place.told("http");
        told["state"] == "failed" && told["deaths"].as_array().unwrap().len() == deaths
    };
    eventually(SOON, || failed(3));
    let before = place.told("http");
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(place.told("http"), before);
        assert_eq!(place.server.client().get("/").status, 503);
    }
    // A reload is another try.
    let reloaded = rr(&place.server, &["reload"]);
    let text = text(&reloaded.stderr);
    assert!(!reloaded.status.success() && text.contains("exit code 7"), "{text}");
    assert_eq!(place.server.client().get("/").status, 503);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// One that waits for its restart waits on, and holds up nothing.
#[test]
fn a_plugin_that_waits_for_its_restart_waits_on() {
    let place = Place::of(without_http(json!({"max": 100, "backoff": "60s"})));
    eventually(SOON, || place.told("http")["state"] == "restarting");
    let before = place.told("http");
    assert_eq!(before["deaths"].as_array().unwrap().len(), 2);
    place.upgrade();
    assert_eq!(place.told("http"), before);
    assert!(place.server.stop().success(), "{}", place.server.log());
}
