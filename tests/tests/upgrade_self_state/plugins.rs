//! How things stand: a chosen program, what custom plugins print, and those that hand nothing over.

use crate::place::Place;
use rr_common::frame::flag;
use rr_tests::{bin, eventually, operator::done, process, rounds, wait::SOON};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The program that an operator has put in a plugin's place stays, until a reload names another.
#[test]
fn a_chosen_program_is_the_one_that_is_restarted() {
    let place = Place::start(json!({}));
    let room = place.server.room();
    let chosen = room.install(&bin::binary("rr-http"), "rr-http");
    let program = || {
        let pid = place.server.plugin("rr-http");
        std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
    };
    let dies = || {
        let pid = place.server.plugin("rr-http");
        process::kill_and_wait(pid);
        eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
        place.wait_settled("http");
    };
    done(
        &place.server,
        &["upgrade", "http", "--binary", chosen.to_str().unwrap()],
    );
    eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
    for _ in 0..2 {
        place.upgrade();
        assert_eq!(program(), chosen);
        dies();
        assert_eq!(program(), chosen);
    }
    let binary = room.install(&chosen, "named/rr-http");
    place
        .server
        .change(json!({"supervisor": {"plugins": {"http": {"binary": binary}}}}));
    done(&place.server, &["reload"]);
    eventually(SOON, || {
        process::named(place.server.pid(), "rr-http").len() == 1 && program() == binary
    });
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// What a custom plugin prints is logged, before and after, and is no reason for it to stand still.
#[test]
fn what_a_custom_plugin_prints_is_logged() {
    let own =
        json!({"command": [bin::binary("rr-test-plugin")], "env": {"TEST_NO_PORT": "1"}, "rpc_prefixes": ["own"]});
    let place = Place::start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    let mut rpc = place.client();
    let mut print = |text: String| {
        assert_eq!(rpc.exchange("own.Print", flag::RAW, text.as_bytes()).error(), None);
        place.server.wait_log(&text);
    };
    print("printed before".into());
    let before = place.told("own")["pid"].take();
    for round in 0..2 {
        place.upgrade();
        assert_eq!(place.told("own")["pid"], before);
        // More than a pipe holds.
        for number in 0..4 {
            print(format!("{} {round} {number}", "long ".repeat(8000)));
        }
    }
    print("printed after".into());
    process::kill_and_wait(u32::try_from(before.as_u64().unwrap()).unwrap());
    eventually(SOON, || !place.told("own")["deaths"][0].is_null());
    let death = place.told("own")["deaths"][0].take();
    assert!(death["lines"].as_str().unwrap().contains("printed after"), "{death}");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// A plugin that cannot be adopted is asked to stop and started anew, and that is told as what it is.
#[test]
fn a_plugin_that_hands_nothing_over_is_replaced() {
    let own = json!({"command": [bin::binary("rr-test-custom")], "rpc_prefixes": ["own"]});
    let place = Place::start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    for round in 1..=2 {
        let before = place.told("own");
        assert_eq!(before["state"], "running");
        place.upgrade();
        eventually(SOON, || place.told("own")["state"] == "running");
        let told = place.told("own");
        assert_ne!(told["pid"], before["pid"]);
        assert_eq!(
            (&told["restarts"], told["deaths"].as_array().unwrap().len()),
            (&json!(round), round)
        );
        let death = &told["deaths"][round - 1];
        assert_eq!(
            (&death["pid"], &death["cause"], &death["early"]),
            (&before["pid"], &json!("upgrade"), &json!(false))
        );
    }
    assert!(
        !place.server.log().contains("the plugin has died"),
        "{}",
        place.server.log()
    );
    assert!(place.server.stop().success(), "{}", place.server.log());
}

/// Calls to it wait for its next process.
#[test]
fn calls_to_a_plugin_that_hands_nothing_over_wait() {
    let own = json!({
        "command": [bin::binary("rr-test-custom")], "rpc_prefixes": ["own"], "env": {"TEST_MODE": "patient"},
    });
    let place = Place::start(json!({"own": {}, "supervisor": {"plugins": {"own": own}}}));
    let over = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let callers = [0; 3].map(|_| {
            scope.spawn(|| {
                let mut rpc = place.client();
                let mut failed = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    failed.extend(rpc.call("own.Pid", &json!(1)).error());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        });
        for _ in 0..rounds(5) {
            let before = calls.load(Ordering::Relaxed);
            eventually(SOON, || calls.load(Ordering::Relaxed) > before + 100);
            let old = place.told("own")["pid"].take();
            place.upgrade();
            eventually(SOON, || {
                let told = place.told("own");
                told["state"] == "running" && told["pid"] != old
            });
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), [""; 0]);
        }
    });
    assert!(place.server.stop().success(), "{}", place.server.log());
}
