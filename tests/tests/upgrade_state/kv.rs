//! rr-kv is replaced: under load, over a file, by a reload.

use crate::{
    counting::Counting,
    place::Place,
    storages::{KEYS, PIECE, check, fill, incr},
};
use rr_tests::{
    bin, eventually,
    operator::{done, text},
    port::tcp,
    process, rounds,
    wait::SOON,
};
use serde_json::json;
use std::process::{Command, Stdio};

/// 100,000 keys in memory with their ends, and counters, under load from clients that never reconnect, one of them PHP.
#[test]
fn an_upgrade_of_kv_loses_no_key_and_fails_no_call() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", KEYS);
    let going = place.server.room().write("going", "");
    let mut php = Command::new("php");
    php.arg(bin::script("kv/steady.php")).arg("memory").arg(&going);
    php.env("RR_RPC", tcp(place.port)).stdout(Stdio::piped());
    let php = php.spawn().unwrap();
    let counting = Counting::start(&place, &["memory"; 4]);
    for _ in 0..rounds(3) {
        counting.goes_on();
        place.upgraded("kv");
        counting.goes_on();
    }
    let counted = counting.stop();
    std::fs::remove_file(going).unwrap();
    let php = php.wait_with_output().unwrap();
    assert!(php.status.success());
    let php: i64 = text(&php.stdout).parse().unwrap();
    assert_eq!(incr(&mut rpc, "memory", "shared"), counted + 1);
    assert!(php > 0 && incr(&mut rpc, "memory", "php") == php + 1);
    check(&mut rpc, "memory", KEYS);
    let log = place.server.log();
    assert!(!log.contains("died") && !log.contains(r#""level":"error""#), "{log}");
    assert!(place.server.stop().success());
}

/// The file is closed by one process before the other opens it.
#[test]
fn an_upgrade_of_kv_fails_no_call_on_a_file() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "boltdb", 2 * PIECE);
    let counting = Counting::start(&place, &["boltdb", "boltdb", "memory"]);
    for _ in 0..rounds(3) {
        counting.goes_on();
        place.upgraded("kv");
    }
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "boltdb", 2 * PIECE);
}

/// A reload that changes the storages replaces the process in the same way.
#[test]
fn a_reload_that_changes_kv_keeps_its_keys() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    let (old, counting) = (place.server.plugin("rr-kv"), Counting::start(&place, &["memory"; 2]));
    counting.goes_on();
    let another = json!({"driver": "memory", "config": {}});
    place.server.change(json!({"kv": {"another": another}}));
    done(&place.server, &["reload"]);
    eventually(SOON, || !process::alive(old));
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "memory", PIECE);
    assert_eq!(incr(&mut rpc, "another", "key"), 1);
}
