//! The plugin is killed: no lock is lost, and nobody gets one that another holds.

use super::{LONG, Place};
use nix::sys::signal::Signal;
use rr_tests::process;
use serde_json::json;

/// Killed again and again, with locks held: nobody else gets them, their owners may release them, and tokens go on.
#[test]
fn a_crash_frees_nothing() {
    let place = Place::start(json!({}));
    let (mut me, mut other) = (place.client(), place.client());
    let mut last = 0;
    for round in 0..12 {
        let token = me.lock("Lock", "r", "me", 0).unwrap();
        assert!(token > last, "{token} after {last}");
        last = token;
        for reader in ["x", "y"] {
            assert!(me.lock("LockRead", "shared", reader, 0).unwrap() > last);
        }
        let waiting = other.begin("Lock", "r", "other", LONG);
        assert!(other.yes("Exists", "r", "me"));
        place.kill();
        let answer = other.0.answer(waiting);
        assert!(answer.error().is_some(), "a wait that was cut off is told: {answer:?}");
        assert_eq!(
            other.lock("Lock", "r", "other", 20_000),
            None,
            "a second holder in round {round}"
        );
        assert_eq!(other.lock("Lock", "shared", "x", 0), None, "one reader of two");
        assert!(other.yes("Exists", "r", "me"));
        assert!(me.yes("Release", "r", "me"));
        assert!(!me.yes("Exists", "r", "*"));
    }
    // Time limits go on while it is down.
    let short = json!({"resource": "short", "id": "me", "ttl": 100_000});
    assert_eq!(me.ask("Lock", &short)["ok"], json!(true));
    place.kill();
    assert!(other.lock("Lock", "short", "other", LONG).is_some());
    assert!(place.server.stop().success());
}

/// Kills at random moments while locks come and go: a torn record loses nothing that was told.
#[test]
fn a_crash_in_the_middle_of_calls_loses_nothing_that_was_told() {
    let place = Place::start(json!({}));
    let mut client = place.client();
    let mut last = client.lock("Lock", "first", "me", 0).unwrap();
    for round in 0..6 {
        let rr_lock = place.server.plugin("rr-lock");
        let calls: Vec<(String, u32)> = (0..300)
            .map(|n| {
                let resource = format!("{round}-{n}");
                let call = client.begin("Lock", &resource, "me", 0);
                (resource, call)
            })
            .collect();
        // Some are answered by now, some on the way, some not read yet.
        assert!(client.granted(calls[round * 20].1));
        process::signal(rr_lock, Signal::SIGKILL);
        let mut told = Vec::new();
        for (resource, call) in &calls[1 + round * 20..] {
            let answer = client.0.answer(*call);
            if answer.error().is_none() {
                let token = answer.json()["token"].as_u64().unwrap();
                told.push((resource, token));
            }
        }
        for (resource, token) in told {
            assert!(client.yes("Exists", resource, "me"), "{resource} was told");
            last = last.max(token);
        }
        let next = client.lock("Lock", &format!("{round}-next"), "me", 0).unwrap();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    assert!(place.server.stop().success());
}
