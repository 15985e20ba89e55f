//! A process that is no good, or dies in the middle of it: nothing is lost.

use crate::{
    counting::Counting,
    place::Place,
    storages::{KEYS, PIECE, ask, check, fill, item, request},
};
use prost::Message;
use rr_common::frame::flag;
use rr_kv::v1::Response;
use rr_tests::{
    bin, eventually,
    operator::{self, done, rr, succeeded, text},
    process, rpc_place,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{process::Output, time::Instant};

/// One that is no plugin is found out before anybody waits; one that cannot take over gives everything back.
#[test]
fn a_new_process_that_is_no_good_changes_nothing() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", 5 * PIECE);
    fill(&mut rpc, "boltdb", PIECE);
    let counting = Counting::start(&place, &["memory", "memory", "boltdb"]);
    let kv = place.server.plugin("rr-kv");
    let refused = |output: Output, reason: &str| {
        let told = operator::refused(&output);
        assert!(told.contains(reason), "{told}");
        assert_eq!(place.server.plugin("rr-kv"), kv);
        counting.goes_on();
    };
    refused(
        rr(&place.server, &["upgrade", "kv", "--binary", "/bin/false"]),
        "exit code 1",
    );
    assert!(!place.server.log().contains("paused"));
    let refusing = place.misbehaving("TEST_REFUSE='I do not like it'");
    refused(
        place.upgrade_to(&refusing).wait_with_output().unwrap(),
        "I do not like it",
    );
    assert!(place.server.log().contains("paused"));

    // Killed while it takes over.
    let hanging = place.misbehaving("TEST_HANG_AT_START=1");
    let upgrade = place.upgrade_to(&hanging);
    eventually(SOON, || place.server.log().matches("has handed over").count() == 2);
    let seen = done(&place.server, &["plugins", "--json"]);
    assert!(seen.contains(r#""upgrading""#), "{seen}");
    process::kill_and_wait(place.server.plugin("rr-test-plugin"));
    refused(upgrade.wait_with_output().unwrap(), "SIGKILL");

    let counted = counting.stop();
    assert!(counted > 0);
    check(&mut rpc, "memory", 5 * PIECE);
    check(&mut rpc, "boltdb", PIECE);
    // And a good one is taken all the same.
    place.upgraded("kv");
    check(&mut rpc, "memory", 5 * PIECE);
}

/// A new process that hangs is given as long as a pause may last.
#[test]
fn a_pause_ends() {
    let place = Place::start(json!({"endure": {"grace_period": "2s"}}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    let counting = Counting::start(&place, &["memory"; 2]);
    let hanging = place.misbehaving("TEST_HANG_AT_START=1");
    let output = place.upgrade_to(&hanging).wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("did not take over within 2s"), "{told}");
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "memory", PIECE);
}

/// The present process dies after it has handed over, and the next one goes on; if both die, what was in memory is lost, and the log
/// says so.
#[test]
fn a_death_in_the_pause() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    fill(&mut rpc, "boltdb", PIECE);
    let old = place.server.plugin("rr-kv");
    let upgrade = place.upgrade_to(&place.misbehaving("TEST_HANG_AT_START=1"));
    place.server.wait_log("has handed over");
    process::kill_and_wait(old);
    place.server.wait_log("died after it had handed over");
    let waits = rpc.begin("kv.Has", flag::PROTO, &request("boltdb", vec![item(1)]).encode_to_vec());
    assert!(
        process::named(place.server.pid(), "rr-kv").is_empty(),
        "never two of them"
    );
    process::kill_and_wait(place.server.plugin("rr-test-plugin"));
    assert!(!upgrade.wait_with_output().unwrap().status.success());
    place.server.wait_log("is lost");
    assert_eq!(rpc.answer(waits).error(), None, "it waited for the next process");
    check(&mut rpc, "boltdb", PIECE);
    let left = ask::<Response>(&mut rpc, "Has", &request("memory", vec![item(1)]));
    assert!(left.items.is_empty());
}

/// The next process is stopped while it takes over, the present one killed: nothing is lost.
#[test]
fn who_has_handed_over_may_die() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", KEYS);
    let old = place.server.plugin("rr-kv");
    let upgrade = place.upgrade_to(&bin::binary("rr-kv"));
    place.server.wait_log("it hands over");
    let next = process::named(place.server.pid(), "rr-kv")
        .into_iter()
        .find(|pid| *pid != old)
        .unwrap();
    process::signal(next, nix::sys::signal::Signal::SIGSTOP);
    place.server.wait_log("has handed over");
    process::kill_and_wait(old);
    process::signal(next, nix::sys::signal::Signal::SIGCONT);
    let output = upgrade.wait_with_output().unwrap();
    succeeded(&place.server, &output);
    check(&mut rpc, "memory", KEYS);
    assert_eq!(place.server.plugin("rr-kv"), next);
}

/// A process that is frozen neither hands over nor goes on: when the time of a pause is over it is killed, and calls have waited no longer.
#[test]
fn who_does_not_even_answer_is_restarted() {
    let place = Place::start(json!({"endure": {"grace_period": "4s"}}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "boltdb", PIECE);
    let old = place.server.plugin("rr-kv");
    process::signal(old, nix::sys::signal::Signal::SIGSTOP);
    let begin = Instant::now();
    let told = operator::refused(&rr(&place.server, &["upgrade", "kv"]));
    assert!(told.contains("did not hand over: it did not answer in time"), "{told}");
    assert!(begin.elapsed() < SOON);
    place.server.wait_log("cannot go on after its pause and is restarted");
    eventually(SOON, || operator::seen(&place.server, "kv")["restarts"] == 1);
    check(&mut rpc, "boltdb", PIECE);
    assert!(!process::alive(old));
}

/// A plugin that does not know how to hand over stays as it is, and whoever asked is told.
#[test]
fn a_plugin_that_cannot_pause_is_left_alone() {
    let place = rpc_place::start(json!({}));
    let (mut rpc, pid) = (place.rpc(), place.plugin());
    let told = operator::refused(&rr(&place.server, &["upgrade", "kv"]));
    assert!(told.contains("does not know `Pause`"), "{told}");
    assert_eq!(rpc.call("kv.Pid", &Value::Null).json(), json!(pid));
    assert_eq!(place.plugin(), pid);
}
