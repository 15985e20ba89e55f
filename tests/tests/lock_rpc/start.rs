//! The plugin starts with its first call, or with the server, or not at all; and its numbers.

use super::{LONG, Place};
use rr_tests::{
    port::{at, free_port, local},
    process,
};
use serde_json::json;

#[test]
fn the_first_call_starts_it() {
    let place = Place::start(json!({}));
    assert!(process::named(place.server.pid(), "rr-lock").is_empty());
    let (mut a, mut b) = (place.client(), place.client());
    let first = a.lock("Lock", "r", "a", 0).unwrap();
    place.server.plugin("rr-lock");
    assert_eq!(b.lock("Lock", "r", "b", 0), None);
    assert_eq!(b.lock("LockRead", "r", "b", 0), None);
    assert!(b.yes("Exists", "r", "a") && b.yes("Exists", "r", "*") && !b.yes("Exists", "r", "b"));
    assert!(!b.yes("Release", "r", "b") && a.yes("Release", "r", "a") && !a.yes("Exists", "r", "*"));
    assert!(b.lock("LockRead", "r", "b", 0).unwrap() > first);
    assert!(b.lock("Lock", "r", "b", 0).is_some(), "the only reader may write");
    assert!(a.yes("ForceRelease", "r", "") && !b.yes("Exists", "r", "*"));
    let nameless = a.0.call("lock.Lock", &json!({"resource": "r"}));
    assert_eq!(nameless.error().as_deref(), Some("empty ID is not allowed"));
    let unknown = a.0.call("lock.Unlock", &json!({}));
    assert_eq!(unknown.error().as_deref(), Some("rpc: can't find method lock.Unlock"));
    assert!(place.server.stop().success());
}

#[test]
fn with_a_section_it_starts_with_the_server() {
    let place = Place::start(json!({"lock": {"driver": "memory"}}));
    place.server.plugin("rr-lock");
    assert!(place.client().lock("Lock", "r", "a", 0).is_some());
    assert!(place.server.stop().success());
}

#[test]
fn a_program_that_is_missing_is_told_to_who_calls_it() {
    let nowhere = json!({"supervisor": {"plugins": {"lock": {"binary": "/nowhere/rr-lock"}}}});
    let place = Place::start(nowhere);
    let error = place
        .client()
        .0
        .call("lock.Lock", &json!({"resource": "r", "id": "a"}))
        .error()
        .unwrap();
    assert!(error.contains("/nowhere/rr-lock"), "{error}");
    assert!(place.server.stop().success());
}

#[test]
fn its_numbers_are_on_the_page() {
    let metrics = free_port();
    let place = Place::start(json!({"metrics": {"address": at(metrics)}}));
    let (mut holder, mut waiting) = (place.client(), place.client());
    holder.lock("LockRead", "r", "a", 0).unwrap();
    holder.lock("LockRead", "r", "b", 0).unwrap();
    waiting.begin("Lock", "r", "c", LONG);
    assert!(!waiting.yes("Exists", "r", "c"));
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    for line in ["rr_lock_held 2", "rr_lock_waiting 1", "rr_lock_granted_total 2"] {
        assert!(page.lines().any(|found| found == line), "{line}:\n{page}");
    }
}
